"""The change of coordinates between frame and crop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.config import SIZE_PX
from mueca.face.crop import CropRule, apply_transform, crop_transforms, cut_crop

FACE = np.random.default_rng(0).normal(size=(68, 2))
places = st.floats(-2000, 2000)
sizes = st.floats(5, 500)


def transforms_of(tracks: np.ndarray, fps: float = 25.0) -> np.ndarray:
    return crop_transforms(tracks, np.arange(len(tracks)), np.zeros(len(tracks), int), fps, CropRule())


@given(places, places, sizes, st.lists(st.tuples(places, places), min_size=1, max_size=20))
def test_points_taken_into_the_crop_and_back_are_where_they_were(x, y, size, points):
    (frame_from_crop,) = transforms_of(FACE[None] * size + (x, y))
    points = np.array(points)
    in_crop = apply_transform(np.linalg.inv(frame_from_crop), points)
    assert apply_transform(frame_from_crop, in_crop) == pytest.approx(points, abs=1e-6)


@given(places, places, sizes)
def test_a_face_fills_the_same_part_of_the_crop_wherever_and_however_large_it_is(x, y, size):
    (frame_from_crop,) = transforms_of(FACE[None] * size + (x, y))
    (reference,) = transforms_of(FACE[None] * 100)
    in_crop = apply_transform(np.linalg.inv(frame_from_crop), FACE * size + (x, y))
    assert in_crop == pytest.approx(apply_transform(np.linalg.inv(reference), FACE * 100), abs=1e-6)


def test_the_crop_is_as_wide_as_the_rule_says_and_never_stretched():
    face = FACE * 40
    (transform,) = transforms_of(face[None])
    radius = np.sqrt(((face - face.mean(0)) ** 2).sum(-1).mean())
    assert transform[0, 0] == transform[1, 1] == pytest.approx(CropRule().side * radius / SIZE_PX)
    assert transform[0, 1] == transform[1, 0] == 0


def test_a_picture_cut_at_whole_pixels_is_the_picture():
    image = np.random.default_rng(1).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    shift = np.array([[1.0, 0, 100], [0, 1, 60], [0, 0, 1]])
    assert np.array_equal(cut_crop(image, shift), image[60 : 60 + SIZE_PX, 100 : 100 + SIZE_PX])


def test_beyond_the_border_the_border_is_repeated():
    image = np.random.default_rng(2).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    crop = cut_crop(image, np.array([[1.0, 0, -50], [0, 1, 0], [0, 0, 1]]))
    assert np.array_equal(crop[:, :50], np.repeat(image[:SIZE_PX, :1], 50, axis=1))


@pytest.mark.parametrize("scale", [2.5, 7.0])
def test_a_large_face_is_averaged_down_where_it_is_and_not_shifted(scale):
    side = round(SIZE_PX * scale)
    x = np.tile(np.arange(side, dtype=float), (side, 1))
    image = np.repeat((255 * x / side)[..., None], 3, axis=2).round().astype(np.uint8)
    crop = cut_crop(image, np.diag([scale, scale, 1.0])).astype(float)
    expected = 255 * (np.arange(SIZE_PX) * scale) / side
    assert np.abs(crop[SIZE_PX // 2, 5:-5, 0] - expected[5:-5]).max() <= 1.5


def test_a_large_pattern_of_single_pixels_turns_grey_instead_of_flickering():
    image = np.zeros((2000, 2000, 3), np.uint8)
    image[:, ::2] = 255
    crop = cut_crop(image, np.diag([7.0, 7.0, 1.0]))
    assert np.abs(crop.astype(float) - 127.5).max() < 3


def test_a_trembling_face_gives_a_crop_that_trembles_a_tenth_as_much():
    rng = np.random.default_rng(3)
    track = FACE[None] * 50 + 300 + rng.normal(0, 2.0, (200, 1, 2))
    moves = np.diff(transforms_of(track)[:, :2, 2], axis=0)
    assert np.abs(moves).mean() < 0.1 * np.abs(np.diff(track.mean(1), axis=0)).mean()


def test_frames_without_a_face_neither_pull_the_crop_nor_shift_its_time():
    numbers = np.array([0, 1, 2, 3, 40, 41, 42])
    track = FACE[None] * 50 + np.where(numbers < 10, 100.0, 500.0)[:, None, None]
    centres = crop_transforms(track, numbers, np.zeros(7, int), 25.0, CropRule())[:, 0, 2]
    assert np.ptp(centres[:4]) < 2 and np.ptp(centres[4:]) < 2
    assert centres[-1] - centres[0] == pytest.approx(400, abs=4)


def test_a_cut_moves_the_crop_at_once():
    track = FACE[None] * 50 + np.where(np.arange(40) < 20, 100.0, 500.0)[:, None, None]
    shot = (np.arange(40) >= 20).astype(int)
    centres = crop_transforms(track, np.arange(40), shot, 25.0, CropRule())[:, 0, 2]
    assert np.ptp(centres[:20]) < 1e-6 and np.ptp(centres[20:]) < 1e-6
    assert centres[20] - centres[19] == pytest.approx(400, abs=1e-6)
