"""The held-out curve: kept on disk, and told flat when it has stopped rising."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mueca import metrics
from mueca.curve import (
    CURVE,
    LEAST_RISE,
    Fall,
    Flat,
    Point,
    curve_until,
    fall_in_words,
    find_fall,
    find_flat,
    read_curve,
    write_curve,
)
from mueca.diary import measure
from mueca.errors import InputError
from mueca.pairs import Pairs


def curve(levels, *, every: int = 10) -> tuple[Point, ...]:
    return tuple(Point(every * i, float(i), l1=0.1, psnr=20.0, ssim=float(ssim)) for i, ssim in enumerate(levels))


def is_flat(points: tuple[Point, ...]) -> bool:
    return find_flat(points) is not None


def learning(number: int, *, until: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """SSIMs that rise as learning does, by less and less, and not at all after the point ``until``."""
    rises = 0.3 + 0.1 * np.log1p(np.minimum(np.arange(number), until))
    return rises + noise * np.random.default_rng(seed).standard_normal(number)


def test_a_curve_comes_back_from_disk_as_it_was(tmp_path):
    points = (Point(0, 0.0, 0.4, 9.1, 0.05), Point(7, 1 / 3, 0.1, 20.0 / 3, 0.6))
    write_curve(tmp_path, points)
    assert read_curve(tmp_path) == points
    assert json.loads((tmp_path / CURVE).read_text())["kind"] == "mueca curve"


def test_no_file_is_a_curve_without_points(tmp_path):
    assert read_curve(tmp_path) == ()
    assert find_flat(()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 200_000,
        '{"points": []}',
        '{"kind": "mueca run", "points": []}',
        '{"kind": "mueca curve", "points": [{"steps": 1}]}',
        '{"kind": "mueca curve", "points": [{"steps": 1, "seconds": 1, "l1": 1, "psnr": 1, "ssim": NaN}]}',
        '{"kind": "mueca curve", "points": [{"steps": "1", "seconds": 1, "l1": 1, "psnr": 1, "ssim": 1}]}',
    ],
    ids=range(8),
)
def test_a_damaged_curve_is_refused_by_name_and_training_goes_on_without_it(tmp_path, text):
    (tmp_path / CURVE).write_text(text)
    with pytest.raises(InputError, match=r"curve\.json: can't be read"):
        read_curve(tmp_path)
    with pytest.warns(UserWarning, match=r"curve\.json.*going on with a new one"):
        assert curve_until(tmp_path, 100) == ()


def test_going_on_drops_the_points_after_the_step_that_is_gone_on_from(tmp_path):
    write_curve(tmp_path, curve([0.1, 0.2, 0.3, 0.4]))
    assert [point.steps for point in curve_until(tmp_path, 20)] == [0, 10, 20]


def test_a_point_is_the_mean_of_the_frames_metrics():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    fakes = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pairs = Pairs(np.zeros_like(targets), targets, np.arange(len(targets)), ("",) * len(targets))
    point = measure(lambda *_given: fakes, pairs, steps=5, seconds=2.0)
    assert (point.steps, point.seconds, point.num_frames) == (5, 2.0, 3)
    for name in ("l1", "psnr", "ssim"):
        expected = np.mean([getattr(metrics, name)(fake, real) for fake, real in zip(fakes, targets, strict=True)])
        assert getattr(point, name) == pytest.approx(expected)


def test_a_perfect_fake_makes_a_point_that_json_can_hold(tmp_path):
    targets = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    pairs = Pairs(targets, targets, np.arange(len(targets)), ("",) * len(targets))
    point = measure(lambda conditions, _charts: conditions, pairs, steps=1, seconds=1.0)
    assert math.isfinite(point.psnr)
    write_curve(tmp_path, [point])
    assert read_curve(tmp_path) == (point,)


def test_a_curve_that_rises_is_not_flat_however_slowly_it_learns():
    levels = learning(200, until=200)
    assert not any(is_flat(curve(levels[:n])) for n in range(201))


def test_a_curve_that_stopped_rising_is_flat_when_half_as_much_again_is_trained():
    levels = learning(80, until=20)
    found = [n for n in range(81) if is_flat(curve(levels[:n]))]
    assert found == list(range(31, 81))
    assert find_flat(curve(levels[:31])) == Flat(steps=300, seconds=30.0, since=200)


def test_what_is_told_does_not_depend_on_how_many_steps_lie_between_points():
    levels = learning(80, until=20)
    for number in (20, 31, 32, 60):
        assert is_flat(curve(levels[:number], every=1)) == is_flat(curve(levels[:number], every=1000))


@pytest.mark.parametrize("seed", range(5))
def test_noise_neither_hides_that_a_curve_is_flat_nor_stops_one_that_rises(seed):
    flat = learning(120, until=20, noise=0.003, seed=seed)
    assert any(is_flat(curve(flat[:n])) for n in range(30, 121))
    rising = learning(60, until=60, noise=0.003, seed=seed)
    assert not any(is_flat(curve(rising[:n])) for n in range(61))


def test_one_lucky_point_does_not_stop_a_curve_that_rises():
    levels = learning(40, until=40)
    levels[10] += 0.2
    assert not any(is_flat(curve(levels[:n])) for n in range(41))


def test_a_few_points_are_too_short_a_curve_to_tell():
    assert next(n for n in range(40) if is_flat(curve([0.5] * n))) == 11


# Held-out SSIM over two real runs of twenty parts, and over one that rises to its end.
FELL_FAR = (
    0.4412, 0.7702, 0.7755, 0.7767, 0.7673, 0.7643, 0.7591, 0.7622, 0.7616, 0.7634, 0.7619, 0.7603, 0.7588, 0.7588,
    0.7583, 0.7589, 0.7588, 0.7577, 0.7559, 0.7545, 0.7535,
)  # fmt: skip
FELL_A_LITTLE = (
    0.5070, 0.7811, 0.7912, 0.7952, 0.7981, 0.8005, 0.8005, 0.8014, 0.8021, 0.8009, 0.8010, 0.8017, 0.8011, 0.7997,
    0.7993, 0.7986, 0.7972, 0.7970, 0.7960, 0.7952, 0.7949,
)  # fmt: skip
ROSE = (
    0.4556, 0.8460, 0.8561, 0.8571, 0.8583, 0.8619, 0.8634, 0.8667, 0.8680, 0.8692, 0.8706, 0.8715, 0.8728, 0.8740,
    0.8749, 0.8758, 0.8761, 0.8766, 0.8766, 0.8767, 0.8765,
)  # fmt: skip


def test_a_curve_that_fell_tells_since_when_and_by_how_much():
    fall = find_fall(curve(FELL_FAR, every=420))
    assert fall == Fall(since=840, highest=0.7755, last=pytest.approx(0.754))
    assert fall.amount == pytest.approx(0.0215)
    assert find_fall(curve(FELL_A_LITTLE, every=420)) == Fall(2940, highest=0.8014, last=pytest.approx(0.79505))
    assert find_fall(curve(ROSE, every=420)) is None


def test_where_a_curve_fell_it_is_flat_as_well_and_a_short_one_tells_nothing():
    for levels in (FELL_FAR, FELL_A_LITTLE):
        found = [n for n in range(len(levels) + 1) if find_fall(curve(levels[:n]))]
        assert found and all(is_flat(curve(levels[:n])) for n in found)
        assert min(found) > 8
    assert find_fall(()) is None


def test_a_dip_that_is_made_good_is_no_fall_and_neither_is_less_than_the_tolerance():
    levels = np.full(30, 0.7)
    levels[22:26] -= 0.05
    assert find_fall(curve(levels)) is None
    for share, is_fall in ((0.9, False), (1.1, True)):
        assert (find_fall(curve([0.7] * 20 + [0.7 - share * LEAST_RISE] * 12)) is not None) is is_fall


@pytest.mark.parametrize("noise", [0.0005, 0.003, 0.01])
def test_a_curve_that_only_trembles_has_not_fallen(noise):
    seeds = range(40)
    for number in (21, 61):
        fell = [find_fall(curve(learning(number, until=number // 4, noise=noise, seed=s))) is not None for s in seeds]
        assert np.mean(fell) <= 0.025


def test_a_fall_in_words_has_the_step_the_amount_and_what_helps():
    words = fall_in_words(Fall(since=2940, highest=0.8014, last=0.795))
    for part in ("step 2,940", "by 0.006", "from 0.801 to 0.795", "--steps 2940", "footage"):
        assert part in words
