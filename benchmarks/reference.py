"""The reference algorithm, pix2pix as its authors' PyTorch code has it, written plainly; needs torch alone.

What mueca is measured against (train_step.py, gpu.py) and held to (the tests): ``unet_256`` and ``basic`` with batch
norm, the tensors named as that code's ``latest_net_G.pth`` and ``latest_net_D.pth`` name them, and one step with its
order of updates. Nothing here is made fast.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

LAMBDA_L1 = 100.0
LEARNING_RATE = 2e-4
BETAS = (0.5, 0.999)

Losses = tuple[Tensor, Tensor, Tensor, Tensor]
"""The discriminator's on the fake and on the real picture, the generator's adversarial one, its L1: scalars."""

Step = Callable[[Tensor, Tensor], Losses]
"""Learn from a condition and its target, (N, 3, 256, 256) in [-1, 1], of the networks' type and on their device."""


class Block(nn.Module):
    """A level of the nested U-Net: halve, go through the level inside, double; what came in and the result, joined.

    ``inside`` None: the innermost level. The activations work in place, so what is joined went through a LeakyReLU.
    """

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, *, dropout: float = 0.0) -> None:
        super().__init__()
        joined = inner if inside is None else 2 * inner
        down = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer)]
        if inside is not None:
            down += [nn.BatchNorm2d(inner), inside]
        if dropout:
            up += [nn.Dropout(dropout)]
        self.model = nn.Sequential(*down, *up)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], dim=1)


class Outermost(nn.Module):
    """The level that takes the condition and gives the fake: neither norms nor a skip."""

    def __init__(self, width: int, inside: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1, bias=False),
            inside,
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Generator(nn.Module):
    """``unet_256``: conditions (N, 3, 256, 256) to fakes, both in [-1, 1]; ``width`` is its ngf."""

    def __init__(self, width: int = 64, *, dropout: float = 0.5) -> None:
        super().__init__()
        block = Block(8 * width, 8 * width, None)
        for _ in range(3):
            block = Block(8 * width, 8 * width, block, dropout=dropout)
        for factor in (4, 2, 1):
            block = Block(factor * width, 2 * factor * width, block)
        self.model = Outermost(width, block)

    def forward(self, condition: Tensor) -> Tensor:
        return self.model(condition)


class Discriminator(nn.Module):
    """``basic``: a condition and its picture, joined to (N, 6, 256, 256), to logits (N, 1, 30, 30)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for c_in, c_out, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers += [nn.Conv2d(c_in * width, c_out * width, 4, stride, 1, bias=False), nn.BatchNorm2d(c_out * width)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))

    def forward(self, pair: Tensor) -> Tensor:
        return self.model(pair)


def make_networks(
    *,
    width: int = 64,
    dropout: float = 0.5,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Generator, Discriminator]:
    """Return generator and discriminator with weights drawn from ``seed``, ready to train."""
    random = torch.Generator().manual_seed(seed)
    networks = Generator(width, dropout=dropout), Discriminator(width)
    for net in networks:
        draw(net, random)
        net.to(device=device, dtype=dtype).train()
    return networks


@torch.no_grad()
def draw(net: nn.Module, random: torch.Generator) -> None:
    """Draw convolutions from N(0, 0.02) and norm scales from N(1, 0.02); all shifts are 0."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            mean = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
            module.weight.normal_(mean, 0.02, generator=random)
            if module.bias is not None:
                module.bias.zero_()


def make_step(generator: nn.Module, discriminator: nn.Module) -> Step:
    """Return the reference's step, with its two Adam optimizers: the discriminator first, then the generator."""
    adam_g = torch.optim.Adam(generator.parameters(), lr=LEARNING_RATE, betas=BETAS)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=LEARNING_RATE, betas=BETAS)
    cross_entropy, mean_difference = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def said(logits: Tensor, truth: float) -> Tensor:
        return cross_entropy(logits, torch.full_like(logits, truth))

    def step(condition: Tensor, target: Tensor) -> Losses:
        fake = generator(condition)

        discriminator.requires_grad_(True)
        adam_d.zero_grad()
        loss_fake = said(discriminator(torch.cat([condition, fake], dim=1).detach()), 0.0)
        loss_real = said(discriminator(torch.cat([condition, target], dim=1)), 1.0)
        ((loss_fake + loss_real) * 0.5).backward()
        adam_d.step()

        discriminator.requires_grad_(False)
        adam_g.zero_grad()
        loss_adversarial = said(discriminator(torch.cat([condition, fake], dim=1)), 1.0)
        loss_l1 = mean_difference(fake, target)
        (loss_adversarial + LAMBDA_L1 * loss_l1).backward()
        adam_g.step()
        return loss_fake.detach(), loss_real.detach(), loss_adversarial.detach(), loss_l1.detach()

    return step
