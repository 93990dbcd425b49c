"""What a fake is measured by in training, beside the discriminator: differentiable, pictures (N, 3, H, W) in [-1, 1].

Needs torch alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SSIM_WINDOW_PX = 7
"""scikit-image's default."""
_SSIM_STRIDE_PX = 2
"""Every other window in both directions: the same mean in the long run, in a quarter of the time."""
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
"""Of Wang et al., equation 13, for a range of 2."""

_CELL_PX = 4
_REACH_CELLS = 5


def cross_entropy(logits: Tensor, *, real: bool) -> Tensor:
    """Return the mean cross-entropy of a discriminator's logits, all of which should say ``real``: be above 0, or not.

    The same as PyTorch's binary_cross_entropy_with_logits, in a third of its kernels on a GPU.
    """
    return -functional.logsigmoid(logits if real else -logits).mean()


def weighted_l1(fake: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean absolute difference; ``weights`` (N, 1, H, W) have a mean of 1, None: all count alike."""
    if weights is None:
        return functional.l1_loss(fake, target)
    return ((fake - target).abs() * weights).mean()


def dissimilarity(fake: Tensor, target: Tensor) -> Tensor:
    """Return 1 less the mean structural similarity: 0 for equal pictures, 2 at most.

    Source: Wang et al., "Image quality assessment", TIP 2004, equation 13, with a uniform window.
    """
    moments = torch.cat([fake, target, fake * fake, target * target, fake * target], dim=1)
    means = functional.avg_pool2d(moments, _SSIM_WINDOW_PX, _SSIM_STRIDE_PX).chunk(5, dim=1)
    mean_fake, mean_target, square_fake, square_target, product = means
    variances = square_fake - mean_fake**2 + square_target - mean_target**2
    covariance = product - mean_fake * mean_target
    luminance = (2 * mean_fake * mean_target + _C1) / (mean_fake**2 + mean_target**2 + _C1)
    return 1 - (luminance * (2 * covariance + _C2) / (variances + _C2)).mean()


def face_weights(condition: Tensor, extra: float) -> Tensor:
    """Return how much each pixel counts, (N, 1, H, W), with a mean of 1: ``extra`` more where the condition is drawn.

    A condition is black where nothing is drawn. What is drawn is widened by about 8 pixels and fades over as many.
    """
    drawn = (condition.amax(dim=1, keepdim=True) > -0.9).to(condition.dtype)
    cells = functional.max_pool2d(drawn, _CELL_PX)
    wide = functional.max_pool2d(cells, _REACH_CELLS, stride=1, padding=_REACH_CELLS // 2)
    soft = functional.avg_pool2d(wide, _REACH_CELLS, 1, _REACH_CELLS // 2, count_include_pad=False)
    weights = 1 + extra * functional.interpolate(soft, scale_factor=_CELL_PX, mode="bilinear", align_corners=False)
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)
