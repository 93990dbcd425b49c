"""A hard cut begins a new shot; flashes, shakes, light and fast heads do not."""

import numpy as np
import pytest
from scenes import acted, clip_of

from mueca.face.shots import FLASH_FRAMES, split_shots


def shots_of(images) -> list[int]:
    return [each.shot for each in split_shots(clip_of(images))]


def flashes_of(images) -> list[int]:
    return [each.frame.index for each in split_shots(clip_of(images)) if each.is_flash]


@pytest.fixture(scope="module")
def a() -> list[np.ndarray]:
    return acted("a", 40)[0]


@pytest.fixture(scope="module")
def b() -> list[np.ndarray]:
    return acted("b", 40)[0]


def test_every_cut_is_found_in_its_very_frame(a, b):
    assert shots_of([*a[:10], *b[:10], *a[10:15]]) == [0] * 10 + [1] * 10 + [2] * 5


def test_every_frame_comes_once_and_in_order_also_about_cuts_and_flashes(a, b):
    images = [*a[:4], *b[:3], *a[4:5], *b[3:4], *a[5:9]]
    assert [each.frame.index for each in split_shots(clip_of(images))] == list(range(len(images)))


def test_a_lively_actor_is_one_shot(a, b):
    assert set(shots_of(a)) == set(shots_of(b)) == {0}


@pytest.mark.parametrize("length", range(1, FLASH_FRAMES + 1))
@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_is_told_and_cuts_nothing(a, length, level):
    images = [*a[:10], *[np.full_like(a[0], level)] * length, *a[10:20]]
    assert set(shots_of(images)) == {0}
    assert flashes_of(images) == list(range(10, 10 + length))


def test_a_picture_that_stays_is_no_flash(a, b):
    assert flashes_of([*a[:10], *b[:10]]) == []


def test_the_light_going_on_slowly_cuts_nothing(a):
    images = [(image * share).astype(np.uint8) for image, share in zip(a, np.linspace(0.2, 1, 40), strict=True)]
    assert set(shots_of(images)) == {0}


def test_a_shaken_camera_cuts_nothing(a):
    moves = np.random.default_rng(0).integers(-30, 31, (40, 2))
    assert set(shots_of([np.roll(image, move, (0, 1)) for image, move in zip(a, moves, strict=True)])) == {0}


def test_a_cut_at_the_last_frame_is_found(a, b):
    assert shots_of([*a[:5], b[0]]) == [0] * 5 + [1]


def test_frames_of_any_size_and_single_ones_are_looked_at():
    for shape in ((1, 1, 3), (2, 700, 3), (1080, 1920, 3)):
        assert shots_of([np.zeros(shape, np.uint8)] * 2) == [0, 0]
    assert shots_of([]) == []
