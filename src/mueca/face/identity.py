"""Whose face it is: dlib's 128 numbers of a face, and the galleries that a face is compared with."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import dlib
import numpy as np

from mueca.face.model_files import EMBEDDING, LANDMARKS_5, packaged

Array = np.ndarray
Box = tuple[float, float, float, float]

SAME_PERSON = 0.42
"""Largest distance of a face's 128 numbers to the mean of a person's few reference faces.

Measured on six real clips and the two drawn actors, references from the first third: the same person at most 0.37,
anybody else at least 0.45 (the two actors, who look alike to the net; real people 0.48). A single pair parts them
less well: 0.56 and 0.44.
"""
LIKELY_PERSON, LIKELIER_BY = 0.5, 0.1
"""Where somebody else's references are at hand, a face up to this far is the person's if it is farther from theirs.

Of two actors that cross, half hidden and turned away, each was up to 0.45 from their own and at least 0.45 from the
other's, and always at least 0.12 nearer to their own.
"""

_MARGIN = 0.3  # of the box, that is kept around a reference face
_REFERENCE_PX = 160  # side of a reference's box at most: the net sees the face in 150 px
_SPACING_S = 0.1  # between references at first; doubled whenever the gallery is full
_GALLERY_SIZE = 8


class FaceEmbedder:
    """dlib's face recognition net (King 2017): about 120 ms a face. Its files are read at the first face."""

    def __init__(self, net: Path | None = None, points: Path | None = None):
        self._paths = (net, points)
        self._net: dlib.face_recognition_model_v1 | None = None

    def embed(self, image: Array, box: Box) -> Array:
        """Return the 128 numbers of a face; RGB uint8 picture, box as dlib's HOG draws it. Distances are Euclidean."""
        if self._net is None:
            net, points = self._paths
            self._net = dlib.face_recognition_model_v1(str(net or packaged(EMBEDDING)))
            self._points = dlib.shape_predictor(str(points or packaged(LANDMARKS_5)))
        image, box = cut_face(image, box)
        shape = self._points(image, dlib.rectangle(*(round(v) for v in box)))
        return np.array(self._net.compute_face_descriptor(image, shape))


class Gallery:
    """A person's reference faces, spread over the time that they were surely seen; looked at only when in doubt."""

    def __init__(self, embedder: FaceEmbedder):
        self._embedder = embedder
        self._kept: list[list] = []  # time, then picture and box until the face is embedded, then its numbers
        self._spacing_s = _SPACING_S

    def keep(self, timestamp_s: float, image: Array, box: Box) -> None:
        """Keep the face as a reference if enough time has passed since the last one; memory stays flat."""
        if self._kept and timestamp_s - self._kept[-1][0] < self._spacing_s:
            return
        if len(self._kept) == _GALLERY_SIZE:
            self._kept = self._kept[::2]
            self._spacing_s *= 2
        self._kept.append([timestamp_s, cut_face(image, box)])

    def distance(self, numbers: Array) -> float:
        """Return the distance of a face's numbers (128,) to the mean reference; infinite where there is none."""
        if not self._kept:
            return float("inf")
        for entry in self._kept:
            if isinstance(entry[1], tuple):
                entry[1] = self._embedder.embed(*entry[1])
        return float(np.linalg.norm(numbers - np.mean([entry[1] for entry in self._kept], axis=0)))

    @property
    def is_empty(self) -> bool:
        return not self._kept


def is_same_person(to_person: float, to_others: float) -> bool:
    """Tell whether a face so far from a person's references, and from the nearest other person's, is the person's."""
    if to_person < SAME_PERSON:
        return to_person < to_others
    return to_person < LIKELY_PERSON and to_person + LIKELIER_BY < to_others < math.inf


def cut_face(image: Array, box: Box) -> tuple[Array, Box]:
    """Return the part of the picture around the box, at most _REFERENCE_PX large, and the box in its pixels."""
    x0, y0, x1, y1 = box
    rim = _MARGIN * (y1 - y0)
    height, width = image.shape[:2]
    left, top = min(max(int(x0 - rim), 0), width - 1), min(max(int(y0 - rim), 0), height - 1)
    part = image[top : max(int(y1 + rim), top + 1), left : max(int(x1 + rim), left + 1)]
    scale = min(1.0, _REFERENCE_PX / max(y1 - y0, 1.0))
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale < 1 else part.copy()
    return part, ((x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale)
