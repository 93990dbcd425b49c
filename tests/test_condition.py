"""The condition picture: the report's colours, filled, not anti-aliased."""

from itertools import pairwise

import numpy as np
import pytest

from mueca.face.condition import draw_condition

COLOURS = {
    (0, 0, 0), (0, 255, 0), (0, 255, 255), (255, 255, 255), (255, 255, 0), (255, 0, 255), (0, 0, 255),
}  # fmt: skip


def a_face() -> np.ndarray:
    """Return plain landmarks (68, 2) in crop pixels: every part at its usual place."""
    t = np.linspace(0, np.pi, 17)
    face = np.zeros((68, 2))
    face[0:17] = np.c_[128 - 64 * np.cos(t), 110 + 90 * np.sin(t)]
    face[17:22] = np.c_[np.linspace(72, 116, 5), [88, 82, 80, 82, 86]]
    face[22:27] = np.c_[np.linspace(140, 184, 5), [86, 82, 80, 82, 88]]
    face[27:36] = [(128, y) for y in (104, 114, 124, 134)] + [(x, 142) for x in (116, 122, 128, 134, 140)]
    for start, x in ((36, 96), (42, 160)):
        face[start : start + 6] = np.array([(-14, 0), (-5, -7), (5, -7), (14, 0), (5, 6), (-5, 6)]) + (x, 106)
    angles = np.pi + np.arange(12) * np.pi / 6
    face[48:60] = np.c_[128 + 30 * np.cos(angles), 168 + 14 * np.sin(angles)]
    angles = np.pi + np.arange(8) * np.pi / 4
    face[60:68] = np.c_[128 + 20 * np.cos(angles), 168 + 6 * np.sin(angles)]
    return face


@pytest.mark.parametrize(
    ("place", "colour"),
    [
        ((128, 195), (0, 255, 0)),
        ((94, 84), (255, 255, 0)),
        ((162, 84), (255, 255, 0)),
        ((128, 138), (255, 0, 255)),
        ((96, 106), (0, 255, 255)),
        ((160, 106), (0, 255, 255)),
        ((128, 158), (0, 0, 0)),
        ((128, 168), (0, 0, 255)),
        ((10, 10), (0, 0, 0)),
    ],
)
def test_every_part_has_the_reports_colour(place, colour):
    x, y = place
    assert tuple(draw_condition(a_face())[y, x]) == colour


def is_white(condition: np.ndarray) -> np.ndarray:
    return (condition == 255).all(-1)


def is_iris(condition: np.ndarray) -> np.ndarray:
    return (condition == (0, 255, 255)).all(-1)


def test_eyes_are_white_but_for_the_irises_and_without_a_gaze_all_iris():
    without, ahead = draw_condition(a_face()), draw_condition(a_face(), np.zeros(2))
    assert np.array_equal(is_iris(without), is_iris(ahead) | is_white(ahead))
    assert is_white(ahead).sum() > 60 < is_iris(ahead).sum() and not is_white(without).any()
    changed = (without != ahead).any(-1)
    assert np.array_equal(changed, is_white(ahead))


def iris_place(face: np.ndarray, gaze: tuple[float, float]) -> np.ndarray:
    """Return the middle (2,) of what shows of the iris of the eye on the picture's left."""
    y, x = np.nonzero(is_iris(draw_condition(face, np.array(gaze)))[:, : int(face[27, 0])])
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("turn", [0.0, 0.3, -0.5])
def test_the_irises_stand_where_the_gaze_says_in_the_eyes_own_axes(turn):
    face = (a_face() - 128) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 128
    right, left = (iris_place(face, (x, 0.0)) for x in (0.4, -0.4))
    half = (face[39] - face[36]) / 2
    assert right - left == pytest.approx(0.8 * half, abs=1.0)
    assert (right + left) / 2 == pytest.approx((face[36] + face[39]) / 2, abs=1.0)
    down, up = (iris_place(face, (0.0, y)) for y in (0.4, -0.4))
    below = np.array([-half[1], half[0]]) / np.linalg.norm(half)
    assert (down - up) @ below > 2.0 > abs((down - up) @ half) / np.linalg.norm(half) + 1.0


def test_a_closed_eye_shows_neither_white_nor_iris_to_speak_of():
    face = a_face()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        face[[upper, lower], 1] = 106
    condition = draw_condition(face, np.zeros(2))
    rows = np.flatnonzero((is_white(condition) | is_iris(condition)).any(axis=1))
    assert len(rows) <= 1


def test_nothing_is_blended():
    found = {tuple(colour) for colour in draw_condition(a_face(), np.array([0.3, 0.1])).reshape(-1, 3)}
    assert found == COLOURS


def test_an_eighth_of_a_pixel_moves_an_edge():
    face = a_face()
    pictures = [draw_condition(face + (k / 8, k / 8)) for k in range(8)]
    changes = [int((a != b).any(-1).sum()) for a, b in pairwise(pictures)]
    assert all(changes)


def test_a_fortieth_of_the_eyes_width_moves_an_iris():
    pictures = [draw_condition(a_face(), np.array([k / 20, 0.0])) for k in range(8)]
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_a_face_beyond_the_border_is_cut_and_not_wrapped():
    condition = draw_condition(a_face() + (-150, 0))
    assert not condition[:, 128:].any()
    assert not draw_condition(a_face() + (5000, -5000), np.zeros(2)).any()
