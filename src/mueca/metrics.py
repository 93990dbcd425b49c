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
