"""The 68 landmarks of a face (iBUG 300-W order, as dlib's predictor gives them), and the groups that they form."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

JAW = slice(0, 17)
BROW_RIGHT, BROW_LEFT = slice(17, 22), slice(22, 27)
NOSE = slice(27, 36)
EYE_RIGHT, EYE_LEFT = slice(36, 42), slice(42, 48)
LIPS_OUTER, LIPS_INNER = slice(48, 60), slice(60, 68)
MOUTH = slice(48, 68)
"""Right and left are the person's own: the right eye lies on the picture's left."""

GROUPS = (JAW, BROW_RIGHT, BROW_LEFT, NOSE, EYE_RIGHT, EYE_LEFT, MOUTH)


def eye_distance(landmarks: Array) -> Array:
    """Return the distance of the outer eye corners (36, 45) of landmarks (..., 68, 2), in their unit: shape (...)."""
    return np.linalg.norm(landmarks[..., 36, :] - landmarks[..., 45, :], axis=-1)
