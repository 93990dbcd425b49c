"""The two drawn actors: their truth is exact, and detectors and the predictor take them for faces."""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from media import heed_ctrl_c

from mueca.actors import (
    ACTOR_A,
    ACTOR_B,
    ACTORS,
    Expression,
    actor_clip,
    filming,
    landmarks_of,
    performance,
    render,
    write_clip,
)
from mueca.actors.features import lids
from mueca.actors.head import CAMERA_CM, PIVOT
from mueca.errors import SettingsError
from mueca.video import VideoReader

both = pytest.mark.parametrize("identity", ACTORS.values(), ids=ACTORS)
SAMPLES = [
    Expression(),
    Expression(yaw=24, smile=1, jaw=0.2),
    Expression(yaw=-24, jaw=0.5),
    Expression(pitch=10, roll=8),
]


def span(points: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(points[a] - points[b]))


def test_the_same_arguments_give_the_same_bytes_and_another_frame_other_noise():
    expression = Expression(yaw=12, jaw=0.4)
    first, landmarks = render(ACTOR_A, expression, frame_index=3)
    again, _ = render(ACTOR_A, expression, frame_index=3)
    other, _ = render(ACTOR_A, expression, frame_index=4)
    assert first.tobytes() == again.tobytes()
    assert 0 < np.abs(first.astype(int) - other).mean() < 4
    assert first.shape == (480, 480, 3) and first.dtype == np.uint8
    assert np.array_equal(landmarks, landmarks_of(ACTOR_A, expression))


@pytest.mark.parametrize(("a", "b"), [(36, 45), (4, 12), (48, 54)], ids=["eye distance", "jaw width", "mouth width"])
def test_the_actors_differ_by_15_percent_of_the_face_height(a, b):
    shares = [span(p, a, b) / span(p, 27, 8) for p in (landmarks_of(i, Expression()) for i in ACTORS.values())]
    assert max(shares) / min(shares) >= 1.15


def test_the_actors_differ_in_shape_after_any_similarity_is_taken_out():
    a, b = (p - p.mean(0) for p in (landmarks_of(i, Expression()) for i in ACTORS.values()))
    best = (a * b).sum() / (a * a).sum()
    assert np.linalg.norm(b - best * a, axis=1).mean() / span(b, 36, 45) > 0.03


@both
def test_closed_eyes_meet_and_open_ones_do_not(identity):
    closed = landmarks_of(identity, Expression(blink_left=1.0, yaw=10))
    assert span(closed, 37, 41) < 0.01 and span(closed, 38, 40) < 0.01
    assert span(closed, 43, 47) > 5


@both
@pytest.mark.parametrize("shape", [{}, {"smile": 1.0}, {"pucker": 1.0}, {"width": 1.0}], ids=str)
def test_closed_lips_meet_whatever_their_shape(identity, shape):
    points = landmarks_of(identity, Expression(yaw=-15, **shape))
    assert max(span(points, 61, 67), span(points, 62, 66), span(points, 63, 65)) < 0.01
    assert span(landmarks_of(identity, Expression(jaw=1.0)), 62, 66) > 20


@both
def test_the_iris_is_dark_the_white_is_light_and_the_gaze_moves_them(identity):
    def darkest_x(gaze: float) -> float:
        image, points = render(identity, Expression(gaze_x=gaze))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        left, right = (int(points[k, 0]) for k in (36, 39))
        row = grey[int(points[36:42, 1].mean()), left + 5 : right - 4].astype(float)
        assert row.min() < 70 and row.max() > 130
        return float(np.average(np.arange(len(row)), weights=np.clip(100 - row, 0, None)))

    assert darkest_x(0.8) - darkest_x(-0.8) > 6


@both
def test_turning_the_head_moves_near_points_more_than_far_ones(identity):
    ahead, turned = (landmarks_of(identity, Expression(yaw=yaw)) for yaw in (0.0, 20.0))
    moved = turned[:, 0] - ahead[:, 0]
    assert moved[30] > moved[27] > moved[36] > moved[0]
    assert span(turned, 42, 45) < span(ahead, 42, 45) * 0.87, "the eye that turns away narrows"


@both
@pytest.mark.parametrize("yaw", [-35, 35])
def test_a_head_turned_far_is_drawn_whole_and_its_far_eye_narrows_as_geometry_says(identity, yaw):
    def seen_width(corners: np.ndarray, degrees: float) -> float:
        """Return the width of a level line through a pinhole camera, after a turn about the neck's upright axis."""
        x, _, z = (corners - PIVOT).T
        turn = np.radians(degrees)
        across, towards = x * np.cos(turn) + z * np.sin(turn), z * np.cos(turn) - x * np.sin(turn)
        return float(np.ptp(across / (CAMERA_CM - towards)))

    ahead, turned = landmarks_of(identity, Expression()), landmarks_of(identity, Expression(yaw=yaw))
    side, a, b = (1, 42, 45) if yaw > 0 else (-1, 36, 39)
    corners, _ = lids(identity, Expression(), side, np.array([0.0, 1.0]))
    shrunk = np.ptp(turned[[a, b], 0]) / np.ptp(ahead[[a, b], 0])
    assert shrunk == pytest.approx(seen_width(corners, yaw) / seen_width(corners, 0), rel=1e-6)
    assert shrunk < np.cos(np.radians(35)), "the face curves away besides"

    image, points = render(identity, Expression(yaw=yaw))
    assert points.min() > 0 and points.max() < image.shape[0] - 1
    x, y = points[[a, b]].mean(0).round().astype(int)
    assert np.ptp(image[y - 4 : y + 5, x - 8 : x + 9].mean(2)) > 60, "the far eye is still drawn"


@both
def test_turning_the_other_way_mirrors_the_landmarks_but_not_the_picture(identity):
    there, back = (landmarks_of(identity, Expression(yaw=yaw)) for yaw in (-20.0, 20.0))
    assert span(there, 36, 39) == pytest.approx(span(back, 45, 42), rel=1e-6)
    image, _ = render(identity, Expression())
    assert np.abs(image.astype(int) - image[:, ::-1]).mean() > 8


@both
@pytest.mark.parametrize("seed", [101, 206, 7])
def test_a_performance_keeps_every_landmark_in_the_picture(identity, seed):
    points = np.array([landmarks_of(identity, e) for e in performance(seed, 250)])
    assert points.min() > 10 and points.max() < 470


@pytest.mark.parametrize("seed", [101, 206, 202])
def test_both_splits_hold_the_extremes(seed):
    frames = performance(seed, 250)
    for part in (frames[:200], frames[200:]):
        tracks = {name: np.array([getattr(e, name) for e in part]) for name in Expression.__dataclass_fields__}
        assert tracks["yaw"].min() < -25 and tracks["yaw"].max() > 25
        for name, most in (("jaw", 0.85), ("smile", 0.85), ("pucker", 0.9), ("brow_raise", 0.8), ("blink_left", 0.9)):
            assert tracks[name].max() > most, name


def test_a_performance_is_smooth_blinks_quickly_and_is_the_same_for_the_same_seed():
    frames = performance(5, 250)
    assert frames == performance(5, 250) and frames != performance(6, 250)
    assert np.abs(np.diff([e.yaw for e in frames])).max() < 8
    shut = np.array([e.blink_right > 0.25 for e in frames], int)
    starts, ends = (np.flatnonzero(np.diff(shut) == step) for step in (1, -1))
    assert len(starts) >= 3 and all(2 <= end - start <= 6 for start, end in zip(starts, ends, strict=False))


@pytest.mark.parametrize("num_frames", [1, 2, 10, 40])
def test_a_short_performance_has_as_many_frames_as_asked(num_frames):
    assert len(performance(7, num_frames)) == num_frames


@both
def test_every_detector_finds_one_face(identity, models):
    yunet = cv2.FaceDetectorYN.create(str(models / "face_detection_yunet_2026may.onnx"), "", (480, 480))
    network = [str(models / name) for name in ("opencv_face_detector_uint8.pb", "opencv_face_detector.pbtxt")]
    ssd, hog = cv2.dnn.readNetFromTensorflow(*network), dlib.get_frontal_face_detector()
    for expression in SAMPLES:
        image, _ = render(identity, expression)
        bgr = np.ascontiguousarray(image[..., ::-1])
        ssd.setInput(cv2.dnn.blobFromImage(bgr, 1.0, (300, 300), (104, 177, 123)))
        assert len(yunet.detect(bgr)[1]) == 1
        assert (ssd.forward()[0, 0, :, 2] >= 0.8).sum() == 1
        assert len(hog(image)) == 1


@both
def test_dlibs_predictor_sees_the_landmarks_where_they_are(identity):
    (folder,) = importlib.util.find_spec("face_recognition_models").submodule_search_locations
    (file,) = Path(folder).rglob("shape_predictor_68_face_landmarks.dat")
    predictor, hog = dlib.shape_predictor(str(file)), dlib.get_frontal_face_detector()
    for expression in SAMPLES:
        image, true = render(identity, expression)
        (box,) = hog(image)
        seen = np.array([(p.x, p.y) for p in predictor(image, box).parts()])
        off = (seen - true) / span(true, 36, 45)
        bound = 0.06 if abs(expression.yaw) > 20 else 0.04
        assert np.linalg.norm(off, axis=1).mean() < bound, expression
        for name, part in {"eyes": slice(36, 48), "brows": slice(17, 27), "mouth": slice(48, 68)}.items():
            assert np.abs(off[part].mean(0)).max() < 0.05, (name, expression)


def test_a_clip_has_its_frames_in_order_its_rate_and_a_voice(tmp_path):
    frames = performance(3, 6)
    write_clip(tmp_path / "clip.mp4", ACTOR_B, frames, fps=20.0, workers=1)
    clip = VideoReader(tmp_path / "clip.mp4")
    assert clip.info.has_audio and clip.info.fps == pytest.approx(20.0)
    pictures = [frame.image for frame in clip]
    assert len(pictures) == 6
    for k, image in enumerate(pictures):
        true, _ = render(ACTOR_B, frames[k], frame_index=k)
        assert np.abs(image.astype(int) - true).mean() < 4


def test_two_workers_render_what_one_renders_in_the_same_order(tmp_path, monkeypatch):
    class Recorder:
        def __init__(self, path, **_):
            self.frames = written.setdefault(path.name, [])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, image, timestamp_s):
            self.frames.append((timestamp_s, image.tobytes()))

    written = {}
    monkeypatch.setattr(filming, "VideoWriter", Recorder)
    monkeypatch.setattr(filming, "note_drawn", lambda *_: None)
    for workers in (1, 2):
        write_clip(tmp_path / f"{workers}.mp4", ACTOR_A, performance(3, 12), workers=workers)
    assert len(written["1.mp4"]) == 12 and written["1.mp4"] == written["2.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends Ctrl-C to a process group")
def test_ctrl_c_while_rendering_prints_no_workers_traceback(tmp_path):
    script = tmp_path / "film.py"
    script.write_text(
        "import time\n"
        "from mueca.actors import ACTOR_A, filming, performance\n"
        "if __name__ == '__main__':\n"
        "    for frame in filming._rendered(ACTOR_A, performance(3, 500), 2):\n"
        "        time.sleep(3)\n"  # long enough for both workers to run out of jobs: idle ones printed
        "        print('frame', flush=True)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_ctrl_c}
    with subprocess.Popen([sys.executable, script], text=True, start_new_session=True, **pipes) as filming_it:
        assert filming_it.stdout.readline() == "frame\n"
        os.killpg(filming_it.pid, signal.SIGINT)
        _, told = filming_it.communicate(timeout=60)
    assert told.rstrip().endswith("KeyboardInterrupt")
    assert "Process SpawnProcess" not in told and told.count("Traceback") == 1, told


def test_the_standard_clip_is_made_once_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setattr(filming, "CLIP_FRAMES", 3)
    made = actor_clip("a", tmp_path)
    changed = made.stat().st_mtime_ns
    assert actor_clip("a", tmp_path) == made and made.stat().st_mtime_ns == changed
    monkeypatch.setattr(filming, "ACTORS", {"a": dataclasses.replace(ACTOR_A, freckles=0.0)})
    assert actor_clip("a", tmp_path) != made, "another drawing is another file"


def test_a_stranger_is_named(tmp_path):
    with pytest.raises(SettingsError, match="actor 'c': there are a and b"):
        actor_clip("c", tmp_path)
