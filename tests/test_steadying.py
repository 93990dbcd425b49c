"""Live landmarks are steady when the face is still and in time when it moves."""

import numpy as np
import pytest
from scenes import acted

from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, eye_distance
from mueca.face.live_following import LiveFollower
from mueca.face.steadying import FORGET_AFTER_S, TREMBLE, Steadier

FACE = acted("a", 40)[1][0]
EYES = float(eye_distance(FACE))


def steadied(track: np.ndarray, fps: float = 25.0) -> np.ndarray:
    steadier = Steadier()
    return np.array([steadier.steady(landmarks, i / fps) for i, landmarks in enumerate(track)])


def trembling(num_frames: int, seed: int = 0, share: float = 0.004) -> np.ndarray:
    """Return a still face that trembles by a share of the eye distance."""
    return FACE + np.random.default_rng(seed).normal(0, share * EYES / 2**0.5, (num_frames, 68, 2))


def motion(track: np.ndarray, order: int) -> float:
    return float(np.median(np.linalg.norm(np.diff(track, order, axis=0), axis=-1)))


@pytest.mark.parametrize("order", [1, 2])
def test_tremble_is_halved(order):
    track = trembling(200)
    assert motion(steadied(track)[10:], order) < 0.5 * motion(track, order)


def lag_of(found: np.ndarray, truth: np.ndarray) -> float:
    """Return by how many frames found comes after truth, a constant distance left out."""
    shifts = np.arange(-2, 3)
    costs = []
    for shift in shifts:
        apart = found[4:-4] - truth[4 - shift : len(truth) - 4 - shift]
        costs.append(((apart - apart.mean(axis=0)) ** 2).mean())
    best = int(np.clip(np.argmin(costs), 1, 3))
    before, least, after = costs[best - 1 : best + 2]
    return float(shifts[best] + 0.5 * (before - after) / (before - 2 * least + after))


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_lively_face_is_less_than_a_tenth_of_a_frame_late(name):
    truth = acted(name, 40)[1]
    noisy = truth + np.random.default_rng(1).normal(0, 0.002 * EYES, truth.shape)
    assert lag_of(truth[[0, *range(39)]], truth) == pytest.approx(1.0, abs=0.2)  # the measure itself
    assert abs(lag_of(steadied(noisy), truth)) < 0.1


@pytest.mark.parametrize("closing", [[1, 1, 1], [0.5, 1, 0.5], [0.67, 1, 0.33]], ids=["sudden", "gradual", "uneven"])
def test_a_blink_of_three_frames_keeps_nine_tenths_of_its_depth(closing):
    kept = []
    for seed in range(10):
        track = trembling(40, seed)
        blinking = track.copy()
        for offset, share in enumerate(closing):
            for eye in (EYE_RIGHT, EYE_LEFT):
                upper, lower = blinking[20 + offset, eye][1:3], blinking[20 + offset, eye][[5, 4]]
                upper += share * (lower - upper)

        def opening(points: np.ndarray) -> float:
            return sum(float((points[eye][[4, 5], 1] - points[eye][[1, 2], 1]).mean()) for eye in (EYE_RIGHT, EYE_LEFT))

        depth = opening(track[21]) - opening(blinking[21])
        kept.append((opening(steadied(track)[21]) - opening(steadied(blinking)[21])) / depth)
    assert np.mean(kept) >= 0.9


def test_a_step_far_beyond_the_tremble_is_followed_at_once():
    track = np.repeat(FACE[None], 10, axis=0)
    track[5:] += 10 * TREMBLE * EYES
    assert np.abs(steadied(track)[5] - track[5]).max() < 0.02 * 10 * TREMBLE * EYES


def test_the_first_landmarks_and_those_after_a_silence_are_left_as_they_are():
    steadier = Steadier()
    other = FACE + 0.5 * TREMBLE * EYES
    assert np.array_equal(steadier.steady(FACE, 0.0), FACE)
    assert not np.array_equal(steadier.steady(other, 0.04), other)
    assert np.array_equal(steadier.steady(FACE, 0.05 + FORGET_AFTER_S + 0.04), FACE)
    steadier.forget()
    assert np.array_equal(steadier.steady(other, 0.6), other)


def test_what_is_returned_can_be_changed_without_harm():
    steadier = Steadier()
    steadier.steady(FACE, 0.0)[:] = 0
    assert np.abs(steadier.steady(FACE, 0.04) - FACE).max() < 1e-9


def test_a_live_face_is_found_in_every_frame_truly_and_in_time(models):
    from mueca.face.detection import make_detector

    images, truth = acted("a", 40)
    follower = LiveFollower(make_detector("yunet", models=models))
    found = np.array([follower.step(image, i / 25).landmarks for i, image in enumerate(images)])
    errors = np.linalg.norm(found - truth, axis=-1).mean(-1) / eye_distance(truth)
    assert errors.mean() < 0.04 and errors.max() < 0.06
    assert abs(lag_of(found, truth)) < 0.25


def test_a_live_face_that_leaves_is_lost_and_found_again_when_it_is_back(models):
    from mueca.face.detection import make_detector

    images, _ = acted("a", 40)
    follower = LiveFollower(make_detector("yunet", models=models))
    blank = np.full_like(images[0], 100)
    shown = [*images[:7], *[blank] * 12, *images[7:14]]
    is_found = [follower.step(image, i / 25) is not None for i, image in enumerate(shown)]
    assert is_found[:7] == [True] * 7 and is_found[19:] == [True] * 7
    assert not any(is_found[11:19])  # between looks a face that has left is missed for four frames at most
