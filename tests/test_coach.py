"""The coach sees what a clip covers, asks for what is missing and for nothing else, and tells left from right."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from mueca.actors import ACTORS, Expression, landmarks_of, performance
from mueca.coaching import Coverage, advice, coach, compare, coverage_of, draw_comparison, draw_coverage
from mueca.coaching.comparison import TOLERANCE
from mueca.coaching.coverage import TARGETS, WANTED_S
from mueca.config import CoachSettings, from_json, to_json
from mueca.face.movements import movements_of, ranges_of
from mueca.face.track import Track
from mueca.marks import UNMARKED
from mueca.pictures import encode_picture, read_picture

FPS = 5.0
FULL = performance(seed=4, num_frames=300, fps=FPS)
"""A minute of everything that a face does."""


def track_of(expressions: list[Expression], actor: str = "a") -> Track:
    num = len(expressions)
    return Track(
        frame_index=np.arange(num),
        timestamp_s=np.arange(num) / FPS,
        landmarks=np.array([landmarks_of(ACTORS[actor], e) for e in expressions]),
        gaze=np.array([(0.5 * e.gaze_x, 0.2 * e.gaze_y) for e in expressions]),  # 26 degrees are half way to a corner
        shot=np.zeros(num, dtype=np.int64),
        quality=np.ones(num),
        problem=np.array([""] * num, dtype="<U16"),
        lost={},
        num_frames=num,
        fps=FPS,
        others=0,
    )


def all_with(**fixed: float) -> Track:
    return track_of([dataclasses.replace(e, **fixed) for e in FULL])


def rows_of(track: Track, rows: np.ndarray) -> Track:
    names = ("frame_index", "timestamp_s", "landmarks", "gaze", "shot", "quality", "problem")
    return dataclasses.replace(track, **{name: getattr(track, name)[rows] for name in names})


@pytest.fixture(scope="module")
def full() -> Track:
    return track_of(FULL)


@pytest.fixture(scope="module")
def full_coverage(full) -> Coverage:
    return coverage_of(full)


@pytest.mark.parametrize("actor", ["a", "b"])
@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
def test_a_pose_is_told_with_its_sign_and_within_a_few_degrees_for_both_actors(actor, axis):
    for degrees in (-12.0, 12.0):
        rests = [landmarks_of(ACTORS[actor], Expression())] * 3  # they make the usual pose
        turned = landmarks_of(ACTORS[actor], Expression(**{axis: degrees}))
        moved = movements_of(np.array([*rests, turned]), np.zeros((4, 2)))
        for name in ("yaw", "pitch", "roll"):
            wanted = degrees if name == axis else 0.0
            assert moved[name][-1] - moved[name][0] == pytest.approx(wanted, abs=2.5), name


def test_where_and_how_large_the_face_is_makes_no_movement_different(full):
    near, far = (movements_of(marks, full.gaze) for marks in (full.landmarks, full.landmarks * 0.4 + 100))
    for name in near:
        assert far[name] == pytest.approx(near[name], abs=1e-6)


def test_a_performance_of_everything_gets_no_advice(full_coverage):
    assert advice(full_coverage) == []


@pytest.mark.parametrize(
    ("fixed", "wanted"),
    [
        ({"yaw": 0.0}, ["turned by 15 degrees or more to your own left and right"]),
        ({"jaw": 0.0}, ["mouth wide open"]),
        ({"smile": 0.0, "width": 0.0}, ["smiling"]),
        ({"pucker": 0.0, "width": 0.0}, ["lips pouted"]),
        ({"blink_left": 0.0, "blink_right": 0.0}, ["blinking"]),
        ({"roll": 0.0}, ["tilted by 8 degrees or more to your own left and right"]),
        ({"pitch": 0.0}, ["chin moved up and down by 6 degrees"]),
        ({"brow_raise": 0.0, "brow_frown": 0.0}, ["eyebrows raised"]),
        ({"gaze_x": 0.0}, ["eyes turned to your own left and right"]),
        ({"yaw": 25.0}, ["turned by 15 degrees or more to your own right", "straight into the camera"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_missing_is_asked_for_and_nothing_else(fixed, wanted):
    lines = advice(coverage_of(all_with(**fixed)))
    assert len(lines) == len(wanted), lines
    for line, words in zip(lines, wanted, strict=True):
        assert words in line and "so far 0.0" in line


def test_left_and_right_are_the_persons_own():
    to_their_left = Expression(yaw=20.0, gaze_x=0.8, roll=12.0)  # the actors' signs: to the picture's right
    coverage = coverage_of(track_of([Expression()] * 30 + [to_their_left] * 20))
    for name in ("head_left", "gaze_left", "tilt_left"):
        assert coverage.seconds_in[name] == pytest.approx(4.0)
        assert coverage.seconds_in[name.replace("left", "right")] == 0.0
    picture = landmarks_of(ACTORS["a"], to_their_left)
    assert picture[30, 0] > picture[[36, 45], 0].mean()  # the nose stands right of the eyes' middle in the picture


def test_seconds_are_counted_by_the_clips_own_rate(full):
    slow = coverage_of(dataclasses.replace(full, fps=FPS / 2))
    fast = coverage_of(full)
    assert (slow.seconds, fast.seconds) == (120.0, 60.0)
    assert slow.seconds_in["head_left"] == pytest.approx(2 * fast.seconds_in["head_left"])


def test_frames_with_a_problem_count_for_nothing(full):
    moved = movements_of(full.landmarks, full.gaze)
    problem = np.where(moved["mouth"] > 0.1, "blur", "")
    coverage = coverage_of(dataclasses.replace(full, problem=problem))
    assert coverage.seconds_in["mouth_open"] == 0.0 and coverage.num_frames == (problem == "").sum()


def test_only_the_rows_named_count(full):
    assert coverage_of(full, np.arange(50)).seconds == 10.0


def test_a_clip_too_short_is_asked_to_be_longer_unless_what_is_missing_fills_it(full_coverage):
    short = dataclasses.replace(full_coverage, seconds=12.0)
    (line,) = advice(short)
    assert line.startswith("film 10 s more of anything") and "so far 12 s" in line
    lacking = dataclasses.replace(short, seconds_in=dict.fromkeys(short.seconds_in, 0.0))
    assert len(advice(lacking)) == 5 and not any("anything" in line for line in advice(lacking))


def test_blinks_are_counted_and_long_closed_eyes_are_none():
    shut = Expression(blink_left=1.0, blink_right=1.0)
    clip = ([Expression()] * 20 + [shut] * 2) * 4 + [Expression()] * 20 + [shut] * 8 + [Expression()] * 10
    assert coverage_of(track_of(clip)).num_blinks == 4


def test_a_coverage_survives_json(full_coverage):
    assert from_json(Coverage, json.loads(json.dumps(to_json(full_coverage)))) == full_coverage


def test_a_person_as_their_own_driver_stays_within_what_they_showed(full):
    comparison = compare(full, ranges_of(movements_of(full.landmarks, full.gaze)))
    assert comparison.share_outside < 0.05
    assert all(excess.share < 0.02 for excess in comparison.excesses)


def test_the_other_actor_in_the_same_performance_stays_within_it_too(full):
    comparison = compare(track_of(FULL, actor="b"), ranges_of(movements_of(full.landmarks, full.gaze)))
    assert comparison.share_outside < 0.25


@pytest.mark.parametrize(
    ("calm", "wild", "words"),
    [
        ("yaw", {"yaw": 25.0}, "turns further to their own left"),
        ("yaw", {"yaw": -25.0}, "turns further to their own right"),
        ("pitch", {"pitch": 13.0}, "lowers the chin further"),
        ("jaw", {"jaw": 0.9}, "opens the mouth wider"),
        ("blink_left blink_right", {"blink_left": 1.0, "blink_right": 1.0}, "closes the eyes more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_driver_who_goes_beyond_the_subject_is_told_how_much_and_when(full, calm, wild, words):
    subject = track_of([dataclasses.replace(e, **dict.fromkeys(calm.split(), 0.0)) for e in FULL[:100]])
    driver = [dataclasses.replace(e, **dict.fromkeys(calm.split(), 0.0)) for e in FULL[:100]]
    driver[25:35] = [dataclasses.replace(e, **wild) for e in driver[25:35]]
    comparison = compare(track_of(driver), ranges_of(movements_of(subject.landmarks, subject.gaze)))
    line = next(line for line in comparison.lines() if words in line)
    assert line.startswith("in 10 % of the frames") and "0:05.0 to 0:07.0" in line
    excess = next(e for e in comparison.excesses if e.share == pytest.approx(0.1) and e.first_frame == 25)
    assert excess.spans_s == [[5.0, 7.0]]
    assert comparison.share_outside >= 0.1


def test_the_comparison_is_plain_values_and_its_clock_rolls_over(full):
    subject = ranges_of(movements_of(full.landmarks, full.gaze))
    late = dataclasses.replace(track_of([Expression(yaw=44.0)] * 10), timestamp_s=59.4 + np.arange(10) / FPS)
    comparison = compare(late, subject)
    assert json.loads(json.dumps(dataclasses.asdict(comparison)))["num_frames"] == 10
    assert any("0:59.4 to 1:01.4" in line for line in comparison.lines())


def test_the_charts_are_large_enough_to_read_and_small_enough_to_send(full, full_coverage):
    poor = coverage_of(all_with(yaw=0.0, jaw=0.0))
    comparison = compare(full, poor.ranges)
    charts = [draw_coverage(full_coverage), draw_coverage(poor), draw_comparison(comparison)]
    for chart in charts:
        assert chart.shape == (800, 1200, 3) and chart.dtype == np.uint8
        assert len(encode_picture(chart, ".png", UNMARKED)) < 200_000
        assert (chart[:, :20] == 255).all() and (chart[:, -10:] == 255).all()  # nothing runs over the edge


def test_orange_is_on_the_chart_of_a_clip_that_misses_something_and_not_on_a_full_ones(full_coverage):
    def orange_below(chart: np.ndarray, top: int) -> int:
        return int((chart[top:] == (213, 94, 0)).all(axis=-1).sum())

    poor = coverage_of(all_with(yaw=0.0))
    assert orange_below(draw_coverage(full_coverage), 100) == 0
    assert orange_below(draw_coverage(poor), 100) > 200


def test_every_target_is_a_movement_and_every_movement_compared_is_measured(full_coverage):
    assert {target.movement for target in TARGETS} | set(TOLERANCE) <= set(full_coverage.ranges)
    assert sum(target.seconds for target in TARGETS) < WANTED_S
    assert all(re.fullmatch(r"[a-z_]+", target.name) for target in TARGETS)


@pytest.mark.slow
def test_a_video_is_coached_and_its_chart_written(actor_clip, models, tmp_path):
    report = coach(actor_clip, CoachSettings(models=models, workers=1, picture=tmp_path / "chart.png"))
    assert report.coverage.num_frames == 40 and report.comparison is None
    assert any("film" in line for line in report.lines) and len(report.lines) <= 5
    assert read_picture(tmp_path / "chart.png").shape == (800, 1200, 3)


@pytest.mark.slow
def test_a_video_is_laid_beside_a_run_as_its_driver(actor_clip, actor_run, models, tmp_path):
    settings = CoachSettings(models=models, workers=1, run=actor_run, picture=tmp_path / "chart.png")
    report = coach(actor_clip, settings)
    assert report.coverage is None and report.comparison.num_frames == 40
    assert report.comparison.share_outside < 0.5  # of its own clip, the last fifth is what it didn't learn from
    assert read_picture(tmp_path / "chart.png").shape == (800, 1200, 3)
