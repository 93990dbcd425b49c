"""A person's own face in three dimensions, learned from the landmarks of a clip: shape, pose, expression, ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mueca.face.generic import GENERIC_FACE
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, NOSE, eye_distance

Array = np.ndarray

LID_PAIRS = np.array([[(37, 41), (38, 40)], [(43, 47), (44, 46)]])
"""Upper and lower lid: two pairs for the right eye, two for the left."""
LIP_PAIRS = np.array([(61, 67), (62, 66), (63, 65)])
"""Upper and lower edge of the gap between the lips."""

COMPONENTS = 3
"""So many directions of expression are told apart: the jaw, the mouth's width, the brows. A fourth already differs so
much between the first four fifths of a lively actor's clip and the last that a quarter of these count as new."""


MOST_FRAMES = 2000


@dataclass(frozen=True)
class FaceModel:
    """What is learned of one person from landmarks. Angles are yaw, pitch and roll in degrees, as ``Poses`` has them.

    Lengths without a unit in their name are in sizes of the face: the RMS distance of the 68 neutral points, seen
    from the front, from their mean, which is the origin. Axes are the head's: x to the picture's right, y down, z
    towards the camera. A range goes from the 1st to the 99th percentile of the clip.
    """

    num_frames: int
    neutral: list[list[float]]
    """(68, 3): the face at rest, facing the camera."""
    size_px: float
    """RMS distance of the landmarks from their mean, on average over the clip."""
    centre_px: list[float]
    """(2,): that mean, on average."""
    pose_low: list[float]
    """(3,)"""
    pose_high: list[float]
    """(3,)"""
    directions: list[list[float]]
    """(K, 136): unit directions of expression, x and y of each point, strongest first; the eyes' points are zero."""
    reach_low: list[float]
    """(K,): range along each direction; the neutral face is at 0."""
    reach_high: list[float]
    """(K,)"""
    reach_beside: float
    """99th percentile of the length of what of an expression lies in none of these directions."""
    lips_apart: float
    """99th percentile of the gap between the lips."""
    closed: list[float]
    """(2,): how far the landmarks of the right and the left eye stand open in a blink; 0 where none was seen."""
    wide_open: list[float]
    """(2,): how far they open at most; 1 is the neutral eye's opening."""

    @property
    def frontal_shape(self) -> Array:
        """The face at rest seen from the front, as large and where it usually is: (68, 2) in pixels."""
        return self.size_px * np.array(self.neutral)[:, :2] + self.centre_px


@dataclass(frozen=True)
class Poses:
    """How a face stands in N pictures (scaled orthographic projection)."""

    rotation: Array
    """(N, 3, 3)."""
    scale_px: Array
    """(N,)."""
    place_px: Array
    """(N, 2): of the model's origin."""

    def project(self, points: Array) -> Array:
        """Return pixels (N, 68, 2) of points (68, 3) or (N, 68, 3)."""
        return (
            self.scale_px[:, None, None] * (points @ np.swapaxes(self.rotation[:, :2], 1, 2)) + self.place_px[:, None]
        )

    @property
    def degrees(self) -> Array:
        """Yaw, pitch and roll, (N, 3): the nose to the picture's right, down, the crown to its right."""
        r = self.rotation
        yaw = np.arcsin(np.clip(-r[:, 2, 0], -1.0, 1.0))
        return np.degrees(np.stack([yaw, np.arctan2(-r[:, 2, 1], r[:, 2, 2]), np.arctan2(r[:, 1, 0], r[:, 0, 0])], -1))


def rotations(degrees: Array) -> Array:
    """Return the rotations (N, 3, 3) of yaw, pitch and roll (N, 3): pitch first, then yaw, then roll."""
    (sy, sp, sr), (cy, cp, cr) = np.sin(np.radians(degrees)).T, np.cos(np.radians(degrees)).T
    zero = np.zeros_like(sy)
    rows = [
        [cr * cy, -cr * sy * sp - sr * cp, cr * sy * cp - sr * sp],
        [sr * cy, -sr * sy * sp + cr * cp, sr * sy * cp + cr * sp],
        [-sy + zero, -cy * sp, cy * cp],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def fit_face(landmarks: Array) -> FaceModel:
    """Learn a person's face from landmarks (N, 68, 2) in any pixels, of one frame or more.

    Of more than MOST_FRAMES so many are taken, evenly spread; 587 frames take 0.6 s.
    """
    num_frames = len(landmarks)
    landmarks = landmarks[np.linspace(0, num_frames - 1, min(num_frames, MOST_FRAMES)).round().astype(int)]
    neutral = _fit_neutral(landmarks)
    poses = fit_poses(neutral, landmarks)
    centre = landmarks.mean(axis=1)
    departures = turned_back(poses, landmarks - poses.project(neutral))
    low, high = np.percentile(poses.degrees, _RANGE, axis=0)
    directions, reach, beside = _fit_directions(departures)
    openings = eye_openings(neutral, departures)
    closed, wide_open = np.percentile(openings, _RANGE, axis=0)
    return FaceModel(
        num_frames=num_frames,
        neutral=_rounded(neutral),
        size_px=_rounded(np.sqrt(((landmarks - centre[:, None]) ** 2).sum(-1).mean(-1)).mean()),
        centre_px=_rounded(centre.mean(axis=0)),
        pose_low=_rounded(low),
        pose_high=_rounded(high),
        directions=_rounded(directions),
        reach_low=_rounded(reach[0]),
        reach_high=_rounded(reach[1]),
        reach_beside=_rounded(beside),
        lips_apart=_rounded(np.percentile(lip_gap(neutral, departures), _RANGE[1])),
        closed=_rounded(np.where(closed < _BLINK, np.maximum(closed, 0.0), 0.0)),
        wide_open=_rounded(np.maximum(wide_open, 1.0)),
    )


def fit_poses(neutral: Array, landmarks: Array, *, rounds: int = 16) -> Poses:
    """Return how the neutral face (68, 3) must stand to lie on each of the landmarks (N, 68, 2).

    Each round gives the landmarks the depth that the last one's pose says, and lays the face on these points in
    three dimensions (Umeyama, PAMI 1991): after 8 rounds 30 degrees of yaw come out as 28, after 16 they stand.
    """
    weights = _RIGID / _RIGID.sum()
    spread = neutral[:, :2] - weights @ neutral[:, :2]
    off = landmarks - (weights @ landmarks)[:, None]
    scale = np.sqrt((weights @ (off**2).sum(-1).T) / (weights @ (spread**2).sum(-1)))
    rotation = np.tile(np.eye(3), (len(landmarks), 1, 1))
    place = np.zeros((len(landmarks), 3))
    for _ in range(rounds):
        depth = scale[:, None] * (neutral @ rotation[:, 2].T).T
        rotation, scale, place = _lay_on(neutral, np.concatenate([landmarks, depth[..., None]], -1), weights)
    return Poses(rotation, scale, place[:, :2])


def turned_back(poses: Poses, moved_px: Array) -> Array:
    """Return movements (N, 68, 2) in the pictures as movements in x and y of the head's own axes, in its sizes."""
    across = poses.rotation[:, :2, :2]
    flat = np.maximum(across[:, 0, 0] * across[:, 1, 1] - across[:, 0, 1] * across[:, 1, 0], _LEAST_FLAT)
    inverse = np.stack(
        [
            np.stack([across[:, 1, 1], -across[:, 0, 1]], -1),
            np.stack([-across[:, 1, 0], across[:, 0, 0]], -1),
        ],
        axis=1,
    )
    return moved_px @ np.swapaxes(inverse, 1, 2) / (flat * poses.scale_px)[:, None, None]


def eye_openings(neutral: Array, departures: Array) -> Array:
    """Return how far the right and the left eye are open (N, 2); 1 as in the neutral face (68, 3), 0 with lids met."""
    gap = neutral[LID_PAIRS[..., 1], :2] - neutral[LID_PAIRS[..., 0], :2]  # (2 eyes, 2 pairs, 2)
    change = departures[:, LID_PAIRS[..., 1]] - departures[:, LID_PAIRS[..., 0]]
    along = (change * gap).sum(axis=(-1, -2))
    return np.maximum(1.0 + along / np.maximum((gap**2).sum(axis=(-1, -2)), 1e-12), 0.0)


def lip_gap(neutral: Array, departures: Array) -> Array:
    """Return the gap between the lips (N,) of the neutral face (68, 3) after departures (N, 68, 2), in its sizes."""
    lips = neutral[LIP_PAIRS, :2] + departures[:, LIP_PAIRS]
    return np.linalg.norm(lips[..., 1, :] - lips[..., 0, :], axis=-1).mean(axis=-1)


_RANGE = (1.0, 99.0)
_BLINK = 0.85  # of the neutral opening: dlib's predictor reads a fully closed eye as 0.3 to 0.8 of the open one
_LEAST_FLAT = 0.3  # beyond 70 degrees a face is a line, and movements across it can't be told
_LIPS_APART = 0.08  # eye distances; see _fit_neutral
_DEPTH_TRUST = 0.1  # how much the generic face's depth counts beside the clip's: as much as turns by 18 degrees do

_RIGID = np.full(68, 0.1)
"""How far each point stays where it is on the head whatever the face does: weights for the pose."""
_RIGID[[0, 1, 2, 14, 15, 16]] = 0.3
_RIGID[17:27] = 0.15
_RIGID[EYE_RIGHT] = _RIGID[EYE_LEFT] = 0.3
_RIGID[[36, 39, 42, 45]] = _RIGID[NOSE] = 1.0
_RIGID[48:68] = 0.05


def _fit_neutral(landmarks: Array) -> Array:
    """Return the face at rest (68, 3), by turns with its poses: the mean over the clip of the face turned back.

    Frames count by how nearly the lips are closed: on exact landmarks of the actors talking through four fifths of a
    clip, the retargeted landmarks are then 1.1 % of the eye distance off and not 1.4, and no worse on their lively
    standard clips; a median over the clip, or counting still frames only, did worse. What a clip without turns can't
    tell, the depth, is the generic face's.
    """
    gap = np.linalg.norm(landmarks[:, LIP_PAIRS[:, 1]] - landmarks[:, LIP_PAIRS[:, 0]], axis=-1).mean(-1)
    gap = gap / np.maximum(eye_distance(landmarks), 1e-9)
    weight = np.exp(-(((gap - np.percentile(gap, 10)) / _LIPS_APART) ** 2) / 2) + 0.02
    weight /= weight.sum()
    trust = np.diag([1e-3, 1e-3, _DEPTH_TRUST])
    neutral = GENERIC_FACE
    for _ in range(6):
        poses = fit_poses(neutral, landmarks)
        onto = poses.rotation[:, :2]  # (N, 2, 3)
        there = (landmarks - poses.place_px[:, None]) / poses.scale_px[:, None, None]
        seen = np.einsum("n,nij,nik->jk", weight, onto, onto)
        wanted = np.einsum("n,nij,npi->pj", weight, onto, there)
        neutral = _facing(np.linalg.solve(seen + trust, (wanted + GENERIC_FACE @ trust).T).T)
    return neutral


def _facing(points: Array) -> Array:
    """Return the points (68, 3) turned as the generic face stands, in sizes of the face about their mean."""
    points = points - points.mean(axis=0)
    rotation, _, _ = _lay_on(points, GENERIC_FACE[None], _RIGID / _RIGID.sum())
    points = points @ rotation[0].T
    for pairs in (LID_PAIRS, LIP_PAIRS):  # what meets is at one depth: else it would part again as the head turns
        points[pairs, 2] = points[pairs, 2].mean(axis=-1, keepdims=True)
    return points / np.sqrt((points[:, :2] ** 2).sum(axis=1).mean())


def _lay_on(points: Array, onto: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return rotations (N, 3, 3), scales (N,) and shifts (N, 3) that lay points (68, 3) best on others (N, 68, 3)."""
    middle, onto_middle = weights @ points, weights @ onto  # (3,), (N, 3)
    p, q = points - middle, onto - onto_middle[:, None]
    u, stretch, vt = np.linalg.svd(np.swapaxes(q * weights[:, None], 1, 2) @ p)
    stretch[:, 2] *= np.sign(np.linalg.det(u @ vt))  # no mirror image
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    rotation = u @ vt
    scale = stretch.sum(-1) / (weights @ (p**2).sum(-1))
    return rotation, scale, onto_middle - scale[:, None] * (rotation @ middle)


def _fit_directions(departures: Array) -> tuple[Array, Array, float]:
    """Return directions (K, 136), their ranges (2, K) and the reach beside them, of departures (N, 68, 2)."""
    flat = without_eyes(departures).reshape(len(departures), -1)
    num = min(COMPONENTS, len(flat) // _FRAMES_PER_DIRECTION)
    directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][:num]
    along = flat @ directions.T
    beside = np.linalg.norm(flat - along @ directions, axis=1)
    reach = np.percentile(along, _RANGE, axis=0) if num else np.zeros((2, 0))
    return directions, reach, float(np.percentile(beside, _RANGE[1]))


_FRAMES_PER_DIRECTION = 5


def without_eyes(departures: Array) -> Array:
    """Return the departures (N, 68, 2) with those of the eyes' points zero: eyes have a measure of their own."""
    kept = departures.copy()
    kept[:, EYE_RIGHT.start : EYE_LEFT.stop] = 0.0
    return kept


def _rounded(values: Array | float) -> Any:
    return np.round(values, 5).tolist()
