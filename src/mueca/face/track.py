"""One face through a clip: what following finds, and what cropping, retargeting and choosing work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Track:
    """One person's face through a clip; N frames show it."""

    frame_index: Array
    """(N,) int64, rising."""
    timestamp_s: Array
    """(N,) float64."""
    landmarks: Array
    """(N, 68, 2) float64, in frame pixels, smoothed along time within each shot."""
    gaze: Array
    """(N, 2) float64: where the irises stand in the eyes, x to the picture's right and y down, -1 to 1."""
    shot: Array
    """(N,) int64: the number of the frame's shot, rising; frames of different shots share no smoothing window."""
    quality: Array
    """(N,) float64 from 0 to 1: how far the frame's picture and landmarks can be trusted."""
    problem: Array
    """(N,) str: why the frame is no good example to learn from, in a word; empty where it is one."""
    lost: dict[str, list[int]]
    """Numbers of the frames in which this face was not found, by reason."""
    num_frames: int
    """How many frames the clip had."""
    fps: float
    """Frames per second, from the timestamps."""
    others: int
    """The most other people that one frame showed."""
