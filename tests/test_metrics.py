"""The metrics are those of the field."""

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mueca import metrics

SHAPE, OTHER = np.random.default_rng(5).normal(size=(2, 68, 2))
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


def test_ssims_map_is_where_its_mean_comes_from_but_for_the_rim():
    mean, where = metrics.ssim_with_map(FAKE, REAL)
    assert mean == metrics.ssim(FAKE, REAL) and where.shape == REAL.shape[:2]
    assert where[3:-3, 3:-3].mean() == pytest.approx(mean)


Y, X = np.mgrid[:256, :256]
SCENE = np.stack([(X * 3 + Y) % 256, (X * Y // 16) % 256, (X + 2 * Y) // 3 % 256], axis=-1).astype(np.uint8)


def test_ms_ssim_is_that_of_pytorch_msssim():
    blurred = cv2.blur(SCENE, (3, 5))
    assert metrics.ms_ssim(blurred, SCENE) == pytest.approx(0.9892807086248706, abs=1e-6)  # version 1.0.0, float64
    assert metrics.ms_ssim(SCENE, SCENE) == pytest.approx(1.0)


def test_one_scale_of_ms_ssim_is_scikit_images_ssim_with_a_gaussian_window(monkeypatch):
    monkeypatch.setattr(metrics, "MS_SSIM_WEIGHTS", (1.0,))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    for channel in range(3):
        a, b = (np.repeat(image[..., channel : channel + 1], 3, axis=2) for image in (FAKE, REAL))
        assert metrics.ms_ssim(a, b) == pytest.approx(structural_similarity(b, a, channel_axis=2, **options), abs=1e-9)


def test_ms_ssim_says_what_it_needs():
    with pytest.raises(ValueError, match="176"):
        metrics.ms_ssim(FAKE, REAL)


def an_oval(centre: tuple[float, float], eyes_px: float) -> np.ndarray:
    """Return landmarks on an ellipse with eye corners that far apart."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = np.array(centre) + np.stack([40 * np.cos(angle), 50 * np.sin(angle)], axis=1)
    points[36], points[45] = np.array(centre) - (eyes_px / 2, 0), np.array(centre) + (eyes_px / 2, 0)
    return points


def test_the_face_is_the_hull_of_its_landmarks_and_a_fifth_of_the_eye_distance_around_it():
    mask = metrics.face_mask(an_oval((120, 130), 60), 256)
    assert mask.dtype == bool and mask.shape == (256, 256)
    assert mask[130, 120 + 40 + 11] and not mask[130, 120 + 40 + 13]
    assert mask[130 - 50 - 11, 120] and not mask[130 - 50 - 14, 120]


def test_a_face_that_leaves_the_picture_is_cut_off_there_and_widened_all_the_same():
    mask = metrics.face_mask(an_oval((-35, 130), 60), 256)
    assert mask[130, 5 + 10] and not mask[130, 5 + 14]
    assert not metrics.face_mask(an_oval((-500, 130), 60), 256).any()


def test_sharpness_is_linear_in_contrast_and_falls_with_blur():
    box = (20, 20, 200, 200)
    sharp = metrics.sharpness(SCENE, box)
    assert metrics.sharpness(SCENE // 2, box) == pytest.approx(sharp / 2, rel=0.03)
    assert metrics.sharpness(cv2.GaussianBlur(SCENE, (0, 0), 2), box) < 0.7 * sharp
    ramp = np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 128, 0).repeat(3, 2)
    assert metrics.sharpness(ramp, (10, 10, 100, 100)) == pytest.approx(2.0)


def test_what_stays_the_same_over_a_clip_is_no_error_of_expression():
    rng = np.random.default_rng(1)
    real = SHAPE * 50 + rng.normal(size=(20, 1, 2))
    assert metrics.expression_distance(real + SHAPE[::-1], real) == pytest.approx(0, abs=1e-12)
    trembling = real + rng.normal(size=real.shape)
    assert (metrics.expression_distance(trembling, real) > 0).all()


def test_a_track_that_keeps_still_correlates_with_nothing():
    assert metrics.correlation(np.arange(9.0), 2 * np.arange(9.0) + 1) == pytest.approx(1)
    assert metrics.correlation(np.arange(9.0), np.ones(9)) is None


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
