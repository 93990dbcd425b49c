"""Faces are read in processes beside this one: same answers, no hang when one dies, nothing run twice."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from media import heed_ctrl_c
from scenes import acted

from mueca.errors import MuecaError
from mueca.face.landmarks import eye_distance
from mueca.face.prediction import box_of
from mueca.face.reading import FaceReader, Readers, cut_patch


@pytest.fixture(scope="module")
def patches():
    images, truth = acted("a", 40)
    return [cut_patch(image, box_of(points)) for image, points in zip(images[:8], truth, strict=False)]


def test_processes_read_the_same_as_this_one(patches):
    reader = FaceReader()
    here = [reader.read(patch) for patch in patches]
    with Readers(2) as readers:
        futures = [readers.submit(patches[:5]), readers.submit(patches[5:]), readers.submit([])]
        there = [reading for future in futures for reading in future.result()]
    for one, other in zip(here, there, strict=True):
        for field in dataclasses.fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_box_that_is_off_by_a_tenth_hardly_moves_the_landmarks():
    images, truth = acted("a", 40)
    x0, y0, x1, y1 = box_of(truth[0])
    shift, reader = 0.1 * (x1 - x0), FaceReader()
    for dx, dy in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)):
        found = reader.read(cut_patch(images[0], (x0 + dx, y0 + dy, x1 + dx, y1 + dy))).landmarks
        assert np.linalg.norm(found - truth[0], axis=1).mean() < 0.05 * eye_distance(truth[0])


def test_a_blurred_face_is_less_sharp_whatever_its_light():
    images, truth = acted("a", 40)
    reader, box = FaceReader(), box_of(truth[0])
    sharp = reader.read(cut_patch(images[0], box)).sharpness
    dark = reader.read(cut_patch(images[0] // 2, box)).sharpness
    blurred = reader.read(cut_patch(cv2.GaussianBlur(images[0], (0, 0), 3), box)).sharpness
    assert blurred < 0.5 * sharp and dark == pytest.approx(sharp, rel=0.25)


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_landmarks_are_in_pixels_of_the_frame_whatever_the_faces_size(scale):
    images, truth = acted("a", 40)
    size = (round(480 * scale), round(480 * scale))
    image = cv2.resize(images[0], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    points = (truth[0] + 0.5) * scale - 0.5
    found = FaceReader().read(cut_patch(image, box_of(points))).landmarks
    assert np.linalg.norm(found - points, axis=1).mean() < 0.05 * eye_distance(points)


@pytest.mark.parametrize("box", [(-300, 100, -100, 300), (400, 400, 700, 700), (-1000, -1000, 2000, 2000)])
def test_boxes_beyond_the_border_are_read_without_an_error(box):
    reading = FaceReader().read(cut_patch(acted("a", 40)[0][0], box))
    assert np.isfinite(reading.landmarks).all() and np.isfinite(reading.sharpness)


def test_a_patch_is_no_larger_than_it_must_be():
    image = np.zeros((4000, 4000, 3), np.uint8)
    assert max(cut_patch(image, (1000, 1000, 3000, 3000)).grey.shape) < 1200
    assert max(cut_patch(image, (1000, 1000, 1050, 1050)).grey.shape) < 120


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
@pytest.mark.parametrize("which", [slice(None), slice(0, 1), slice(1, 2)], ids=["all", "first", "second"])
def test_a_worker_that_is_killed_is_a_clear_error_and_no_hang(patches, which):
    start, others = time.monotonic(), descendants_of(os.getpid())  # other tests' may still be there
    says = "worker process ended before its work was done.*--workers 1"
    with pytest.raises(MuecaError, match=says), Readers(2) as readers:
        readers.submit(patches).result()
        for pid in [pid for pid in descendants_of(os.getpid()) if pid not in others][which]:
            os.kill(pid, signal.SIGKILL)
        for _ in range(6):
            readers.submit(patches).result()
    assert time.monotonic() - start < 60


def descendants_of(pid: int) -> list[int]:
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(further for child in children for further in descendants_of(child))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


UNGUARDED = """
    import sys
    print("main runs", flush=True)
    from mueca.face.reading import Readers
    with Readers(2) as readers:
        assert readers.submit([]).result() == []
        print("read", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def unguarded(tmp_path):
    """A running script without a main guard that has two workers and waits for the end of its input."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(UNGUARDED))
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    ) as process:
        assert process.stdout.readline() == "main runs\n"
        assert process.stdout.readline() == "read\n"
        yield process
        process.kill()


def test_a_script_without_a_main_guard_runs_once(unguarded):
    assert unguarded.communicate()[0] == ""
    assert unguarded.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_workers_end_with_the_process_that_was_killed(unguarded):
    workers = descendants_of(unguarded.pid)
    assert len(workers) == 2
    unguarded.kill()
    assert wait_until(lambda: not any(is_running(worker) for worker in workers))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_ctrl_c_is_left_to_the_process_that_was_started(unguarded):
    workers = descendants_of(unguarded.pid)
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    assert not wait_until(lambda: not all(is_running(worker) for worker in workers), 2.0)
