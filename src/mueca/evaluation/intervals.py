"""How sure a mean over frames is: bootstrap over blocks, for neighbouring frames are much the same."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student_t

Array = np.ndarray

BLOCK_S = 1.0
BLOCK_FRAMES = 30
"""Frames of a block where nobody knows the frames' times."""
FEWEST_BLOCKS = 3
"""Of fewer nobody knows how much they differ."""
NUM_DRAWS = 1000
SHARE = 0.95


def blocks_of(timestamp_s: Array | None, num_frames: int) -> Array:
    """Return the number of each frame's block, (num_frames,) int64: BLOCK_S of time, or BLOCK_FRAMES in a row.

    ``timestamp_s`` (num_frames,) rises; None: the times are not known.
    """
    if timestamp_s is None:
        return np.arange(num_frames) // BLOCK_FRAMES
    return ((timestamp_s - timestamp_s[0]) / BLOCK_S + 1e-6).astype(np.int64)


def interval(values: Array, block: Array) -> tuple[float, float] | None:
    """Return the ends of the mean's 95 % interval for values (N,) in blocks (N,); None below FEWEST_BLOCKS.

    As many blocks as there are are drawn with replacement, NUM_DRAWS times, always the same ones for the same blocks.
    Few blocks differ less among themselves than all do, and nobody knows by how much: around the mean the ends are
    moved out by Student's t over the normal distribution's 1.96, and by sqrt(k / (k - 1)) for k blocks.
    """
    _, place = np.unique(block, return_inverse=True)
    counts, sums = np.bincount(place), np.bincount(place, weights=values)
    num = len(counts)
    if num < FEWEST_BLOCKS:
        return None
    drawn = np.random.default_rng(0).integers(0, num, (NUM_DRAWS, num))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, ((1 - SHARE) / 2, (1 + SHARE) / 2))
    mean, wider = sums.sum() / counts.sum(), student_t.ppf((1 + SHARE) / 2, num - 1) / 1.96 * np.sqrt(num / (num - 1))
    return float(mean - wider * (mean - low)), float(mean + wider * (high - mean))
