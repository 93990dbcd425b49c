"""The held-out frames and what is known of them: their times, which are neighbours, their landmarks, the poses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from mueca.evaluation.intervals import blocks_of
from mueca.evaluation.scores import Poses
from mueca.face.crop import apply_transform
from mueca.face.movements import movements_of
from mueca.foreign import Dataset
from mueca.pairs import LANDMARKS, Landmarks, Pairs, read_landmarks

Array = np.ndarray


@dataclass(frozen=True)
class HeldOut:
    """The real held-out frames; N of them, in order of time."""

    names: tuple[str, ...]
    frame_index: Array
    """(N,) int64."""
    targets: Array
    """(N, H, W, 3) RGB uint8."""
    landmarks: Array | None
    """(N, 68, 2) in crop pixels, as the pairs themselves have them; None where they don't."""
    block: Array
    """(N,) int64: the second that the frame belongs to, see ``mueca.evaluation.intervals``."""
    follows: Array
    """(N,) bool: the frame is the one right after the frame before it."""


def held_out_of(data: Dataset, test: Pairs) -> HeldOut:
    """Return what the pairs tell of their test frames; raises InputError where their landmarks are damaged."""
    track, rows = _track_of(data, test)
    num = len(test.names)
    own = None if track is None else apply_transform(np.linalg.inv(track.frame_from_crop), track.landmarks)[rows]
    times = None if track is None else track.timestamp_s[rows]
    follows = neighbours(test.names)
    if track is not None:
        follows &= np.diff(track.shot[rows], prepend=-1) == 0
    return HeldOut(test.names, test.frame_index, test.targets, own, blocks_of(times, num), follows)


def neighbours(names: tuple[str, ...]) -> Array:
    """Return which names (N,) are the one before with its last number raised by one: 000124 after 000123."""
    parts = [re.fullmatch(r"(.*?)(\d{1,18})", name, re.DOTALL) for name in names]
    told = [(part[1], int(part[2])) if part else None for part in parts]
    follows = [b is not None and a is not None and (a[0], a[1] + 1) == b for a, b in pairwise(told)]
    return np.array([False, *follows])


def poses_of(data: Dataset, train: Pairs, test: Pairs) -> Poses | None:
    """Return what the frames of both splits show, measured alike; None where the pairs have no landmarks."""
    track, training = _track_of(data, train)
    held_out = _track_of(data, test)[1]
    if track is None or training is None or held_out is None:
        return None
    rows = np.concatenate([training, held_out])
    movements = movements_of(track.landmarks[rows], track.gaze[rows])
    num = len(training)
    return Poses(
        train={name: values[:num] for name, values in movements.items()},
        test={name: values[num:] for name, values in movements.items()},
    )


def nearest_rows(conditions: Array, training: Array) -> Array:
    """Return for each condition (N, H, W, 3) the row of the training condition that is nearest to it, (N,) int64.

    That is the one with the least mean squared difference, both blurred and made small: lines that miss each other by a
    few pixels are near.
    """
    wanted, known = (np.stack([_blurred(condition) for condition in each]) for each in (conditions, training))
    distance = (wanted**2).sum(1)[:, None] - 2 * wanted @ known.T + (known**2).sum(1)
    return distance.argmin(axis=1)


_BLUR_SIGMA_PX = 4.0
_SMALL_PX = 32


def _blurred(condition: Array) -> Array:
    blurred = cv2.GaussianBlur(condition, (0, 0), _BLUR_SIGMA_PX)
    return cv2.resize(blurred, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 255


def _track_of(data: Dataset, part: Pairs) -> tuple[Landmarks | None, Array | None]:
    """Return every followed frame and the rows of the part's frames in it; None where the pairs don't tell them."""
    if data.layout != "pairs" or not (data.folder / LANDMARKS).is_file():
        return None, None
    track = read_landmarks(data.folder)
    row_of = {int(number): row for row, number in enumerate(track.frame_index)}
    if any(int(number) not in row_of for number in part.frame_index):
        return None, None
    return track, np.array([row_of[int(number)] for number in part.frame_index])
