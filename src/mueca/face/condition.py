"""The condition: a face's landmarks drawn as filled areas of plain colour on black (the report's máscara)."""

from __future__ import annotations

import cv2
import numpy as np

from mueca.config import SIZE_PX
from mueca.face.gaze import IRIS_RADIUS
from mueca.face.landmarks import BROW_LEFT, BROW_RIGHT, EYE_LEFT, EYE_RIGHT, JAW, LIPS_INNER, LIPS_OUTER, NOSE

Array = np.ndarray

COLOURS: tuple[tuple[slice, tuple[int, int, int]], ...] = (
    (JAW, (0, 255, 0)),
    (EYE_RIGHT, (0, 255, 255)),
    (EYE_LEFT, (0, 255, 255)),
    (BROW_RIGHT, (255, 255, 0)),
    (BROW_LEFT, (255, 255, 0)),
    (NOSE, (255, 0, 255)),
    (LIPS_OUTER, (0, 0, 0)),
    (LIPS_INNER, (0, 0, 255)),
)
"""RGB of each part, in the order of drawing (the report's)."""

EYE_WHITE = (255, 255, 255)
"""Of what of an eye is no iris: so the gaze is told. The report painted eye pixels white that were brighter than 100;
that leaves bright irises white and dark eyes without any."""

_SHIFT_BITS = 4  # corners are given to a sixteenth of a pixel: whole pixels would make steady landmarks tremble


def draw_condition(landmarks: Array, gaze: Array | None = None) -> Array:
    """Return the condition, RGB uint8 (SIZE_PX, SIZE_PX, 3), for landmarks (68, 2) in crop pixels.

    ``gaze`` (2,), as ``mueca.face.gaze.measure_gaze`` has it, leaves the eyes white but for a disc where the irises
    stand; without it they are all cyan. Areas are filled and not anti-aliased, so that only the colours above, white
    and black occur.
    """
    condition = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    for part, colour in COLOURS:
        _fill(condition, landmarks[part], colour)
        if gaze is not None and part in (EYE_RIGHT, EYE_LEFT):
            _whiten(condition, landmarks[part], gaze)
    return condition


def _whiten(picture: Array, eye: Array, gaze: Array) -> None:
    """Paint white what of the eye (6, 2) is no iris."""
    half = (eye[3] - eye[0]) / 2
    middle = (eye[0] + eye[3]) / 2 + gaze[0] * half + gaze[1] * np.array([-half[1], half[0]])
    left, top = np.clip(np.floor(eye.min(axis=0)).astype(int) - 1, 0, SIZE_PX - 1)
    right, bottom = np.clip(np.ceil(eye.max(axis=0)).astype(int) + 2, 1, SIZE_PX)
    around = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    white, iris = np.zeros((2, *around.shape[:2]), np.uint8)
    _fill(white, eye - (left, top), 1)
    _fill(iris, middle + IRIS_RADIUS * np.linalg.norm(half) * _CIRCLE - (left, top), 1)
    around[white > iris] = EYE_WHITE


_ANGLES = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)


def _fill(picture: Array, corners: Array, colour: tuple[int, int, int] | int) -> None:
    fixed_point = np.round(corners * (1 << _SHIFT_BITS)).astype(np.int32)
    cv2.fillPoly(picture, [fixed_point], colour, lineType=cv2.LINE_8, shift=_SHIFT_BITS)
