"""From a preset to its networks."""

from __future__ import annotations

import torch
from torch import nn

from mueca.nets import compact, unet
from mueca.nets.compact import Compact
from mueca.nets.patchgan import PatchGAN
from mueca.nets.unet import UNet
from mueca.presets import Preset


def build_generator(preset: Preset) -> nn.Module:
    """Return the preset's generator, its weights still to be drawn or loaded."""
    if preset.generator == "unet":
        return UNet(width=preset.width_generator, dropout=preset.dropout)
    return Compact(width=preset.width_generator, textures=preset.textures)


def architecture_of(preset: Preset) -> int:
    """Return the number of the preset's generator as it is built now; see ``mueca.nets.compact.ARCHITECTURE``."""
    return unet.ARCHITECTURE if preset.generator == "unet" else compact.ARCHITECTURE


def build_discriminator(preset: Preset) -> nn.Module:
    """Return the preset's discriminator, its weights still to be drawn or loaded."""
    return PatchGAN(width=preset.width_discriminator, norm=preset.norm_discriminator)


@torch.no_grad()
def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """Draw convolutions from N(0, 0.02) and norm scales from N(1, 0.02), all shifts 0; ``Compact`` draws its own.

    Source: Isola et al., CVPR 2017, appendix 6.2; the norms as their PyTorch code has it.
    """
    if isinstance(net, Compact):
        net.draw(generator)
        return
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.normal_(0.0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.normal_(1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
