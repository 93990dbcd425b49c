"""The actors' heads in three dimensions: a skin mesh, how an expression moves it, and the 68 landmarks on it.

Head coordinates in centimetres: x to the picture's right, y down, z towards the camera; the origin lies between
the ears at the height of the eyes. The mean proportions are those of the mean shape of iBUG's 68 points (as
OpenFace publishes it), scaled so that the outer corners of the eyes are 9 cm apart, which is an adult's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator

from mueca.actors.people import Expression, Identity

FRAME_PX = 480
"""Side of the square frames."""
PX_PER_CM = 11.6
"""At the depth of the ears; with it the face from brow to chin takes about two fifths of the frame."""
CAMERA_CM = 85.0
"""From the camera to the ears: far enough for a face not to look swollen."""
PIVOT = np.array([0.0, 5.0, -1.0])
"""The top of the neck, about which the head turns."""
HEAD_MIDDLE_PX = np.array([240.0, 258.0])
"""Where the pivot lies in the frame at rest."""

MOUTH_Y = 7.15
_HINGE = (2.0, -0.5)
"""y and z of the jaw's joint."""
_JAW_DEGREES = 16.0
_ROUNDNESS = 2.8
"""Exponent of the superellipse that the front of a slice through the head is; 2 would be an ellipse."""

_SLICES = np.array(
    [  # y, half width, front z, back z
        (-11.5, 0.0, -1.0, -1.0),
        (-11.2, 2.3, 1.6, -3.6),
        (-10.5, 4.0, 3.7, -5.6),
        (-9.0, 5.8, 6.0, -7.6),
        (-7.0, 7.0, 7.5, -9.0),
        (-4.0, 7.55, 8.7, -9.7),
        (-1.8, 7.65, 8.75, -9.6),
        (-0.3, 7.55, 8.35, -9.2),
        (2.2, 7.45, 8.4, -8.0),
        (4.25, 7.15, 8.8, -6.0),
        (6.2, 6.7, 9.2, -4.0),
        (8.1, 5.9, 9.3, -1.5),
        (9.7, 4.7, 9.0, 1.8),
        (11.1, 3.2, 9.0, 4.6),
        (12.2, 1.6, 8.6, 6.8),
        (12.5, 0.0, 7.8, 7.8),
    ]
)
_FINE_Y = np.linspace(-11.5, 12.5, 1201)
"""Heights at which smooth profiles are tabulated: a fifth of a millimetre apart, linear between."""
_RIDGE = PchipInterpolator(
    [-1.6, -1.2, 0.0, 1.3, 2.6, 3.9, 4.5, 5.0, 5.4, 5.8],
    [0, 0.1, 0.6, 1.25, 1.95, 2.6, 2.35, 1.2, 0.3, 0],
    extrapolate=False,
)(_FINE_Y)
"""How far the bridge of the nose stands out at each of these heights."""


@dataclass(frozen=True)
class Mesh:
    """A sheet of skin or hair: vertices in rows and columns, so that normals and textures are simple."""

    rest: np.ndarray
    """(R, C, 3), in head coordinates."""
    triangles: np.ndarray
    """(F, 3) numbers of vertices, rows first."""


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return 0 below ``low``, 1 above ``high`` and a smooth rise between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bell(distance: np.ndarray, reach: float) -> np.ndarray:
    """Return exp(-(distance / reach)**2)."""
    return np.exp(-np.square(distance / reach))


def grid_triangles(num_rows: int, num_columns: int, *, first: int = 0) -> np.ndarray:
    """Return (F, 3): two triangles for every cell of a grid whose vertices are numbered by rows."""
    number = np.arange(num_rows * num_columns).reshape(num_rows, num_columns) + first
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    return np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])


def slice_at(identity: Identity, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return half width, middle z and half depth of the bare head's slice at each height."""
    width, front, back = (np.interp(y, _FINE_Y, _fine_profile(k)) for k in (1, 2, 3))
    width = width * (1.0 + (identity.jaw_width - 1.0) * smoothstep(0.0, 7.0, y))
    return width, (front + back) / 2, (front - back) / 2


def front_z(identity: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the depth of the resting face at places on its front."""
    width, middle, half_depth = slice_at(identity, y)
    beside = np.clip(np.abs(x) / np.maximum(width, 1e-6), 0.0, 1.0)
    return middle + half_depth * (1.0 - beside**_ROUNDNESS) ** (1.0 / _ROUNDNESS) + _relief(identity, x, y)


def around(identity: Identity, y: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return points (..., 3) of the bare head at heights and angles (0 front, positive to the picture's right).

    A slice is a superellipse in front, where faces are flat, and an ellipse behind.
    """
    width, middle, half_depth = slice_at(identity, y)
    power = np.where(np.cos(angle) > 0.0, 2.0 / _ROUNDNESS, 1.0)
    x = width * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    z = middle + half_depth * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    return np.stack((x, y + 0.0 * x, z), -1)


@lru_cache(maxsize=8)
def head_mesh(identity: Identity) -> Mesh:
    """Return the head's skin, finest about the eyes, the nose and the mouth; column 0 and the last are the back."""
    angle = _head_angles()[None, :]
    rest = around(identity, _head_heights()[:, None], angle)
    rest[..., 2] += _relief(identity, rest[..., 0], rest[..., 1]) * smoothstep(0.0, 0.35, np.cos(angle))
    return Mesh(rest, grid_triangles(*rest.shape[:2]))


def deform(identity: Identity, expression: Expression, rest: np.ndarray, jaw_weight: np.ndarray) -> np.ndarray:
    """Return where an expression takes points (..., 3) of the resting head.

    jaw_weight (...): how much of the jaw's turn each point follows, 0 to 1.
    """
    x, y, z = np.moveaxis(np.asarray(rest, float), -1, 0)
    e, side, front = expression, x / np.sqrt(x * x + 0.3), smoothstep(1.0, 3.5, z)
    beside = np.abs(x)
    corner_x = 2.9 * identity.mouth_width
    corner = front * bell(np.hypot((beside - corner_x) / 1.6, (y - 7.0) / 1.6), 1.0)
    lips = front * bell(np.hypot(x / 3.7, (y - MOUTH_Y) / 2.1), 1.0)
    cheek = front * bell(np.hypot((beside - 4.2) / 1.8, (y - 3.9) / 1.7), 1.0)
    brow = front * bell(np.hypot((beside - 3.4) / 3.4, (y + 2.3) / 1.7), 1.0)
    inner_brow = front * bell(np.hypot((beside - 1.4) / 1.6, (y + 1.9) / 1.4), 1.0)
    new_x = x * (1.0 + lips * (0.15 * e.width - 0.40 * e.pucker - 0.10 * e.jaw))
    new_x = new_x + side * (0.6 * e.smile * corner - 0.28 * e.brow_frown * inner_brow)
    new_y = y - e.smile * (0.7 * corner + 0.45 * cheek) - 0.9 * e.brow_raise * brow + 0.5 * e.brow_frown * inner_brow
    new_z = z + e.pucker * 0.9 * lips - corner * (0.45 * e.smile + 0.25 * e.width) + 0.4 * e.smile * cheek
    turn = np.radians(_JAW_DEGREES) * e.jaw * jaw_weight
    dy, dz = new_y - _HINGE[0], new_z - _HINGE[1]
    new_y = _HINGE[0] + dy * np.cos(turn) + dz * np.sin(turn)
    new_z = _HINGE[1] + dz * np.cos(turn) - dy * np.sin(turn)
    return np.stack((new_x, new_y, new_z), -1)


def skin_jaw_weight(rest: np.ndarray) -> np.ndarray:
    """Return how much of the jaw's turn points (..., 3) of the skin follow: an edge at the lips, soft at the cheeks."""
    x, y, z = np.moveaxis(rest, -1, 0)
    spread = 0.35 + 3.6 * smoothstep(0.5, 5.0, np.abs(x))
    return smoothstep(MOUTH_Y - spread, MOUTH_Y + spread, y) * smoothstep(-3.0, 2.0, z)


def rotation(expression: Expression) -> np.ndarray:
    """Return the head's 3 x 3 rotation: pitch first, then yaw, then roll."""
    yaw, pitch, roll = np.radians((expression.yaw, expression.pitch, expression.roll))
    about_x = [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def place(expression: Expression, points: np.ndarray) -> np.ndarray:
    """Return points (..., 3) of the head turned by its pose, still in centimetres about the pivot."""
    return (points - PIVOT) @ rotation(expression).T


def project(expression: Expression, placed: np.ndarray) -> np.ndarray:
    """Return (..., 3): x and y in frame pixels, and depth in centimetres, of points about the pivot."""
    nearness = CAMERA_CM / (CAMERA_CM - placed[..., 2:])
    middle = HEAD_MIDDLE_PX + (expression.x, expression.y)
    flat = middle + PX_PER_CM * expression.scale * nearness * placed[..., :2]
    return np.concatenate((flat, placed[..., 2:]), -1)


def on_frame(expression: Expression, points: np.ndarray) -> np.ndarray:
    """Return (..., 2): frame pixels of points (..., 3) of the deformed head."""
    return project(expression, place(expression, points))[..., :2]


@lru_cache(maxsize=4)
def _fine_profile(column: int) -> np.ndarray:
    return PchipInterpolator(_SLICES[:, 0], _SLICES[:, column])(_FINE_Y)


def _head_heights() -> np.ndarray:
    parts = ((-11.5, -10.5, 4), (-10.5, -3.5, 13), (-3.5, 5.8, 40), (5.8, 9.0, 20), (9.0, 12.0, 14), (12.0, 12.5, 5))
    return np.concatenate([np.linspace(low, high, num, endpoint=False) for low, high, num in parts] + [[12.5]])


def _head_angles() -> np.ndarray:
    half = np.concatenate((np.linspace(0, 42, 25)[1:], np.linspace(42, 92, 15)[1:], np.linspace(92, 180, 8)[1:]))
    return np.radians(np.concatenate((-half[::-1], [0.0], half)))


def _relief(identity: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how far (cm) nose, brows, lips, cheeks and chin stand out of the bare slices, sockets negative."""
    beside, i = np.abs(x), identity
    wide = (0.72 + 0.3 * smoothstep(1.0, 4.2, y)) * i.nose_width
    nose = i.nose_height * np.interp(y, _FINE_Y, np.nan_to_num(_RIDGE)) * np.exp(-((beside / wide) ** 2.3))
    wings = 0.95 * bell(np.hypot((beside - 1.22 * i.nose_width) / 0.52, (y - 4.72) / 0.55), 1.0)
    eye_x = 3.21 * i.eye_distance
    sockets = -0.75 * bell(np.hypot((beside - eye_x + 0.2) / 1.9, (y - 0.1) / 1.25), 1.0)
    eyeballs = 0.75 * bell(np.hypot((beside - eye_x) / 1.25, (y - 0.05) / 0.85), 1.0)
    brows = 0.3 * bell(np.hypot((beside - 3.0) / 2.8, (y + 1.9) / 1.0), 1.0)
    cheeks = 0.4 * bell(np.hypot((beside - 4.5) / 2.0, (y - 3.2) / 1.8), 1.0)
    chin = 0.5 * bell(np.hypot(x / 1.6, (y - 10.9) / 1.1), 1.0) - 0.3 * bell(np.hypot(x / 2.2, (y - 9.3) / 0.6), 1.0)
    return nose + wings + sockets + eyeballs + brows + cheeks + chin + _lip_relief(identity, x, y)


def _lip_relief(identity: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    along = np.exp(-((np.abs(x) / (2.35 * identity.mouth_width)) ** 4))
    full = identity.lip_fullness
    upper = 0.34 * full * bell(y - 6.78, 0.36) * (1.0 - 0.25 * bell(x, 0.35))
    lower = 0.5 * full * bell(y - 7.72, 0.42)
    groove = -0.3 * bell(y - MOUTH_Y, 0.16)
    philtrum = 0.1 * bell(np.abs(x) - 0.45, 0.22) * bell(y - 5.9, 0.5)
    return along * (upper + lower + groove) + philtrum
