"""How a head is turned and what its face does, told from the 68 landmarks: numbers that two people can be compared by.

Left and right are the person's own, as in ``mueca.face.landmarks``; in a picture that isn't mirrored, a person's left
is on the picture's right.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mueca.face.generic import GENERIC_FACE
from mueca.face.landmarks import BROW_LEFT, BROW_RIGHT, eye_distance
from mueca.face.shape import fit_poses

Array = np.ndarray
Movements = dict[str, Array]
"""Name of the movement: its value in every frame (N,) float64."""

MOVEMENTS = ("yaw", "pitch", "roll", "mouth", "lips", "eyes", "brows", "gaze_x", "gaze_y")

_ROWS_AT_ONCE = 4096
"""Posing takes some 10 kB for a frame: an hour's clip is gone through in parts."""
_OPEN_EYE_PERCENTILE = 75
"""Eyes are open at least a quarter of the time, and not torn open for that long."""
_LEAST_COSINE = 0.5
"""Of the yaw: a mouth seen from beyond 60 degrees tells nothing of its width."""


def movements_of(landmarks: Array, gaze: Array) -> Movements:
    """Return a person's movements from all their landmarks (N, 68, 2), in pixels, and gazes (N, 2); N is 1 or more.

    ========== ==============================================================================
    yaw        degrees, positive: to the person's left
    pitch      degrees off the person's usual one, positive: down
    roll       degrees, positive: the crown to the person's left
    mouth      height between the lips, over the distance of the outer corners of the eyes
    lips       width of the mouth, over the person's usual one
    eyes       height between the lids of both eyes, over the person's usual one when open
    brows      height of the brows over the eyes, over the person's usual one
    gaze_x     -1 to 1 from corner to corner of the eye, positive: to the person's left
    gaze_y     the same, positive: down
    ========== ==============================================================================

    The usual one is the median over the frames; for pitch as well, since a camera that stands high, a nose that is
    short and a head that is bowed look the same. The distance of the eyes is what the generic face's would be there:
    it doesn't shrink with a turn. So is the pose: on the actors' true landmarks its yaw is 1.5 and 2.4 degrees off
    (sd), with their own faces in place of the generic one 1.2 and 1.6, on those of dlib's predictor 2 and 5 with
    either.
    """
    pose, eyes_px = _stand(landmarks)
    mouth_px, lips_px, lids_px, brows_px = _heights(landmarks)
    lips = lips_px / eyes_px / np.maximum(np.cos(np.radians(pose[:, 0])), _LEAST_COSINE)
    lids, brows = lids_px / eyes_px, brows_px / eyes_px
    return {
        "yaw": pose[:, 0],
        "pitch": pose[:, 1] - np.median(pose[:, 1]),
        "roll": pose[:, 2],
        "mouth": mouth_px / eyes_px,
        "lips": lips / np.median(lips),
        "eyes": lids / max(float(np.percentile(lids, _OPEN_EYE_PERCENTILE)), 1e-9),
        "brows": brows / np.median(brows),
        "gaze_x": gaze[:, 0],
        "gaze_y": gaze[:, 1],
    }


def ranges_of(movements: Mapping[str, Array]) -> dict[str, list[float]]:
    """Return ``{movement: [low, usual, high]}``, percentiles 1, 50 and 99: a misread frame stretches nothing."""
    return {name: np.percentile(values, (1, 50, 99)).round(4).tolist() for name, values in movements.items()}


def _stand(landmarks: Array) -> tuple[Array, Array]:
    """Return yaw, pitch and roll (N, 3) in degrees, and the distance (N,) in pixels of the generic face's eyes."""
    parts = np.array_split(landmarks, max(1, len(landmarks) // _ROWS_AT_ONCE))
    poses = [fit_poses(GENERIC_FACE, part) for part in parts]
    scale_px = np.concatenate([pose.scale_px for pose in poses])
    return np.concatenate([pose.degrees for pose in poses]), scale_px * float(eye_distance(GENERIC_FACE))


def _heights(landmarks: Array) -> tuple[Array, Array, Array, Array]:
    """Return in pixels, (N,) each: mouth's height and width, the lids' and the brows' height."""

    def apart(a: list[int], b: list[int]) -> Array:
        return np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=-1).mean(axis=1)

    mouth, lips = apart([61, 62, 63], [67, 66, 65]), apart([48], [54])
    lids = apart([37, 38, 43, 44], [41, 40, 47, 46])
    right = landmarks[:, BROW_RIGHT].mean(axis=1) - landmarks[:, [36, 39]].mean(axis=1)
    left = landmarks[:, BROW_LEFT].mean(axis=1) - landmarks[:, [42, 45]].mean(axis=1)
    return mouth, lips, lids, (np.linalg.norm(right, axis=-1) + np.linalg.norm(left, axis=-1)) / 2
