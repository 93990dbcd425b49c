"""Triton's kernels against plain PyTorch in float64: on a GPU, or anywhere by Triton's interpreter.

TRITON_INTERPRET=1 python tests/kernel_checks.py cpu NAME       # what tests/test_tuned.py does
python tests/kernel_checks.py cuda [NAME]
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn import functional

from mueca.tuned import kernels

SHAPES = ((1, 16, 9, 7), (2, 64, 8, 8), (1, 512, 2, 2), (1, 32, 24, 24))
"""One block of rows and several, whole ones and not, one partial sum and several."""


def rows(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).contiguous(memory_format=torch.channels_last)


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    error = float((found.double() - expected).norm() / expected.norm())
    assert error < share, f"{error} of {share}"


def a_norm_and_its_activations(*, with_norm: bool = True) -> None:
    for shape in SHAPES:
        for wanted in ({"leaky", "rectified"}, {"leaky"}, {"rectified"}, {"rectified", "mask"}):
            for dtype, share in ((torch.float32, 3e-6), (torch.bfloat16, 6e-3)):
                _compare(shape, wanted, dtype, share, with_norm=with_norm)


def activations_without_a_norm() -> None:
    a_norm_and_its_activations(with_norm=False)


def _compare(shape: tuple[int, ...], wanted: set[str], dtype: torch.dtype, share: float, *, with_norm: bool) -> None:
    channels = shape[1]
    x = rows(*shape).mul(2).add(5).to(dtype)  # far from 0: a variance by plain sums of squares would be lost
    norm, plain = (nn.BatchNorm2d(channels), nn.BatchNorm2d(channels).double()) if with_norm else (None, None)
    if norm and plain:
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
        plain.load_state_dict(norm.state_dict())
    leaky = torch.empty_like(x) if "leaky" in wanted else None
    wide = rows(shape[0], 2 * channels, *shape[2:]).to(dtype)
    other_half = wide[:, :channels].clone()
    rectified = wide[:, channels:] if "rectified" in wanted else None
    mask = torch.empty_like(x).bernoulli_(0.5).mul_(2) if "mask" in wanted else None
    statistics = kernels.activate(x, norm, leaky=leaky, rectified=rectified, mask=mask)
    assert torch.equal(wide[:, :channels], other_half)

    given = x.double().requires_grad_()
    normed = plain(given) if plain else given
    of_leaky, of_wide = rows(*shape).to(dtype), rows(*wide.shape).to(dtype)
    total = torch.zeros((), dtype=torch.float64)
    if leaky is not None:
        expected = functional.leaky_relu(normed, 0.2)
        assert_near(leaky, expected, share)
        total = total + (expected * of_leaky.double()).sum()
    if rectified is not None:
        expected = functional.relu(normed) * (1 if mask is None else mask.double())
        assert_near(rectified, expected, share)
        total = total + (expected * of_wide[:, channels:].double()).sum()
    total.backward()
    found = kernels.gradients(
        x,
        statistics,
        norm.weight if norm else None,
        norm.bias if norm else None,
        None if leaky is None else of_leaky,
        None if rectified is None else of_wide[:, channels:],
        mask,
    )
    assert_near(found[0], given.grad, share)
    if norm and plain:
        assert_near(found[1], plain.weight.grad, 1e-5)
        assert_near(found[2], plain.bias.grad, 1e-5)
        assert_near(norm.running_mean, plain.running_mean, 1e-6)
        assert_near(norm.running_var, plain.running_var, 1e-6)


def patches_laid_over_each_other() -> None:
    for channels, padding, stride, size in ((1, 2, 1, (30, 30)), (3, 1, 2, (16, 12)), (6, 1, 2, (10, 14))):
        down, across = ((n + 2 * padding - 4) // stride + 1 for n in size)
        patches, bias = torch.randn(2, channels * 16, down * across), torch.randn(channels)
        turned = patches.unflatten(1, (channels, 16)).flip(2).flatten(1, 2)
        expected = functional.fold(patches.double(), size, 4, padding=padding, stride=stride)
        options = {"kernel": 4, "padding": padding, "stride": stride}
        assert_near(kernels.fold(patches, size, None, turned=False, **options), expected, 1e-6)
        found = kernels.fold(turned.mT.contiguous().mT, size, bias, turned=True, **options)
        assert_near(found, expected + bias.double()[:, None, None], 1e-6)


def the_cross_entropy_and_its_gradient() -> None:
    for real in (True, False):
        logits = torch.randn(1, 1, 30, 30).mul(30).requires_grad_()
        expected = functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
        expected.backward()
        loss, gradient = kernels.cross_entropy(logits.detach(), real=real)
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(gradient, logits.grad)


def adams_update() -> None:
    for number, passes in ((3000, 2), (100_000, 1)):
        weight, mean = torch.randn(number), torch.randn(number) * 0.1
        square, rate = torch.rand(number) * 0.01, torch.tensor(2e-4)
        gradients = [torch.randn(number).bfloat16() for _ in range(passes)]
        working = weight.bfloat16()
        plain = nn.Parameter(weight.clone())
        adam = torch.optim.Adam([plain], rate, betas=(0.5, 0.999), fused=True, capturable=weight.is_cuda)
        state = {"step": torch.tensor(3.0), "exp_avg": mean.clone(), "exp_avg_sq": square.clone()}
        adam.state[plain] = state
        plain.grad = sum(gradient.float() for gradient in gradients)
        adam.step()
        step = torch.tensor(4.0)
        kernels.adam(weight, mean, square, step, rate, gradients, working, betas=(0.5, 0.999), eps=1e-8)
        torch.testing.assert_close(weight, plain.detach(), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(mean, state["exp_avg"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(square, state["exp_avg_sq"], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(working.float(), weight, rtol=8e-3, atol=0)


CHECKS = (
    a_norm_and_its_activations,
    activations_without_a_norm,
    patches_laid_over_each_other,
    the_cross_entropy_and_its_gradient,
    adams_update,
)

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_default_device(sys.argv[1])
    for check in CHECKS:
        if check.__name__ in (sys.argv[2:] or [check.__name__]):
            check()
            print(check.__name__, "holds")
