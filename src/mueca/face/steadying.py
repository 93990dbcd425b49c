"""Steadying landmarks as they come, without looking ahead: still when the face is still, at once when it moves."""

from __future__ import annotations

import numpy as np

from mueca.face.landmarks import GROUPS, eye_distance

Array = np.ndarray

TREMBLE = 0.006
"""RMS motion of a part of the face, in eye distances, up to which it is taken for tremble.

Measured (d18, d19, s18; the drawn actors for the lag): with 0.006 and FOLLOWED the motion from frame to frame falls to
0.39, 0.28 and 0.34 of plain detection's, the lag is 0.02 frames (0.08 in the slowest third of the actors' motion) and a
blink of three frames keeps 99 % of its depth. With 0.0075 a trembling face lags a third more for nothing.
"""
FOLLOWED = 0.4
"""Share of a motion within the tremble that is followed."""
FORGET_AFTER_S = 0.5
"""After a longer silence the face may be anywhere."""


class Steadier:
    """Steadies one face's landmarks; call ``steady`` frame by frame.

    Each part of the face follows its new place by ``1 - (TREMBLE / r)^2`` of the way (James and Stein's shrinking of
    a mean), and by FOLLOWED at least, r being the RMS way of its points. One Euro (Casiez et al., CHI 2012) filters
    every coordinate by its own speed; that a whole part moves together tells motion from tremble sooner. A forecast by
    the parts' velocity (Holt) was tried: no less tremble, no less lag, and lids that overshoot.
    """

    def __init__(self) -> None:
        self._last: Array | None = None
        self._last_s = 0.0

    def forget(self) -> None:
        """Begin anew: the next landmarks stay as they are."""
        self._last = None

    def steady(self, landmarks: Array, timestamp_s: float) -> Array:
        """Return landmarks (68, 2) steadied by those before, in the same unit."""
        if self._last is None or not 0 <= timestamp_s - self._last_s <= FORGET_AFTER_S:
            self._last = landmarks.astype(np.float64, copy=True)
        motion = landmarks - self._last
        tremble = TREMBLE * float(eye_distance(landmarks))
        steadied = self._last.copy()
        for part in GROUPS:
            way = float(np.sqrt((motion[part] ** 2).sum(-1).mean()))
            share = max(FOLLOWED, 1.0 - (tremble / way) ** 2) if way > 0 else 1.0
            steadied[part] += share * motion[part]
        self._last, self._last_s = steadied, timestamp_s
        return steadied.copy()
