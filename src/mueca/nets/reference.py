"""Between mueca's names for the tensors of ``paper``'s networks and those of the reference PyTorch implementation.

There, ``unet_256`` is nested, so that names are paths through its levels (``model.model.1.model.3.model.5.weight``),
and ``basic`` is one sequence (``model.2.weight``). The tensors themselves are the same. Both with batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mueca.errors import InputError
from mueca.nets.patchgan import PatchGAN
from mueca.nets.unet import UNet

State = dict[str, Tensor]

MOST_WIDTH = 512
"""A file must not ask for a network as big as a house; a preset's widths have the same limit."""
_LEVELS = 8
_COUNTER = "num_batches_tracked"
_UNCOUNTED = torch.tensor(0)
"""Stands in for the counter that PyTorch before 0.4.1 didn't save; nothing is computed from it here."""


def generator_from_reference(state: Mapping[str, Tensor]) -> State:
    """Return the state of ``UNet`` for that of the reference's ``unet_256``: copies, of the same floating type.

    The names may begin with ``module.``. Raises InputError, which whoever knows the file puts its name in front of, at
    any other network.
    """
    return _from_reference(state, _GENERATOR)


def discriminator_from_reference(state: Mapping[str, Tensor]) -> State:
    """Return the state of ``PatchGAN`` for that of the reference's ``basic``; see ``generator_from_reference``."""
    return _from_reference(state, _DISCRIMINATOR)


def generator_to_reference(state: Mapping[str, Tensor]) -> State:
    """Return the state of the reference's ``unet_256`` for that of ``UNet``; raises InputError at another network's."""
    return _to_reference(state, _GENERATOR)


def discriminator_to_reference(state: Mapping[str, Tensor]) -> State:
    """Return the state of the reference's ``basic`` for that of ``PatchGAN``; raises InputError as above."""
    return _to_reference(state, _DISCRIMINATOR)


def width_of(state: Mapping[str, Tensor]) -> int:
    """Return the width (pix2pix's ngf or ndf) of the ``UNet`` or ``PatchGAN`` that has this state."""
    return len(next(state[name] for name in ("down.0.weight", "convs.0.weight") if name in state))


@dataclass(frozen=True)
class _Kind:
    """A network that both sides know."""

    wanted: str
    """What it is, in the reference's words."""
    modules: dict[str, str]
    """The reference's name of each of our modules, in the reference's order."""
    build: Callable[[int], nn.Module]
    """Make ours, from a width."""
    describe: Callable[[set[str]], str | None]
    """Say in words what tensors of these names belong to, where it is known and isn't this."""


def _from_reference(state: Mapping[str, Tensor], kind: _Kind) -> State:
    given = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    strange = kind.describe(set(given))
    if strange:
        raise InputError(f"holds {strange}; mueca reads {kind.wanted} only")
    first = next(iter(kind.modules.values())) + ".weight"
    if first not in given or not given[first].dim() or not 1 <= len(given[first]) <= MOST_WIDTH:
        raise InputError(f"holds no {first} of 1 to {MOST_WIDTH} channels; mueca reads {kind.wanted} only")
    shapes = _shapes(kind, len(given[first]))
    theirs = {name: _theirs(name, kind) for name in shapes}
    _require_fit(given, {theirs[name]: shape for name, shape in shapes.items()}, kind.wanted)
    return {name: given.get(theirs[name], _UNCOUNTED).detach().clone() for name in shapes}


def _to_reference(state: Mapping[str, Tensor], kind: _Kind) -> State:
    first = next(iter(kind.modules)) + ".weight"
    shapes = _shapes(kind, len(state[first])) if first in state else {}
    if {name: tuple(tensor.shape) for name, tensor in state.items()} != shapes:
        raise InputError(f"isn't {kind.wanted}, and the reference's format has no place for another network")
    place = {module: i for i, module in enumerate(kind.modules)}
    names = sorted(shapes, key=lambda name: place[name.rpartition(".")[0]])
    return {_theirs(name, kind): state[name].detach().clone() for name in names}


def _shapes(kind: _Kind, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of our network of that width, by our names."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in kind.build(width).state_dict().items()}


def _theirs(name: str, kind: _Kind) -> str:
    module, _, tensor = name.rpartition(".")
    return f"{kind.modules[module]}.{tensor}"


def _require_fit(given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], wanted: str) -> None:
    """Raise InputError at the first tensor that is missing, of another shape or type, or not known."""
    for name, shape in shapes.items():
        counts = name.endswith(_COUNTER)
        if name not in given and not counts:
            raise InputError(f"has no {name}; mueca reads {wanted} only")
        tensor = given.get(name, _UNCOUNTED)
        if tuple(tensor.shape) != shape:
            raise InputError(f"its {name} is {tuple(tensor.shape)}, not {shape}; mueca reads {wanted} only")
        if tensor.dtype != torch.int64 if counts else not tensor.is_floating_point():
            raise InputError(f"its {name} holds {tensor.dtype}; mueca reads {wanted} only")
    strange = sorted(set(given) - set(shapes))
    if strange:
        raise InputError(f"holds {strange[0]:.80}, which is no part of {wanted}")


def _generator_modules() -> dict[str, str]:
    last = _LEVELS - 1
    paths = ["model", *("model.model.1" + ".model.3" * level for level in range(last))]
    down, up = {"down.0": "model.model.0"}, {}
    for level in range(1, last):
        down |= {f"down.{level}": f"{paths[level]}.model.1", f"down_norm.{level - 1}": f"{paths[level]}.model.2"}
    down |= {f"down.{last}": f"{paths[last]}.model.1"}
    for level in range(last, 0, -1):
        place = 3 if level == last else 5  # the innermost level has neither a norm nor a level before its way up
        up |= {f"up.{last - level}": f"{paths[level]}.model.{place}"}
        up |= {f"up_norm.{last - level}": f"{paths[level]}.model.{place + 1}"}
    return down | up | {f"up.{last}": "model.model.3"}


def _what_generator(names: set[str]) -> str | None:
    if any("conv_block" in name for name in names):
        return "a ResNet generator"
    if "model.11.weight" in names:
        return "a discriminator"
    levels = max((name.count("model") for name in names), default=0) - 1
    if "model.model.0.weight" in names and levels != _LEVELS:
        return f"a U-Net of {levels} levels, not {_LEVELS}"
    return "a U-Net with instance norm" if "model.model.1.model.1.bias" in names else None


def _what_discriminator(names: set[str]) -> str | None:
    if "model.model.0.weight" in names:
        return "a generator"
    if "net.0.weight" in names:
        return "the discriminator pixel"
    return "a discriminator with instance norm" if "model.2.bias" in names else None


_GENERATOR = _Kind(
    wanted="unet_256 with batch norm",
    modules=_generator_modules(),
    build=lambda width: UNet(width=width, dropout=0.0),
    describe=_what_generator,
)
_DISCRIMINATOR = _Kind(
    wanted="the discriminator basic with batch norm",
    modules={
        "convs.0": "model.0",
        "convs.1": "model.2",
        "norms.0": "model.3",
        "convs.2": "model.5",
        "norms.1": "model.6",
        "convs.3": "model.8",
        "norms.2": "model.9",
        "logits": "model.11",
    },
    build=lambda width: PatchGAN(width=width, norm="batch"),
    describe=_what_discriminator,
)
