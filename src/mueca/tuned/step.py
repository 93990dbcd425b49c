"""The step itself: what ``mueca.gan.Trainer.update`` does, in the order in which a GPU can do most of it at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mueca.nets.patchgan import PatchGAN
from mueca.nets.unet import UNet
from mueca.tuned.convolutions import Convolution, WorkingConvolution
from mueca.tuned.lanes import Lane
from mueca.tuned.layers import cross_entropy
from mueca.tuned.networks import WorkingPatchGAN, WorkingUNet, convolutions_of, counts_of, running_averages_of

LossOfPictures = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From condition, fake and target to what the generator minimises beside the adversarial loss, and the L1 in it."""

View = Callable[[Tensor], Tensor]
"""What the discriminator sees of pictures."""


def is_tunable(generator: nn.Module, discriminator: nn.Module, device: torch.device) -> bool:
    """Return whether there is a tuned step for these networks on this device; it needs Triton."""
    are_papers = isinstance(generator, UNet) and isinstance(discriminator, PatchGAN)
    with_batch_norm = all(type(norm) is nn.BatchNorm2d for norm in getattr(discriminator, "norms", ()))
    return device.type == "cuda" and are_papers and with_batch_norm and importlib.util.find_spec("triton") is not None


@dataclass(frozen=True)
class Learner:
    """A network, the optimizer of its parameters and the working network that computes for it."""

    net: nn.Module
    adam: torch.optim.Adam
    working: nn.Module


class TunedStep:
    """Steps of one generator and one discriminator, whose convolutions compute in ``dtype``.

    The networks' own parameters, the optimizers' states and the running averages are updated in place, as by the plain
    step. Side by side are: the generator's forward pass and all that the discriminator does with the real picture; what
    both networks lose by; and of the backward passes the gradients of pictures, the gradients of weights, and what Adam
    does with those as they come.
    """

    def __init__(
        self,
        generator: UNet,
        discriminator: PatchGAN,
        adam_generator: torch.optim.Adam,
        adam_discriminator: torch.optim.Adam,
        *,
        loss_of_pictures: LossOfPictures,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self._device, self._dtype = next(generator.parameters()).device, dtype
        self._loss_of_pictures = loss_of_pictures
        self._of_real, self._of_weights, self._of_adam = (Lane(self._device) for _ in range(3))
        painting = WorkingUNet(generator, partial(self._replaced, adam=adam_generator, passes=1))
        judging = WorkingPatchGAN(discriminator, partial(self._replaced, adam=adam_discriminator, passes=2))
        self._generator = Learner(generator, adam_generator, painting)
        self._discriminator = Learner(discriminator, adam_discriminator, judging)
        self._judging_real = judging.twin()
        self._averages = running_averages_of(judging)
        self._averages_of_real = running_averages_of(self._judging_real)
        self._momentum = judging.norms[0].momentum
        by_net = [counts_of(painting), counts_of(judging)]
        self._counts = [count for counts in by_net for count in counts]
        self._passes = [passes for passes, counts in zip((1, 3), by_net, strict=True) for _ in counts]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the networks' weights, which something else than a step has changed, or a broken-off one."""
        for lane in (self._of_real, self._of_weights, self._of_adam):
            lane.forget()
        for learner in (self._generator, self._discriminator):
            for convolution in convolutions_of(learner.working):
                convolution.refresh()

    def learn(self, condition: Tensor, make_target: Callable[[], Tensor], view: View) -> Tensor:
        """Update the discriminator, then the generator; return L1, adversarial and discriminator's loss (3,).

        ``condition`` is (N, 3, 256, 256), ``make_target`` is called once for the target, and the discriminator sees
        pictures through ``view``.
        """
        painting, judging = self._generator.working, self._discriminator.working
        judging.requires_grad_(True)
        self._start(self._discriminator)
        torch._foreach_zero_(self._averages_of_real)
        given = self._prepared(condition)
        seen = view(given)
        with self._of_real.beside(seen):
            target = make_target()
            loss_real = 0.5 * cross_entropy(self._judging_real(seen, view(self._prepared(target))), real=True)
            loss_real.backward()
        fake = painting(given)
        fake_seen = view(fake)
        with self._of_real.beside(condition, fake):  # which has the target
            loss_of_pictures, loss_l1 = self._loss_of_pictures(condition, fake, target)
        loss_fake = 0.5 * cross_entropy(judging(seen, fake_seen.detach()), real=False)
        self._of_real.join()
        loss_fake.backward()
        self._end(self._discriminator)
        self._add_averages_of_real()

        judging.requires_grad_(False)
        self._start(self._generator)
        loss_adversarial = cross_entropy(judging(seen, fake_seen), real=True)
        (loss_adversarial + loss_of_pictures).backward()
        self._end(self._generator)
        torch._foreach_add_(self._counts, self._passes)
        return torch.stack([loss_l1, loss_adversarial, loss_fake + loss_real]).detach()

    def _prepared(self, images: Tensor) -> Tensor:
        return images.to(self._dtype)

    def _start(self, learner: Learner) -> None:
        """Forget the gradients of the norms, and count the step for all else, which gets none of autograd's."""
        learner.adam.zero_grad()
        counts = [
            learner.adam.state[own]["step"] for conv in convolutions_of(learner.working) for own, _ in conv.pairs()
        ]
        torch._foreach_add_(counts, 1.0)

    def _end(self, learner: Learner) -> None:
        """Update the norms; the optimizer leaves alone what has no gradient."""
        learner.adam.step()
        self._of_adam.join()
        self._of_weights.join()

    def _replaced(
        self, conv: Convolution, adam: torch.optim.Adam, *, passes: int, innermost: bool = False
    ) -> WorkingConvolution:
        options = {"dtype": self._dtype, "lane": self._of_weights, "passes": passes, "innermost": innermost}
        replaced = WorkingConvolution(conv, **options)
        replaced.learn = lambda gradients: self._learn_weights(replaced, adam, gradients)
        return replaced

    def _learn_weights(
        self, conv: WorkingConvolution, adam: torch.optim.Adam, passes: list[tuple[Tensor, Tensor | None]]
    ) -> None:
        """Let Adam update a convolution's weights beside the rest, once its gradients are there."""
        by_parameter = [list(gradients) for gradients in zip(*passes, strict=True)][: len(conv.pairs())]
        read = [gradient for gradients in by_parameter for gradient in gradients]
        with torch.no_grad(), self._of_adam.beside(*read, after=self._of_weights):
            for (own, working), gradients in zip(conv.pairs(), by_parameter, strict=True):
                _update(own, working, gradients, adam)

    @torch.no_grad()
    def _add_averages_of_real(self) -> None:
        """Add the real picture's part to the running averages, in the plain step's order: after the fake's."""
        torch._foreach_mul_(self._averages, 1.0 - self._momentum)
        torch._foreach_add_(self._averages, self._averages_of_real)


def _update(own: Tensor, working: Tensor, gradients: list[Tensor], adam: torch.optim.Adam) -> None:
    """Update a parameter, its moments and its working copy by the sum of the gradients; the step is counted already."""
    state, options = adam.state[own], adam.param_groups[0]
    moments, step, rate = (state["exp_avg"], state["exp_avg_sq"]), state["step"], options["lr"]
    betas, eps = options["betas"], options["eps"]
    if own.is_cuda:
        from mueca.tuned import kernels

        alike = [g if g.stride() == own.stride() else torch.empty_like(working).copy_(g) for g in gradients]
        kernels.adam(own, *moments, step, rate, alike, working, betas=betas, eps=eps)
        return
    mean, square = moments
    gradient = torch.stack(gradients).to(own.dtype).sum(0)
    mean.lerp_(gradient, 1 - betas[0])
    square.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    size, root = (
        rate / (1 - betas[0] ** step.double()),
        (square / (1 - betas[1] ** step.double())).sqrt() + eps,
    )
    own.sub_(size * mean / root)
    working.copy_(own)
