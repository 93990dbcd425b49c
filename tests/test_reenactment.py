"""drive(): the driver's timing and expressions, any generator, held frames counted, everything marked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest

from mueca.actors import ACTORS, Expression, landmarks_of, performance, render
from mueca.config import SIZE_PX, DriveSettings
from mueca.errors import InputError, OutputError
from mueca.face.crop import CropRule, crop_transforms, cut_crop
from mueca.face.retarget import OUT_OF_RANGE
from mueca.marks import SYNTHETIC, badge_in, xmp_packet
from mueca.reenactment import drive
from mueca.video import VideoReader


def paint_conditions(conditions: np.ndarray, _charts: np.ndarray | None = None) -> np.ndarray:
    """A generator that returns the condition itself: what it was given can be seen in the video."""
    assert conditions.dtype == np.uint8 and conditions.shape[1:] == (SIZE_PX, SIZE_PX, 3)
    return conditions


@pytest.fixture
def settings(models) -> DriveSettings:
    return DriveSettings(models=models)


@pytest.fixture(scope="module")
def gap_clip(tmp_path_factory) -> Path:
    """Actor b in 16 frames at odd times; frames 0, 1, 7, 8 and 15 are empty."""
    frames = []
    for i, expression in enumerate(performance(seed=3, num_frames=16)):
        image, _ = render(ACTORS["b"], expression, frame_index=i)
        frames.append(np.full_like(image, 90) if i in (0, 1, 7, 8, 15) else image)
    return media.make_video(tmp_path_factory.mktemp("gap") / "gap.mp4", frames)


def test_the_video_has_the_drivers_timing_size_and_sound(actor_run, actor_clip, settings, tmp_path):
    summary = drive(actor_run, actor_clip, tmp_path / "out.mp4", settings, generator=paint_conditions)
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.info.width, reader.info.height, reader.info.has_audio) == (SIZE_PX, SIZE_PX, True)
    driver_times = [f.timestamp_s for f in VideoReader(actor_clip)]
    assert [f.timestamp_s for f in reader] == pytest.approx(driver_times, abs=1e-3)
    assert summary.num_frames == len(driver_times) and summary.held == []


def test_frames_without_a_face_hold_the_last_pose_and_are_counted(actor_run, gap_clip, settings, tmp_path):
    summary = drive(actor_run, gap_clip, tmp_path / "out.mp4", settings, generator=paint_conditions)
    frames = [f.image.astype(int) for f in VideoReader(tmp_path / "out.mp4")]
    assert summary.held == [0, 1, 7, 8, 15] and len(frames) == 16

    def differs(i: int, j: int) -> float:
        return float(np.abs(frames[i] - frames[j]).mean())

    for held, good in ((0, 2), (1, 2), (7, 6), (8, 6), (15, 14)):
        assert differs(held, good) < 0.5 * differs(2, 14)


def test_a_driver_elsewhere_and_in_another_size_is_brought_to_the_subjects_place(
    actor_run, actor_clip, settings, tmp_path
):
    small = [np.pad(f.image[::2, ::2], ((10, 230), (200, 40), (0, 0)), "edge") for f in VideoReader(actor_clip)]
    moved = media.make_video(tmp_path / "moved.mp4", small)
    drive(actor_run, actor_clip, tmp_path / "a.mp4", settings, generator=paint_conditions)
    drive(actor_run, moved, tmp_path / "b.mp4", settings, generator=paint_conditions)
    for one, other in zip(VideoReader(tmp_path / "a.mp4"), VideoReader(tmp_path / "b.mp4"), strict=True):
        jaws = [f.image[..., 1] > 128 for f in (one, other)]
        assert (jaws[0] & jaws[1]).sum() > 0.9 * (jaws[0] | jaws[1]).sum()


def test_the_output_says_that_it_is_synthetic_in_the_picture_and_in_its_metadata(
    actor_run, actor_clip, settings, tmp_path
):
    out = tmp_path / "out.mp4"
    drive(actor_run, actor_clip, out, settings, generator=lambda c, _charts: np.full_like(c, 255))
    assert xmp_packet(SYNTHETIC) in out.read_bytes()
    (x0, y0, x1, y1), _, _ = badge_in((0, 0, SIZE_PX, SIZE_PX), SIZE_PX, SIZE_PX)
    for frame in VideoReader(out):
        assert frame.image[y0:y1, x0:x1].mean() < 180 < 240 < frame.image[: y0 - 5].mean()


def test_the_comparison_shows_driver_condition_and_marked_result(actor_run, actor_clip, models, tmp_path):
    out = tmp_path / "out.mp4"
    settings = DriveSettings(view="compare", models=models)
    drive(actor_run, actor_clip, out, settings, generator=lambda c, _charts: np.full_like(c, 255))
    frame = next(iter(VideoReader(out))).image
    driver, condition, fake = np.split(frame, 3, axis=1)
    assert (condition[5:20, 5:20] < 20).all() and driver.std() > 20 and np.median(fake) > 240
    assert b"compositeWithTrainedAlgorithmicMedia" in out.read_bytes()


def numbers_of(out: Path) -> dict:
    return json.loads(out.with_suffix(".json").read_text())


def test_what_the_summary_tells_lies_beside_the_video(actor_run, gap_clip, settings, tmp_path):
    out = tmp_path / "out.mp4"
    summary = drive(actor_run, gap_clip, out, settings, generator=paint_conditions)
    told = numbers_of(out)
    assert told["kind"] == "mueca drive" and told["retarget"] == "shape" and told["out"] == "out.mp4"
    assert told["leak"] == summary.leak and told["held"] == summary.held == [0, 1, 7, 8, 15]
    assert told["out_of_range"] == summary.out_of_range and len(summary.out_of_range) == summary.num_frames
    assert [i for i, amount in enumerate(summary.out_of_range) if amount is None] == summary.held
    beyond = [amount > OUT_OF_RANGE for amount in summary.out_of_range if amount is not None]
    assert summary.out_of_range_share == pytest.approx(sum(beyond) / len(beyond))


def test_a_driver_who_does_more_than_the_subject_did_is_reported(actor_run, actor_clip, settings, tmp_path):
    """The run knows its subject from forty frames; the same forty are within what it showed, a wide turn is not."""
    extremes = [Expression(yaw=y, jaw=j) for y, j in ((0, 0), (0, 0), (28, 0.9), (28, 0.9), (28, 0.9), (28, 0.9))]
    frames = [render(ACTORS["a"], e, frame_index=i)[0] for i, e in enumerate(extremes * 2)]
    wild = media.make_video(tmp_path / "wild.mp4", frames)
    shares = [
        drive(actor_run, clip, tmp_path / f"{i}.mp4", settings, generator=paint_conditions).out_of_range_share
        for i, clip in enumerate((actor_clip, wild))
    ]
    assert shares[0] < 0.15 and shares[1] > 0.35


def test_an_earlier_report_is_replaced_and_anything_else_is_refused_before_any_work(
    actor_run, gap_clip, settings, tmp_path
):
    out = tmp_path / "out.mp4"
    drive(actor_run, gap_clip, out, settings, generator=paint_conditions)
    drive(actor_run, gap_clip, out, replace(settings, retarget="none"), generator=paint_conditions)
    assert numbers_of(out)["retarget"] == "none"
    for text in ('{"kind": "something"}', "[]", "not JSON", ""):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(OutputError, match=r"other.json: is something else"):
            drive(actor_run, gap_clip, tmp_path / "other.mp4", settings, generator=pytest.fail)
        assert (tmp_path / "other.json").read_text() == text and not (tmp_path / "other.mp4").exists()


@pytest.fixture(scope="module")
def b_and_truth(tmp_path_factory) -> tuple[Path, dict[str, list[np.ndarray]]]:
    """A clip of actor b, and the crops of each actor in it: what painting the one or the other would give."""
    frames = [Expression(jaw=0.3 * (i % 3), yaw=6.0 * (i % 5) - 12, smile=0.4 * (i % 2)) for i in range(20)]
    crops, images = {}, []
    for name in ("a", "b"):
        landmarks = np.array([landmarks_of(ACTORS[name], e) for e in frames])
        numbers = np.arange(len(frames))
        transforms = crop_transforms(landmarks, numbers, 0 * numbers, 25.0, CropRule())
        images = [render(ACTORS[name], e, frame_index=i)[0] for i, e in enumerate(frames)]
        crops[name] = [cut_crop(image, transform) for image, transform in zip(images, transforms, strict=True)]
    return media.make_video(tmp_path_factory.mktemp("b") / "b.mp4", images), crops


@pytest.mark.slow
def test_the_leak_meter_tells_the_subjects_face_from_the_drivers(actor_run, b_and_truth, settings, tmp_path):
    clip, crops = b_and_truth
    leaks = {}
    for name in ("a", "b"):
        painted = iter(crops[name])
        generator = lambda conditions, _charts, painted=painted: next(painted)[None]  # noqa: E731
        leaks[name] = drive(actor_run, clip, tmp_path / f"{name}.mp4", settings, generator=generator).leak
    assert abs(leaks["a"]) < 0.35 and leaks["b"] > 0.75


def test_the_leak_is_not_told_where_no_face_is_painted(actor_run, gap_clip, settings, tmp_path):
    summary = drive(
        actor_run, gap_clip, tmp_path / "out.mp4", settings, generator=lambda c, _charts: np.full_like(c, 90)
    )
    assert summary.leak is None


@pytest.mark.slow
def test_without_retargeting_the_drivers_own_shape_goes_in(actor_run, b_and_truth, settings, tmp_path):
    clip, _ = b_and_truth
    conditions: dict[str, list[np.ndarray]] = {"shape": [], "none": []}
    for way, seen in conditions.items():
        drive(
            actor_run,
            clip,
            tmp_path / f"{way}.mp4",
            replace(settings, retarget=way),
            generator=lambda c, _charts, seen=seen: seen.append(c[0]) or c,
        )
    eyes_apart = {
        way: np.mean([np.diff(np.nonzero((c == (255, 255, 255)).all(-1).any(0))[0][[0, -1]]) for c in seen])
        for way, seen in conditions.items()
    }
    assert eyes_apart["shape"] > 1.03 * eyes_apart["none"]  # actor a's eyes stand wide


def test_the_runs_own_network_paints_when_no_generator_is_given(actor_run, actor_clip, settings, tmp_path):
    drive(actor_run, actor_clip, tmp_path / "out.mp4", settings)
    assert VideoReader(tmp_path / "out.mp4").info.width == SIZE_PX


def test_nothing_of_the_run_but_what_it_holds_is_needed(actor_run, actor_clip, settings, tmp_path):
    for name in ("settings.json", "subject.json", "consent.json", "generator.safetensors"):
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(actor_run / name, tmp_path / "run" / name)
    drive(tmp_path / "run", actor_clip, tmp_path / "out.mp4", settings)
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_a_folder_that_is_no_run_is_refused(actor_clip, settings, tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        drive(tmp_path, actor_clip, tmp_path / "out.mp4", settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.avi", "out", "out.gif"])
def test_an_output_of_an_unknown_kind_is_refused_before_any_work(name, actor_run, actor_clip, settings, tmp_path):
    with pytest.raises(OutputError, match=r"\.mp4"):
        drive(actor_run, actor_clip, tmp_path / name, settings, generator=pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_a_driver_without_a_face_is_refused_and_leaves_nothing(actor_run, settings, tmp_path):
    video = media.make_video(tmp_path / "room.mp4", media.moving(25))
    with pytest.raises(InputError, match=r"room.mp4: no face"):
        drive(actor_run, video, tmp_path / "out.mp4", settings, generator=paint_conditions)
    assert [p.name for p in tmp_path.iterdir()] == ["room.mp4"]


def test_the_drivers_own_video_is_never_written_over(actor_run, actor_clip, settings):
    before = actor_clip.read_bytes()
    with pytest.raises(OutputError, match="driver's own video"):
        drive(actor_run, actor_clip, actor_clip, settings, generator=paint_conditions)
    assert actor_clip.read_bytes() == before


def test_a_generator_that_fails_leaves_no_half_video(actor_run, actor_clip, settings, tmp_path):
    calls = []

    def fail_later(conditions: np.ndarray, _charts: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) > 10:
            raise RuntimeError
        return conditions

    with pytest.raises(RuntimeError):
        drive(actor_run, actor_clip, tmp_path / "out.mp4", settings, generator=fail_later)
    assert list(tmp_path.iterdir()) == []
