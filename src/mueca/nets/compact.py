"""The generator of preset ``small``: made for a face in minutes on 2 CPU cores.

A condition is mostly flat colour, and its smooth versions say where every edge lies: averaged over 4 x 4 pixels and
more it lets a U-Net work at 64 x 64 pixels and below, where a convolution costs little beyond its multiplications, and
the coarse ones tell hair and neck how far the face is. On the way back the condition comes in once more at 128 pixels,
for the edges of eyes and lips, and only 6 channels ever lie at 256. Folding pixels into channels instead loses nothing
either, but an edge that moves by a pixel is then another input: its edges were ragged on held-out frames.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mueca.face.charts import NUM_CHARTS
from mueca.nets.textures import Textures

ARCHITECTURE = 1
"""Raised whenever the same tensors come to paint something else: here, in ``textures`` or in ``mueca.face.charts``.
Runs trained before are then refused by name; those whose settings don't tell it count as 0."""
_LEVELS = (1, 2, 4, 4, 4)
"""Channels at 64, 32, 16, 8 and 4 pixels, in units of the width."""
_SCALES = 4
"""The stem sees the condition at 64, 32, 16 and 8 pixels."""
_SLOPE = 0.2


class Compact(nn.Module):
    """Paint a fake from a condition: (N, 3, 256, 256) to (N, 3, 256, 256), both in [-1, 1].

    Upsampling is bilinear, then convolution; the last doubling unfolds channels into pixels, of which the next
    convolution sees means over 2 x 2: nothing for a checkerboard to come from. With ``textures`` it also learns so
    many channels of them, looked up by the charts (N, 4, GRID, GRID) of ``mueca.face.charts``: convolutions alone paint
    what landmarks tell, and smear a background, hair or a pair of glasses, which textures know by heart.
    """

    def __init__(self, *, width: int, textures: int = 0) -> None:
        super().__init__()
        levels = [width * factor for factor in _LEVELS]
        at_64, at_128, at_256 = (math.ceil(width * share) for share in (2 / 3, 1 / 2, 1 / 8))
        self.textures = Textures(channels=textures, size_px=128) if textures else None
        looked_up = NUM_CHARTS * textures
        self.stem = nn.Conv2d(3 * _SCALES + looked_up, width, 3, padding=1)
        self.down = nn.ModuleList(_Block(c_in, c_out, stride=2) for c_in, c_out in pairwise(levels))
        self.up = nn.ModuleList(
            _Block(below + skip, c_out)
            for (below, skip), c_out in zip(pairwise(levels[::-1]), [*levels[-2:0:-1], at_64], strict=True)
        )
        self.at_128 = _Block(at_64 + 3 + looked_up, at_128)
        self.to_256 = nn.Conv2d(at_128, at_256 * 2 * 2, 3, padding=1)
        self.head = ConvOfMeans(at_256, 3, 3, padding=1)

    def forward(self, condition: Tensor, charts: Tensor | None = None) -> Tensor:
        if self.textures is not None and charts is None:
            raise ValueError("a generator with textures paints with charts alone: see mueca.face.charts")
        condition_at_128 = functional.avg_pool2d(condition, 2)
        looked_up = [] if self.textures is None else [self.textures(charts).to(condition.dtype)]
        halved = [functional.avg_pool2d(texture, 2) for texture in looked_up]
        x = self.stem(torch.cat([_smooth(condition_at_128), *halved], dim=1))  # (N, width, 64, 64)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(x)
        for block in self.up:
            x = block(torch.cat([skips.pop(), _doubled(x)], dim=1))
        x = self.at_128(torch.cat([_doubled(x), condition_at_128, *looked_up], dim=1))
        x = functional.leaky_relu(functional.pixel_shuffle(self.to_256(x), 2), _SLOPE)
        return torch.tanh(self.head(x))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw the initial weights with He et al.'s spread; the last two convolutions have no norm behind them.

        What is unfolded into neighbouring pixels starts equal (Aitken et al., "Checkerboard artifact free sub-pixel
        convolution", 2017): drawn one by one it left a pattern for 800 steps, SSIM .667 in place of .729 on ``d9``.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.normal_(0.0, math.sqrt(2 / module.weight[0].numel()), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        self.to_256.weight.copy_(self.to_256.weight[::4].repeat_interleave(4, dim=0))
        self.head.weight.mul_(0.2)  # nearly grey at first: a saturated tanh learns slowly


class _Block(nn.Module):
    """A 3 x 3 convolution, instance norm (which starts as no change of scale or shift) and LeakyReLU."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.InstanceNorm2d(c_out, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), _SLOPE)


class ConvOfMeans(nn.Conv2d):
    """A 3 x 3 convolution of the means of 2 x 2 pixels, as one of 4 x 4: where four values take turns it sees one.

    Source: Sugawara, Shiota, Kiya, "Super-resolution using convolutional neural networks without any checkerboard
    artifacts", 2018, for the means behind sub-pixels.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernels = self.weight.flatten(0, 1).unsqueeze(1)  # (C_out C_in, 1, 3, 3)
        means = kernels.new_full((1, 1, 2, 2), 1 / 4)
        spread = functional.conv2d(kernels, means, padding=1).view(*self.weight.shape[:2], 4, 4)
        return functional.conv2d(x, spread, self.bias, padding=2)[..., :-1, :-1]


def _smooth(condition: Tensor) -> Tensor:
    """Return a picture at half its size, and more and more blurred: (N, C, H, W) to (N, _SCALES * C, H / 2, W / 2)."""
    scales = [functional.avg_pool2d(condition, 2)]
    while len(scales) < _SCALES:
        scales.append(functional.avg_pool2d(scales[-1], 2))
    size = scales[0].shape[2:]
    rest = [functional.interpolate(scale, size, mode="bilinear", align_corners=False) for scale in scales[1:]]
    return torch.cat([scales[0], *rest], dim=1)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
