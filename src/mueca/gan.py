"""One generator and one discriminator, and the step by which both learn.

Source: Isola et al., CVPR 2017, sections 3.1 and 3.3. Needs torch and NumPy alone, and reads no file.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mueca.config import SIZE_PX, Preset
from mueca.nets.building import build_discriminator, build_generator, initialise
from mueca.nets.images import tensor_from_rgb

_BETAS = (0.5, 0.999)
"""Adam's, from the paper's section 3.3."""

Window = tuple[slice, ...]

State = dict[str, dict[str, Tensor]]
"""What a checkpoint holds: the tensors of each of its parts, by name."""


@dataclass(frozen=True)
class Losses:
    """A step's losses, each a mean over pixels or patches, before it is weighted."""

    l1: float
    adversarial: float
    discriminator: float


class Trainer:
    """The two networks, their optimizers and the pairs they learn from.

    ``conditions`` and ``targets`` are RGB uint8 (N, 256, 256, 3). All randomness is a function of ``seed`` and the
    number of steps taken, so that ``state()`` and ``steps_taken`` are all that it takes to go on exactly.
    """

    def __init__(
        self, preset: Preset, conditions: np.ndarray, targets: np.ndarray, *, seed: int, device: torch.device
    ) -> None:
        self.preset, self.seed, self.device = preset, seed, device
        self.conditions = torch.from_numpy(conditions).to(device)
        self.targets = torch.from_numpy(targets).to(device)
        self.steps_taken = 0
        self.generator = build_generator(preset)
        self.discriminator = build_discriminator(preset)
        for part, net in enumerate((self.generator, self.discriminator)):
            initialise(net, torch.Generator().manual_seed(2 * seed + part))
            net.to(device).train()
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if preset.average_decay else None
        # Fused: one pass over the 1.6 GB that Adam moves for the U-Net. The rates are set before each step.
        self.adam_generator = torch.optim.Adam(self.generator.parameters(), betas=_BETAS, fused=True)
        self.adam_discriminator = torch.optim.Adam(self.discriminator.parameters(), betas=_BETAS, fused=True)

    def step(self, progress: float) -> Losses:
        """Learn from the next pair; ``progress``, from 0 to 1, is the share of the run that is done."""
        rate = falling_rate(progress, self.preset.rate_falls_from)
        _set_rate(self.adam_generator, self.preset.learning_rate_generator * rate)
        _set_rate(self.adam_discriminator, self.preset.learning_rate_discriminator * rate)
        rng = np.random.default_rng([self.seed, self.steps_taken])
        condition, target = self._next_pair(rng)
        window = random_window(rng, self.preset.discriminator_window_px, SIZE_PX)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(int(rng.integers(2**63)))  # dropout takes no generator of its own
            losses = self.update(condition, target, window)
        self.steps_taken += 1
        self._update_average()
        return losses

    def update(self, condition: Tensor, target: Tensor, window: Window = (...,)) -> Losses:
        """Update the discriminator, then the generator through the updated discriminator.

        Pictures are (N, 3, 256, 256) in [-1, 1]; the discriminator sees them through ``window``.
        """
        fake = self.generator(condition)

        self.discriminator.requires_grad_(True)
        logits_fake = self.discriminator(condition[window], fake.detach()[window])
        logits_real = self.discriminator(condition[window], target[window])
        loss_discriminator = 0.5 * (_cross_entropy(logits_fake, 0.0) + _cross_entropy(logits_real, 1.0))
        self.adam_discriminator.zero_grad()
        loss_discriminator.backward()
        self.adam_discriminator.step()

        self.discriminator.requires_grad_(False)
        loss_adversarial = _cross_entropy(self.discriminator(condition[window], fake[window]), 1.0)
        loss_l1 = functional.l1_loss(fake, target)
        self.adam_generator.zero_grad()
        (loss_adversarial + self.preset.lambda_l1 * loss_l1).backward()
        self.adam_generator.step()
        return Losses(loss_l1.item(), loss_adversarial.item(), loss_discriminator.item())

    def state(self) -> State:
        """Return all that changes with training, as the tensors themselves: save before the next step."""
        average = {} if self.average is None else {"average": self.average.state_dict()}
        return average | {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "adam_generator": _adam_state(self.adam_generator, self.generator),
            "adam_discriminator": _adam_state(self.adam_discriminator, self.discriminator),
        }

    def restore(self, state: State, steps_taken: int) -> None:
        """Go on from what ``state()`` returned after ``steps_taken`` steps."""
        self.generator.load_state_dict(state["generator"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.discriminator.load_state_dict(state["discriminator"])
        _restore_adam(self.adam_generator, self.generator, state["adam_generator"])
        _restore_adam(self.adam_discriminator, self.discriminator, state["adam_discriminator"])
        self.steps_taken = steps_taken

    @property
    def best(self) -> nn.Module:
        """The generator to keep and to paint with: the averaged one, where the preset averages."""
        return self.generator if self.average is None else self.average

    def is_finite(self) -> bool:
        """Return whether no weight of either network has run off to infinity or to no number."""
        parameters = [*self.generator.parameters(), *self.discriminator.parameters()]
        return all(bool(p.isfinite().all()) for p in parameters)

    def _next_pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = pair_at_step(self.seed, self.steps_taken, len(self.targets))
        condition, target = (tensor_from_rgb(images[index : index + 1]) for images in (self.conditions, self.targets))
        if self.preset.jitter_size_px > SIZE_PX:
            size = self.preset.jitter_size_px
            crop = random_window(rng, SIZE_PX, size)
            condition = functional.interpolate(condition, size, mode="nearest")[crop]
            target = functional.interpolate(target, size, mode="bilinear", align_corners=False)[crop]
        if self.preset.mirror and rng.random() < 0.5:
            condition, target = condition.flip(3), target.flip(3)
        return condition, target

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        # Early on it reaches back over a tenth of the steps only, so that short runs are not averaged with noise.
        decay = min(self.preset.average_decay, self.steps_taken / (self.steps_taken + 10))
        for average, latest in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(latest, 1.0 - decay)
        for average, latest in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            average.copy_(latest)


def falling_rate(progress: float, falls_from: float) -> float:
    """Return the factor of the learning rates: 1 until the share ``falls_from``, then linearly to 0 at the end."""
    return 1.0 if progress <= falls_from else max(0.0, (1.0 - progress) / (1.0 - falls_from))


def pair_at_step(seed: int, step: int, num_pairs: int) -> int:
    """Return the index of the pair that a step learns from: each pair once an epoch, every epoch in a new order."""
    epoch, place = divmod(step, num_pairs)
    return int(_order_of_epoch(seed, epoch, num_pairs)[place])


@lru_cache(maxsize=2)
def _order_of_epoch(seed: int, epoch: int, num_pairs: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, num_pairs]).permutation(num_pairs)


def random_window(rng: np.random.Generator, window_px: int, size_px: int) -> Window:
    """Return the index of a random ``window_px`` square in pictures (..., ``size_px``, ``size_px``)."""
    y, x = rng.integers(size_px - window_px, size=2, endpoint=True)
    return ..., slice(y, y + window_px), slice(x, x + window_px)


def _cross_entropy(logits: Tensor, truth: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def _set_rate(adam: torch.optim.Adam, rate: float) -> None:
    for group in adam.param_groups:
        group["lr"] = rate


def _adam_state(adam: torch.optim.Adam, net: nn.Module) -> dict[str, Tensor]:
    return {f"{name}/{key}": value for name, p in net.named_parameters() for key, value in adam.state[p].items()}


def _restore_adam(adam: torch.optim.Adam, net: nn.Module, tensors: dict[str, Tensor]) -> None:
    parameters = dict(net.named_parameters())
    adam.state.clear()
    for path, value in tensors.items():
        name, key = path.rsplit("/", 1)
        parameter = parameters[name]
        adam.state[parameter][key] = value.to(parameter.device)
