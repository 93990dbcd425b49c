"""Carrying a driver's face over to the subject: the subject's shape, the driver's movements and gaze."""

from __future__ import annotations

import numpy as np

from mueca.config import SIZE_PX
from mueca.face.crop import cut_crop
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT

Array = np.ndarray


def fit_placement(points: Array, onto: Array) -> Array:
    """Return the (3, 3) scale and shift that lays points (K, 2) best on others (K, 2), in the least squares.

    Without rotation or stretch: the points keep their proportions. At least two of them must differ.
    """
    centre, onto_centre = points.mean(axis=0), onto.mean(axis=0)
    scale = ((points - centre) * (onto - onto_centre)).sum() / ((points - centre) ** 2).sum()
    placement = np.diag([scale, scale, 1.0])
    placement[:2, 2] = onto_centre - scale * centre
    return placement


def carry_over(driver: Array, subject_mean: Array) -> Array:
    """Return the subject's landmarks (N, 68, 2) that move as the driver's (N, 68, 2), both in crop pixels.

    The driver's departures from their own mean, scaled by how much larger the subject's face is, are added to the
    subject's mean (68, 2). On the drawn actors, where the truth is known, the landmarks of "b drives a" are then
    3.6 % of the eye distance away from it, "a drives b" 3.1 %; laying the driver's own shape on the subject's left
    5.1 and 4.4 %, and the median in place of the mean 5.1 and 5.4 %.
    """
    driver_mean = driver.mean(axis=0)
    scale = fit_placement(driver_mean, subject_mean)[0, 0]
    return subject_mean + scale * (driver - driver_mean)


def cut_eyes(image: Array, driver: Array, subject: Array) -> Array:
    """Return a picture, RGB uint8 (SIZE_PX, SIZE_PX, 3), with the driver's eyes where the subject's are.

    ``driver`` (68, 2) are landmarks in pixels of ``image``, ``subject`` (68, 2) in crop pixels. Each eye is brought
    over by itself, the picture parted in the middle between them: it is there for the white of the eyes alone.
    """
    right, left = (
        cut_crop(image, np.linalg.inv(fit_placement(driver[eye], subject[eye]))) for eye in (EYE_RIGHT, EYE_LEFT)
    )
    middle = (subject[EYE_RIGHT].mean(axis=0)[0] + subject[EYE_LEFT].mean(axis=0)[0]) / 2
    return np.where((np.arange(SIZE_PX) < middle)[None, :, None], right, left)
