"""Carrying a driver's face over to the subject: the subject's shape, the driver's pose and expression."""

from __future__ import annotations

import numpy as np

from mueca.face.gaze import GazeRange
from mueca.face.shape import (
    LID_PAIRS,
    LIP_PAIRS,
    FaceModel,
    Poses,
    eye_openings,
    fit_poses,
    lip_gap,
    rotations,
    turned_back,
    without_eyes,
)

Array = np.ndarray

MARGIN = 0.25
"""How far beyond what the subject showed a movement may go, as a share of that range; it never quite gets there."""

LEAST_MARGIN_DEGREES = 3.0
LEAST_MARGIN = 0.06
"""Of expression, in sizes of the face: room for a subject of few frames. A lip is about as thick."""

BESIDE = 2.0
"""What of an expression lies beside the subject's few main directions may be this many times as long as the subject's
own: on the actors, the same act by another person is up to 1.5 times as long."""

OUT_OF_RANGE = 0.1
"""A frame counts as out of range when something in it lies beyond the subject's by more than this share of it."""


class Retargeter:
    """Moves a subject's face as a driver's.

    On drawn actors, four subjects each driven by two others' videos, the landmarks are 2.8 % of the eye distance from
    those found in the true picture, 3.5 % where the head is turned by more than 15 degrees. Departures from the mean
    face in two dimensions, the simplest way, give 2.6 and 3.6 %, and with a driver of three seconds 4.0 % where this
    gives 2.9; the driver's own shape gives 4.8 and 5.5 %.
    """

    def __init__(self, subject: FaceModel, driver: FaceModel):
        """Take both people's models, each fitted in the pixels that their landmarks are given or wanted in."""
        self._subject, self._driver = subject, driver
        self._subject_neutral, self._driver_neutral = np.array(subject.neutral), np.array(driver.neutral)
        self._turn = _turn_into(subject, driver)
        self._lip_shift = _gaps(self._subject_neutral, LIP_PAIRS) - _gaps(self._driver_neutral, LIP_PAIRS)
        self._lid_shift = _gaps(self._subject_neutral, LID_PAIRS) - _gaps(self._driver_neutral, LID_PAIRS)

    def carry_over(self, landmarks: Array) -> Array:
        """Return the subject's landmarks (N, 68, 2), in its pixels, that move as the driver's (N, 68, 2), in theirs."""
        return np.concatenate([self._carry_over(part) for part in _parts(landmarks)])

    def out_of_range(self, landmarks: Array) -> Array:
        """Return how far each of the driver's frames (N, 68, 2) lies beyond what the subject showed: (N,), 0 inside.

        In widths of the subject's range, of what lies furthest beyond: an angle, an expression, lips or lids apart.
        """
        return np.concatenate([self._out_of_range(part) for part in _parts(landmarks)])

    def _carry_over(self, landmarks: Array) -> Array:
        subject, driver = self._subject, self._driver
        poses = fit_poses(self._driver_neutral, landmarks)
        departures = turned_back(poses, landmarks - poses.project(self._driver_neutral))
        points = np.repeat(self._subject_neutral[None], len(landmarks), axis=0)
        points[..., :2] += self._expression(departures)
        degrees = soft_limit(poses.degrees + self._turn, *_pose_range(subject))
        ratio = subject.size_px / driver.size_px
        placed = Poses(rotations(degrees), poses.scale_px * ratio, np.zeros((len(landmarks), 2))).project(points)
        centre = np.array(subject.centre_px) + ratio * (landmarks.mean(axis=1) - driver.centre_px)
        return placed + (centre - placed.mean(axis=1))[:, None]

    def _out_of_range(self, landmarks: Array) -> Array:
        poses = fit_poses(self._driver_neutral, landmarks)
        departures = turned_back(poses, landmarks - poses.project(self._driver_neutral))
        along, beside = self._split(departures)
        length = np.linalg.norm(beside, axis=-1, keepdims=True)
        opening = eye_openings(self._driver_neutral, departures)
        asked_and_range = [
            (poses.degrees + self._turn, *_pose_range(self._subject)),
            (along, *_reach(self._subject)),
            (length, *_reach_beside(self._subject)),
            (opening, *_opening_range(self._subject)),
            (lip_gap(self._driver_neutral, departures)[:, None], *_lips_range(self._subject)),
        ]
        return np.max([_excess(*each).max(axis=1, initial=0.0) for each in asked_and_range], axis=0)

    def _expression(self, departures: Array) -> Array:
        """Return the subject's departures (N, 68, 2) from its neutral face for the driver's from theirs."""
        limited = departures + self._limited(departures) - without_eyes(departures)
        self._meet_lips(limited, departures)
        self._close_eyes(limited, departures)
        return limited

    def _split(self, departures: Array) -> tuple[Array, Array]:
        """Return the reach (N, K) along the subject's directions of expression, and what is left (N, 136)."""
        flat = without_eyes(departures).reshape(len(departures), -1)
        directions = _directions(self._subject)
        along = flat @ directions.T
        return along, flat - along @ directions

    def _limited(self, departures: Array) -> Array:
        along, beside = self._split(departures)
        length = np.linalg.norm(beside, axis=-1, keepdims=True)
        beside = beside * soft_limit(length, *_reach_beside(self._subject)) / np.maximum(length, 1e-9)
        along = soft_limit(along, *_reach(self._subject))
        limited = (along @ _directions(self._subject) + beside).reshape(departures.shape)
        limited[:, _OPENS] *= self._opened(limited)[:, None, None]
        return limited

    def _opened(self, departures: Array) -> Array:
        """Return the share (N,) of the jaw's and the mouth's departures that parts the lips as far as it may."""
        gap = lip_gap(self._driver_neutral, departures)
        rest = lip_gap(self._driver_neutral, np.zeros((1, 68, 2)))
        allowed = soft_limit(gap, *_lips_range(self._subject))
        return np.where(allowed < gap, (allowed - rest) / np.maximum(gap - rest, 1e-9), 1.0).clip(0.0, 1.0)

    def _meet_lips(self, limited: Array, departures: Array) -> None:
        """Let the subject's lips meet where the driver's do: below the driver's neutral gap theirs fades to nothing."""
        driver_gap = _gaps(self._driver_neutral + _three(departures), LIP_PAIRS)
        neutral_gap = np.linalg.norm(_gaps(self._driver_neutral, LIP_PAIRS), axis=-1)
        share = np.clip(np.linalg.norm(driver_gap, axis=-1) / np.maximum(neutral_gap, 1e-9), 0.0, 1.0)[..., None]
        asked = _gaps(departures, LIP_PAIRS)
        change = (share - 1.0) * self._lip_shift + (1.0 - share) * (asked - _gaps(limited, LIP_PAIRS))
        for (upper, lower), (above, below), by in zip(LIP_PAIRS, _OUTER, np.moveaxis(change, 1, 0), strict=True):
            limited[:, [upper, above]] -= by[:, None] / 2
            limited[:, [lower, below]] += by[:, None] / 2

    def _close_eyes(self, limited: Array, departures: Array) -> None:
        """Let the subject's lids stand open as far as the driver's do, each by the measure of their own open eye."""
        opening = eye_openings(self._driver_neutral, departures)  # (N, 2)
        wanted = soft_limit(_as_subjects(opening, self._driver, self._subject), *_opening_range(self._subject))
        share = np.minimum(opening, 1.0)[..., None, None]
        gap = _gaps(self._driver_neutral + _three(departures), LID_PAIRS)  # (N, 2, 2, 2)
        gap = (gap + share * self._lid_shift) * (wanted / np.maximum(opening, 1e-9))[..., None, None]
        by = gap - _gaps(self._subject_neutral + _three(limited), LID_PAIRS)
        limited[:, LID_PAIRS[..., 0]] -= by / 2
        limited[:, LID_PAIRS[..., 1]] += by / 2


_OPENS = np.r_[4:13, 48:68]
"""The points that go with the jaw."""

_OUTER = np.array([(50, 58), (51, 57), (52, 56)])
"""The outer lips' points beside LIP_PAIRS: they go with the inner ones, so that lips keep their thickness."""


def place(landmarks: Array, subject: FaceModel, driver: FaceModel) -> Array:
    """Return the driver's own landmarks (N, 68, 2) where the subject's face is and as large, in its pixels.

    This is the report's way: the driver's shape goes with them.
    """
    ratio = subject.size_px / driver.size_px
    return np.array(subject.centre_px) + ratio * (landmarks - driver.centre_px)


def carry_gaze(gaze: Array, subject: GazeRange, driver: GazeRange) -> Array:
    """Return the subject's gazes (N, 2) that depart from its usual one as the driver's (N, 2) from theirs.

    The usual ones differ by how the landmarks fall into the eyes' corners. They are limited as poses are.
    """
    low, high = np.array(subject.low), np.array(subject.high)
    asked = gaze - driver.usual + subject.usual
    return soft_limit(asked, low, high, np.maximum(MARGIN * (high - low), LEAST_MARGIN))


def soft_limit(values: Array, low: Array, high: Array, margin: Array) -> Array:
    """Return the values, those beyond low or high brought nearer, smoothly, so that none goes further than ``margin``.

    Between low and high they stay as they are. ``margin`` must be positive; all four broadcast.
    """
    inside = np.clip(values, low, high)
    beyond = values - inside
    return inside + np.sign(beyond) * margin * -np.expm1(-np.abs(beyond) / margin)


def _excess(values: Array, low: Array, high: Array, margin: Array) -> Array:
    """Return how far values lie outside, in widths of the range, which counts as no narrower than the margin."""
    return np.abs(values - np.clip(values, low, high)) / np.maximum(np.broadcast_to(high - low, values.shape), margin)


def _pose_range(model: FaceModel) -> tuple[Array, Array, Array]:
    low, high = np.array(model.pose_low), np.array(model.pose_high)
    return low, high, np.maximum(MARGIN * (high - low), LEAST_MARGIN_DEGREES)


def _reach(model: FaceModel) -> tuple[Array, Array, Array]:
    low, high = np.minimum(model.reach_low, 0.0), np.maximum(model.reach_high, 0.0)
    return low, high, np.maximum(MARGIN * (high - low), LEAST_MARGIN)


def _reach_beside(model: FaceModel) -> tuple[Array, Array, Array]:
    high = np.array([BESIDE * model.reach_beside])
    return 0.0 * high, high, np.maximum(MARGIN * high, LEAST_MARGIN)


def _opening_range(model: FaceModel) -> tuple[Array, Array, Array]:
    high = np.array(model.wide_open)
    return 0.0 * high, high, MARGIN * high


def _lips_range(model: FaceModel) -> tuple[float, float, float]:
    return 0.0, model.lips_apart, max(MARGIN * model.lips_apart, LEAST_MARGIN)


def _directions(model: FaceModel) -> Array:
    return np.array(model.directions).reshape(-1, 136)


def _turn_into(subject: FaceModel, driver: FaceModel) -> Array:
    """Return the degrees (3,) by which a driver is turned as a whole: just so far that one range holds the other.

    A driver who was filmed from below, or turned to another screen, would otherwise always be out of range; one who
    moves where the subject did is taken as they are. Means in its place mistake three seconds of looking left for
    looking ahead: 3.8 % of the eye distance instead of 2.7 %.
    """
    ends = np.array(subject.pose_low) - driver.pose_low, np.array(subject.pose_high) - driver.pose_high
    return np.clip(0.0, np.minimum(*ends), np.maximum(*ends))


def _as_subjects(opening: Array, driver: FaceModel, subject: FaceModel) -> Array:
    """Return eye openings (N, 2) as the predictor would read them off the subject: it reads a closed eye as half open.

    Where both were seen to blink, the driver's closed eye is the subject's closed eye; 0 and 1 stay in any case.
    """
    both = np.minimum(driver.closed, subject.closed) > 0
    columns = [
        np.interp(opening[:, k], [0.0, driver.closed[k], 1.0], [0.0, subject.closed[k], 1.0])
        if both[k]
        else opening[:, k]
        for k in range(2)
    ]
    return np.where(opening < 1.0, np.stack(columns, -1), opening)


def _parts(landmarks: Array) -> list[Array]:
    """Return the landmarks in parts: a frame takes some 10 kB on its way, and an hour has 100,000."""
    return np.array_split(landmarks, max(1, len(landmarks) // _ROWS_AT_ONCE))


_ROWS_AT_ONCE = 2048


def _gaps(points: Array, pairs: Array) -> Array:
    """Return the vectors (..., 2) in x and y from the first to the second point of each pair."""
    return points[..., pairs[..., 1], :2] - points[..., pairs[..., 0], :2]


def _three(flat: Array) -> Array:
    """Return movements (N, 68, 2) with a third coordinate of 0."""
    return np.concatenate([flat, np.zeros_like(flat[..., :1])], axis=-1)
