"""The metrics are those of the field."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mueca import metrics

RNG = np.random.default_rng(0)
REAL = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
FAKE = np.clip(REAL.astype(int) + RNG.integers(-20, 21, REAL.shape), 0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_scikit_images_on_uint8_rgb():
    assert metrics.psnr(FAKE, REAL) == peak_signal_noise_ratio(REAL, FAKE, data_range=255)
    assert metrics.ssim(FAKE, REAL) == structural_similarity(REAL, FAKE, channel_axis=2, data_range=255)


def test_equal_pictures_are_perfect():
    assert metrics.l1(REAL, REAL) == 0
    assert metrics.psnr(REAL, REAL) == np.inf
    assert metrics.ssim(REAL, REAL) == pytest.approx(1)


def test_l1_is_a_share_of_the_range_and_does_not_wrap():
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    assert metrics.l1(black, white) == metrics.l1(white, black) == 1


def test_landmark_distance_is_relative_to_the_real_faces_outer_eye_distance():
    real = np.zeros((68, 2))
    real[45] = (100, 0)
    fake = real + (3, 4)
    assert metrics.landmark_distance(fake, real) == pytest.approx(0.05)
    assert metrics.landmark_distance(fake * 2, real * 2) == pytest.approx(0.05)


SHAPE, OTHER = np.random.default_rng(5).normal(size=(2, 68, 2))


@pytest.mark.parametrize("share", [-0.2, 0.0, 0.4, 1.0, 1.3])
def test_the_leak_is_the_share_of_the_way_from_the_subjects_shape_to_the_drivers(share):
    driver = SHAPE + 0.05 * OTHER
    mixed = SHAPE + share * (metrics.laid_on(driver, SHAPE) - SHAPE)
    assert metrics.shape_leak(mixed, SHAPE, driver) == pytest.approx(share, abs=0.01)


def test_neither_place_size_nor_turn_of_any_face_is_a_leak():
    driver = SHAPE + 0.05 * OTHER
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    before = metrics.shape_leak(SHAPE + 0.02 * OTHER, SHAPE, driver)
    moved = metrics.shape_leak((SHAPE + 0.02 * OTHER) @ turn * 3 + 7, SHAPE, driver @ turn.T * 0.2 - 90)
    assert moved == pytest.approx(before)


def test_the_leak_of_people_who_look_alike_is_not_told():
    assert metrics.shape_leak(SHAPE, SHAPE, 2 * SHAPE + 1e-3 * OTHER) is None
