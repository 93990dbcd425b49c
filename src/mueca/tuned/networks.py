"""``paper``'s networks made of ``layers`` and ``convolutions``; the norms are those of the nets they stand for."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from mueca.nets.patchgan import PatchGAN
from mueca.nets.unet import DROPOUT_BLOCKS, UNet
from mueca.tuned.convolutions import WorkingConvolution
from mueca.tuned.layers import branched, joined, leaky

Replace = Callable[..., WorkingConvolution]
"""Makes a working convolution of one; ``innermost=True``: its pictures are the smallest, see ``convolutions``."""


class WorkingUNet(nn.Module):
    """What ``UNet`` computes in training, (N, 3, 256, 256) to (N, 3, 256, 256)."""

    def __init__(self, net: UNet, replace: Replace) -> None:
        super().__init__()
        self.dropout = net.dropout
        self.down = nn.ModuleList([*map(replace, net.down[:-1]), replace(net.down[-1], innermost=True)])
        self.up = nn.ModuleList([replace(net.up[0], innermost=True), *map(replace, net.up[1:])])
        self.down_norm, self.up_norm = net.down_norm, net.up_norm

    def forward(self, condition: Tensor) -> Tensor:
        x = self.down[0](condition)
        skips = []
        for conv, norm in zip(self.down[1:], [None, *self.down_norm], strict=True):
            x, skip = branched(x, norm)
            skips.append(skip)
            x = conv(x)
        x = functional.relu(x)
        for block, (conv, norm) in enumerate(zip(self.up[:-1], self.up_norm, strict=True)):
            x = joined(skips.pop(), conv(x), norm, dropout=self.dropout if block in DROPOUT_BLOCKS else 0.0)
        return torch.tanh(self.up[-1](x))


class WorkingPatchGAN(nn.Module):
    """What ``PatchGAN`` with batch norm computes in training, two (N, 3, H, W) to logits (N, 1, H', W')."""

    def __init__(self, net: PatchGAN, replace: Replace) -> None:
        super().__init__()
        self.convs, self.logits = nn.ModuleList(map(replace, net.convs)), replace(net.logits)
        self.norms = net.norms

    def forward(self, condition: Tensor, picture: Tensor) -> Tensor:
        x = torch.cat([condition, picture], dim=1)
        for conv, norm in zip(self.convs, [None, *self.norms], strict=True):
            x = leaky(conv(x), norm)
        return self.logits(x)

    def twin(self) -> WorkingPatchGAN:
        """Return the same network with running averages of its own, so that both can judge at the same time."""
        shared = [*self.parameters(), *(m for m in self.modules() if isinstance(m, WorkingConvolution))]
        return copy.deepcopy(self, {id(part): part for part in shared})


def convolutions_of(net: nn.Module) -> list[WorkingConvolution]:
    """Return the working convolutions of a net, in their order."""
    return [module for module in net.modules() if isinstance(module, WorkingConvolution)]


def counts_of(net: nn.Module) -> list[Tensor]:
    """Return how many batches each of a net's batch norms has seen, in their order."""
    return [module.num_batches_tracked for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def running_averages_of(net: nn.Module) -> list[Tensor]:
    """Return the running means and variances of a net's batch norms, in their order."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    return [average for norm in norms for average in (norm.running_mean, norm.running_var)]
