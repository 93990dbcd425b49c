"""How far a fake is from the real picture: pure functions on arrays. Pictures are RGB uint8 (H, W, 3)."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mueca.face.landmarks import eye_distance

Array = np.ndarray


def l1(fake: Array, real: Array) -> float:
    """Return the mean absolute difference of all channels, as a share of the range: 0 to 1."""
    return float(np.abs(fake.astype(np.int16) - real).mean() / 255.0)


def psnr(fake: Array, real: Array) -> float:
    """Return scikit-image's peak signal-to-noise ratio in dB; equal pictures give infinity."""
    if np.array_equal(fake, real):
        return float("inf")
    return float(peak_signal_noise_ratio(real, fake, data_range=255))


PSNR_OF_EQUALS_DB = 100.0
"""What stands for infinity in means: one step in one value of a crop is 101 dB."""


def ssim(fake: Array, real: Array) -> float:
    """Return scikit-image's structural similarity with its default window, -1 to 1 (Wang et al., TIP 2004)."""
    return ssim_with_map(fake, real)[0]


def ssim_with_map(fake: Array, real: Array) -> tuple[float, Array]:
    """Return ``ssim`` and where it comes from, (H, W), the mean of the channels; the rim has no part in the first."""
    mean, everywhere = structural_similarity(real, fake, channel_axis=2, data_range=255, full=True)
    return float(mean), everywhere.mean(axis=2)


MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""From the finest scale to the coarsest. Source: Wang, Simoncelli, Bovik, Asilomar 2003."""
_WINDOW_PX, _WINDOW_SIGMA = 11, 1.5


def ms_ssim(fake: Array, real: Array) -> float:
    """Return the multi-scale structural similarity, 0 to 1, the mean of the channels; sides are 176 px at least.

    The window is a Gaussian of 11 pixels, sigma 1.5, inside the picture only; a scale is half the one before, by the
    mean of 2 x 2 pixels. Source: Wang, Simoncelli, Bovik, Asilomar 2003, equation 7.
    """
    if min(real.shape[:2]) < _WINDOW_PX << (len(MS_SSIM_WEIGHTS) - 1):
        raise ValueError(f"ms_ssim of pictures {real.shape}: their sides must be 176 px at least")
    a, b = fake.astype(np.float64), real.astype(np.float64)
    product = np.ones(real.shape[2])
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        luminance, structure = _similarity(a, b)
        is_coarsest = scale == len(MS_SSIM_WEIGHTS) - 1
        similar = (luminance * structure if is_coarsest else structure).mean(axis=(0, 1))
        product *= np.maximum(similar, 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return float(product.mean())


def _similarity(a: Array, b: Array) -> tuple[Array, Array]:
    """Return SSIM's luminance term and its contrast and structure term, (H - 10, W - 10, C) each."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    rim = _WINDOW_PX // 2
    mean_a, mean_b, square_a, square_b, both = (
        cv2.GaussianBlur(image, (_WINDOW_PX, _WINDOW_PX), _WINDOW_SIGMA)[rim:-rim, rim:-rim]
        for image in (a, b, a * a, b * b, a * b)
    )
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    spread = square_a - mean_a**2 + square_b - mean_b**2
    return luminance, (2 * (both - mean_a * mean_b) + c2) / (spread + c2)


def _halved(image: Array) -> Array:
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


FACE_MARGIN = 0.2
"""By so much of the outer eye distance the hull of the landmarks is widened: they end at the brows and at the jaw."""


def face_mask(landmarks: Array, size_px: int) -> Array:
    """Return where the face is, (size_px, size_px) bool: the convex hull of landmarks (68, 2), widened by FACE_MARGIN.

    Pixels of that picture; what lies outside of it is cut off.
    """
    margin = FACE_MARGIN * float(eye_distance(landmarks))
    rim = int(np.ceil(margin)) + 1  # so that a hull beyond the border still widens into the picture
    hull = cv2.convexHull((np.clip(landmarks, -size_px, 2 * size_px) + rim).astype(np.float32)).round().astype(np.int32)
    filled = np.zeros((size_px + 2 * rim,) * 2, np.uint8)
    cv2.fillConvexPoly(filled, hull, 1)
    reach = cv2.distanceTransform(1 - filled, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return reach[rim:-rim, rim:-rim] <= margin


def sharpness(image: Array, box: tuple[int, int, int, int]) -> float:
    """Return the root mean square of the luma's gradient inside the box, in levels per pixel; RGB uint8.

    It is linear in contrast, and takes less of a checkerboard for detail than second derivatives would.
    """
    x0, y0, x1, y1 = box
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    steps = [cv2.Sobel(grey, cv2.CV_64F, dx, dy, scale=1 / 8) for dx, dy in ((1, 0), (0, 1))]
    return float(np.sqrt(sum(step[y0:y1, x0:x1] ** 2 for step in steps).mean()))


def landmark_distance(fake: Array, real: Array) -> Array:
    """Return the mean distance of landmarks (..., 68, 2) over the real faces' outer eye distance: shape (...).

    Its mean over frames is the average keypoint distance, AKD (Siarohin et al., NeurIPS 2019), there in pixels.
    """
    return np.linalg.norm(fake - real, axis=-1).mean(axis=-1) / eye_distance(real)


def expression_distance(fake: Array, real: Array) -> Array:
    """Return the same of each frame (N,) less every landmark's mean departure over the frames (N, 68, 2).

    What stays the same over a clip, a face's shape and its place in the crop, is no error of expression.
    """
    off = (fake - real) / eye_distance(real)[:, None, None]
    return np.linalg.norm(off - off.mean(axis=0), axis=-1).mean(axis=-1)


def correlation(a: Array, b: Array) -> float | None:
    """Return Pearson's correlation of two tracks (N,); None where one of them keeps still or they are too short."""
    if len(a) < 3 or min(np.std(a), np.std(b)) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def shape_leak(result: Array, subject: Array, driver: Array) -> float | None:
    """Return how much of the driver's face shape shows in the result: 0 the subject's alone, 1 the driver's.

    Each is a neutral shape (68, 2) in any pixels. With n for these laid on the subject's by scale, turn and shift, it
    is <n_result - n_subject, n_driver - n_subject> / |n_driver - n_subject|^2. None where subject and driver lie
    closer together than TOO_ALIKE, so that the ratio would be of noise.
    """
    size = np.sqrt(((subject - subject.mean(axis=0)) ** 2).sum(axis=1).mean())
    to_driver = laid_on(driver, subject) - subject
    if np.sqrt((to_driver**2).sum(axis=1).mean()) < TOO_ALIKE * size:
        return None
    return float((to_driver * (laid_on(result, subject) - subject)).sum() / (to_driver**2).sum())


TOO_ALIKE = 0.02
"""RMS distance of two neutral shapes in sizes of the face."""


def laid_on(points: Array, onto: Array) -> Array:
    """Return points (K, 2) scaled, turned and shifted to lie best on others, in the least squares."""
    p, q = ((each - each.mean(axis=0)) @ (1, 1j) for each in (points, onto))
    laid = (p.conj() @ q) / (p.conj() @ p) * p
    return np.stack([laid.real, laid.imag], axis=-1) + onto.mean(axis=0)
