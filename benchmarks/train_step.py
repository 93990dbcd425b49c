"""How long is a training step: mueca's ``paper`` beside the reference algorithm, written plainly, and ``small``.

    python benchmarks/train_step.py --out benchmarks/results/train_step.json [--quick] [--threads 2]

Both take the same pairs from memory, at width 64 and batch 1, on the same threads, and their steps alternate, so
that a machine that slows down for a while slows both. The numbers are medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
from measuring import make_parser, print_table, write_result
from torch import nn

from mueca.config import PRESETS
from mueca.gan import Trainer


class ReferenceBlock(nn.Module):
    """A level of the reference's nested U-Net, activations in place, skip and result joined."""

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, *, outermost: bool = False, dropout: bool = False
    ):
        super().__init__()
        down = nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1, bias=False)
        joined = inner if inside is None else 2 * inner
        up = nn.ConvTranspose2d(joined, outer, 4, 2, 1, bias=outermost)
        self.outermost = outermost
        if outermost:
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, nn.BatchNorm2d(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, nn.BatchNorm2d(inner), inside]
            layers += [nn.ReLU(True), up, nn.BatchNorm2d(outer)] + [nn.Dropout(0.5)] * dropout
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) if self.outermost else torch.cat([x, self.layers(x)], 1)


def reference_generator(width: int) -> nn.Module:
    block = ReferenceBlock(8 * width, 8 * width, None)
    for _ in range(3):
        block = ReferenceBlock(8 * width, 8 * width, block, dropout=True)
    for factor in (4, 2, 1):
        block = ReferenceBlock(factor * width, 2 * factor * width, block)
    return ReferenceBlock(3, width, block, outermost=True)


def reference_discriminator(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for c_in, c_out, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [nn.Conv2d(c_in * width, c_out * width, 4, stride, 1, bias=False), nn.BatchNorm2d(c_out * width)]
        layers += [nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


def reference_step(batches: list[tuple[torch.Tensor, torch.Tensor]], width: int) -> Callable[[], object]:
    """Return the reference's step: float32, default Adam, tensors ready in memory, losses read once a step."""
    generator, discriminator = reference_generator(width), reference_discriminator(width)
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    turn = iter(range(10**9))

    def step() -> object:
        condition, target = batches[next(turn) % len(batches)]
        fake = generator(condition)
        discriminator.requires_grad_(True)
        adam_d.zero_grad()
        said_of_fake = discriminator(torch.cat([condition, fake.detach()], 1))
        said_of_real = discriminator(torch.cat([condition, target], 1))
        loss_fake = bce(said_of_fake, torch.zeros_like(said_of_fake))
        loss_real = bce(said_of_real, torch.ones_like(said_of_real))
        ((loss_fake + loss_real) * 0.5).backward()
        adam_d.step()
        discriminator.requires_grad_(False)
        adam_g.zero_grad()
        said_of_fake = discriminator(torch.cat([condition, fake], 1))
        loss_gan, loss_l1 = bce(said_of_fake, torch.ones_like(said_of_fake)), l1(fake, target)
        (loss_gan + 100.0 * loss_l1).backward()
        adam_g.step()
        return loss_fake.item(), loss_real.item(), loss_gan.item(), loss_l1.item()

    return step


def smooth_pictures(number: int, seed: int) -> np.ndarray:
    """Return random smooth RGB pictures (number, 256, 256, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (number, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(one, (256, 256), interpolation=cv2.INTER_CUBIC) for one in small])


def measure(steps: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median seconds of each step; they take turns, after two rounds that don't count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def make_steps() -> dict[str, Callable[[], object]]:
    """Return a training step of the reference and of each preset, all on the same eight pairs."""
    conditions, targets = smooth_pictures(8, 0), smooth_pictures(8, 1)
    batches = [
        tuple(torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 127.5 - 1 for image in pair)
        for pair in zip(conditions, targets, strict=True)
    ]
    steps: dict[str, Callable[[], object]] = {"reference": reference_step(batches, PRESETS["paper"].width_generator)}
    for name in ("paper", "small"):
        trainer = Trainer(PRESETS[name], conditions, targets, seed=0, device=torch.device("cpu"))
        steps[name] = lambda trainer=trainer: trainer.step(0.0)
    return steps


def main() -> None:
    parser = make_parser(__doc__ or "", clips=False)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds = measure(make_steps(), rounds=15 if arguments.quick else 60)
    rows = [
        {"step": name, "s/step": value, "steps/s": 1 / value, "vs. reference": seconds["reference"] / value}
        for name, value in seconds.items()
    ]
    print_table(rows)
    numbers = {f"{name}_seconds_per_step": value for name, value in seconds.items()}
    cpu = {"ratio": seconds["reference"] / seconds["paper"], "threads": arguments.threads} | numbers
    write_result(arguments.out, {"cpu": cpu}, quick=arguments.quick)


if __name__ == "__main__":
    main()
