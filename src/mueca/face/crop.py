"""The square crop around a face: the one change of coordinates between frame and crop, both ways."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mueca.config import SIZE_PX
from mueca.face.smoothing import smooth_slowly

Array = np.ndarray


@dataclass(frozen=True)
class CropRule:
    """How a crop follows a face.

    A face's size is the RMS distance of its landmarks from their mean: on six real clips the report's crop was 5.05
    of these wide (medians from 4.86 to 5.13) and centred 0.51 above the mean. Centre and size are smoothed along
    time: detection boxes and chins move, the picture must not.
    """

    side: float = 5.0
    """Side of the square, in sizes of the face."""
    up: float = 0.5
    """Height of the square's centre above the landmarks' mean, in sizes of the face."""
    sigma_centre_s: float = 0.4
    sigma_size_s: float = 0.83


def crop_transforms(landmarks: Array, frame_index: Array, shot: Array, fps: float, rule: CropRule) -> Array:
    """Return ``frame_from_crop`` (N, 3, 3) for landmarks (N, 68, 2) in frame pixels.

    ``frame_index`` and ``shot`` (N,) are the frames' numbers and those of their shots: across a cut nothing is
    smoothed. Pixel centres have whole coordinates in both pictures; a crop is SIZE_PX wide.
    """
    centre, size = _place(landmarks)
    centre = smooth_slowly(centre, frame_index, shot, rule.sigma_centre_s * fps)
    size = smooth_slowly(size, frame_index, shot, rule.sigma_size_s * fps)
    return _transforms(centre, size, rule)


class CropFollower:
    """Places the crop around a face as its landmarks come, without looking ahead."""

    def __init__(self, rule: CropRule) -> None:
        self._rule = rule
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next crop is placed by its own landmarks."""
        self._centre, self._size, self._last_s = np.zeros(2), 0.0, None

    def follow(self, landmarks: Array, timestamp_s: float) -> Array:
        """Return ``frame_from_crop`` (3, 3) for landmarks (68, 2) in frame pixels."""
        centres, sizes = _place(landmarks[None])
        if self._last_s is None:
            self._centre, self._size = centres[0], sizes[0]
        else:
            passed_s = max(timestamp_s - self._last_s, 0.0)
            by_centre, by_size = (
                -np.expm1(-passed_s / (CAUSAL_SHARE * sigma_s))
                for sigma_s in (self._rule.sigma_centre_s, self._rule.sigma_size_s)
            )
            self._centre = self._centre + by_centre * (centres[0] - self._centre)
            self._size = self._size + by_size * (sizes[0] - self._size)
        self._last_s = timestamp_s
        return _transforms(self._centre[None], np.array([self._size]), self._rule)[0]


CAUSAL_SHARE = 0.5
"""Of the rule's sigmas: what follows without looking ahead lags, and must follow the faster."""


def _place(landmarks: Array) -> tuple[Array, Array]:
    """Return the faces' centres (N, 2) and sizes (N,)."""
    centre = landmarks.mean(axis=1)
    return centre, np.sqrt(((landmarks - centre[:, None]) ** 2).sum(-1).mean(-1))


def _transforms(centre: Array, size: Array, rule: CropRule) -> Array:
    """Return ``frame_from_crop`` (N, 3, 3) for centres (N, 2) and sizes (N,) of faces."""
    scale = rule.side * size / SIZE_PX  # frame pixels in a crop pixel
    transforms = np.zeros((len(size), 3, 3))
    transforms[:, 0, 0] = transforms[:, 1, 1] = scale
    transforms[:, 2, 2] = 1.0
    transforms[:, :2, 2] = centre - np.stack([0 * size, rule.up * size], -1) - scale[:, None] * (SIZE_PX - 1) / 2
    return transforms


def apply_transform(transform: Array, points: Array) -> Array:
    """Return ``transform @ points`` for a transform (..., 3, 3) and points (..., K, 2)."""
    return points @ np.swapaxes(transform[..., :2, :2], -1, -2) + transform[..., None, :2, 2]


def cut_crop(image: Array, frame_from_crop: Array) -> Array:
    """Return the crop (SIZE_PX, SIZE_PX, 3) of an RGB uint8 picture; beyond its border the border is repeated."""
    scale = frame_from_crop[0, 0]
    if scale > 2.0:  # linear sampling would skip pixels: halve the picture first, averaging
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        ratio = np.array([half.shape[1] / image.shape[1], half.shape[0] / image.shape[0], 1.0])
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        half_from_crop = np.linalg.inv(shift) @ np.diag(ratio) @ shift @ frame_from_crop
        return cut_crop(half, half_from_crop)
    return cv2.warpAffine(
        image,
        frame_from_crop[:2],
        (SIZE_PX, SIZE_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
