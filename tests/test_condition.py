"""The condition picture: the report's colours, filled, not anti-aliased."""

from itertools import pairwise

import numpy as np
import pytest

from mueca.config import SIZE_PX
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


def test_eye_pixels_brighter_than_100_are_white_and_only_those():
    crop = np.full((SIZE_PX, SIZE_PX, 3), 100, np.uint8)
    crop[:, :96] = 101
    condition = draw_condition(a_face(), crop)
    assert tuple(condition[106, 90]) == (255, 255, 255)
    assert tuple(condition[106, 100]) == tuple(condition[106, 160]) == (0, 255, 255)
    assert ((condition == 255).all(-1)).sum() == ((draw_condition(a_face()) == (0, 255, 255)).all(-1)[:, :96]).sum()


def test_nothing_is_blended():
    found = {tuple(colour) for colour in draw_condition(a_face(), np.full((256, 256, 3), 200, np.uint8)).reshape(-1, 3)}
    assert found <= COLOURS


def test_an_eighth_of_a_pixel_moves_an_edge():
    face = a_face()
    pictures = [draw_condition(face + (k / 8, k / 8)) for k in range(8)]
    changes = [int((a != b).any(-1).sum()) for a, b in pairwise(pictures)]
    assert all(changes)


def test_a_face_beyond_the_border_is_cut_and_not_wrapped():
    condition = draw_condition(a_face() + (-150, 0))
    assert not condition[:, 128:].any()
    assert not draw_condition(a_face() + (5000, -5000)).any()
