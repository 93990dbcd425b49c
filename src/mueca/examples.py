"""The pairs of a training run, on its device, and how each step's are chosen, moved and cut.

A step's choices are drawn on the host as plain numbers. What is then done with the pictures depends on those numbers
only as a tensor, so that one and the same sequence of operations serves every step: a GPU can be given it once, whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mueca.config import SIZE_PX
from mueca.nets.images import tensor_from_rgb
from mueca.presets import Preset


@dataclass(frozen=True)
class Choice:
    """What chance decides about one place in a step's batch."""

    pair: int
    crop_y: int
    """Upper border of the crop in the enlarged pair, in pixels; 0 without jitter."""
    crop_x: int
    mirrored: int
    """1 or 0."""
    window_y: int
    """Upper border of what the discriminator sees, in pixels."""
    window_x: int
    zoom_y: float
    """Height of the part of the pair that fills the picture, as a share of the pair's; 1 without zoom."""
    zoom_x: float
    shift_y: float
    """How far the part's middle lies below the pair's, in pixels; 0 without shift."""
    shift_x: float
    dropout_seed: int
    """Up to 2**63 - 1. Dropout is drawn for all that a process has of a batch, by the first place of it."""


def draw_choice(preset: Preset, seed: int, step: int, place: int, num_pairs: int) -> Choice:
    """Return what happens at a place of a step's batch: a function of these numbers and of nothing else."""
    rng = np.random.default_rng([seed, step, place])
    return Choice(
        pair_at(seed, step * preset.batch + place, num_pairs),
        *_random_corner(rng, SIZE_PX, preset.jitter_size_px),
        int(preset.mirror and rng.random() < 0.5),
        *_random_corner(rng, preset.discriminator_window_px, SIZE_PX),
        *rng.uniform(1 - preset.zoom, 1 + preset.zoom, size=2).tolist(),
        *rng.uniform(-preset.shift_px, preset.shift_px, size=2).tolist(),
        int(rng.integers(2**63)),
    )


def pair_at(seed: int, position: int, num_pairs: int) -> int:
    """Return the index of the pair that is learned from at a position: each once an epoch, every epoch anew ordered."""
    epoch, place = divmod(position, num_pairs)
    return int(_order_of_epoch(seed, epoch, num_pairs)[place])


class Examples:
    """All pairs on ``device``, as uint8; ``conditions`` and ``targets`` are RGB uint8 (N, 256, 256, 3).

    ``charts`` are (N, 4, GRID, GRID) float32, see ``mueca.face.charts``; None: there are none.
    """

    def __init__(
        self,
        preset: Preset,
        conditions: np.ndarray,
        targets: np.ndarray,
        charts: np.ndarray | None = None,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.preset, self.dtype = preset, dtype
        self._conditions = torch.from_numpy(conditions).to(device)
        self._targets = torch.from_numpy(targets).to(device)
        self._charts = None if charts is None else torch.from_numpy(charts).to(device)
        self._offsets = torch.arange(SIZE_PX, device=device)

    def __len__(self) -> int:
        return len(self._targets)

    def at(self, choices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the conditions and targets of some choices, moved and mirrored as they say.

        ``choices`` is as ``tensor_of`` returns it, on the device; the pictures are (M, 3, 256, 256) in [-1, 1].
        """
        return self.conditions_at(choices), self.targets_at(choices)

    def conditions_at(self, choices: Tensor) -> Tensor:
        """Return the first half of what ``at`` does; enlarged for a crop, flat colours stay what they are."""
        return self._moved(self._conditions, choices, "nearest", beyond="border")

    def targets_at(self, choices: Tensor) -> Tensor:
        """Return the second half of what ``at`` does."""
        return self._moved(self._targets, choices, "bilinear", beyond="reflection")

    def charts_at(self, choices: Tensor) -> Tensor | None:
        """Return the charts of what ``at`` returns, (M, 4, GRID, GRID) float32; None where there are none."""
        if self._charts is None:
            return None
        charts = self._charts.index_select(0, choices[:, 0].long())
        if not (self._moves or self.preset.mirror or self.preset.jitter_size_px > SIZE_PX):
            return charts
        crop_y, crop_x, mirrored = choices[:, 1:4].to(charts.dtype)[:, :, None].unbind(1)  # each (M, 1)
        along = torch.linspace(-1.0, 1.0, charts.shape[-1], device=charts.device)
        in_whole = 2 / self.preset.jitter_size_px  # of the enlarged pair's pixels, from border to border -1 to 1
        down = (crop_y + (along + 1) * (SIZE_PX / 2)) * in_whole - 1
        across = (crop_x + (along * (1 - 2 * mirrored) + 1) * (SIZE_PX / 2)) * in_whole - 1
        places = _places(choices[:, 6:10].to(charts.dtype), down, across)
        return functional.grid_sample(charts, places, "bilinear", "reflection", align_corners=True)

    @property
    def _moves(self) -> bool:
        return bool(self.preset.zoom or self.preset.shift_px)

    def _moved(self, pictures: Tensor, choices: Tensor, enlarging: str, *, beyond: str) -> Tensor:
        """Return pictures in [-1, 1], moved as the choices say: ``beyond`` is what lies beyond their borders."""
        pair, crop_y, crop_x, mirrored = choices[:, :4].long().unbind(1)
        images = tensor_from_rgb(pictures.index_select(0, pair)).to(self.dtype)
        if self._moves:
            centres = ((2 * self._offsets + 1) / SIZE_PX - 1).to(self.dtype)  # of pixels, from border to border -1 to 1
            places = _places(choices[:, 6:10].to(self.dtype), centres, centres)
            images = functional.grid_sample(images, places, "bilinear", beyond, align_corners=False)
        if self.preset.jitter_size_px > SIZE_PX:
            aligned = {} if enlarging == "nearest" else {"align_corners": False}
            images = functional.interpolate(images, self.preset.jitter_size_px, mode=enlarging, **aligned)
        elif not self.preset.mirror:
            return images
        rows = crop_y[:, None] + self._offsets
        backward = SIZE_PX - 1 - self._offsets
        columns = crop_x[:, None] + torch.where(mirrored[:, None] == 1, backward, self._offsets)
        return _taken(images, rows, columns)

    def window(self, images: Tensor, choices: Tensor) -> Tensor:
        """Return what the discriminator sees of (M, 3, 256, 256), differentiably."""
        size = self.preset.discriminator_window_px
        if size == SIZE_PX:
            return images
        top, left = choices[:, 4:6, None].long().unbind(1)  # each (M, 1)
        return _taken(images, top + self._offsets[:size], left + self._offsets[:size])


def tensor_of(choices: Sequence[Choice]) -> Tensor:
    """Return all of the choices but their dropout as float64 (M, CHOSEN), on the CPU."""
    return torch.tensor([astuple(choice)[:-1] for choice in choices], dtype=torch.float64)


CHOSEN = len(fields(Choice)) - 1
"""Numbers that tell a choice to the device."""


def _places(moves: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return where in a pair the places of the moved pictures lie, as grid_sample has it, (M, P, P, 2).

    ``moves`` is (M, 4): zoom y and x, shift y and x in pixels; ``down`` and ``across``, (P,) or (M, P), are the places
    along the sides, from border to border -1 to 1.
    """
    zoom_y, zoom_x, shift_y, shift_x = moves[:, :, None].unbind(1)  # each (M, 1)
    rows = zoom_y * down + shift_y * (2 / SIZE_PX)
    columns = zoom_x * across + shift_x * (2 / SIZE_PX)
    num = rows.shape[1]
    return torch.stack([columns[:, None].expand(-1, num, -1), rows[:, :, None].expand(-1, -1, num)], dim=-1)


def _taken(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return of each picture (M, C, H, W) its own rows (M, H') and columns (M, W'): (M, C, H', W')."""
    num, channels, _, width = images.shape
    rows = rows[:, None, :, None].expand(num, channels, -1, width)
    taken = images.gather(2, rows)
    return taken.gather(3, columns[:, None, None, :].expand(num, channels, taken.shape[2], -1))


def _random_corner(rng: np.random.Generator, window_px: int, size_px: int) -> tuple[int, int]:
    """Return y and x of a random ``window_px`` square's upper left corner in a ``size_px`` one."""
    y, x = rng.integers(size_px - window_px, size=2, endpoint=True)
    return int(y), int(x)


@lru_cache(maxsize=2)
def _order_of_epoch(seed: int, epoch: int, num_pairs: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, num_pairs]).permutation(num_pairs)
