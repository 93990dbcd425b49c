"""Triton kernels: a batch norm with the activations behind it, and Adam, each in as few passes over memory as can be.

Pictures are (N, C, H, W), channels last in memory: rows of C values, one for each pixel. Statistics and sums are
float32. A program takes ``BLOCK_C`` channels of some rows; ``_sums`` and ``_gradient_sums`` leave ``PARTS`` partial
sums, which the kernel after them adds up in a fixed order, so that the same input gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

SLOPE = tl.constexpr(0.2)
"""Of the LeakyReLU."""


def activate(
    x: Tensor,
    norm: nn.BatchNorm2d | None,
    *,
    leaky: Tensor | None,
    rectified: Tensor | None,
    mask: Tensor | None = None,
) -> Tensor:
    """Write LeakyReLU and ReLU of ``norm(x)`` into ``leaky`` and ``rectified``; return the statistics (2, C).

    ``x`` and ``leaky`` are (N, C, H, W), ``rectified`` is half of the channels of (N, 2 C, H, W); all channels last.
    The norm takes the batch's own statistics and updates its running averages; None: no norm, empty statistics.
    ``mask``, like ``x``, multiplies ``rectified``.
    """
    grid = _Grid.of(x)
    options = grid.options | _flags(leaky, rectified, mask) | {"NORM": norm is not None}
    if norm is None:
        statistics = partial = x.new_empty(0, dtype=torch.float32)
        rest = (x, x, x, x, 0.0, 0.0)
    else:
        statistics = x.new_empty((2, grid.channels), dtype=torch.float32)
        partial = x.new_empty((grid.parts, 2, grid.channels), dtype=torch.float32)
        _sums[grid.of_sums](x, partial, grid.rows, **grid.options, PARTS=grid.parts)
        rest = (norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps)
    pictures = (t if t is not None else x for t in (leaky, rectified, mask))
    _activate[grid.of_rows](x, partial, *pictures, statistics, *rest, grid.rows, **options, PARTS=grid.parts)
    return statistics


def gradients(
    x: Tensor,
    statistics: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    leaky: Tensor | None,
    rectified: Tensor | None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradients of what ``activate`` was given: of ``x``, and of the norm's scale and shift if it has one.

    ``leaky`` and ``rectified`` are those of its outputs, in their layout; None: it wrote none.
    """
    grid = _Grid.of(x)
    flags = _flags(leaky, rectified, mask)
    given = (x, *(t if t is not None else x for t in (leaky, rectified, mask)), statistics)
    of_x = torch.empty_like(x)
    if scale is None:
        unused = (statistics, x, x, of_x, x, x)
        _differentiate[grid.of_rows](*given, *unused, grid.rows, **grid.options, **flags, NORM=False, PARTS=1)
        return of_x, None, None
    partial = x.new_empty((grid.parts, 2, grid.channels), dtype=torch.float32)
    of_scale, of_shift = torch.empty_like(scale), torch.empty_like(shift)
    _gradient_sums[grid.of_sums](*given, partial, scale, shift, grid.rows, **grid.options, **flags, PARTS=grid.parts)
    outputs = (partial, scale, shift, of_x, of_scale, of_shift)
    _differentiate[grid.of_rows](*given, *outputs, grid.rows, **grid.options, **flags, NORM=True, PARTS=grid.parts)
    return of_x, of_scale, of_shift


def _flags(leaky: Tensor | None, rectified: Tensor | None, mask: Tensor | None) -> dict[str, bool]:
    return {"LEAKY": leaky is not None, "RECTIFIED": rectified is not None, "MASKED": mask is not None}


@dataclass(frozen=True)
class _Grid:
    """How a picture is shared out between the programs of a kernel."""

    rows: int
    channels: int
    block_rows: int
    block_channels: int
    parts: int

    @staticmethod
    def of(x: Tensor) -> _Grid:
        """Return the grid of (N, C, H, W); C is a multiple of 16."""
        channels, rows = x.shape[1], x.numel() // x.shape[1]
        block_rows, block_channels = (64 if rows >= 64 else 16), (32 if channels >= 512 else 16)
        parts = 1
        # So many partial sums that two programs for each of a large GPU's 132 multiprocessors are at work, if they have
        # two blocks of rows each.
        while channels // block_channels * parts * 2 <= 264 and parts * 4 * block_rows <= rows and parts < 64:
            parts *= 2
        return _Grid(rows, channels, block_rows, block_channels, parts)

    @property
    def options(self) -> dict[str, int]:
        return {"CHANNELS": self.channels, "BLOCK_R": self.block_rows, "BLOCK_C": self.block_channels}

    @property
    def of_sums(self) -> tuple[int, int]:
        return self.channels // self.block_channels, self.parts

    @property
    def of_rows(self) -> tuple[int, int]:
        return triton.cdiv(self.rows, self.block_rows), self.channels // self.block_channels


@triton.jit
def _sums(x, partial, rows, CHANNELS: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr):
    """Sum x and its squares over the rows, less the first row, without which float32 would round the variance away."""
    channel = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    part = tl.program_id(1)
    pivot = tl.load(x + channel).to(tl.float32)
    sums = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    squares = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    for first in range(part * BLOCK_R, rows, PARTS * BLOCK_R):
        row = first + tl.arange(0, BLOCK_R)
        inside = (row < rows)[:, None]
        value = tl.load(x + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
        value = tl.where(inside, value - pivot[None], 0.0)
        sums += value
        squares += value * value
    tl.store(partial + part * 2 * CHANNELS + channel, tl.sum(sums, 0))
    tl.store(partial + part * 2 * CHANNELS + CHANNELS + channel, tl.sum(squares, 0))


@triton.jit
def _both_totals(partial, channel, CHANNELS: tl.constexpr, PARTS: tl.constexpr):
    part = tl.arange(0, PARTS)[:, None] * 2 * CHANNELS + channel[None]
    return tl.sum(tl.load(partial + part), 0), tl.sum(tl.load(partial + part + CHANNELS), 0)


@triton.jit
def _activate(
    x, partial, leaky, rectified, mask, statistics, scale, shift, running_mean, running_variance, momentum, eps, rows,
    CHANNELS: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr,
    NORM: tl.constexpr, LEAKY: tl.constexpr, RECTIFIED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = (row < rows)[:, None]
    value = tl.load(x + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
    if NORM:
        total, squares = _both_totals(partial, channel, CHANNELS, PARTS)
        mean_less_pivot = total / rows
        variance = tl.maximum(squares / rows - mean_less_pivot * mean_less_pivot, 0.0)
        mean = mean_less_pivot + tl.load(x + channel).to(tl.float32)
        inverse = 1.0 / tl.sqrt(variance + eps)
        if tl.program_id(0) == 0:
            tl.store(statistics + channel, mean)
            tl.store(statistics + CHANNELS + channel, inverse)
            kept = 1.0 - momentum
            unbiased = variance * (rows / (rows - 1.0))
            tl.store(running_mean + channel, kept * tl.load(running_mean + channel) + momentum * mean)
            tl.store(running_variance + channel, kept * tl.load(running_variance + channel) + momentum * unbiased)
        factor = inverse * tl.load(scale + channel)
        value = value * factor[None] + (tl.load(shift + channel) - mean * factor)[None]
    if LEAKY:
        place = leaky + row[:, None] * CHANNELS + channel[None]
        tl.store(place, tl.where(value > 0, value, SLOPE * value).to(leaky.dtype.element_ty), inside)
    if RECTIFIED:
        if MASKED:
            value *= tl.load(mask + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
        place = rectified + row[:, None] * (2 * CHANNELS) + channel[None]
        tl.store(place, tl.maximum(value, 0.0).to(rectified.dtype.element_ty), inside)


@triton.jit
def _value_and_gradient(
    x, leaky, rectified, mask, row, channel, inside, factor, offset,
    CHANNELS: tl.constexpr, LEAKY: tl.constexpr, RECTIFIED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Return x and the gradient of the norm's output, from those of the activations behind it."""
    value = tl.load(x + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
    positive = value * factor[None] + offset[None] > 0
    gradient = tl.zeros_like(value)
    if LEAKY:
        given = tl.load(leaky + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
        gradient += tl.where(positive, given, SLOPE * given)
    if RECTIFIED:
        given = tl.load(rectified + row[:, None] * (2 * CHANNELS) + channel[None], inside, other=0.0).to(tl.float32)
        if MASKED:
            given *= tl.load(mask + row[:, None] * CHANNELS + channel[None], inside, other=0.0).to(tl.float32)
        gradient += tl.where(positive, given, 0.0)
    return value, gradient


@triton.jit
def _gradient_sums(
    x, leaky, rectified, mask, statistics, partial, scale, shift, rows,
    CHANNELS: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr,
    LEAKY: tl.constexpr, RECTIFIED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    part = tl.program_id(1)
    mean, inverse = tl.load(statistics + channel), tl.load(statistics + CHANNELS + channel)
    factor = inverse * tl.load(scale + channel)
    offset = tl.load(shift + channel) - mean * factor
    sums = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    products = tl.zeros([BLOCK_R, BLOCK_C], tl.float32)
    for first in range(part * BLOCK_R, rows, PARTS * BLOCK_R):
        row = first + tl.arange(0, BLOCK_R)
        inside = (row < rows)[:, None]
        value, gradient = _value_and_gradient(
            x, leaky, rectified, mask, row, channel, inside, factor, offset, CHANNELS, LEAKY, RECTIFIED, MASKED
        )
        sums += gradient
        products += gradient * (value - mean[None]) * inverse[None]
    tl.store(partial + part * 2 * CHANNELS + channel, tl.sum(sums, 0))
    tl.store(partial + part * 2 * CHANNELS + CHANNELS + channel, tl.sum(products, 0))


@triton.jit
def _differentiate(
    x, leaky, rectified, mask, statistics, partial, scale, shift, of_x, of_scale, of_shift, rows,
    CHANNELS: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, PARTS: tl.constexpr,
    NORM: tl.constexpr, LEAKY: tl.constexpr, RECTIFIED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    inside = (row < rows)[:, None]
    factor, offset = tl.full([BLOCK_C], 1.0, tl.float32), tl.zeros([BLOCK_C], tl.float32)
    if NORM:
        mean, inverse = tl.load(statistics + channel), tl.load(statistics + CHANNELS + channel)
        factor = inverse * tl.load(scale + channel)
        offset = tl.load(shift + channel) - mean * factor
    value, gradient = _value_and_gradient(
        x, leaky, rectified, mask, row, channel, inside, factor, offset, CHANNELS, LEAKY, RECTIFIED, MASKED
    )
    if NORM:
        total, products = _both_totals(partial, channel, CHANNELS, PARTS)
        if tl.program_id(0) == 0:
            tl.store(of_shift + channel, total)
            tl.store(of_scale + channel, products)
        normal = (value - mean[None]) * inverse[None]
        gradient = factor[None] * (gradient - (total / rows)[None] - normal * (products / rows)[None])
    tl.store(of_x + row[:, None] * CHANNELS + channel[None], gradient.to(of_x.dtype.element_ty), inside)


_FOLD_BLOCK = 256


def fold(
    patches: Tensor, size: tuple[int, int], bias: Tensor | None, *, kernel: int, padding: int, stride: int, turned: bool
) -> Tensor:
    """Return patches (N, C * kernel**2, L) laid over each other and added up, as ``functional.fold`` does.

    ``bias`` (C,) is added to it; ``turned`` patches have their last pixel first. PyTorch's own takes 20 us for the
    logits of ``paper`` on an H200, and 11 for its fakes.
    """
    number, channels = len(patches), patches.shape[1] // kernel**2
    height, width = size
    result = patches.new_empty((number, channels, height, width))
    across = (width + 2 * padding - kernel) // stride + 1
    grid = (triton.cdiv(height * width, _FOLD_BLOCK), channels, number)
    options = {"KERNEL": kernel, "PADDING": padding, "STRIDE": stride, "TURNED": turned, "BIASED": bias is not None}
    of_bias = patches if bias is None else bias
    sizes = (height, width, patches.shape[2] // across, across)
    _fold[grid](patches, of_bias, result, *sizes, *patches.stride(), **options, BLOCK=_FOLD_BLOCK)
    return result


@triton.jit
def _fold(
    patches, bias, result, height, width, down, across, stride_n, stride_c, stride_l,
    KERNEL: tl.constexpr, PADDING: tl.constexpr, STRIDE: tl.constexpr, TURNED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    channel, number = tl.program_id(1), tl.program_id(2)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < height * width
    y, x = place // width + PADDING, place % width + PADDING
    total = tl.zeros([BLOCK], tl.float32)
    for tap_y in tl.static_range(KERNEL):
        for tap_x in tl.static_range(KERNEL):
            top, left = y - tap_y, x - tap_x
            is_there = inside & (top >= 0) & (left >= 0) & (top % STRIDE == 0) & (left % STRIDE == 0)
            row, column = top // STRIDE, left // STRIDE
            is_there &= (row < down) & (column < across)
            tap = KERNEL * KERNEL - 1 - tap_y * KERNEL - tap_x if TURNED else tap_y * KERNEL + tap_x
            source = patches + number * stride_n + (channel * KERNEL * KERNEL + tap) * stride_c
            total += tl.load(source + (row * across + column) * stride_l, is_there, other=0.0).to(tl.float32)
    if BIASED:
        total += tl.load(bias + channel).to(tl.float32)
    target = result + (number * tl.num_programs(1) + channel) * height * width + place
    tl.store(target, total.to(result.dtype.element_ty), inside)


def cross_entropy(logits: Tensor, *, real: bool) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of the logits, which should all say ``real``, a float32 scalar; and its gradient.

    There may be a few thousand logits.
    """
    loss, gradient = logits.new_empty((), dtype=torch.float32), torch.empty_like(logits)
    number = logits.numel()
    _cross_entropy[(1,)](logits, loss, gradient, number, SIGN=-1 if real else 1, BLOCK=triton.next_power_of_2(number))
    return loss, gradient


@triton.jit
def _cross_entropy(logits, loss, gradient, number, SIGN: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    inside = place < number
    wrong = SIGN * tl.load(logits + place, inside, other=0.0).to(tl.float32)
    # log(1 + exp(wrong)), without overflow.
    each = tl.maximum(wrong, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(wrong)))
    tl.store(loss, tl.sum(tl.where(inside, each, 0.0), 0) / number)
    tl.store(gradient + place, (SIGN * tl.sigmoid(wrong) / number).to(gradient.dtype.element_ty), inside)


_ADAM_BLOCK = 1024


def adam(
    weight: Tensor, mean: Tensor, square: Tensor, step: Tensor, rate: Tensor, gradients: list[Tensor], working: Tensor,
    *, betas: tuple[float, float], eps: float,
) -> None:  # fmt: skip
    """Update a weight, Adam's two moments and the weight's ``working`` copy by the sum of one or two gradients.

    ``weight``, ``mean`` and ``square`` are float32; ``step``, from 1, and ``rate`` are scalars on the device. All but
    these lie in memory alike. Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1.
    """
    number = weight.numel()
    both = (gradients[0], gradients[-1])
    _adam[(triton.cdiv(number, _ADAM_BLOCK),)](
        weight, mean, square, step, rate, *both, working, number,
        TWO=len(gradients) == 2, BETA1=betas[0], BETA2=betas[1], LOG1=math.log(betas[0]), LOG2=math.log(betas[1]),
        EPS=eps, BLOCK=_ADAM_BLOCK,
    )  # fmt: skip


@triton.jit
def _adam(
    weight, mean, square, step, rate, first, second, working, number,
    TWO: tl.constexpr, BETA1: tl.constexpr, BETA2: tl.constexpr, LOG1: tl.constexpr, LOG2: tl.constexpr,
    EPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # In float64, for 1 - BETA2**1 would lose half of float32's digits.
    steps = tl.load(step).to(tl.float64)
    rest1, rest2 = 1.0 - tl.exp(steps * LOG1), 1.0 - tl.exp(steps * LOG2)
    size, root2 = (tl.load(rate) / rest1).to(tl.float32), tl.sqrt(rest2).to(tl.float32)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < number
    gradient = tl.load(first + place, inside, other=0.0).to(tl.float32)
    if TWO:
        gradient += tl.load(second + place, inside, other=0.0).to(tl.float32)
    m = BETA1 * tl.load(mean + place, inside, other=0.0) + (1 - BETA1) * gradient
    v = BETA2 * tl.load(square + place, inside, other=0.0) + (1 - BETA2) * gradient * gradient
    w = tl.load(weight + place, inside, other=0.0) - size * m / (tl.sqrt(v) / root2 + EPS)
    tl.store(mean + place, m, inside)
    tl.store(square + place, v, inside)
    tl.store(weight + place, w, inside)
    tl.store(working + place, w.to(working.dtype.element_ty), inside)
