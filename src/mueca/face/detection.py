"""Face detectors behind one interface: an RGB picture in, boxes with scores out, best first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import dlib
import numpy as np

from mueca.config import DetectorName
from mueca.errors import ModelFileError
from mueca.face.model_files import SSD_GRAPH, SSD_WEIGHTS, YUNET, fetch

Array = np.ndarray


@dataclass(frozen=True)
class Detection:
    """A face: its box (x0, y0, x1, y1) in pixels of the picture, and the detector's confidence."""

    box: tuple[float, float, float, float]
    score: float

    @property
    def area(self) -> float:
        """Pixels that the box covers."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, 0.0) * max(y1 - y0, 0.0)

    @property
    def height(self) -> float:
        """Pixels from top to bottom: a face that turns keeps it."""
        return self.box[3] - self.box[1]

    @property
    def centre(self) -> tuple[float, float]:
        """The box's middle, in pixels of the picture."""
        x0, y0, x1, y1 = self.box
        return ((x0 + x1) / 2, (y0 + y1) / 2)


class Detector(Protocol):
    """What every detector offers."""

    name: DetectorName
    search_face_px: float
    """Height of a face's box in a picture scaled down so far that the face is still surely found."""

    def detect(self, image: Array) -> list[Detection]:
        """Return the faces in an RGB uint8 (H, W, 3) picture, the most confident first; none: an empty list."""
        ...

    def predictor_box(self, detection: Detection) -> tuple[float, float, float, float]:
        """Return the box that dlib's HOG would have drawn: the one its landmark predictor was trained on."""
        ...


class YuNetDetector:
    """YuNet through OpenCV (Wu et al., Machine Intelligence Research 2023)."""

    name: DetectorName = "yunet"
    search_face_px = 70.0  # it finds 13 px; on d18, d19, s18 boxes at 70 px gave landmarks as steady as at full size

    def __init__(self, models: Path | None = None, min_score: float = 0.7):
        self._net = cv2.FaceDetectorYN.create(str(fetch(YUNET, models)), "", (320, 320), score_threshold=min_score)

    def detect(self, image: Array) -> list[Detection]:
        height, width = image.shape[:2]
        scale = min(1.0, self._LONGEST_SIDE_PX / max(height, width))
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        if min(size) < self._LEAST_SIDE_PX:
            return []
        bgr = cv2.cvtColor(image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA), _TO_BGR)
        self._net.setInputSize(size)
        _, faces = self._net.detect(bgr)
        found = [
            Detection((x / scale, y / scale, (x + w) / scale, (y + h) / scale), float(face[14]))
            for face in (() if faces is None else faces)
            for x, y, w, h in [face[:4].astype(float)]
        ]
        return _best_first(found)

    def predictor_box(self, detection: Detection) -> tuple[float, float, float, float]:
        return _fitted(detection, *self._TO_HOG)

    _LONGEST_SIDE_PX = 640  # a face of 40 px in 1920 still has 13 px, YuNet's least (measured), at a ninth of the cost
    _LEAST_SIDE_PX = 16  # on pictures a pixel high it finds faces outside of them
    _TO_HOG = (0.055, 0.80)  # medians over 139 frames of six real clips where both find the face


class SsdDetector:
    """OpenCV's SSD on a ResNet-10 base: the report's detector."""

    name: DetectorName = "ssd"
    search_face_px = 100.0  # it sees every picture at 300 x 300

    def __init__(self, models: Path | None = None, min_score: float = 0.8):
        self._net = cv2.dnn.readNetFromTensorflow(str(fetch(SSD_WEIGHTS, models)), str(fetch(SSD_GRAPH, models)))
        self._min_score = min_score

    def detect(self, image: Array) -> list[Detection]:
        height, width = image.shape[:2]
        # Input size and mean colour (BGR) are those it was trained with.
        blob = cv2.dnn.blobFromImage(cv2.cvtColor(image, _TO_BGR), 1.0, (300, 300), (104.0, 177.0, 123.0))
        self._net.setInput(blob)
        rows = self._net.forward()[0, 0]  # (200, 7): picture, class, score, x0, y0, x1, y1 in shares of the sides
        found = [
            Detection((x0 * width, y0 * height, x1 * width, y1 * height), float(score))
            for _, _, score, x0, y0, x1, y1 in rows.astype(float)
            if score >= self._min_score
        ]
        return _best_first(found)

    def predictor_box(self, detection: Detection) -> tuple[float, float, float, float]:
        return _fitted(detection, *self._TO_HOG)

    _TO_HOG = (0.07, 0.82)  # medians over 132 frames of six real clips where both find the face


class HogDetector:
    """dlib's HOG (King 2015, after Felzenszwalb et al. 2010): needs no model file, misses small and rolled faces."""

    name: DetectorName = "hog"
    search_face_px = 140.0  # it misses faces under 80 px

    def __init__(self, min_score: float = 0.0):
        self._net = dlib.get_frontal_face_detector()
        self._min_score = min_score

    def detect(self, image: Array) -> list[Detection]:
        # One upsampling finds faces of 40 px instead of 80 (measured), at four times the cost: small pictures only.
        upsampled = 1 if image.shape[0] * image.shape[1] <= self._UPSAMPLE_UP_TO_PX else 0
        rectangles, scores, _ = self._net.run(np.ascontiguousarray(image), upsampled, self._min_score)
        found = [
            Detection((float(r.left()), float(r.top()), float(r.right()), float(r.bottom())), float(score))
            for r, score in zip(rectangles, scores, strict=True)
        ]
        return _best_first(found)

    def predictor_box(self, detection: Detection) -> tuple[float, float, float, float]:
        return detection.box

    _UPSAMPLE_UP_TO_PX = 300 * 300


def make_detector(
    name: DetectorName | None = None,
    *,
    models: Path | None = None,
    min_score: float | None = None,
) -> Detector:
    """Return the named detector; with no name YuNet, or HOG with one warning where YuNet's file can't be had.

    Raises ModelFileError when a named detector's file can't be had.
    """
    chosen = {} if min_score is None else {"min_score": min_score}
    makers: dict[DetectorName, Callable[[], Detector]] = {
        "yunet": lambda: YuNetDetector(models, **chosen),
        "ssd": lambda: SsdDetector(models, **chosen),
        "hog": lambda: HogDetector(**chosen),
    }
    if name is not None:
        return makers[name]()
    try:
        return makers["yunet"]()
    except ModelFileError as error:
        warnings.warn(
            f"{error}; going on with dlib's HOG, which misses small and rolled faces, at its own least score",
            stacklevel=2,
        )
        return HogDetector()


def search(detector: Detector, image: Array, face_px: float | None) -> list[Detection]:
    """Return the faces in an RGB uint8 picture, boxes in its pixels, looked for in a smaller copy of it.

    ``face_px`` is the height of the face that must be found; None looks at the picture as it is. At 512 x 512 YuNet
    then takes 1 to 2 ms instead of 9.
    """
    stride = 1 if face_px is None else face_px / detector.search_face_px
    if stride < _LEAST_SHRINKING:
        return detector.detect(image)
    height, width = image.shape[:2]
    size = (max(round(width / stride), 1), max(round(height / stride), 1))
    # Averaging every pixel of a large picture takes longer than the search: every second one, or third, will do.
    sampled = np.ascontiguousarray(image[:: int(stride // 2) or 1, :: int(stride // 2) or 1])
    x, y = width / size[0], height / size[1]
    return [
        Detection((d.box[0] * x, d.box[1] * y, d.box[2] * x, d.box[3] * y), d.score)
        for d in detector.detect(cv2.resize(sampled, size, interpolation=cv2.INTER_AREA))
    ]


_LEAST_SHRINKING = 1.2  # below, copying costs more than it saves
_TO_BGR = cv2.COLOR_RGB2BGR


def _best_first(found: list[Detection]) -> list[Detection]:
    return sorted(found, key=lambda d: d.score, reverse=True)


def _fitted(detection: Detection, down: float, side: float) -> tuple[float, float, float, float]:
    """Return the square around the box's centre, moved down and sized in shares of the box's height.

    The height: a face that turns loses width, and the square must not shrink with it.
    """
    x0, y0, x1, y1 = detection.box
    height = y1 - y0
    x, y, half = (x0 + x1) / 2, (y0 + y1) / 2 + down * height, side * height / 2
    return (x - half, y - half, x + half, y + half)
