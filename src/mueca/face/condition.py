"""The condition: a face's landmarks drawn as filled areas of plain colour on black (the report's máscara)."""

from __future__ import annotations

import cv2
import numpy as np

from mueca.config import SIZE_PX
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
EYE_WHITE_ABOVE = 100
"""Eye pixels whose grey value is higher are painted white: they carry the gaze (the report's threshold)."""

_SHIFT_BITS = 4  # corners are given to a sixteenth of a pixel: whole pixels would make steady landmarks tremble


def draw_condition(landmarks: Array, crop: Array | None = None) -> Array:
    """Return the condition, RGB uint8 (SIZE_PX, SIZE_PX, 3), for landmarks (68, 2) in crop pixels.

    ``crop`` is the RGB uint8 picture of the same face, for the white of its eyes; without it they are all cyan.
    Areas are filled and not anti-aliased, so that only the colours above, white and black occur.
    """
    condition = np.zeros((SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    for part, colour in COLOURS:
        _fill(condition, landmarks[part], colour)
    if crop is not None:
        bright = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) > EYE_WHITE_ABOVE
        condition[bright & (condition == COLOURS[1][1]).all(axis=2)] = EYE_WHITE
    return condition


def _fill(picture: Array, corners: Array, colour: tuple[int, int, int]) -> None:
    fixed_point = np.round(corners * (1 << _SHIFT_BITS)).astype(np.int32)
    cv2.fillPoly(picture, [fixed_point], colour, lineType=cv2.LINE_8, shift=_SHIFT_BITS)
