"""Following one face through a clip: its steadied landmarks in every frame where it is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mueca.errors import InputError
from mueca.face.detection import Detection, Detector
from mueca.face.prediction import LandmarkPredictor
from mueca.face.smoothing import smooth_landmarks

Array = np.ndarray

FORGET_AFTER_S = 1.0
"""A face that was lost for longer may come back anywhere in the picture."""


class TimedImage(Protocol):
    """What a frame must offer: its number, its time and its RGB uint8 (H, W, 3) picture."""

    index: int
    timestamp_s: float
    image: Array


@dataclass(frozen=True)
class Track:
    """One face through a clip; N frames show it."""

    frame_index: Array
    """(N,) int64, rising."""
    timestamp_s: Array
    """(N,) float64."""
    landmarks: Array
    """(N, 68, 2) float64, in frame pixels, smoothed along time."""
    dropped: dict[str, list[int]]
    """Frame numbers that could not be used, by reason."""
    num_frames: int
    """How many frames the clip had."""
    fps: float
    """Frames per second, from the timestamps."""


def follow(frames: Iterable[TimedImage], detector: Detector, predictor: LandmarkPredictor) -> Track:
    """Return the track of the clip's main face: the largest one first, then the one nearest to where it was.

    Only landmarks are kept, so that memory stays flat however long the clip is.
    """
    index, times, found = [], [], []
    no_face: list[int] = []
    all_times: list[float] = []
    last: tuple[Detection, float] | None = None
    for frame in frames:
        all_times.append(frame.timestamp_s)
        if last and frame.timestamp_s - last[1] > FORGET_AFTER_S:
            last = None
        face = _choose(detector.detect(frame.image), last[0] if last else None)
        if face is None:
            no_face.append(frame.index)
            continue
        last = (face, frame.timestamp_s)
        index.append(frame.index)
        times.append(frame.timestamp_s)
        found.append(predictor.predict(frame.image, detector.predictor_box(face)))
    frame_index = np.array(index, dtype=np.int64)
    landmarks = np.array(found, dtype=np.float64).reshape(-1, 68, 2)
    return Track(
        frame_index=frame_index,
        timestamp_s=np.array(times, dtype=np.float64),
        landmarks=smooth_landmarks(landmarks, frame_index) if index else landmarks,
        dropped={"no_face": no_face} if no_face else {},
        num_frames=len(all_times),
        fps=_frames_per_second(all_times),
    )


def require_face(video: Path, track: Track) -> None:
    """Raise InputError where no frame of the video shows a face."""
    if not len(track.frame_index):
        raise InputError(
            f"{video}: no face in any of its {track.num_frames} frames; "
            "film the face from the front in good light, or lower --min-score"
        )


def _choose(faces: list[Detection], last: Detection | None) -> Detection | None:
    """Return the face nearest to the last one, if it overlaps it; the largest where there is no last one."""
    if last is None:
        return max(faces, key=lambda face: face.area, default=None)
    nearest = max(faces, key=lambda face: _overlap(face.box, last.box), default=None)
    return nearest if nearest and _overlap(nearest.box, last.box) > 0 else None


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return the pixels that two boxes share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _frames_per_second(times: list[float]) -> float:
    """Return the median rate; a single picture counts as 25."""
    return float(1.0 / np.median(np.diff(times))) if len(times) > 1 else 25.0
