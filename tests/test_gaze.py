"""Gaze is measured in the picture, whatever the skin, the turn or the reflections, steadied, and its range learned."""

import cv2
import numpy as np
import pytest

from mueca.actors import ACTORS, Expression, landmarks_of, render
from mueca.face.condition import draw_condition
from mueca.face.gaze import fit_gaze, measure_gaze
from mueca.face.smoothing import steady_gaze

EYE = np.array([(-30, 0), (-11, -13), (11, -13), (30, 0), (11, 13), (-11, 13)], dtype=float)


def draw_eyes(
    x: float, y: float = 0.0, *, white: int = 190, iris: int = 60, skin: int = 120, turn: float = 0.0, size: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey picture of two eyes and its landmarks (68, 2): discs of 0.4 half widths between lids."""
    landmarks, grey = np.zeros((68, 2)), np.full((300, 540), skin, np.uint8)
    axes = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for part, middle in ((slice(36, 42), (190, 150)), (slice(42, 48), (350, 150))):
        landmarks[part] = EYE @ axes.T + middle
        eye = np.full_like(grey, white)
        centre = axes @ (30 * x, 30 * y) + middle
        cv2.circle(eye, tuple(np.round(centre * 16).astype(int).tolist()), int(16 * 12 * size), iris, -1, shift=4)
        mask = np.zeros_like(grey)
        cv2.fillPoly(mask, [np.round(landmarks[part] * 16).astype(np.int32)], 1, shift=4)
        grey = np.where(mask > 0, eye, grey)
    return grey, landmarks


@pytest.mark.parametrize("x", [-0.45, -0.2, 0.0, 0.2, 0.45])
@pytest.mark.parametrize(
    "looks",
    [
        {},
        {"white": 95, "iris": 25, "skin": 50},
        {"white": 120, "iris": 90, "skin": 180},
        {"turn": 0.4},
        {"size": 0.5},
    ],
    ids=["plain", "dark skin", "light iris", "rolled", "small"],
)
def test_the_iris_is_found_between_the_lids(x, looks):
    assert measure_gaze(*draw_eyes(x, **looks))[0] == pytest.approx(x, abs=0.1)


def test_a_reflection_in_glasses_moves_the_gaze_little():
    grey, landmarks = draw_eyes(0.2)
    spoilt = grey.copy()
    spoilt[136:152, 196:204] = 255
    assert measure_gaze(spoilt, landmarks)[0] == pytest.approx(measure_gaze(grey, landmarks)[0], abs=0.12)


def test_a_shadow_in_one_eyes_corner_does_not_draw_the_gaze_there():
    grey, landmarks = draw_eyes(-0.2)
    grey[140:160, 203:222] = np.minimum(grey[140:160, 203:222], 30)
    assert measure_gaze(grey, landmarks)[0] == pytest.approx(-0.2, abs=0.15)


def test_up_and_down_are_told_apart():
    up, ahead, down = (measure_gaze(*draw_eyes(0.0, y))[1] for y in (-0.25, 0.0, 0.25))
    assert up < ahead - 0.05 and ahead + 0.05 < down


def test_closed_eyes_have_no_gaze_and_one_open_eye_is_enough():
    grey, landmarks = draw_eyes(0.3)
    shut = landmarks.copy()
    shut[[37, 38, 40, 41], 1] = 150
    assert measure_gaze(grey, shut)[0] == pytest.approx(0.3, abs=0.08)
    shut[[43, 44, 46, 47], 1] = 150
    assert np.array_equal(measure_gaze(grey, shut), np.zeros(2))


@pytest.mark.parametrize("landmarks", [np.zeros((68, 2)), np.full((68, 2), 1e6)])
def test_landmarks_that_are_none_have_no_gaze(landmarks):
    assert np.array_equal(measure_gaze(np.zeros((50, 50), np.uint8), landmarks), np.zeros(2))


@pytest.mark.parametrize("name", ["a", "b"])
def test_an_actors_gaze_is_measured(name):
    asked = np.array([-0.8, -0.4, 0.0, 0.4, 0.8])
    found = []
    for x in asked:
        expression = Expression(gaze_x=float(x))
        image, _ = render(ACTORS[name], expression)
        found.append(measure_gaze(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), landmarks_of(ACTORS[name], expression))[0])
    assert np.corrcoef(asked, found)[0, 1] > 0.97 and found[-1] - found[0] > 0.4


def test_what_was_drawn_into_a_condition_is_measured_again():
    face = np.zeros((68, 2))
    face[36:42], face[42:48] = EYE + (90, 100), EYE + (170, 100)
    grey = draw_condition(face, np.array([0.25, 0.0]))[..., 0]
    assert measure_gaze(grey, face)[0] == pytest.approx(0.25, abs=0.08)


def test_steadying_takes_tremble_and_single_misreadings_and_keeps_a_jump_where_it_is():
    rng = np.random.default_rng(0)
    true = np.where(np.arange(60)[:, None] < 30, (-0.3, 0.0), (0.4, 0.1))
    noisy = true + rng.normal(0, 0.02, true.shape)
    noisy[[10, 45]] = 0.9
    steady = steady_gaze(noisy, np.arange(60), np.zeros(60, int), 25.0)
    assert np.abs(steady - true)[[*range(28), *range(32, 60)]].max() < 0.05
    assert (
        np.abs(np.diff(steady, 2, axis=0)).mean()
        < 0.4 * np.abs(np.diff(true + rng.normal(0, 0.02, true.shape), 2, axis=0)).mean()
    )


def test_over_a_blink_the_gaze_goes_from_before_to_after_and_not_to_the_middle():
    gaze = np.full((20, 2), 0.4)
    gaze[8:12] = 0.0
    assert steady_gaze(gaze, np.arange(20), np.zeros(20, int), 25.0) == pytest.approx(np.full((20, 2), 0.4))


def test_frames_far_apart_in_time_are_not_mixed_and_blinks_are_filled():
    gaze = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    gaze[8] = 0.0
    steady = steady_gaze(gaze, np.arange(20), np.zeros(20, int), 5.0)
    assert steady[8] == pytest.approx((gaze[7] + gaze[9]) / 2)
    assert np.array_equal(np.delete(steady, 8, axis=0), np.delete(gaze, 8, axis=0))


def test_shots_are_steadied_apart_and_a_shot_of_closed_eyes_stays_neutral():
    gaze = np.repeat([[0.5, 0.1], [-0.5, 0.1], [0.0, 0.0]], 6, axis=0)
    assert steady_gaze(gaze, np.arange(18), np.repeat([0, 1, 2], 6), 25.0) == pytest.approx(gaze)


def test_the_usual_gaze_is_that_of_open_eyes():
    gaze = np.vstack([np.tile([0.2, -0.1], (50, 1)), np.zeros((60, 2)), [[0.6, 0.0]]])
    learned = fit_gaze(gaze)
    assert learned.usual == [0.2, -0.1] and learned.low[0] == 0.2 and 0.2 < learned.high[0] <= 0.6
    assert fit_gaze(np.zeros((5, 2))).usual == [0.0, 0.0]
