"""pix2pix's discriminator, which judges every 70 x 70 patch by itself.

Source: Isola et al., CVPR 2017, section 3.2.2 and appendix 6.1.2, as its authors' PyTorch code builds
``basic`` with 3 layers.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchGAN(nn.Module):
    """Return logits, real above 0, for pictures of a condition: two (N, 3, 256, 256) to (N, 1, 30, 30)."""

    def __init__(self, *, width: int, norm: Literal["batch", "instance"]) -> None:
        super().__init__()
        channels = [width, 2 * width, 4 * width, 8 * width]
        # Instance norm learns no shift here, as in the reference, so its convolutions keep their biases.
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 4, stride=stride, padding=1, bias=first or norm == "instance")
            for c_in, c_out, stride, first in zip(
                [6, *channels[:-1]], channels, (2, 2, 2, 1), (True, False, False, False), strict=True
            )
        )
        kind = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
        self.norms = nn.ModuleList(kind(c) for c in channels[1:])
        self.logits = nn.Conv2d(channels[-1], 1, 4, padding=1)

    def forward(self, condition: Tensor, picture: Tensor) -> Tensor:
        x = functional.leaky_relu(self.convs[0](torch.cat([condition, picture], dim=1)), 0.2)
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = functional.leaky_relu(norm(conv(x)), 0.2)
        return self.logits(x)
