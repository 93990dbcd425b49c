"""Curves on the face in three dimensions (lids, lips, brows, jaw) and the 68 landmarks that lie on them.

The drawing and the landmarks take the same curves, so that what is drawn is where the landmarks say.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from mueca.actors.head import (
    MOUTH_Y,
    around,
    deform,
    front_z,
    on_frame,
    skin_jaw_weight,
    slice_at,
)
from mueca.actors.people import Expression, Identity

LID_SPOTS = (0.31, 0.67)
"""Where along a lid, from its corner on the picture's left, the two landmarks between the corners lie."""
EYEBALL_CM = 1.22

_EYE_X, _EYE_HALF_WIDTH = 3.21, 1.285
_CORNER_FOLLOWS_JAW = 0.42
_JAW_HEIGHTS = np.array([-0.55, 1.45, 3.55, 5.65, 7.6, 9.4, 10.9, 12.05])
_JAW_LIFTS = np.array([-0.4, 0.1, 0.5, 0.8, 1.0, 0.95, 0.6, 0.2])
_JAW_DROPS = np.array([0.0, 0.25, 0.55, 0.75, 0.75, 0.45, 0.15, 0.0])
"""How much higher (cm) the outline's points sit on the side that turns away by 30 degrees, and how much lower on the
side that turns to us: measured against dlib's predictor, which spreads them evenly over the outline that it sees."""
_JAW_OPENS = np.array([0.0, 0.3, 0.5, 0.5, 0.3, 0.1, 0.0, 0.0])
"""How much lower (cm) they sit when the mouth is wide open, for the same reason."""
_JAW_REACH = np.array([80.0, 84.0, 92.0, 100.0, 104.0, 104.0, 98.0, 92.0])
"""Degrees about each slice at which the edge of the jaw lies as seen from the front quarter."""
_OUTER_UPPER = np.array([(-2.9, 7.12), (-1.75, 6.62), (-0.7, 6.36), (0, 6.5), (0.7, 6.36), (1.75, 6.62), (2.9, 7.12)])
_OUTER_LOWER = np.array([(-2.9, 7.12), (-1.85, 7.85), (-0.8, 8.25), (0, 8.33), (0.8, 8.25), (1.85, 7.85), (2.9, 7.12)])
_INNER = np.array([(-2.45, 7.15), (-0.95, 7.13), (0, 7.18), (0.95, 7.13), (2.45, 7.15)])
_BROW = np.array([(5.95, -1.35), (5.0, -2.1), (3.8, -2.32), (2.55, -2.12), (1.36, -1.68)])
"""From the outer end to the inner."""
_NOSE = np.array([(0, 0.0), (0, 1.4), (0, 2.8), (0, 4.2)])
_NOSE_BASE = np.array([(-1.2, 5.1), (-0.65, 5.28), (0, 5.42), (0.65, 5.28), (1.2, 5.1)])


def eye_side(side: int) -> str:
    """Return the Expression's name for the blink of the eye at ``side``: -1 the picture's left, 1 its right."""
    return "blink_left" if side < 0 else "blink_right"


@lru_cache(maxsize=8)
def eye_centre(identity: Identity, side: int) -> np.ndarray:
    """Return the middle (3,) of the eyeball on one side of the resting head."""
    x = side * _EYE_X * identity.eye_distance
    return np.array([x, 0.05, front_z(identity, np.array(x), np.array(0.05)) - EYEBALL_CM + 0.12])


def lids(identity: Identity, expression: Expression, side: int, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges (N, 3) of the upper and the lower lid at ``along``, 0 to 1 from the picture's left."""
    outward = along if side > 0 else 1.0 - along
    blink = getattr(expression, eye_side(side))
    half_width = _EYE_HALF_WIDTH * identity.eye_size
    x = side * _EYE_X * identity.eye_distance + (2.0 * along - 1.0) * half_width
    corners_y = 0.2 - 0.14 * outward
    rise = np.sin(np.pi * along) ** 0.85
    open_upper = identity.eye_opening * (0.66 - 0.14 * expression.gaze_y + 0.1 * expression.brow_raise)
    open_lower = identity.eye_opening * (0.36 - 0.12 * expression.smile + 0.05 * expression.gaze_y)
    closed = -0.75 * open_lower
    upper_y = corners_y - rise * ((1.0 - blink) * open_upper + blink * closed)
    lower_y = corners_y + rise * ((1.0 - blink) * open_lower - blink * closed)
    upper, lower = _on_face(identity, expression, np.stack((x, x)), np.stack((upper_y, lower_y)))
    return upper, lower


def iris_ring(identity: Identity, expression: Expression, side: int, radius_cm: float, num: int = 28) -> np.ndarray:
    """Return a circle (num, 3) on the eyeball about where it looks."""
    turn_x, turn_y = np.radians(26.0 * expression.gaze_x), np.radians(16.0 * expression.gaze_y)
    ahead = np.array([np.sin(turn_x) * np.cos(turn_y), np.sin(turn_y), np.cos(turn_x) * np.cos(turn_y)])
    across = np.cross([0.0, 1.0, 0.0], ahead)
    across /= np.linalg.norm(across)
    down = np.cross(ahead, across)
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)[:, None]
    circle = radius_cm * (np.cos(angle) * across + np.sin(angle) * down)
    return eye_centre(identity, side) + circle + ahead * np.sqrt(EYEBALL_CM**2 - radius_cm**2)


@lru_cache(maxsize=4)
def lips(identity: Identity, expression: Expression) -> dict[str, np.ndarray]:
    """Return the four edges of the lips at their own points, (7, 3) outside and (5, 3) inside, left to right."""
    return {
        "outer_upper": _lip_edge(identity, expression, _OUTER_UPPER, lower=False),
        "inner_upper": _lip_edge(identity, expression, _INNER, lower=False),
        "inner_lower": _lip_edge(identity, expression, _INNER, lower=True),
        "outer_lower": _lip_edge(identity, expression, _OUTER_LOWER, lower=True),
    }


def brow(identity: Identity, expression: Expression, side: int) -> np.ndarray:
    """Return a brow's middle line (5, 3) from its outer to its inner end."""
    x = side * (_BROW[:, 0] + 2.2 * (identity.eye_distance - 1.0))
    y = _BROW[:, 1] - identity.brow_height_cm
    return _on_face(identity, expression, x, y)


def skin_points(identity: Identity, expression: Expression, flat: np.ndarray) -> np.ndarray:
    """Return places (N, 2) of the resting face's front as points (N, 3) of the moving skin."""
    return _on_face(identity, expression, flat[:, 0], flat[:, 1])


def smooth(points: np.ndarray, num: int = 33) -> np.ndarray:
    """Return ``num`` points along a cubic spline through ``points`` (N, K)."""
    return _spline_matrix(len(points), num) @ points


def landmarks_of(identity: Identity, expression: Expression) -> np.ndarray:
    """Return the 68 true landmarks (68, 2) in frame pixels, in dlib's order, without drawing."""
    e, lip = expression, lips(identity, expression)
    spots = np.array([0.0, *LID_SPOTS, 1.0])
    eyes = []
    for side in (-1, 1):
        upper, lower = lids(identity, e, side, spots)
        eyes += [upper, lower[[2, 1]]]
    nose_base = _NOSE_BASE * (identity.nose_width, 1.0)
    inside = [lip["inner_upper"], lip["inner_lower"][3:0:-1]]
    points = [brow(identity, e, -1), brow(identity, e, 1)[::-1]]
    points += [skin_points(identity, e, _NOSE), skin_points(identity, e, nose_base), *eyes]
    points += [lip["outer_upper"], lip["outer_lower"][5:0:-1], *inside]
    return np.concatenate((_jaw(identity, e), on_frame(e, np.concatenate(points))))


def _on_face(identity: Identity, expression: Expression, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rest = np.stack((x, y, front_z(identity, x, y)), -1)
    return deform(identity, expression, rest, skin_jaw_weight(rest))


def _lip_edge(identity: Identity, expression: Expression, flat: np.ndarray, *, lower: bool) -> np.ndarray:
    x = flat[:, 0] * identity.mouth_width
    y = MOUTH_Y + (flat[:, 1] - MOUTH_Y) * (1.0 + (identity.lip_fullness - 1.0) * (np.abs(flat[:, 0]) < 2.4))
    rest = np.stack((x, y, front_z(identity, x, y)), -1)
    to_corner = (np.abs(flat[:, 0]) / np.abs(flat[:, 0]).max()) ** 2.5
    weight = (1.0 - to_corner) * float(lower) + to_corner * _CORNER_FOLLOWS_JAW
    moved = deform(identity, expression, rest, weight)
    if not lower:  # an open mouth bares the upper teeth a little, a smile more
        bared = 0.35 * expression.smile * min(1.0, 5.0 * expression.jaw) + 0.15 * expression.jaw
        moved[:, 1] -= bared * (1.0 - to_corner)
    return moved


def _jaw(identity: Identity, expression: Expression) -> np.ndarray:
    """Return the 17 points of the face's outline (17, 2), in frame pixels.

    Each is looked for along the skin from beside the ear towards the cheek: where the head turns away, what one
    sees (and what the predictor was taught) is the outermost skin at that height, not the hidden edge of the jaw.
    """
    angle = np.radians(np.linspace(_JAW_REACH, 20.0, 17, axis=1))
    sides = []
    for side in (-1, 1):
        away = np.clip(side * np.sin(np.radians(expression.yaw)) / 0.5, -1.2, 1.2)
        y = _JAW_HEIGHTS - max(away, 0.0) * _JAW_LIFTS + max(-away, 0.0) * _JAW_DROPS + expression.jaw * _JAW_OPENS
        rest = around(identity, y[:, None], side * angle)  # (8, 17, 3)
        seen = on_frame(expression, deform(identity, expression, rest, skin_jaw_weight(rest)))
        outward = side * seen[..., 0]
        weight = np.exp(1.5 * (outward - outward.max(1, keepdims=True)))
        sides.append((seen * weight[..., None]).sum(1) / weight.sum(1, keepdims=True))
    chin = np.array([[0.0, 12.3, slice_at(identity, np.array(12.3))[1]]])
    tip = on_frame(expression, deform(identity, expression, chin, np.ones(1)))
    return np.concatenate((sides[0], tip, sides[1][::-1]))


@lru_cache(maxsize=32)
def _spline_matrix(num_points: int, num: int) -> np.ndarray:
    at = np.linspace(0.0, 1.0, num_points)
    return make_interp_spline(at, np.eye(num_points), k=3)(np.linspace(0.0, 1.0, num))
