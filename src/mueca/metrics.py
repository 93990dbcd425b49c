"""How far a fake is from the real picture: pure functions on arrays. Pictures are RGB uint8 (H, W, 3)."""

from __future__ import annotations

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


def ssim(fake: Array, real: Array) -> float:
    """Return scikit-image's structural similarity with its default window, -1 to 1 (Wang et al., TIP 2004)."""
    return float(structural_similarity(real, fake, channel_axis=2, data_range=255))


def landmark_distance(fake: Array, real: Array) -> float:
    """Return the mean distance of landmarks (68, 2) over the real face's outer eye distance.

    Its mean over frames is the average keypoint distance, AKD (Siarohin et al., NeurIPS 2019), there in pixels.
    """
    return float(np.linalg.norm(fake - real, axis=1).mean() / eye_distance(real))


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
