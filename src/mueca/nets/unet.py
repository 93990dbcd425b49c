"""pix2pix's generator for 256 x 256 pictures.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
appendix 6.1.1, in the details as its authors' PyTorch code builds ``unet_256`` with batch norm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ARCHITECTURE = 1
"""Raised whenever the same tensors come to paint something else; see ``compact``."""
# Channels after each halving, 256 -> 1 pixel, in units of the width.
_DOWN = (1, 2, 4, 8, 8, 8, 8, 8)
# The paper's text gives dropout to the first three upsampling blocks; its code to the second to fourth.
DROPOUT_BLOCKS = (1, 2, 3)


class UNet(nn.Module):
    """Paint a fake from a condition: (N, 3, 256, 256) to (N, 3, 256, 256), both in [-1, 1]; charts are not looked at.

    ``down[i]`` halves the picture, ``up[7 - i]`` doubles it again after joining what entered ``down[i + 1]``.
    """

    def __init__(self, *, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        channels = [width * factor for factor in _DOWN]
        self.down = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 4, stride=2, padding=1, bias=False)
            for c_in, c_out in zip([3, *channels[:-1]], channels, strict=True)
        )
        # No norm after the first convolution, nor on the single pixel after the last.
        self.down_norm = nn.ModuleList(nn.BatchNorm2d(c) for c in channels[1:-1])
        ups = [*channels[-2::-1], 3]
        joined = [channels[-1], *(2 * c for c in ups[:-1])]
        self.up = nn.ModuleList(
            # Only the last has no norm behind it, whose shift would make a bias idle.
            nn.ConvTranspose2d(c_in, c_out, 4, stride=2, padding=1, bias=c_out == 3)
            for c_in, c_out in zip(joined, ups, strict=True)
        )
        self.up_norm = nn.ModuleList(nn.BatchNorm2d(c) for c in ups[:-1])

    def forward(self, condition: Tensor, charts: Tensor | None = None) -> Tensor:
        x = self.down[0](condition)
        skips = []
        for conv, norm in zip(self.down[1:], [*self.down_norm, nn.Identity()], strict=True):
            # The reference's LeakyReLU works in place, so its skips carry the activated values. Ours carry the
            # values before: the skip's next stop is a ReLU, and relu(leaky_relu(x)) = relu(x), gradient included.
            skips.append(x)
            x = norm(conv(functional.leaky_relu(x, 0.2)))
        x = functional.relu(x)
        for block, (conv, norm) in enumerate(zip(self.up[:-1], self.up_norm, strict=True)):
            x = norm(_doubled(x, conv))
            if block in DROPOUT_BLOCKS:
                x = functional.dropout(x, self.dropout, self.training)
            x = functional.relu(torch.cat([skips.pop(), x], dim=1))
        return torch.tanh(self.up[-1](x))


def _doubled(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """Return ``conv(x)``, for small pictures on a CPU as a matrix product and a sum of overlapping 4 x 4 patches.

    The same mathematics: PyTorch's transposed convolution takes 1.7 to 10 times as long there, forward and
    backward, for pictures of up to 8 x 8 (measured at width 64: 263 against 118 ms a step for the four blocks).
    """
    height, width = x.shape[2:]
    if x.device.type != "cpu" or max(height, width) > 8:
        return conv(x)
    patches = conv.weight.flatten(1).t() @ x.flatten(2)  # (N, C_out * 16, H * W)
    return functional.fold(patches, (2 * height, 2 * width), kernel_size=4, stride=2, padding=1)
