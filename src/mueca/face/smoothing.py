"""Steadying landmarks along time without lag, blinks kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter, uniform_filter1d
from scipy.signal import savgol_filter

from mueca.face.landmarks import GROUPS

Array = np.ndarray

WINDOW_FRAMES = 7
"""Savitzky-Golay window at most: a quadratic over 7 frames more than halves the tremble."""

WINDOW_S = 0.28
"""The same at 25 frames/s. In no more time does a quadratic follow speech and blinks, whatever the rate: over 7 frames
at 5 a second it takes the actors' landmarks 2.2 to 2.5 % of the eye distance from the truth, for 0.5 % of tremble."""

LEAST_WINDOW_FRAMES = 5
"""A quadratic goes through any three frames as they are."""

FAST_MOTION = 2.0
"""Departures from the window's quadratic beyond this many times their usual size are motion, not tremble."""

MOST_MISSING_FRAMES = 5
"""Gazes further apart are not steadied together."""


def window_frames(fps: float) -> int:
    """Return how many frames a window spans at a rate: 7, 5, or 0 where they are too far apart to be steadied."""
    most = min(WINDOW_FRAMES, int(WINDOW_S * fps + _ROUNDED))
    odd = most - (most + 1) % 2
    return odd if odd >= LEAST_WINDOW_FRAMES else 0


_ROUNDED = 0.05  # frames: times in a file are rounded, and 24.9 frames/s are meant as 25


def smooth_landmarks(landmarks: Array, frame_index: Array, shot: Array, fps: float) -> Array:
    """Return landmarks (N, 68, 2) smoothed over frames that follow each other without a gap in one shot; same shape.

    ``frame_index`` and ``shot`` (N,) are the frames' numbers and those of their shots, ``fps`` frames in a second.
    Below 18 a second they come back as they are.

    Each window is centred on its frame, so that there is no lag. The quadratic alone keeps 90 % of a sudden blink
    of three frames but 62 % of a gradual one. So what it takes away is given back where it is motion: for each part
    of the face, the departure's length is compared with its usual length in the clip (its median) and shrunk as
    James and Stein shrink a mean, ``1 - (c m / r)^2`` of it being kept.
    """
    smoothed = landmarks.astype(np.float64, copy=True)
    window = window_frames(fps)
    long_runs = [run for run in _unbroken(frame_index, shot) if run.stop - run.start >= window]
    if not window or not long_runs:
        return smoothed
    for run in long_runs:
        smoothed[run] = savgol_filter(landmarks[run], window, polyorder=2, axis=0)
    in_window = np.concatenate([np.arange(run.start, run.stop) for run in long_runs])
    departure = landmarks - smoothed
    for part in GROUPS:
        length = np.sqrt((departure[:, part] ** 2).sum(-1).mean(-1))  # (N,) RMS over the part's points
        usual = np.median(length[in_window])
        kept = np.clip(1.0 - (FAST_MOTION * usual / np.maximum(length, 1e-9)) ** 2, 0.0, 1.0)
        smoothed[:, part] += kept[:, None, None] * departure[:, part]
    return smoothed


def steady_gaze(gaze: Array, frame_index: Array, shot: Array, fps: float) -> Array:
    """Return gazes (N, 2) steadied along time within each shot: the median over five frames, then the mean over three.

    ``frame_index`` and ``shot`` (N,) are the frames' numbers and those of their shots, ``fps`` frames in a second. A
    jump of the eyes stays where it is and takes three frames. Where the eyes are closed, (0, 0), the gaze is drawn
    from before to after; where frames are too far apart for ``window_frames``, that is all.
    """
    steady = gaze.astype(np.float64, copy=True)
    is_dense = window_frames(fps) > 0
    is_break = (np.diff(frame_index) > MOST_MISSING_FRAMES) | (np.diff(shot) != 0)
    for rows in np.split(np.arange(len(gaze)), np.flatnonzero(is_break) + 1):
        seen = (gaze[rows] != 0.0).any(axis=1)
        if seen.any():
            filled = np.stack([np.interp(rows, rows[seen], gaze[rows[seen], k]) for k in (0, 1)], axis=-1)
            steady[rows] = _without_tremble(filled) if is_dense else filled
    return steady


def _without_tremble(gaze: Array) -> Array:
    return uniform_filter1d(median_filter(gaze, (5, 1), mode="nearest"), 3, axis=0, mode="nearest")


def smooth_slowly(values: Array, frame_index: Array, shot: Array, sigma_frames: float) -> Array:
    """Return values (N, ...) under a centred Gaussian along time, each shot (N,) by itself.

    Frames that are missing have no weight.
    """
    smoothed = np.empty(values.shape, dtype=np.float64)
    for number in np.unique(shot):
        rows = shot == number
        smoothed[rows] = _smooth_slowly(values[rows], frame_index[rows], sigma_frames)
    return smoothed


def _smooth_slowly(values: Array, frame_index: Array, sigma_frames: float) -> Array:
    place = frame_index - frame_index[0]
    present = np.zeros(place[-1] + 1)
    present[place] = 1.0
    spread = np.zeros((place[-1] + 1, *values.shape[1:]))
    spread[place] = values
    options = {"sigma": sigma_frames, "axis": 0, "mode": "constant"}
    weight = gaussian_filter1d(present, **options)[place]
    return gaussian_filter1d(spread, **options)[place] / weight.reshape(-1, *[1] * (values.ndim - 1))


def _unbroken(frame_index: Array, shot: Array) -> list[slice]:
    """Return the slices of consecutive frame numbers in one shot."""
    is_break = (np.diff(frame_index) != 1) | (np.diff(shot) != 0)
    starts = [0, *(np.flatnonzero(is_break) + 1), len(frame_index)]
    return [slice(a, b) for a, b in pairwise(starts) if b > a]
