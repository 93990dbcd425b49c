"""One generator and one discriminator, and the step by which both learn.

Source: Isola et al., CVPR 2017, sections 3.1 and 3.3. Needs torch and NumPy alone, and reads no file.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mueca.capturing import captured
from mueca.config import Precision
from mueca.distribution import ALONE_GROUP, Group
from mueca.examples import CHOSEN, Examples, draw_choice, tensor_of
from mueca.losses import cross_entropy, dissimilarity, face_weights, weighted_l1
from mueca.nets.building import build_discriminator, build_generator, initialise
from mueca.presets import Preset
from mueca.tuned import TunedStep, is_tunable

_BETAS = (0.5, 0.999)
"""Adam's, from the paper's section 3.3."""

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

    ``conditions`` and ``targets`` are RGB uint8 (N, 256, 256, 3), ``charts`` as ``mueca.examples`` has them, for a
    generator with textures. All randomness is a function of ``seed`` and the
    number of steps taken, so that ``state()`` and ``steps_taken`` are all that it takes to go on exactly. Weights are
    ``dtype``; with ``bfloat16`` the convolutions compute in that, by PyTorch's automatic mixed precision. The processes
    of a ``group`` learn from their shares of every batch, and must make the same calls; dropout's masks are drawn for a
    share as a whole, from ``seed``, the step and the share's first place, so that with dropout the number of processes
    decides as well. Unless ``tune`` is False, one
    GPU takes the step of ``mueca.tuned`` where there is one: the same mathematics as ``update``.
    """

    def __init__(
        self,
        preset: Preset,
        conditions: np.ndarray,
        targets: np.ndarray,
        charts: np.ndarray | None = None,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        precision: Precision = "float32",
        group: Group = ALONE_GROUP,
        tune: bool = True,
    ) -> None:
        self.preset, self.seed, self.device, self.precision, self.group = preset, seed, device, precision, group
        self.examples = Examples(preset, conditions, targets, charts, device=device, dtype=dtype)
        self.steps_taken = 0
        self._layout = layout_on(device, precision)
        self.generator, self.discriminator = build_generator(preset), build_discriminator(preset)
        for part, net in enumerate((self.generator, self.discriminator)):
            initialise(net, torch.Generator().manual_seed(2 * seed + part))
            net.to(device, dtype, memory_format=self._layout).train()
        self.generator, self.discriminator = group.normalising(self.generator), group.normalising(self.discriminator)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if preset.average_decay else None
        self.adam_generator, self.adam_discriminator = _adam(self.generator), _adam(self.discriminator)
        self._averaging_generator = group.averaging(self.generator)
        self._averaging_discriminator = group.averaging(self.discriminator)
        # What a step is given and tells lies in the same memory each time, so that it can be one CUDA graph.
        self._places = group.share(preset.batch)
        self._choices = torch.zeros(len(self._places), CHOSEN, dtype=torch.float64, device=device)
        self._weight_of_latest = torch.zeros((), dtype=dtype, device=device)
        self._losses = torch.zeros(3, dtype=dtype, device=device)
        self._tuned = self._tuned_step() if tune else None
        self._learn: Callable[[], None] | None = None
        self.is_captured = False
        """Whether a step is one CUDA graph; ``setup`` decides."""

    def setup(self, *, capture: bool = True) -> float:
        """Make ready for the next step and return the seconds that took; after ``restore``. ``step`` does it if needed.

        A GPU is given the whole step as one CUDA graph, unless ``capture`` is False or there are several processes;
        where it can't be captured, a warning says so and the step starts its operations one by one. Raises
        torch.OutOfMemoryError where a step needs more memory than the GPU has. In a group, all go on from what the
        first process restored.
        """
        start = time.perf_counter()
        for adam in (self.adam_generator, self.adam_discriminator):
            _fill_state(adam)
        changed = [tensor for part in self.state().values() for tensor in part.values()]
        self.group.spread(changed)
        self.steps_taken = int(self.group.agree([self.steps_taken])[0])
        self._learn, self.is_captured = self._learn_from_choices, False
        if self._tuned:
            self._tuned.refresh()
        if capture and self.device.type == "cuda" and self.group.is_alone:
            self._capture(changed)
        return time.perf_counter() - start

    def step(self, progress: float) -> None:
        """Learn from the next batch; ``progress``, from 0 to 1, is the share of the run that is done.

        PyTorch's random numbers on the CPU are left alone; those on GPUs are drawn from another seed afterwards.
        """
        if self._learn is None:
            self.setup()
        step, num_pairs = self.steps_taken, len(self.examples)
        choices = [draw_choice(self.preset, self.seed, step, place, num_pairs) for place in self._places]
        self._choices.copy_(tensor_of(choices), non_blocking=True)
        self._set_rates(progress)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(choices[0].dropout_seed)  # dropout takes no generator of its own
            self._learn()
        self.steps_taken += 1

    def losses(self) -> Losses:
        """Return the last step's losses, on this process's share of the batch; waits for the device."""
        return Losses(*self._losses.tolist())

    def update(
        self, condition: Tensor, target: Tensor, choices: Tensor | None = None, charts: Tensor | None = None
    ) -> None:
        """Update the discriminator, then the generator through the updated discriminator.

        Pictures are (N, 3, 256, 256) in [-1, 1]. The discriminator sees them through the windows of ``choices``, as
        ``mueca.examples.tensor_of`` returns them; None: whole. ``charts`` are for a generator with textures alone.
        """
        condition, target = (images.contiguous(memory_format=self._layout) for images in (condition, target))
        with self._mixed_precision():
            fake = self._averaging_generator(condition, charts)
        condition_seen, fake_seen, target_seen = (
            images if choices is None else self.examples.window(images, choices) for images in (condition, fake, target)
        )

        self.discriminator.requires_grad_(True)
        with self._mixed_precision():
            logits_fake = self._averaging_discriminator(condition_seen, fake_seen.detach())
            logits_real = self._averaging_discriminator(condition_seen, target_seen)
        logits_fake, logits_real = (logits.to(target.dtype) for logits in (logits_fake, logits_real))
        loss_discriminator = 0.5 * (cross_entropy(logits_fake, real=False) + cross_entropy(logits_real, real=True))
        self.adam_discriminator.zero_grad()
        loss_discriminator.backward()
        self.adam_discriminator.step()

        self.discriminator.requires_grad_(False)
        with self._mixed_precision():
            logits_fake = self.discriminator(condition_seen, fake_seen)
        loss_adversarial = cross_entropy(logits_fake.to(target.dtype), real=True)
        loss_of_pictures, loss_l1 = self._loss_of_pictures(condition, fake, target)
        self.adam_generator.zero_grad()
        (loss_adversarial + loss_of_pictures).backward()
        self.adam_generator.step()
        self._losses.copy_(torch.stack([loss_l1, loss_adversarial, loss_discriminator]).detach())

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
        """Go on from what ``state()`` returned after ``steps_taken`` steps.

        Raises RuntimeError, KeyError or ValueError where the tensors are another network's.
        """
        self.generator.load_state_dict(state["generator"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.discriminator.load_state_dict(state["discriminator"])
        _restore_adam(self.adam_generator, self.generator, state["adam_generator"])
        _restore_adam(self.adam_discriminator, self.discriminator, state["adam_discriminator"])
        self.steps_taken = steps_taken
        if self._tuned:
            self._tuned.refresh()

    @property
    def best(self) -> nn.Module:
        """The generator to keep and to paint with: the averaged one, where the preset averages."""
        return self.generator if self.average is None else self.average

    def is_finite(self) -> bool:
        """Return whether no weight of either network has run off to infinity or to no number."""
        parameters = [*self.generator.parameters(), *self.discriminator.parameters()]
        return all(bool(p.isfinite().all()) for p in parameters)

    def _capture(self, changed: Sequence[Tensor]) -> None:
        try:
            self._learn = captured(self._learn_from_choices, changed)
        except torch.OutOfMemoryError:
            raise  # the step itself would need as much
        except RuntimeError as error:
            for adam in (self.adam_generator, self.adam_discriminator):
                adam.zero_grad()  # they lie in the graph's memory
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            warnings.warn(f"the step can't be one CUDA graph ({reason}); going on without, more slowly", stacklevel=3)
        else:
            self.is_captured = True
        finally:
            if self._tuned:
                self._tuned.refresh()  # ``changed`` is as before, its working copies are not

    def _learn_from_choices(self) -> None:
        """Do what a step does on the device: the same operations on the same memory at every step."""
        if self._tuned:
            condition = self.examples.conditions_at(self._choices)
            self._losses.copy_(self._tuned.learn(condition, self._make_target, self._window))
        else:
            self.update(*self.examples.at(self._choices), self._choices, self.examples.charts_at(self._choices))
        self._update_average()

    def _tuned_step(self) -> TunedStep | None:
        """Return what does the same as ``update`` on this device, faster, if there is such a step."""
        nets = (self.generator, self.discriminator)
        if self.precision != "bfloat16" or not self.group.is_alone or not is_tunable(*nets, self.device):
            return None
        adams = (self.adam_generator, self.adam_discriminator)
        return TunedStep(*nets, *adams, loss_of_pictures=self._loss_of_pictures)

    def _make_target(self) -> Tensor:
        return self.examples.targets_at(self._choices)

    def _window(self, images: Tensor) -> Tensor:
        return self.examples.window(images, self._choices)

    def _loss_of_pictures(self, condition: Tensor, fake: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the generator minimises beside the adversarial loss, and the L1 in it."""
        preset, fake = self.preset, fake.to(target.dtype)
        weights = face_weights(condition, preset.face_weight) if preset.face_weight else None
        loss_l1 = weighted_l1(fake, target, weights)
        if not preset.lambda_ssim:
            return preset.lambda_l1 * loss_l1, loss_l1
        return preset.lambda_l1 * loss_l1 + preset.lambda_ssim * dissimilarity(fake, target), loss_l1

    def _mixed_precision(self) -> torch.autocast:
        # No cache of cast weights: it would outlive the discriminator's update, and a CUDA graph may not have one.
        enabled = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def _set_rates(self, progress: float) -> None:
        rate = falling_rate(progress, self.preset.rate_falls_from)
        _rate_of(self.adam_generator).fill_(self.preset.learning_rate_generator * rate)
        _rate_of(self.adam_discriminator).fill_(self.preset.learning_rate_discriminator * rate)
        # Early on it reaches back over a tenth of the steps only, so that short runs are not averaged with noise.
        steps = self.steps_taken + 1
        self._weight_of_latest.fill_(1.0 - min(self.preset.average_decay, steps / (steps + 10)))

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        for average, latest in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(latest, self._weight_of_latest)
        for average, latest in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            average.copy_(latest)


def layout_on(device: torch.device, precision: Precision) -> torch.memory_format:
    """Return how pictures lie in memory: channels last for tensor cores.

    On a CPU at batch 1 that is slower, in bfloat16 too: 394 against 282 ms a step of ``paper``.
    """
    has_tensor_cores = device.type == "cuda" and precision == "bfloat16"
    return torch.channels_last if has_tensor_cores else torch.contiguous_format


def falling_rate(progress: float, falls_from: float) -> float:
    """Return the factor of the learning rates: 1 until the share ``falls_from``, then linearly to 0 at the end."""
    return 1.0 if falls_from >= 1.0 or progress <= falls_from else max(0.0, (1.0 - progress) / (1.0 - falls_from))


def _adam(net: nn.Module) -> torch.optim.Adam:
    """Return the net's optimizer, its rate a tensor, which is set before each step."""
    device = next(net.parameters()).device
    on_gpu = device.type == "cuda"
    # On a GPU the fused kernel takes rates in float32 alone; on a CPU a float64 is as exact as a Python number.
    rate = torch.zeros((), dtype=torch.float32 if on_gpu else torch.float64, device=device)
    # Fused: one pass over the 1.6 GB that Adam moves for the U-Net.
    return torch.optim.Adam(net.parameters(), rate, betas=_BETAS, fused=True, capturable=on_gpu)


def _rate_of(adam: torch.optim.Adam) -> Tensor:
    return adam.param_groups[0]["lr"]


def _fill_state(adam: torch.optim.Adam) -> None:
    """Give the optimizer the state that it would make at its first step, where it has none yet."""
    for parameter in adam.param_groups[0]["params"]:
        if not adam.state[parameter]:
            adam.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


def _adam_state(adam: torch.optim.Adam, net: nn.Module) -> dict[str, Tensor]:
    return {f"{name}/{key}": value for name, p in net.named_parameters() for key, value in adam.state[p].items()}


@torch.no_grad()
def _restore_adam(adam: torch.optim.Adam, net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the tensors into the optimizer's, in their places; none at all: as before its first step."""
    _fill_state(adam)
    own = _adam_state(adam, net)
    if tensors and {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in own.items()}:
        raise ValueError("the optimizer's tensors are another network's")
    for name, tensor in own.items():
        if tensors:
            tensor.copy_(tensors[name])
        else:
            tensor.zero_()
