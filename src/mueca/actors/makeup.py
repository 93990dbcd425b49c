"""The features that are finer than the mesh: brows, lids, eyes, nostrils, lips and what is behind them.

Each function paints, in place, a picture of light (S, S, 3) float32. ``seen`` (S, S) is 1 where the front of the
face is in view. Those called before the lighting paint the skin's colour, the others paint over the lit face.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mueca.actors.backdrop import linear
from mueca.actors.brush import Window, paint, window_about
from mueca.actors.features import brow, eye_centre, iris_ring, lids, lips, skin_points, smooth
from mueca.actors.head import FRAME_PX, MOUTH_Y, deform, front_z, on_frame
from mueca.actors.people import Expression, Identity

_DARK = np.array([0.012, 0.008, 0.007], np.float32)
_NUM_HAIRS = 130
"""Of one brow."""


def paint_brows(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint both brows: a soft ground and hairs that lean outwards."""
    for side in (-1, 1):
        middle = smooth(brow(identity, expression, side), 24) + (0.0, 0.22 + 0.06 * identity.brow_thickness, 0.0)
        flat = on_frame(expression, middle)
        window = window_about(flat, 14.0, FRAME_PX)
        scale = expression.scale * identity.brow_thickness
        widths = scale * np.interp(np.linspace(0, 1, 24), [0, 0.25, 0.8, 1], [2.0, 6.5, 9.0, 7.0])
        ground = window.ribbon(flat, widths, 1.6)
        hairs = window.stroke(_brow_hairs(identity, side, flat, widths), 1, 0.6)
        cover = np.clip(0.6 * ground + 0.55 * hairs, 0, 0.92) * seen[window.slices]
        paint(picture[window.slices], cover, linear(identity.hair) * 0.62)


def paint_lips(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint the colour of the lips; the gap between them is painted later, over it."""
    edges = {name: on_frame(expression, smooth(points)) for name, points in lips(identity, expression).items()}
    outline = np.concatenate((edges["outer_upper"], edges["outer_lower"][::-1]))
    window = window_about(outline, 8.0, FRAME_PX)
    colour = linear(identity.lips)
    upper = window.fill(np.concatenate((edges["outer_upper"], edges["inner_upper"][::-1])), 0.9)
    lower = window.fill(np.concatenate((edges["inner_lower"], edges["outer_lower"][::-1])), 0.9)
    visible = seen[window.slices]
    view = picture[window.slices]
    paint(view, np.clip(window.fill(outline, 1.1) * 0.5, 0, 1) * visible, colour)
    paint(view, np.clip(upper * 0.75, 0, 1) * visible, colour * 0.72)
    paint(view, np.clip(lower * 0.75, 0, 1) * visible, colour * 1.08)


def paint_lids(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint the skin above and below the eyes: a warmer lid and the fold over it."""
    along = np.linspace(0, 1, 21)
    for side in (-1, 1):
        upper, lower = (on_frame(expression, edge) for edge in lids(identity, expression, side, along))
        fold = _fold(identity, expression, side, along)
        window = window_about(np.concatenate((upper, lower, fold)), 10.0, FRAME_PX)
        visible = seen[window.slices]
        lid = window.fill(np.concatenate((fold, upper[::-1])), 1.5)
        paint(picture[window.slices], 0.35 * lid * visible, linear(identity.blush) * 0.7)
        widths = 1.6 * np.sin(np.pi * np.clip(along, 0.04, 0.96)) + 0.3
        paint(picture[window.slices], 0.5 * window.ribbon(fold, widths, 0.7) * visible, linear(identity.blush) * 0.25)
        under = lower + (0.0, 3.2 * expression.scale)
        paint(
            picture[window.slices], 0.16 * window.ribbon(under, widths * 2, 1.5) * visible, linear(identity.blush) * 0.3
        )


def paint_nostrils(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint the nostrils and the crease beside each wing of the nose."""
    wide = identity.nose_width
    turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    for side in (-1, 1):
        opening = np.stack((side * 0.68 * wide + 0.36 * wide * np.cos(turn), 4.98 + 0.15 * np.sin(turn)), -1)
        opening[:, 1] += 0.16 * np.abs(opening[:, 0]) / wide - 0.1
        crease = np.array([(1.45, 4.15), (1.72, 4.6), (1.62, 5.05), (1.3, 5.22)]) * (side * wide, 1.0)
        hole = on_frame(expression, skin_points(identity, expression, opening))
        line = on_frame(expression, smooth(skin_points(identity, expression, crease), 12))
        window = window_about(np.concatenate((hole, line)), 6.0, FRAME_PX)
        visible = seen[window.slices]
        widths = np.interp(np.linspace(0, 1, 12), [0, 0.5, 1], [0.4, 2.0, 0.8]) * expression.scale
        paint(picture[window.slices], 0.4 * window.ribbon(line, widths, 1.0) * visible, linear(identity.blush) * 0.18)
        paint(picture[window.slices], 0.85 * window.fill(hole, 0.9) * visible, linear(identity.blush) * 0.05)


def paint_smile_lines(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint the folds from the nose to the mouth's corners, deeper the broader the smile."""
    strength = 0.16 + 0.4 * max(0.0, expression.smile) + 0.12 * expression.jaw
    reach = 2.9 * identity.mouth_width
    for side in (-1, 1):
        path = np.array([(1.75, 4.6), (2.35, 5.3), (reach + 0.05, 6.2), (reach + 0.35, 7.2)]) * (side, 1.0)
        line = on_frame(expression, smooth(skin_points(identity, expression, path), 16))
        window = window_about(line, 10.0, FRAME_PX)
        widths = 3.4 * np.sin(np.pi * np.linspace(0.06, 0.96, 16)) * expression.scale
        cover = strength * window.ribbon(line, widths, 1.8) * seen[window.slices]
        paint(picture[window.slices], cover, linear(identity.blush) * 0.22)


def paint_mouth(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint what shows between the lips, the line where they meet, and the gloss on the lower one."""
    edges = lips(identity, expression)
    upper, lower = (on_frame(expression, smooth(edges[name])) for name in ("inner_upper", "inner_lower"))
    window = window_about(np.concatenate((upper, lower)), 10.0, FRAME_PX)
    view, visible = picture[window.slices], seen[window.slices]
    gap = window.fill(np.concatenate((upper, lower[::-1]))) * min(1.0, 12.0 * expression.jaw)
    inside = np.empty_like(view)
    inside[:] = linear((70, 18, 20)) * 0.5
    _paint_tongue(inside, window, identity, expression)
    _paint_teeth(inside, window, identity, expression)
    shade = window.ribbon(upper, np.full(len(upper), 7.0 * expression.scale), 2.6)
    paint(inside, 0.55 * shade, _DARK)
    paint(view, gap * visible, inside)
    seam = np.sin(np.pi * np.linspace(0.02, 0.98, len(upper))) ** 0.5
    closed = 1.0 - 0.6 * min(1.0, 6.0 * expression.jaw)
    line = window.ribbon((upper + lower) / 2, 1.9 * seam * expression.scale, 0.6) * closed * (expression.jaw < 0.25)
    paint(view, 0.75 * line * visible, linear(identity.lips) * 0.12)
    _paint_gloss(picture, seen, identity, expression, edges)


def paint_eyes(picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression) -> None:
    """Paint both eyes and their lashes."""
    along = np.linspace(0, 1, 25)
    for side in (-1, 1):
        upper, lower = (on_frame(expression, edge) for edge in lids(identity, expression, side, along))
        window = window_about(np.concatenate((upper, lower)), 12.0, FRAME_PX)
        visible = seen[window.slices]
        opening = window.fill(np.concatenate((upper, lower[::-1])), 0.35)
        gap_px = np.linalg.norm(upper - lower, axis=1).max()
        eye = _eyeball(window, identity, expression, side, upper)
        paint(picture[window.slices], opening * visible * np.clip(gap_px - 0.8, 0, 1), eye)
        _paint_lashes(picture[window.slices], visible, window, identity, expression, upper, lower, side)


def _eyeball(window: Window, identity: Identity, expression: Expression, side: int, upper: np.ndarray) -> np.ndarray:
    """Return what the lids would show if they were not there, (H, W, 3)."""
    middle = on_frame(expression, eye_centre(identity, side))
    y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1].astype(np.float32)
    off = np.hypot(x - middle[0], (y - middle[1]) * 1.1) / (18.0 * expression.scale)
    eye = linear((238, 232, 226)) * (1.0 - 0.30 * np.clip(off, 0, 1.2) ** 2)[..., None]
    for radius, factor in ((0.59, 0.16), (0.53, 0.6), (0.44, 0.95), (0.36, 1.3)):
        ring = on_frame(expression, iris_ring(identity, expression, side, radius))
        paint(eye, window.fill(ring, 0.5), linear(identity.iris) * factor)
    paint(eye, 0.96 * window.fill(on_frame(expression, iris_ring(identity, expression, side, 0.25)), 0.4), _DARK)
    under_lid = window.ribbon(upper, np.full(len(upper), 6.0 * expression.scale), 1.5)
    eye *= 1.0 - 0.45 * under_lid[..., None]
    spot = on_frame(expression, iris_ring(identity, expression, side, 0.02).mean(0))
    spot = spot + np.array([identity.light_x * 2.6, -2.6]) * expression.scale
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    light = window.fill(spot + 1.6 * expression.scale * np.stack((np.cos(turn), np.sin(turn)), -1), 0.4)
    paint(eye, 0.95 * light, np.ones(3, np.float32))
    return eye


def _paint_lashes(
    view: np.ndarray,
    visible: np.ndarray,
    window: Window,
    identity: Identity,
    expression: Expression,
    upper: np.ndarray,
    lower: np.ndarray,
    side: int,
) -> None:
    outward = np.linspace(0, 1, len(upper)) if side > 0 else np.linspace(1, 0, len(upper))
    thick = (1.2 + 1.5 * identity.lash_length * (0.35 + 0.65 * outward)) * expression.scale
    thick = thick * np.sin(np.pi * np.clip(np.linspace(0, 1, len(upper)), 0.05, 0.93)) ** 0.35
    colour = linear(identity.hair) * 0.16 + _DARK
    paint(view, 0.88 * window.ribbon(upper, thick, 0.5) * visible, colour)
    paint(view, 0.38 * window.ribbon(lower, np.full(len(lower), 1.2), 0.6) * visible, colour)
    roots = np.arange(2, len(upper) - 1, 2)
    lean = np.stack((side * (0.3 + 2.4 * outward[roots]), -(1.5 + 1.8 * outward[roots])), -1)
    hairs = [
        np.stack((upper[k], upper[k] + identity.lash_length * expression.scale * d))
        for k, d in zip(roots, lean, strict=True)
    ]
    paint(view, 0.6 * window.stroke(hairs, 1, 0.4) * visible, colour)


def _fold(identity: Identity, expression: Expression, side: int, along: np.ndarray) -> np.ndarray:
    """Return the crease (N, 2) above the upper lid, in frame pixels: it moves less than the lid does."""
    still = Expression(brow_raise=expression.brow_raise, brow_frown=expression.brow_frown)
    resting, _ = lids(identity, still, side, along)
    moving, _ = lids(identity, expression, side, along)
    crease = 0.75 * resting + 0.25 * moving
    crease[:, 1] -= 0.16 + 0.26 * np.sin(np.pi * along)
    return on_frame(expression, crease)


def _brow_hairs(identity: Identity, side: int, line: np.ndarray, widths: np.ndarray) -> list[np.ndarray]:
    """Return short strokes (2, 2) across and along a brow's line (N, 2), the same ones in every frame."""
    random = np.random.default_rng(identity.seed + 31 + side)
    at = random.uniform(0.0, len(line) - 1.001, _NUM_HAIRS)
    offset, length = random.uniform(-0.5, 0.5, _NUM_HAIRS), random.uniform(0.7, 1.3, _NUM_HAIRS)
    number, part = at.astype(int), (at % 1.0)[:, None]
    root = line[number] * (1 - part) + line[number + 1] * part
    along = line[number] - line[number + 1]
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    width = widths[number][:, None]
    root = root + (0.0, 1.0) * offset[:, None] * width
    tip = root + (along * 5.5 + (0.0, -1.0)) * length[:, None] * np.minimum(width / 7.0, 1.2)
    return [np.stack(pair) for pair in zip(root, tip, strict=True)]


def _jaw_part(identity: Identity, expression: Expression, rest: np.ndarray, follows: float) -> np.ndarray:
    return on_frame(expression, deform(identity, expression, rest, np.full(rest.shape[:-1], follows)))


def _paint_tongue(inside: np.ndarray, window: Window, identity: Identity, expression: Expression) -> None:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = 1.55 * identity.mouth_width * np.cos(turn), 8.0 + 0.75 * np.sin(turn)
    tongue = _jaw_part(identity, expression, np.stack((x, y, 8.0 + 0 * x), -1), 0.9)
    paint(inside, 0.95 * window.fill(tongue, 2.6), linear((186, 84, 84)) * 0.75)


def _paint_teeth(inside: np.ndarray, window: Window, identity: Identity, expression: Expression) -> None:
    """Paint one row of teeth on the skull and one on the jaw, each tooth a rounded shape on the dental arch."""
    still = _still_lips(expression)
    for follows, edge_y, gum_y, light in ((1.0, 7.4, 8.3, 0.62), (0.0, 7.52, 6.3, 1.0)):
        teeth, shades = _tooth_row(identity, edge_y, gum_y)
        for tooth, shade in zip(_jaw_part(identity, still, teeth, follows), shades, strict=True):
            paint(inside, window.fill(tooth, 0.45), linear((244, 238, 226)) * light * shade)


@lru_cache(maxsize=8)
def _tooth_row(identity: Identity, edge_y: float, gum_y: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the outlines (10, 6, 3) of ten teeth at rest and how light (10,) each is, less at the sides."""
    teeth, shades = [], []
    arch_z = front_z(identity, np.array(0.0), np.array(MOUTH_Y)) - 0.85
    rounding = 0.14 * np.sign(edge_y - gum_y)
    for inner, outer in ((0.0, 0.86), (0.86, 1.52), (1.52, 2.2), (2.2, 2.75), (2.75, 3.25)):
        for side in (-1, 1):
            x = np.array([inner + 0.02, inner + 0.1, outer - 0.1, outer - 0.02, outer - 0.02, inner + 0.02])
            x = side * x * 0.93 * identity.mouth_width
            y = np.array([edge_y - rounding, edge_y, edge_y, edge_y - rounding, gum_y, gum_y])
            teeth.append(np.stack((x, y, arch_z - 0.17 * x**2), -1))
            shades.append(1.0 - 0.08 * (inner + outer) ** 1.1)
    return np.array(teeth), np.array(shades)


def _still_lips(expression: Expression) -> Expression:
    """Return the expression's pose and jaw alone: teeth don't smile."""
    e = expression
    return Expression(jaw=e.jaw, yaw=e.yaw, pitch=e.pitch, roll=e.roll, x=e.x, y=e.y, scale=e.scale)


def _paint_gloss(
    picture: np.ndarray, seen: np.ndarray, identity: Identity, expression: Expression, edges: dict[str, np.ndarray]
) -> None:
    inner, outer = (on_frame(expression, smooth(edges[name], 25)) for name in ("inner_lower", "outer_lower"))
    line = (0.5 * inner + 0.5 * outer)[7:18] + (identity.light_x * 1.5, 0.0)
    window = window_about(line, 8.0, FRAME_PX)
    widths = 3.2 * np.sin(np.pi * np.linspace(0, 1, len(line))) * expression.scale
    cover = 0.16 * identity.lip_fullness * window.ribbon(line, widths, 1.4) * seen[window.slices]
    paint(picture[window.slices], cover, np.ones(3, np.float32))


BEFORE_LIGHT = (paint_lips, paint_lids, paint_nostrils, paint_brows, paint_smile_lines)
AFTER_LIGHT = (paint_mouth, paint_eyes)
