"""The presets' networks block by block, as Markdown, drawn from the networks themselves, so that it can't age.

    python -m mueca.nets.describing > docs/networks.md

The networks run once on tensors without memory (PyTorch's ``meta`` device), and hooks write down what happens.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mueca.config import SIZE_PX
from mueca.face.charts import GRID, NUM_CHARTS
from mueca.nets.building import build_discriminator, build_generator
from mueca.nets.compact import ConvOfMeans
from mueca.nets.textures import Textures
from mueca.presets import PRESETS, Preset

Shape = tuple[int, ...]
"""Channels, height, width."""

_INDENT, _GAP = 3, 60
"""Of the drawings: how much further in each level stands, and how wide the first one is, in characters."""


@dataclass
class Block:
    """A convolution, or what a network is given, and what happens until the next convolution."""

    name: str
    """The module's, such as ``down.0``."""
    kind: str
    inlet: Shape
    outlet: Shape
    kernel: int = 1
    stride: int = 1
    num_parameters: int = 0
    """With those of the norms that follow."""
    flop: int = 0
    """Of a picture: a multiplication and an addition are two; what follows the convolution is not counted."""
    then: list[str] = field(default_factory=list)
    joins: list[Shape] = field(default_factory=list)
    """The shapes of what was joined from several tensors after it."""


def trace(net: nn.Module, *pictures: Tensor) -> list[Block]:
    """Return what happens to ``pictures`` on their way through ``net``, in order; the first block is what is given."""
    shape = _shape(pictures[0])
    names = list(inspect.signature(net.forward).parameters)[: len(pictures)]
    blocks = [Block("given", " and ".join(names), shape, shape)]
    with _listening(net, blocks):
        net(*pictures)
    return blocks


def describe(presets: dict[str, Preset]) -> str:
    """Return the page about the networks of these presets, by name."""
    return "\n".join([_INTRODUCTION, *(line for name, preset in presets.items() for line in _of_preset(name, preset))])


@contextmanager
def _listening(net: nn.Module, blocks: list[Block]) -> Iterator[None]:
    """Write down the modules of ``net`` and the functions between them that are called."""
    listener = _Listener(blocks)
    leaves = [(name, module) for name, module in net.named_modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(listener.enter) for _, module in leaves]
    hooks += [module.register_forward_hook(listener.leave(name)) for name, module in leaves]
    try:
        with listener:
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Listener(TorchFunctionMode):
    """Hears what modules compute, by its hooks, and between them the functions of PyTorch.

    What is computed is the block's that it was computed from; of several, the last one's.
    """

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.blocks = blocks
        self.inside = 0
        self._place_of: dict[int, int] = {}
        """By a tensor's id: which block it came from; what is not there was given."""
        self._tensors: list[Tensor] = []
        """All of these, or another one could get an id of theirs."""

    def enter(self, *_: Any) -> None:
        """Take note that a module is called: what it calls is not written down."""
        self.inside += 1

    def leave(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        """Return the hook for the module of that name, which writes it down."""

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self.inside -= 1
            place = self._last_of(inputs)
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                place = self._begin(_block_of(name, module, _shape(inputs[0]), _shape(output)))
            elif isinstance(module, Textures):
                shapes = _shape(inputs[0]), _shape(output)
                place = self._begin(Block(name, _LOOKED_UP, *shapes, num_parameters=_count(module)))
            else:
                self.blocks[place].then.append(_MODULES.get(type(module), type(module).__name__))
                self.blocks[place].num_parameters += _count(module)
            self._remember(output, place)

        return note

    def _begin(self, block: Block) -> int:
        self.blocks.append(block)
        return len(self.blocks) - 1

    def _last_of(self, values: Any) -> int:
        """Return the place of the last block that the tensors among the values, also nested ones, came from."""
        if isinstance(values, Tensor):
            return self._place_of.get(id(values), 0)
        return max(map(self._last_of, values), default=0) if isinstance(values, (list, tuple)) else 0

    def _remember(self, tensor: Tensor, place: int) -> None:
        self._place_of[id(tensor)] = place
        self._tensors.append(tensor)

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **(options or {}))
        if not self.inside and isinstance(result, Tensor):
            place = self._last_of((*arguments, *(options or {}).values()))
            self._note(self.blocks[place], function, arguments, options or {}, result)
            self._remember(result, place)
        return result

    def _note(
        self, last: Block, function: Any, arguments: Sequence[Any], options: dict[str, Any], result: Tensor
    ) -> None:
        if function in _FUNCTIONS:
            last.then.append(_FUNCTIONS[function])
        elif function is functional.dropout:
            last.then.append(f"dropout {inspect.signature(function).bind(*arguments, **options).arguments['p']:g}")
        elif function in _RESHAPING:
            channels, height, _ = _shape(result)
            last.then.append(f"{_RESHAPING[function]} to {channels} × {height}²")
            if function is torch.cat:
                last.joins.append(_shape(result))
        elif getattr(function, "__module__", "") in ("torch.nn.functional", "torch._C._nn"):
            last.then.append(function.__name__)


_LOOKED_UP = "textures, looked up by the charts"
_MODULES = {nn.BatchNorm2d: "batch norm", nn.InstanceNorm2d: "instance norm"}
_FUNCTIONS = {
    functional.leaky_relu: "LeakyReLU",
    functional.relu: "ReLU",
    torch.relu: "ReLU",
    torch.tanh: "tanh",
    torch.sigmoid: "sigmoid",
}
_RESHAPING = {
    torch.cat: "joined",
    torch.pixel_shuffle: "unfolded",
    torch.pixel_unshuffle: "folded",
    functional.interpolate: "interpolated",
    functional.avg_pool2d: "averaged",
}


def _block_of(name: str, conv: nn.Conv2d | nn.ConvTranspose2d, inlet: Shape, outlet: Shape) -> Block:
    is_transposed = isinstance(conv, nn.ConvTranspose2d)
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    of_means = isinstance(conv, ConvOfMeans)
    # A transposed convolution spreads every pixel that it is given, a plain one gathers every pixel that it gives.
    places = inlet[1] * inlet[2] if is_transposed else outlet[1] * outlet[2]
    flop = 2 * conv.weight.numel() * places
    if of_means:  # 4 x 4, of one row and one column more; and what spreads the 3 x 3 over them
        spread = conv.weight[:, :, 0, 0].numel() * (kernel + 1) ** 2
        flop = 2 * spread * ((outlet[1] + 1) * (outlet[2] + 1) + 2 * 2)
    return Block(
        name,
        f"{'transposed ' * is_transposed}convolution {kernel} × {kernel}"
        + f", stride {stride}" * (stride > 1)
        + " of 2 × 2 means" * of_means,
        inlet,
        outlet,
        kernel,
        stride,
        _count(conv),
        flop,
    )


def _of_preset(name: str, preset: Preset) -> Iterator[str]:
    with torch.device("meta"):
        generator, discriminator = build_generator(preset).eval(), build_discriminator(preset).eval()
        whole = torch.empty(1, 3, SIZE_PX, SIZE_PX)
        window = torch.empty(1, 3, preset.discriminator_window_px, preset.discriminator_window_px)
        charts = torch.empty(1, 2 * NUM_CHARTS, GRID, GRID)
    given = (whole, charts) if preset.textures else (whole,)
    painting, judging = trace(generator, *given), trace(discriminator, window, window)
    cost, cost_of_judging = (sum(block.flop for block in blocks) for blocks in (painting, judging))
    sees = receptive_field(judging)

    yield f"\n## Preset `{name}`\n"
    yield (
        f"The two losses cost 3 × {_gflop(cost)} + 8 × {_gflop(cost_of_judging)} = "
        f"{(3 * cost + 8 * cost_of_judging) / 1e9:.1f} GFLOP a step at batch 1.\n"
    )
    yield from _heading("Generator", generator, painting)
    yield from ("```", *drawing(painting), "```", "")
    yield from _table(painting)
    yield from ("", *_heading("Discriminator", discriminator, judging))
    yield (
        f"It is given {_pixels(window.shape[2:])} pixels, and each of its {_pixels(judging[-1].outlet[1:])} logits "
        f"sees {sees[-1]} × {sees[-1]} of them.\n"
    )
    yield from _table(judging, sees=sees)


def _heading(role: str, net: nn.Module, blocks: list[Block]) -> Iterator[str]:
    kind = type(net)
    yield f"### {role}: `{kind.__module__}.{kind.__name__}`\n"
    yield f"{(inspect.getdoc(kind) or '').partition(chr(10))[0]}\n"
    yield f"{_count(net):,} parameters; {_gflop(sum(block.flop for block in blocks))} GFLOP a picture.\n"


def _table(blocks: list[Block], *, sees: Sequence[int] | None = None) -> Iterator[str]:
    yield "| block | what | in | out | then | parameters | GFLOP |" + " sees, px |" * bool(sees)
    yield "|---|---|---|---|---|--:|--:|" + "--:|" * bool(sees)
    for place, block in enumerate(blocks):
        numbers = [f"{block.num_parameters:,}", _gflop(block.flop)] if place else ["", ""]
        shapes = [_pixels(block.inlet), _pixels(block.outlet)] if place else ["", _pixels(block.outlet)]
        cells = [f"`{block.name}`" if place else "", block.kind, *shapes, ", ".join(block.then), *numbers]
        yield "| " + " | ".join(cells + ([str(sees[place])] if sees else [])) + " |"


def drawing(blocks: Sequence[Block]) -> list[str]:
    """Return a drawing of a generator: its channels at each size on the way down and up, and where they are joined."""
    blocks = [block for block in blocks if block.kind != _LOOKED_UP]
    sizes = sorted({block.outlet[1] for block in blocks}, reverse=True)
    bottom = next(i for i, block in enumerate(blocks) if block.outlet[1] == sizes[-1])
    down, up = ({b.outlet[1]: b.outlet[0] for b in part} for part in (blocks[: bottom + 1], blocks[bottom + 1 :]))
    joined = {shape[1] for block in blocks[bottom:] for shape in block.joins}
    lines = []
    for level, size in enumerate(sizes):
        gap = _GAP - 2 * _INDENT * level
        left = f"{down.get(size, ''):>5} "
        right = f" {up.get(size, '')}" if size in up else ""
        line = ("─" if size in joined else " ") * gap
        lines.append(f"{size:>4} px {' ' * _INDENT * level}{left}{line}{right}".rstrip())
    return lines


def receptive_field(blocks: Sequence[Block]) -> list[int]:
    """Return how many pixels, in a row, enter a value after each of the blocks, which must follow one another."""
    seen, apart, fields = 1, 1, []
    for block in blocks:
        seen, apart = seen + (block.kernel - 1) * apart, apart * block.stride
        fields.append(seen)
    return fields


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape[1:])


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _pixels(shape: Sequence[int]) -> str:
    return " × ".join(str(length) for length in shape)


def _gflop(flop: int) -> str:
    return f"{flop / 1e9:.3f}"


_INTRODUCTION = """\
# The networks

Drawn from the networks themselves by `python -m mueca.nets.describing > docs/networks.md`; a test fails when this page
is old.

Shapes are channels × height × width, for one picture; "joined to 128 × 64²" means 128 channels of 64 × 64 pixels. A
norm is counted with the convolution before it. Of the FLOP, a multiplication and an addition are two; norms and
activations, which take time but few FLOP, are not counted.

Going back takes twice the FLOP of going forward: once for the weights, once for what was given. A step goes through the
generator forward and back (3), through the discriminator forward and back with the fake and with the real picture (6),
and once more with the fake for the generator's sake, where its own weights learn nothing (2).

In the drawings, which give the channels at each size, a line is a skip: what was there on the way down is joined to
what comes up."""


if __name__ == "__main__":
    sys.stdout.write(describe(PRESETS) + "\n")
