"""What stands behind the convolutions of ``paper``: batch norm, activations, dropout, joining, and the cross-entropy.

Each function is differentiable, and one pass over memory where Triton's kernels can be used; elsewhere PyTorch's own
operations, which are the same mathematics. ``norm`` None: none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from mueca import losses

SLOPE = 0.2
"""Of the LeakyReLU; ``mueca.tuned.kernels`` has the same."""
_CHANNELS_A_BLOCK = 16


def normed(x: Tensor, norm: nn.BatchNorm2d | None) -> Tensor:
    """Return the norm of (N, C, H, W) by its own statistics; running averages are updated, the count of batches not."""
    if norm is None:
        return x
    averages = (norm.running_mean, norm.running_var)
    return functional.batch_norm(x, *averages, norm.weight, norm.bias, True, norm.momentum, norm.eps)


def leaky(x: Tensor, norm: nn.BatchNorm2d | None) -> Tensor:
    """Return LeakyReLU of the norm of (N, C, H, W)."""
    if _has_kernels(x):
        return _Leaky.apply(x, *_parts(norm))
    return functional.leaky_relu(normed(x, norm), SLOPE)


def branched(x: Tensor, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Return LeakyReLU of the norm of (N, C, H, W), and a skip (N, 2 C, H, W), for ``joined``.

    The skip's first half is ReLU of the norm, its second half is to be filled.
    """
    if _has_kernels(x):
        return _Branched.apply(x, *_parts(norm))
    x = normed(x, norm)
    return functional.leaky_relu(x, SLOPE), functional.pad(functional.relu(x), (0, 0, 0, 0, 0, x.shape[1]))


def joined(skip: Tensor, x: Tensor, norm: nn.BatchNorm2d | None, *, dropout: float = 0.0) -> Tensor:
    """Return the skip, its second half filled: with ReLU of the norm of (N, C, H, W), some of which is dropped.

    With kernels, it is the same tensor.
    """
    # Dropping before a ReLU or after it is the same, for what is kept grows and keeps its sign.
    mask = torch.empty_like(x).bernoulli_(1 - dropout).div_(1 - dropout) if dropout else None
    if _has_kernels(x):
        return _Joined.apply(skip, x, mask, *_parts(norm))
    rectified = functional.relu(normed(x, norm))
    return torch.cat([skip[:, : x.shape[1]], rectified if mask is None else rectified * mask], dim=1)


def cross_entropy(logits: Tensor, *, real: bool) -> Tensor:
    """Return the mean cross-entropy of the logits, all of which should say ``real``: ``mueca.losses``' own."""
    return _CrossEntropy.apply(logits, real) if logits.is_cuda else losses.cross_entropy(logits, real=real)


def _has_kernels(x: Tensor) -> bool:
    return x.is_cuda and x.dtype == torch.bfloat16 and x.shape[1] % _CHANNELS_A_BLOCK == 0


def _parts(norm: nn.BatchNorm2d | None) -> tuple[Tensor | None, Tensor | None, nn.BatchNorm2d | None]:
    """Return the norm's parameters, for autograd to see them, and the norm."""
    return (None, None, None) if norm is None else (norm.weight, norm.bias, norm)


def _rows(x: Tensor) -> Tensor:
    """Return the picture with its channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _gradients(
    ctx: Any, of_leaky: Tensor | None, of_rectified: Tensor | None, mask: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    from mueca.tuned import kernels

    x, statistics, scale, shift = ctx.saved_tensors[:4]
    of_x, of_scale, of_shift = kernels.gradients(x, statistics, scale, shift, of_leaky, of_rectified, mask)
    scale_learns, shift_learns, _ = ctx.needs_input_grad[-3:]
    return of_x, of_scale if scale_learns else None, of_shift if shift_learns else None, None


class _Leaky(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, norm: nn.BatchNorm2d | None) -> Tensor:
        from mueca.tuned import kernels

        x = _rows(x)
        result = torch.empty_like(x)
        ctx.save_for_backward(x, kernels.activate(x, norm, leaky=result, rectified=None), scale, shift)
        return result

    @staticmethod
    def backward(ctx: Any, of_result: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, _rows(of_result), None)


class _Branched(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor | None, shift: Tensor | None, norm: nn.BatchNorm2d | None
    ) -> tuple[Tensor, Tensor]:
        from mueca.tuned import kernels

        x = _rows(x)
        number, channels, *size = x.shape
        result = torch.empty_like(x)
        skip = torch.empty(
            (number, 2 * channels, *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        ctx.save_for_backward(x, kernels.activate(x, norm, leaky=result, rectified=skip[:, :channels]), scale, shift)
        return result, skip

    @staticmethod
    def backward(ctx: Any, of_result: Tensor, of_skip: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, _rows(of_result), _rows(of_skip))


class _Joined(Function):
    @staticmethod
    def forward(
        ctx: Any,
        skip: Tensor,
        x: Tensor,
        mask: Tensor | None,
        scale: Tensor | None,
        shift: Tensor | None,
        norm: nn.BatchNorm2d | None,
    ) -> Tensor:
        from mueca.tuned import kernels

        x = _rows(x)
        statistics = kernels.activate(x, norm, leaky=None, rectified=skip[:, x.shape[1] :], mask=mask)
        ctx.mark_dirty(skip)
        ctx.save_for_backward(x, statistics, scale, shift, mask)
        return skip

    @staticmethod
    def backward(ctx: Any, of_result: Tensor) -> tuple[Tensor | None, ...]:
        of_result = _rows(of_result)
        channels = of_result.shape[1] // 2
        mask = ctx.saved_tensors[4]
        of_x, *of_norm = _gradients(ctx, None, of_result[:, channels:], mask)
        # The skip's own half is read where it is, by the backward pass of ``_Branched``.
        return of_result, of_x, None, *of_norm


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, real: bool) -> Tensor:
        from mueca.tuned import kernels

        loss, gradient = kernels.cross_entropy(logits, real=real)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * of_loss, None
