"""Bringing a driver's face to where the subject's model expects a face."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def fit_placement(driver_mean: Array, subject_mean: Array) -> Array:
    """Return the (3, 3) scale and shift that lays the driver's mean landmarks (68, 2) best on the subject's.

    Least squares over all points, without rotation or stretch: the driver's own proportions remain. A single
    placement holds for the whole clip, so that the driver's movements come through unchanged.
    """
    driver_centre, subject_centre = driver_mean.mean(axis=0), subject_mean.mean(axis=0)
    driver, subject = driver_mean - driver_centre, subject_mean - subject_centre
    scale = (driver * subject).sum() / (driver**2).sum()
    placement = np.diag([scale, scale, 1.0])
    placement[:2, 2] = subject_centre - scale * driver_centre
    return placement
