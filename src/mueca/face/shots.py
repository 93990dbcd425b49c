"""Where a clip cuts from one shot to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from mueca.face.frames import TimedImage

Array = np.ndarray

CUT_COLOUR, CUT_PICTURE = 0.2, 0.04
"""Least change of the colours' histogram (0 to 1) and of a thumbnail (0 to 1) at a cut.

Measured on six real clips and two drawn ones: from frame to frame at most 0.043 and 0.017, whatever the head does;
between any two of the clips at least 0.30 and 0.054.
"""
CUT_OVER_USUAL = 4.0
"""How many times its median over the last frames the change must be: neither shaken cameras nor coloured lights cut."""

FLASH_FRAMES = 2
"""A picture that is back after so many frames was a flash, not a cut."""

_MEMORY_FRAMES = 15
_SIDE_PX = 64  # of the picture that is compared: every pixel of it is one of the frame's, 0.05 ms
_CELL_PX = 4
_LEVELS = 8  # of each colour in the histogram


@dataclass(frozen=True)
class ShotFrame:
    """A frame with the number of its shot, from 0."""

    frame: TimedImage
    shot: int
    is_flash: bool
    """Unlike the frames before and after it, which are alike."""


def split_shots(frames: Iterable[TimedImage]) -> Iterator[ShotFrame]:
    """Yield every frame with its shot; a flash, a shake or a fast head cuts nothing.

    Frames come as they are read; only where one looks like a cut are the next FLASH_FRAMES awaited. A few lines
    instead of PySceneDetect, which would bring four packages for one comparison of neighbours, 0.05 ms here.
    """
    shot, usual = 0, deque([0.0], maxlen=_MEMORY_FRAMES)
    last: Array | None = None
    coming = ((frame, _looks_of(frame.image)) for frame in frames)
    held: deque[tuple[TimedImage, Array]] = deque()
    while pair := held.popleft() if held else next(coming, None):
        frame, look = pair
        level = float(np.median(usual))
        change, is_jump = (0.0, False) if last is None else _compare(last, look, level)
        if is_jump:
            held.extend(islice(coming, FLASH_FRAMES - len(held)))
            if any(_is_back(last, look, later, level) for _, later in held):
                yield ShotFrame(frame, shot, is_flash=True)
                continue
            shot, usual = shot + 1, deque([0.0], maxlen=_MEMORY_FRAMES)
        else:
            usual.append(change)
        last = look
        yield ShotFrame(frame, shot, is_flash=False)


def _looks_of(image: Array) -> Array:
    """Return the picture (64, 64, 3) that stands for a frame; sampled, for averaging a large one takes 3 ms."""
    return cv2.resize(image, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_NEAREST)


def _compare(a: Array, b: Array, usual: float) -> tuple[float, bool]:
    """Return how much the histogram changed, 0 to 1, and whether that and the thumbnails' change make a jump."""
    colour = float(np.abs(_histogram(a) - _histogram(b)).sum() / 2)
    if colour <= max(CUT_COLOUR, CUT_OVER_USUAL * usual):
        return colour, False
    return colour, float(np.abs(_thumbnail(a) - _thumbnail(b)).mean()) > CUT_PICTURE


def _is_back(before: Array, jumped: Array, later: Array, usual: float) -> bool:
    """Tell whether the picture after a jump is the one before it again."""
    return not _compare(before, later, usual)[1] and _compare(jumped, later, usual)[1]


def _histogram(look: Array) -> Array:
    """Return the shares (512,) of 8 x 8 x 8 colours."""
    level = (look // (256 // _LEVELS)).astype(np.int64)
    code = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    return np.bincount(code.ravel(), minlength=_LEVELS**3) / code.size


def _thumbnail(look: Array) -> Array:
    """Return the means (16, 16, 3) of the picture's cells, 0 to 1."""
    cells = _SIDE_PX // _CELL_PX
    return look.reshape(cells, _CELL_PX, cells, _CELL_PX, 3).mean((1, 3)) / 255
