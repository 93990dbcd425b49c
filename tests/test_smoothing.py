"""Steady landmarks: less tremble, no lag, blinks kept."""

import numpy as np
import pytest

from mueca.actors import ACTORS, landmarks_of, performance
from mueca.face.landmarks import EYE_RIGHT, eye_distance
from mueca.face.smoothing import smooth_landmarks, smooth_slowly, window_frames

FACE = np.random.default_rng(0).normal(size=(68, 2)) * 30 + 200
NOISE = 0.3


def trembling(num_frames: int, seed: int = 1) -> np.ndarray:
    return FACE + np.random.default_rng(seed).normal(0, NOISE, (num_frames, 68, 2))


def smoothed_in_one_shot(track: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return smooth_landmarks(track, numbers, np.zeros(len(track), int), 25.0)


def motion(track: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(np.diff(track, axis=0), axis=-1)))


def with_blink(track: np.ndarray, at: int, closing: list[float], depth: float = 8.0) -> np.ndarray:
    blinking = track.copy()
    for offset, share in enumerate(closing):
        blinking[at + offset, 37:39, 1] += share * depth  # the upper lid of the right eye comes down
    return blinking


def opening(track: np.ndarray) -> np.ndarray:
    return track[:, 40:42, 1].mean(-1) - track[:, 37:39, 1].mean(-1)


def test_tremble_is_more_than_halved():
    track = trembling(100)
    assert motion(smoothed_in_one_shot(track, np.arange(100))) < 0.5 * motion(track)


@pytest.mark.parametrize("closing", [[1, 1, 1], [0.5, 1, 0.5], [0.67, 1, 0.33]], ids=["sudden", "gradual", "uneven"])
@pytest.mark.parametrize("noise", [0.0, NOISE])
def test_a_blink_of_three_frames_keeps_nine_tenths_of_its_depth(closing, noise):
    depths = []
    for seed in range(20):
        calm = FACE + np.random.default_rng(seed).normal(0, noise, (60, 68, 2))
        smoothed = opening(smoothed_in_one_shot(with_blink(calm, 30, closing), np.arange(60)))
        depths.append(smoothed[15:25].mean() - smoothed[31])
    assert np.mean(depths) >= 0.9 * 8.0


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("step", [1, 3, 5])
def test_smoothing_takes_no_actor_further_from_the_truth_at_any_rate(name, step):
    truth = np.array([landmarks_of(ACTORS[name], expression) for expression in performance(3, 500)])[::step]
    rng = np.random.default_rng(0)
    noisy = truth + rng.normal(0, 0.004 * eye_distance(truth).mean(), truth.shape)
    smoothed = smooth_landmarks(noisy, np.arange(len(truth)), np.zeros(len(truth), int), 25 / step)
    before, after = (np.linalg.norm(found - truth, axis=-1).mean() for found in (noisy, smoothed))
    assert after < 0.9 * before if step == 1 else after <= before


def test_a_window_lasts_as_long_at_every_rate():
    assert [window_frames(fps) for fps in (5, 8.3, 15, 18, 24, 24.9, 25, 30, 60)] == [0, 0, 0, 5, 5, 7, 7, 7, 7]


def test_a_movement_is_not_delayed():
    time = np.arange(120)
    track = FACE + 20 * np.sin(2 * np.pi * time / 24)[:, None, None] + trembling(120) - FACE
    smoothed = smoothed_in_one_shot(track, time).mean((1, 2))
    truth = (FACE + 20 * np.sin(2 * np.pi * time / 24)[:, None, None]).mean((1, 2))
    errors = {lag: np.abs(np.roll(truth, lag) - smoothed)[10:-10].mean() for lag in range(-3, 4)}
    assert min(errors, key=errors.get) == 0


def test_frames_on_either_side_of_a_gap_do_not_mix():
    numbers = np.r_[np.arange(20), np.arange(60, 80)]
    track = np.repeat(FACE[None], 40, axis=0)
    track[20:] += 300
    assert np.array_equal(smoothed_in_one_shot(track, numbers)[:20].round(6), track[:20].round(6))


def test_frames_on_either_side_of_a_cut_do_not_mix():
    numbers = np.r_[np.arange(40), np.arange(100, 200)]
    shot = (numbers >= 20).astype(int)
    track = np.concatenate([np.repeat(FACE[None], 40, axis=0), FACE + 4 * (trembling(100) - FACE)])
    track[20:40] += 0.5  # no more than the tremble further on: a window across the cut would take it for that
    assert smooth_landmarks(track, numbers, shot, 25.0)[:40] == pytest.approx(track[:40], abs=1e-6)
    slowly = smooth_slowly(track[:40].mean(1), numbers[:40], shot[:40], 10.0)
    assert slowly == pytest.approx(track[:40].mean(1), abs=1e-6)


def test_stretches_too_short_for_a_window_are_left_as_they_are():
    track = trembling(5)
    assert np.array_equal(smoothed_in_one_shot(track, np.arange(5)), track)


def test_long_stretches_are_smoothed_though_most_frames_lie_in_short_ones():
    numbers = np.r_[np.arange(40), *(np.arange(start, start + 5) for start in range(100, 220, 10))]
    track = trembling(len(numbers))
    assert motion(smoothed_in_one_shot(track, numbers)[:40]) < 0.5 * motion(track[:40])


def test_a_constant_stays_constant_under_slow_smoothing_whatever_is_missing():
    numbers = np.array([3, 4, 5, 9, 30, 31])
    assert smooth_slowly(np.full((6, 2), 7.0), numbers, np.zeros(6, int), 4.0) == pytest.approx(np.full((6, 2), 7.0))


def test_the_eye_distance_is_that_of_the_outer_corners():
    face = np.zeros((2, 68, 2))
    face[:, 45] = (3, 4)
    assert np.array_equal(eye_distance(face), [5, 5])
    assert EYE_RIGHT.start == 36
