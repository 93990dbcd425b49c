"""The one place where pictures become tensors and tensors pictures."""

from __future__ import annotations

import torch
from torch import Tensor


def tensor_from_rgb(rgb: Tensor) -> Tensor:
    """Return RGB uint8 (N, H, W, 3) as float32 (N, 3, H, W) in [-1, 1], on the same device."""
    return rgb.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1.0)


def rgb_from_tensor(images: Tensor) -> Tensor:
    """Return float (N, 3, H, W) in [-1, 1] as RGB uint8 (N, H, W, 3), rounded, on the same device."""
    levels = (images.detach() + 1.0).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
