"""Whether a picture that came from elsewhere is a condition as ``mueca.face.condition`` draws them."""

from __future__ import annotations

import numpy as np

from mueca.face.condition import COLOURS, EYE_WHITE, draw_condition

Array = np.ndarray

LEAST_AGREEMENT = 0.6
"""Of conditions with the landmarks that one look at the target finds: two real people and two actors had medians from
.88 to .93, .81 after JPEG at quality 30; outlines of the same areas had .29, a segmentation of the face .19, edges .01.
"""

_LEAST_CLEAN = 0.95
_STAIN = 64
"""So far off its colour may a pixel be: 98 % of a condition's are not after JPEG at quality 30 or at half the size, and
at most 26 % of a face crop's."""
_FEWEST_AREAS = 4
_LEAST_AREA = 0.0005


def is_drawn(image: Array) -> bool:
    """Tell whether an RGB uint8 picture consists of a condition's colours alone, and of at least four of them."""
    pure = np.where(image >= 128, 255, 0)
    clean = (np.abs(image - pure) <= _STAIN).all(axis=-1).mean()
    shares = [(_areas_of(image) == area).mean() for area in _AREAS]
    return bool(clean >= _LEAST_CLEAN and sum(share >= _LEAST_AREA for share in shares) >= _FEWEST_AREAS)


def agreement(condition: Array, landmarks: Array) -> float:
    """Return from 0 to 1 how well a condition, RGB uint8 (SIZE_PX, SIZE_PX, 3), fits its target's landmarks (68, 2).

    It is the mean over the colours of intersection by union with what mueca would draw.
    """
    theirs, ours = _areas_of(condition), _areas_of(draw_condition(landmarks))
    either = [(area, ((theirs == area) | (ours == area)).sum()) for area in _AREAS]
    return float(np.mean([((theirs == area) & (ours == area)).sum() / union for area, union in either if union]))


def _areas_of(image: Array) -> Array:
    """Return for each pixel the nearest corner of the colour cube as a number from 0, black, to 7, white.

    All colours of a condition are corners, so that what JPEG and scaling did to them is undone. The white of the eyes
    counts as the eye.
    """
    corners = (image >= 128) @ _BITS
    return np.where(corners == EYE_WHITE @ _BITS // 255, _EYE, corners)


_BITS = np.array([4, 2, 1])
_AREAS = sorted({int(colour @ _BITS) // 255 for _, colour in COLOURS if any(colour)})
_EYE = int(COLOURS[1][1] @ _BITS) // 255
