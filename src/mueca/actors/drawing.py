"""Paint an actor: the meshes of skin and hair through a depth buffer, lit from one side, the features over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from mueca.actors import makeup
from mueca.actors.backdrop import COLLAR_PX, clothes, linear, wall
from mueca.actors.brush import paint
from mueca.actors.features import landmarks_of
from mueca.actors.hair import TEXTURE_PX, hair_sheets, hair_textures, seen_from_inside
from mueca.actors.head import (
    FRAME_PX,
    HEAD_MIDDLE_PX,
    PIVOT,
    Mesh,
    deform,
    head_mesh,
    place,
    project,
    skin_jaw_weight,
    smoothstep,
)
from mueca.actors.people import Expression, Identity
from mueca.actors.raster import Surface, rasterise
from mueca.actors.skin import (
    EAR_ROW,
    NECK_ROW,
    TEXELS_PER_CELL,
    ear_meshes,
    neck_mesh,
    skin_texture,
    texture_place,
)

_NECK_LENGTH_PX = 150.0
"""From the head's pivot down to the collar."""
_NUM_PIXELS = FRAME_PX * FRAME_PX
_TOWARDS_EYE = np.array([0.0, 0.0, 1.0], np.float32)


def render(identity: Identity, expression: Expression, *, frame_index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the actor's picture (480, 480, 3) RGB uint8 and its true landmarks (68, 2) in frame pixels.

    The same arguments give the same bytes; ``frame_index`` seeds the camera's noise alone.
    """
    skin, hair = _skin_surface(identity, expression), _hair_surface(identity, expression)
    skin_edge, neck = _soft_cover(skin), np.clip(skin.values[:, 6], 0.0, 1.0)
    strands = _soft_cover(hair) * hair.values[:, 7]
    locks, in_front = _hair_light(identity, hair), strands * _before(hair, skin)
    skin_cover = _picture(skin, skin_edge)
    colour = _picture(skin, _skin_colour(identity, skin))
    for feature in makeup.BEFORE_LIGHT:
        feature(colour, skin_cover, identity, expression)
    shadow = _cast_shadows(
        identity, _picture(skin, skin_edge * (1.0 - neck)), _picture(skin, neck), _picture(hair, in_front)
    )
    lit = colour * _picture(skin, _skin_light(identity, skin, shadow)) + _picture(skin, _shine(identity, skin))
    for feature in makeup.AFTER_LIGHT:
        feature(lit, skin_cover, identity, expression)
    light, seen = wall(identity).copy(), lit.reshape(-1, 3)[skin.pixel]
    _lay(light, hair, strands * (in_front < strands), locks)
    _lay(light, skin, skin_edge * neck, seen)
    _lay_clothes(light, identity, expression)
    _lay(light, skin, skin_edge * (1.0 - neck), seen)
    _lay(light, hair, in_front, locks)
    return _develop(identity, light, frame_index), landmarks_of(identity, expression)


def _picture(surface: Surface, values: np.ndarray, *, empty: float = 0.0) -> np.ndarray:
    """Return values (N,) or (N, K) of a surface's pixels as a picture (S, S) or (S, S, K)."""
    picture = np.full((_NUM_PIXELS, *values.shape[1:]), empty, np.float32)
    picture[surface.pixel] = values
    return picture.reshape(FRAME_PX, FRAME_PX, *values.shape[1:])


def _lay(light: np.ndarray, surface: Surface, cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay a surface's colours (N, 3) over a picture (S, S, 3), in place, as far as ``cover`` (N,) says."""
    some = np.flatnonzero(cover > 0.0)
    pixel = surface.pixel[some]
    under = light.reshape(-1, 3)[pixel]
    light.reshape(-1, 3)[pixel] = under + (colour[some] - under) * cover[some, None]


def _soft_cover(surface: Surface) -> np.ndarray:
    """Return how much (N,) of each of a surface's pixels it covers: less at its edge, which would be jagged."""
    covered = cv2.GaussianBlur(_picture(surface, np.ones(len(surface.pixel), np.float32)), (0, 0), 0.9)
    return smoothstep(0.42, 0.95, covered.reshape(-1)[surface.pixel])


def _normals(points: np.ndarray) -> np.ndarray:
    """Return unit normals (R, C, 3) of a sheet, towards the camera where it faces it."""
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    return _unit(normal)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(np.einsum("...k,...k", vectors, vectors)), 1e-9)[..., None]


def _skin_surface(identity: Identity, expression: Expression) -> Surface:
    """Return the body's surface; its values are normal (3), u, v, openness to light, and whether it is neck."""
    sheets, triangles, first = [], [], 0
    for part in _body(identity):
        moved = deform(identity, expression, part.rest, part.jaw_weight)
        placed = place(expression, moved)
        if part.is_neck:
            still = smoothstep(7.5, 17.0, part.rest[..., 1:2])
            placed = placed * (1.0 - still) + (part.rest - PIVOT) * still
        values = np.concatenate((project(expression, placed), _normals(placed), part.values), -1)
        sheets.append(values.reshape(-1, values.shape[-1]))
        triangles.append(part.triangles + first)
        first += len(sheets[-1])
    vertices = np.concatenate(sheets)
    return rasterise(vertices[:, :3], vertices[:, 3:], np.concatenate(triangles), FRAME_PX)


@dataclass(frozen=True)
class _BodyPart:
    rest: np.ndarray
    triangles: np.ndarray
    jaw_weight: np.ndarray
    values: np.ndarray
    """(R, C, 4): u, v, openness to light, whether it is neck."""
    is_neck: bool = False


@lru_cache(maxsize=8)
def _body(identity: Identity) -> tuple[_BodyPart, ...]:
    """Return the head, both ears and the neck."""
    head, neck = head_mesh(identity), neck_mesh(identity)
    v, u = (TEXELS_PER_CELL * part.astype(float) for part in np.mgrid[0 : head.rest.shape[0], 0 : head.rest.shape[1]])
    openness = 0.18 + 0.77 * smoothstep(9.0, 20.0, neck.rest[..., 1])
    ears = [_plain(mesh, texture_place(identity, EAR_ROW), light) for mesh, light in ear_meshes()]
    face = _BodyPart(head.rest, head.triangles, skin_jaw_weight(head.rest), np.stack((u, v, 1 + 0 * u, 0 * u), -1))
    return (face, *ears, _plain(neck, texture_place(identity, NECK_ROW), openness, is_neck=True))


def _plain(mesh: Mesh, texel: tuple[float, float], openness: np.ndarray, *, is_neck: bool = False) -> _BodyPart:
    flat = np.zeros(openness.shape)
    values = np.stack((flat + texel[0], flat + texel[1], openness, flat + is_neck), -1)
    return _BodyPart(mesh.rest, mesh.triangles, flat, values, is_neck)


def _sampled(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return a texture's values (N, K) at columns u and rows v (N,)."""
    side = FRAME_PX  # remap takes no picture with a side over 32767
    wanted = np.zeros((2, -(-len(u) // side) * side), np.float32)
    wanted[0, : len(u)], wanted[1, : len(v)] = u, v
    wide = wanted.reshape(2, -1, side)
    picked = cv2.remap(texture, wide[0], wide[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picked.reshape(wanted.shape[1], -1)[: len(u)]


def _skin_colour(identity: Identity, skin: Surface) -> np.ndarray:
    return _sampled(skin_texture(identity), skin.values[:, 3], skin.values[:, 4])


def _light_from(identity: Identity) -> np.ndarray:
    return _unit(np.array([0.62 * identity.light_x, -0.5, 0.72], np.float32))


def _halfway(identity: Identity) -> np.ndarray:
    return _unit(_light_from(identity) + _TOWARDS_EYE)


def _skin_light(identity: Identity, skin: Surface, shadow: np.ndarray) -> np.ndarray:
    """Return how much light of each colour (N, 3) falls on the skin; ``shadow`` (S, S) is the main light's share.

    Light wraps around the edge into the shadow, red the furthest: it is what scatters the furthest in skin.
    """
    normal = skin.values[:, :3]
    toward = normal @ _light_from(identity)
    from_window = np.clip(normal @ np.array([-0.85 * identity.light_x, -0.1, 0.5], np.float32), 0.0, 1.0)
    around = 0.30 - 0.14 * normal[:, 1] + 0.10 * normal[:, 2]
    let_through = shadow.reshape(-1)[skin.pixel]
    light = [
        key * np.clip((toward + wrap) / (1.0 + wrap), 0.0, 1.0) * let_through + fill * from_window + around
        for wrap, key, fill in ((0.42, 0.90, 0.22), (0.30, 0.86, 0.23), (0.25, 0.82, 0.26))
    ]
    return np.stack(light, -1) * skin.values[:, 5:6]


def _cast_shadows(identity: Identity, head: np.ndarray, neck: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Return the share (S, S) of the main light that hair lets through to the face, and the head to the neck.

    head, neck and hair are what each of them covers (S, S).
    """
    away = -6.0 * identity.light_x
    on_neck = _thrown(head, 0.5 * away, 38.0, 9.0)
    on_face = _thrown(hair, away, 7.0, 5.0)
    return 1.0 - np.maximum(0.92 * on_neck * neck, 0.5 * on_face)


def _thrown(cover: np.ndarray, dx: float, dy: float, blur_px: float) -> np.ndarray:
    """Return a cover (S, S) moved and blurred; at a quarter of the size, for nobody sees the difference."""
    small = cv2.resize(cover, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    move = np.array([[1.0, 0.0, dx / 4], [0.0, 1.0, dy / 4]])
    small = cv2.GaussianBlur(cv2.warpAffine(small, move, small.shape[::-1]), (0, 0), blur_px / 4)
    return cv2.resize(small, (FRAME_PX, FRAME_PX), interpolation=cv2.INTER_LINEAR)


def _shine(identity: Identity, skin: Surface) -> np.ndarray:
    broad = np.clip(skin.values[:, :3] @ _halfway(identity), 0.0, 1.0) ** 8
    return (0.045 * broad + 0.09 * broad**4)[:, None]


def _hair_surface(identity: Identity, expression: Expression) -> Surface:
    """Return the hair's surface; values: normal (3), direction of the strands (3), lightness, cover of the strands."""
    sheets, triangles, two_sided, first = [], [], [], 0
    for number, mesh in enumerate(hair_sheets(identity)):
        placed = place(expression, mesh.rest)
        rows, columns = placed.shape[:2]
        v, u = np.mgrid[0:rows, 0:columns] / np.array([rows - 1, columns - 1])[:, None, None]
        shape = (project(expression, placed), _normals(placed), _unit(np.gradient(placed, axis=0)))
        values = np.concatenate((*shape, np.stack((u, v + number, 0 * u), -1)), -1)
        sheets.append(values.reshape(-1, values.shape[-1]))
        triangles.append(mesh.triangles + first)
        two_sided.append(seen_from_inside(identity, mesh.triangles))
        first += rows * columns
    vertices, inside_too = np.concatenate(sheets), np.concatenate(two_sided)
    surface = rasterise(vertices[:, :3], vertices[:, 3:], np.concatenate(triangles), FRAME_PX, inside_too)
    return replace(surface, values=np.concatenate((surface.values[:, :6], _strands(identity, surface)), -1))


def _strands(identity: Identity, hair: Surface) -> np.ndarray:
    """Return lightness and cover (N, 2); the sheets' textures stand one below the other."""
    u, v = hair.values[:, 6], hair.values[:, 7]
    sheet = np.minimum(np.floor(v), 1.0)
    width, height = TEXTURE_PX
    return _sampled(
        np.concatenate(hair_textures(identity)), u * (width - 1), (v - sheet) * (height - 1) + sheet * height
    )


def _before(hair: Surface, skin: Surface) -> np.ndarray:
    """Return 1 where the hair (N,) lies before the skin and 0 where behind it, with a soft change between."""
    skin_depth = _picture(skin, skin.depth, empty=-np.inf).reshape(-1)[hair.pixel]
    return smoothstep(-0.1, 0.2, np.minimum(hair.depth - skin_depth, 1.0))


def _hair_light(identity: Identity, hair: Surface) -> np.ndarray:
    """Return the hair's light (N, 3): dark where it turns away, with a band of shine across the strands.

    Source: Kajiya and Kay, Rendering fur with three dimensional textures, SIGGRAPH 1989: light along a strand
    depends on the angle to the strand, not to a surface.
    """
    normal, along, lightness = hair.values[:, :3], hair.values[:, 3:6], hair.values[:, 6:7]
    inside = normal[:, 2:3] < 0
    facing = np.clip(0.45 + 0.55 * (normal * np.where(inside, -1.0, 1.0)) @ _light_from(identity), 0.0, 1.0)[:, None]
    across = np.sqrt(np.clip(1.0 - np.square(along @ _halfway(identity)), 0.0, 1.0))[:, None]
    base = linear(identity.hair) * (0.35 + 1.15 * facing) * lightness
    shine = linear(identity.hair_shine) * (across**28) * facing * np.clip(lightness - 0.55, 0.0, 2.0) * 0.4
    return np.where(inside, 0.35, 1.0) * (base + shine)


def _lay_clothes(light: np.ndarray, identity: Identity, expression: Expression) -> None:
    e = expression
    at = HEAD_MIDDLE_PX + (e.x, e.y) + e.scale * np.array([0.0, _NECK_LENGTH_PX])
    move = np.column_stack((np.eye(2) * e.scale, at - e.scale * COLLAR_PX))
    top = int(np.clip(at[1] - e.scale * COLLAR_PX[1], 0, FRAME_PX - 1))
    move[1, 2] -= top
    layer = cv2.warpAffine(clothes(identity), move, (FRAME_PX, FRAME_PX - top), flags=cv2.INTER_LINEAR)
    paint(light[top:], layer[..., 3], layer[..., :3])


@lru_cache(maxsize=8)
def _noise_sheet(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((FRAME_PX + 128, FRAME_PX + 128, 1)).astype(np.float32)
    return 1.6 * noise


def _develop(identity: Identity, light: np.ndarray, frame_index: int) -> np.ndarray:
    """Return light (S, S, 3) as a camera would: slightly soft, noisy, RGB uint8."""
    soft = cv2.GaussianBlur(light, (0, 0), 0.55)
    dx, dy = np.random.default_rng((identity.seed, frame_index)).integers(0, 128, 2)
    noise = _noise_sheet(identity.seed)[dy : dy + FRAME_PX, dx : dx + FRAME_PX]
    return np.clip(np.sqrt(np.maximum(soft, 0.0)) * 255.0 + noise + 0.5, 0, 255).astype(np.uint8)
