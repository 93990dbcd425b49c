"""Placing the 68 landmarks on a face, steadily."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import dlib
import numpy as np

from mueca.face.model_files import LANDMARKS_68, packaged

Array = np.ndarray
Box = tuple[float, float, float, float]

BOX_SIDE_PX = 300
"""Side of the face's box in the chip: a pixel is then 0.7 % of the eye distance; 200 px trembled a tenth more."""
CHIP_SIZE_PX = 540
"""Side of the chip: the box and what the predictor sees around it."""

FIVE_SHIFTS = ((0.0, 0.0), (0.03, 0.0), (-0.03, 0.0), (0.0, 0.03), (0.0, -0.03))
"""Where the boxes lie whose answers are averaged, in sides of the box."""
ONE_SHIFT = ((0.0, 0.0),)
TWO_SHIFTS = ((0.02, 0.02), (-0.02, -0.02))


class LandmarkPredictor:
    """dlib's predictor (Kazemi & Sullivan, CVPR 2014).

    Its answer is whole pixels and changes with the box. The face is therefore brought to one size first, and answers
    for more than one box are averaged: ``predict`` takes five, for a single picture has no neighbours in time to
    steady it. Following has, and makes do with one or two, see ``FaceReader``.
    """

    def __init__(self, path: Path | None = None):
        self._predictor = _load(path or packaged(LANDMARKS_68))

    def predict(self, image: Array, box: Box) -> Array:
        """Return the landmarks (68, 2) in pixels of the RGB uint8 picture, for a face box as dlib's HOG draws them."""
        chip, chip_from_image = cut_chip(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), box)
        guesses = self.guesses(chip, CHIP_BOX, FIVE_SHIFTS)
        return to_image(guesses.mean(axis=0), chip_from_image)

    def guesses(self, chip: Array, box: Box, shifts: tuple[tuple[float, float], ...]) -> Array:
        """Return one answer (S, 68, 2) for each shift of a box, in pixels of the grey uint8 chip, as the box is."""
        return np.array([self._predict_once(chip, box, shift) for shift in shifts])

    def _predict_once(self, chip: Array, box: Box, shift: tuple[float, float]) -> Array:
        side = box[2] - box[0]
        x, y = (round(low + s * side) for low, s in zip(box[:2], shift, strict=True))
        shape = self._predictor(chip, dlib.rectangle(x, y, x + round(side), y + round(side)))
        return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


@lru_cache(maxsize=1)
def _load(path: Path) -> dlib.shape_predictor:
    """Return the predictor of that file, which takes 0.5 s to read; its answers depend on nothing but the question."""
    return dlib.shape_predictor(str(path))


_LOW = (CHIP_SIZE_PX - BOX_SIDE_PX) / 2
CHIP_BOX: Box = (_LOW, _LOW, _LOW + BOX_SIDE_PX, _LOW + BOX_SIDE_PX)
"""Where the face's box lies in its chip."""


def cut_chip(grey: Array, box: Box) -> tuple[Array, Array]:
    """Return the chip (CHIP_SIZE_PX, CHIP_SIZE_PX) of a grey picture with the box at CHIP_BOX, and ``chip_from_image``.

    ``chip_from_image`` (2, 3) scales and shifts. Beyond the picture its border is repeated.
    """
    x0, y0, x1, y1 = box
    scale = BOX_SIDE_PX / max(x1 - x0, 1.0)
    middle = CHIP_SIZE_PX / 2
    shift_x, shift_y = middle - scale * (x0 + x1) / 2, middle - scale * (y0 + y1) / 2
    chip_from_image = np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])
    size = (CHIP_SIZE_PX, CHIP_SIZE_PX)
    chip = cv2.warpAffine(grey, chip_from_image, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return chip, chip_from_image


def to_image(points: Array, chip_from_image: Array) -> Array:
    """Return points (..., 2) of the chip in pixels of the picture that it was cut from."""
    return (points - chip_from_image[:, 2]) / chip_from_image[0, 0]


def box_of(landmarks: Array) -> Box:
    """Return the box that dlib's HOG would have drawn around landmarks (68, 2), in their unit.

    Medians over six real clips: the box is 2.80 sizes of the face wide and centred 0.11 above the landmarks' mean;
    a face's size is the RMS distance of its landmarks from their mean.
    """
    x, y = landmarks.mean(axis=0)
    size = float(np.sqrt(((landmarks - (x, y)) ** 2).sum(-1).mean()))
    half = _BOX_SIZES * size / 2
    y -= _BOX_UP * size
    return (x - half, y - half, x + half, y + half)


_BOX_SIZES, _BOX_UP = 2.80, 0.11
