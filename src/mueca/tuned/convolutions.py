"""Convolutions that hold a copy of another one's weights, and compute what these learn beside the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from mueca.tuned.lanes import Lane

Convolution = nn.Conv2d | nn.ConvTranspose2d

_FEW = 6
"""So few channels on one side leave most of a tensor core idle: cuDNN takes 14 to 38 us where a matrix product and a
sum of overlapping patches, or a product of such patches, take 10 (H200, bfloat16, the layers of ``paper``)."""


class WorkingConvolution(nn.Module):
    """A convolution in another type, whose weights learn in their original.

    ``learn`` is called in the backward pass, once the weights were last needed in it, with the gradients of weight and
    bias of each pass: after ``passes`` of them. They are computed in ``lane``, and are not autograd's. ``innermost``
    is said of a convolution of 4 x 4 pixels from 2 x 2 to one, or of a transposed one from one to 2 x 2. The original's
    weights are laid in memory as they are read here; the optimizer must have no moments for them yet.
    """

    def __init__(
        self, original: Convolution, *, dtype: torch.dtype, lane: Lane, passes: int, innermost: bool = False
    ) -> None:
        super().__init__()
        self._form = _Innermost(original) if innermost else _form_of(original)
        original.weight.data = original.weight.data.contiguous(memory_format=self._form.layout)
        self.original, self.lane, self.passes = (original,), lane, passes  # in a tuple it is no submodule
        self.weight = nn.Parameter(original.weight.detach().to(dtype, copy=True))
        self.bias = None if original.bias is None else nn.Parameter(original.bias.detach().to(dtype, copy=True))
        self.learn: Callable[[list[tuple[Tensor, Tensor | None]]], None] = lambda _gradients: None
        self._gradients: list[tuple[Tensor, Tensor | None]] = []

    def forward(self, x: Tensor) -> Tensor:
        return _Convolved.apply(x, self.weight, self)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the original's weights, and forget what a step that was broken off left."""
        (original,) = self.original
        self._gradients = []
        self.weight.copy_(original.weight)
        if self.bias is not None:
            self.bias.copy_(original.bias)

    def pairs(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """Return the original's parameters, each with its copy."""
        (original,) = self.original
        return [(original.weight, self.weight), *([] if self.bias is None else [(original.bias, self.bias)])]

    def note(self, of_result: Tensor, x: Tensor) -> None:
        """Compute the gradients of a pass in the lane."""
        with self.lane.beside(of_result, x):
            of_weight = self._form.of_weight(of_result, x, self.weight)
            of_bias = None if self.bias is None else _sum_of_pixels(of_result)
            self._gradients.append((of_weight, of_bias))

    def end_pass(self) -> None:
        """Let the weights learn, if that was the last pass."""
        if len(self._gradients) == self.passes:
            self.learn(self._gradients)
            self._gradients = []


class _Convolved(Function):
    """The convolution of a picture; ``weight`` is given for autograd to see whether it learns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, module: WorkingConvolution) -> Tensor:
        ctx.module = module
        ctx.save_for_backward(x)
        return module._form.forward(x, module.weight, module.bias)

    @staticmethod
    def backward(ctx: Any, of_result: Tensor) -> tuple[Tensor | None, None, None]:
        module: WorkingConvolution = ctx.module
        (x,) = ctx.saved_tensors
        x_learns, weight_learns, _ = ctx.needs_input_grad
        if weight_learns:
            module.note(of_result, x)
        of_x = module._form.of_input(of_result, x, module.weight) if x_learns else None
        if weight_learns:
            module.end_pass()
        return of_x, None, None


def _form_of(conv: Convolution) -> _Plain | _Gathered | _Scattered:
    if isinstance(conv, nn.Conv2d) and conv.in_channels <= _FEW:
        return _Gathered(conv)
    if conv.out_channels <= _FEW and (isinstance(conv, nn.ConvTranspose2d) or conv.stride == (1, 1)):
        return _Scattered(conv)
    return _Plain(conv)


class _Plain:
    """PyTorch's own convolution."""

    layout = torch.channels_last

    def __init__(self, conv: Convolution) -> None:
        is_transposed = isinstance(conv, nn.ConvTranspose2d)
        self._geometry = (
            conv.stride, conv.padding, conv.dilation, is_transposed, conv.output_padding, conv.groups,
        )  # fmt: skip

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.aten.convolution(x, weight, bias, *self._geometry)

    def of_input(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self._backward(of_result, x, weight, [True, False, False])[0]

    def of_weight(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return self._backward(of_result, x, weight, [False, True, False])[1]

    def _backward(self, of_result: Tensor, x: Tensor, weight: Tensor, asked: list[bool]) -> tuple[Tensor, ...]:
        return torch.ops.aten.convolution_backward(of_result, x, weight, None, *self._geometry, asked)


class _Gathered:
    """A convolution of few channels: the patches of the picture, one beside the other, times the weights."""

    layout = torch.contiguous_format

    def __init__(self, conv: nn.Conv2d) -> None:
        self._patches = {"kernel_size": conv.kernel_size, "padding": conv.padding, "stride": conv.stride}

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        patches = self._gather(x)  # (N, H W of the result, C_in * kernel)
        rows = functional.linear(patches.flatten(0, 1), weight.flatten(1), bias).unflatten(0, patches.shape[:2])
        size = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], *self._along(), strict=True)]
        return _picture(rows, *size)

    def of_input(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        patches = weight.flatten(1).t() @ _rows(of_result).transpose(1, 2)
        return _folded(patches, x.shape[2:], None, turned=False, **self._patches)

    def of_weight(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return (_rows(of_result).flatten(0, 1).t() @ self._gather(x).flatten(0, 1)).view(weight.shape)

    def _gather(self, x: Tensor) -> Tensor:
        """Return the patches (N, H W of the result, C_in * kernel)."""
        return functional.unfold(x, **self._patches).transpose(1, 2)

    def _along(self) -> tuple[tuple[int, int], ...]:
        return self._patches["padding"], self._patches["kernel_size"], self._patches["stride"]


class _Scattered:
    """A convolution to few channels: the weights times each pixel, the patches that gives laid over each other.

    That is a transposed convolution; a plain one of stride 1 is one as well, with its kernel turned around.
    """

    layout = torch.contiguous_format

    def __init__(self, conv: Convolution) -> None:
        self._is_turned = isinstance(conv, nn.Conv2d)
        self._kernel, self._stride = conv.kernel_size, conv.stride
        of_turned = tuple(k - 1 - p for k, p in zip(conv.kernel_size, conv.padding, strict=True))
        self._padding = of_turned if self._is_turned else conv.padding

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        outward = weight.transpose(0, 1) if self._is_turned else weight  # (C_in, C_out, *kernel)
        patches = outward.flatten(1).t() @ _rows(x).transpose(1, 2)  # (N, C_out * kernel, H W)
        along = zip(x.shape[2:], self._padding, self._kernel, self._stride, strict=True)
        size = [(n - 1) * s - 2 * p + k for n, p, k, s in along]
        options = {"kernel_size": self._kernel, "padding": self._padding, "stride": self._stride}
        return _folded(patches, size, bias, turned=self._is_turned, **options)

    def of_input(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return _picture(self._gather(of_result) @ self._turned(weight).flatten(1).t(), *x.shape[2:])

    def of_weight(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        product = _rows(x).flatten(0, 1).t() @ self._gather(of_result).flatten(0, 1)
        return self._turned(product.view(self._turned(weight).shape))

    def _gather(self, of_result: Tensor) -> Tensor:
        patches = functional.unfold(of_result, self._kernel, padding=self._padding, stride=self._stride)
        return patches.transpose(1, 2)

    def _turned(self, weight: Tensor) -> Tensor:
        return weight.flip(2, 3).transpose(0, 1) if self._is_turned else weight


class _Innermost:
    """A convolution from 2 x 2 pixels to one, or back: a product with the four middle weights, for no other is used.

    cuDNN reads all 16, and takes the single pixel for a picture that is not channels last: it turns 8 MB around.
    """

    layout = torch.channels_last

    def __init__(self, conv: Convolution) -> None:
        self._is_transposed = isinstance(conv, nn.ConvTranspose2d)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        middle = self._middle(weight).flatten(1)
        if self._is_transposed:
            return _picture((x.flatten(1) @ middle).unflatten(1, (4, -1)), 2, 2)
        return (_rows(x).flatten(1) @ middle.t())[:, :, None, None]

    def of_input(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        middle = self._middle(weight).flatten(1)
        if self._is_transposed:
            return (_rows(of_result).flatten(1) @ middle.t())[:, :, None, None]
        return _picture((of_result.flatten(1) @ middle).unflatten(1, (4, -1)), 2, 2)

    def of_weight(self, of_result: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        one, four = (x, of_result) if self._is_transposed else (of_result, x)
        result = torch.zeros_like(weight)
        middle = self._middle(result)
        middle.copy_((one.flatten(1).t() @ _rows(four).flatten(1)).view(middle.shape))
        return result

    def _middle(self, weight: Tensor) -> Tensor:
        """Return the weights of the 2 x 2 pixels, (C of the one, 2, 2, C of the four)."""
        return weight.permute(0, 2, 3, 1)[:, 1:3, 1:3]


def _rows(x: Tensor) -> Tensor:
    """Return (N, C, H, W) as (N, H W, C), without a copy where its channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _folded(
    patches: Tensor,
    size: Sequence[int],
    bias: Tensor | None,
    *,
    turned: bool,
    kernel_size: tuple[int, ...],
    padding: tuple[int, ...],
    stride: tuple[int, ...],
) -> Tensor:
    """Return the patches (N, C * kernel, L) laid over each other and added up, and the bias: (N, C, *size).

    ``turned`` patches have their last pixel first.
    """
    if patches.is_cuda:
        from mueca.tuned import kernels

        options = {"kernel": kernel_size[0], "padding": padding[0], "stride": stride[0], "turned": turned}
        return kernels.fold(patches, tuple(size), bias, **options)
    if turned:
        patches = patches.unflatten(1, (-1, *kernel_size)).flip(2, 3).flatten(1, 3)
    result = functional.fold(patches, tuple(size), kernel_size, padding=padding, stride=stride)
    return result if bias is None else result + bias[:, None, None]


def _picture(rows: Tensor, height: int, width: int) -> Tensor:
    """Return (N, H W, C) as (N, C, H, W), channels last."""
    return rows.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _sum_of_pixels(x: Tensor) -> Tensor:
    """Return (N, C, H, W) summed to (C,), as a matrix product: PyTorch's own sum over rows takes longer."""
    rows = _rows(x).flatten(0, 1)
    return rows.new_ones(len(rows)) @ rows
