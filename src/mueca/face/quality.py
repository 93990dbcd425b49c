"""How far a frame can be trusted as an example to learn from, and what is wrong with those that can't."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mueca.face.landmarks import eye_distance

Array = np.ndarray

PROBLEMS = ("small", "cut_off", "covered", "blurred", "turned_away")
"""What can be wrong with a frame, the gravest first: a frame has one at most.

The limits below were set on six real clips and the two actors as they are (every fifth frame), and on the same frames
spoilt: blurred by a Gaussian of 3 and 6 % of the eye distance, smeared by 20 % of it, cut through the middle of the
face, shrunk to a face of 30 px, half of it blackened.
"""

SMALL_PX = 24.0
"""Eye distance: a face of about 45 px, from which a crop of 256 has nothing to show."""
CUT_OFF_SHARE = 0.08
"""Share of the landmarks that lie outside the picture; spoilt 0.37 and more, whole clips 0."""
BLURRED_SHARE = 0.5
"""Of the clip's median sharpness; blurred at most 0.35, smeared 0.57, clips as they are 0.77 at least."""
BLURRED = 0.06
"""Sharpness, whatever the clip's is: clips as they are 0.16 at least, blurred by 6 % 0.04 to 0.13."""
TURNED_AWAY = 0.85
"""Of the way from the middle to the face's outline at which the nose's tip stands; 0.65 at 30 degrees on the actors."""
COVERED_DISAGREEMENT, COVERED_SCORE = 1.8, 0.03
"""Times the clip's median disagreement of the boxes, and drop of the score below its median; both must be passed.

Half a face in black: 2 to 6 times and 0.04 to 0.23. Faces as they are pass one now and then, never both. A hand over
the mouth is mostly not noticed: detector and predictor hardly change.
"""
_SCORE_SPREADS = 5.0  # the drop must also be so many times the score's usual departure: HOG's scores vary by themselves


@dataclass(frozen=True)
class Evidence:
    """What was measured in each of N frames of one clip."""

    landmarks: Array
    """(N, 68, 2), in frame pixels."""
    disagreement: Array
    """(N,), see ``mueca.face.reading.Reading``."""
    sharpness: Array
    """(N,), likewise."""
    score: Array
    """(N,) of the detector."""
    size_px: Array
    """(N, 2) width and height of the frame."""


def judge(evidence: Evidence) -> tuple[Array, Array]:
    """Return each frame's quality (N,), 0 to 1, and its problem (N,) str: one of PROBLEMS, or empty.

    Sharpness, disagreement and score are compared with the clip's own medians: cameras and faces differ.
    """
    if not len(evidence.landmarks):
        return np.zeros(0), np.zeros(0, dtype="<U16")
    eyes = eye_distance(evidence.landmarks)
    outside = share_outside(evidence.landmarks, evidence.size_px)
    sharp = evidence.sharpness / max(float(np.median(evidence.sharpness)), 1e-6)
    turned = np.abs(turn_of(evidence.landmarks))
    apart = evidence.disagreement / max(float(np.median(evidence.disagreement)), 1e-6)
    drop = np.median(evidence.score) - evidence.score
    usual_drop = _SCORE_SPREADS * float(np.median(np.abs(drop)))
    is_problem = {
        "small": eyes < SMALL_PX,
        "cut_off": outside > CUT_OFF_SHARE,
        "covered": (apart > COVERED_DISAGREEMENT) & (drop > max(COVERED_SCORE, usual_drop)),
        "blurred": (sharp < BLURRED_SHARE) | (evidence.sharpness < BLURRED),
        "turned_away": turned > TURNED_AWAY,
    }
    problem = np.full(len(eyes), "", dtype="<U16")
    for name in reversed(PROBLEMS):
        problem[is_problem[name]] = name
    quality = (
        _fades(eyes, 2.5 * SMALL_PX, SMALL_PX / 2)
        * _fades(outside, 0.0, 2 * CUT_OFF_SHARE)
        * _fades(sharp, 0.9, BLURRED_SHARE / 2)
        * _fades(turned, 0.5, 1.0)
        * _fades(apart, 1.5, 4 * COVERED_DISAGREEMENT)
        * _fades(drop, COVERED_SCORE / 2, max(8 * COVERED_SCORE, 2 * usual_drop))
    )
    return np.where(problem == "", quality, np.minimum(quality, 0.5)), problem


def turn_of(landmarks: Array) -> Array:
    """Return how far the faces (..., 68, 2) are turned: the nose's tip between the outlines, -1 left, 0, 1 right."""
    left, right = landmarks[..., :3, :].mean(-2), landmarks[..., 14:17, :].mean(-2)
    tip = landmarks[..., 30, :]
    across = right - left
    return 2 * ((tip - left) * across).sum(-1) / np.maximum((across**2).sum(-1), 1e-6) - 1


def share_outside(landmarks: Array, size_px: Array) -> Array:
    """Return the share (N,) of each frame's landmarks (N, 68, 2) outside its picture of width and height (N, 2)."""
    return ((landmarks < -0.5) | (landmarks > size_px[:, None] - 0.5)).any(axis=-1).mean(axis=-1)


def _fades(values: Array, good: float, bad: float) -> Array:
    """Return 1 where a value is as good as ``good``, 0 as bad as ``bad``, a straight line between."""
    return np.clip((values - bad) / (good - bad), 0.0, 1.0)
