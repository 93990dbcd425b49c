"""The actors' hair: sheets spanned by a few hand-placed strands, on both sides of a parting.

A strand runs from its root along the skull and then falls; four or five strands from the forehead to the nape
make a sheet. Its columns follow the strands, so that a texture of fine lines along them reads as hair.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator, make_interp_spline

from mueca.actors.head import Mesh, bell, grid_triangles, smoothstep
from mueca.actors.people import Identity

_SKULL_MIDDLE = np.array([0.0, -2.2, -0.3])
_SKULL_RADII = np.array([7.6, 9.3, 9.6])
_NUM_ACROSS, _NUM_ALONG = 44, 36
_TUCK = 0.08
"""Share of a sheet's width by which its foremost edge is rolled in."""
TEXTURE_PX = (320, 256)
"""Width (across the strands) and height (along them) of a sheet's textures."""

Spot = tuple[float, float, float]
"""On the skull: azimuth (0 front, 90 the picture's right) and elevation in degrees, lift in centimetres."""


class _Strand(NamedTuple):
    on_skull: tuple[Spot, ...]
    """From the root on."""
    hanging: tuple[tuple[float, float, float], ...] = ()
    """Places in head coordinates, where the strand no longer lies on the skull."""


# Each sheet from the forehead to the nape; left and right are the picture's.
_BOB_RIGHT = (
    _Strand(((-17, 28, 0.1), (6, 32, 1.2), (38, 21, 1.4), (57, 2, 1.2)), ((8.3, 4.5, 3.4), (7.5, 11.2, 4.2))),
    _Strand(((-22, 58, 0.9), (25, 57, 1.7), (65, 36, 1.7), (80, 5, 1.6)), ((9.3, 4.5, 0.6), (8.6, 11.8, 1.2))),
    _Strand(((-50, 82, 1.2), (70, 74, 1.9), (95, 40, 1.9), (100, 5, 1.8)), ((9.3, 4.5, -2.4), (8.8, 12.2, -2))),
    _Strand(((180, 76, 1.3), (140, 62, 1.9), (130, 35, 1.9), (130, 5, 1.8)), ((7.2, 5, -6.6), (6.6, 12, -5.8))),
    _Strand(((180, 72, 1.3), (176, 52, 1.9), (174, 30, 1.9), (174, 0, 1.8)), ((0.8, 5, -9.4), (0.6, 12, -8.2))),
)
"""The wide side of the parting, falling over the ear."""
_BOB_LEFT = (
    _Strand(((-17, 28, 0.1), (-30, 30, 1), (-50, 18, 1.1), (-68, 0, 0.8)), ((-8.1, 4.5, -1.4), (-7.7, 10.6, -0.6))),
    _Strand(((-22, 58, 0.9), (-45, 52, 1.5), (-70, 32, 1.4), (-90, 4, 1)), ((-8.6, 4.5, -3), (-8.4, 11.4, -1.8))),
    _Strand(((-50, 82, 1.2), (-80, 66, 1.8), (-98, 38, 1.6), (-108, 5, 1.5)), ((-8.8, 4.5, -4.2), (-8.4, 12, -3.4))),
    _Strand(((180, 76, 1.3), (-140, 62, 1.9), (-130, 35, 1.9), (-132, 5, 1.8)), ((-7, 5, -6.8), (-6.4, 12, -5.8))),
    _Strand(((180, 72, 1.3), (-176, 52, 1.9), (-174, 30, 1.9), (-174, 0, 1.8)), ((-0.6, 5, -9.4), (-0.4, 12, -8.2))),
)
"""The narrow side, tucked behind the ear."""
_SHORT_LEFT = (
    _Strand(((27, 29, 0.1), (10, 32, 2), (-16, 31, 1.9), (-42, 21, 1.1), (-57, 4, 0.6), (-67, -24, 0.25))),
    _Strand(((31, 56, 0.6), (0, 62, 2.3), (-40, 53, 2.1), (-68, 32, 1.2), (-76, 8, 0.8), (-79, -24, 0.3))),
    _Strand(((60, 80, 1), (-60, 82, 2), (-85, 60, 1.6), (-95, 34, 1.1), (-97, 12, 0.8), (-98, -6, 0.4))),
    _Strand(((170, 74, 1), (-150, 66, 1.4), (-135, 46, 1.2), (-130, 22, 0.9), (-130, -5, 0.6), (-130, -38, 0.1))),
    _Strand(((180, 62, 1), (180, 50, 1.1), (180, 36, 1), (180, 12, 0.8), (180, -14, 0.6), (180, -44, 0.1))),
)
"""Swept from the parting over the top."""
_SHORT_RIGHT = (
    _Strand(((27, 29, 0.2), (35, 28, 1), (45, 24, 1.1), (56, 14, 0.9), (61, 0, 0.6), (67, -24, 0.25))),
    _Strand(((31, 56, 0.9), (46, 51, 1.4), (62, 40, 1.4), (74, 23, 1.1), (77, 4, 0.7), (79, -24, 0.3))),
    _Strand(((60, 80, 1), (78, 66, 1.4), (90, 48, 1.3), (95, 30, 1.1), (97, 12, 0.8), (98, -6, 0.4))),
    _Strand(((170, 74, 1), (150, 64, 1.4), (135, 46, 1.2), (130, 22, 0.9), (130, -5, 0.6), (130, -38, 0.1))),
    _Strand(((180, 62, 1), (180, 50, 1.1), (180, 36, 1), (180, 12, 0.8), (180, -14, 0.6), (180, -44, 0.1))),
)
"""Combed down from the parting."""
_STYLES = {"bob": (_BOB_RIGHT, _BOB_LEFT), "short": (_SHORT_RIGHT, _SHORT_LEFT)}
"""The sheet on the picture's right, then the one on its left."""


@lru_cache(maxsize=8)
def hair_sheets(identity: Identity) -> tuple[Mesh, ...]:
    """Return the sheets on the picture's right and on its left, both facing out of the head.

    Rows run along the strands; columns from forehead to nape on the right, from nape to forehead on the left.
    """
    coarse = 0.22 if identity.hair_style == "bob" else 0.14
    right, left = _STYLES[identity.hair_style]
    places = (_sheet(right, identity.seed, coarse), _sheet(left, identity.seed + 1, coarse)[:, ::-1])
    return tuple(Mesh(rest, grid_triangles(*rest.shape[:2])) for rest in places)


def seen_from_inside(identity: Identity, triangles: np.ndarray) -> np.ndarray:
    """Return for each triangle (F,) of a sheet whether its inner side can show: hair that hangs, not what lies on."""
    row = triangles.max(1) // _NUM_ACROSS
    return (row > 0.5 * _NUM_ALONG) & (identity.hair_style == "bob")


@lru_cache(maxsize=8)
def hair_textures(identity: Identity) -> tuple[np.ndarray, ...]:
    """Return for each sheet (H, W, 2) float32: lightness of the strands about 1, and how much hair covers there."""
    return _texture(identity.seed), np.ascontiguousarray(_texture(identity.seed + 1)[:, ::-1])


def _on_skull(spot: Spot) -> np.ndarray:
    azimuth, elevation = np.radians(spot[:2])
    outward = np.array([np.cos(elevation) * np.sin(azimuth), -np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    return _SKULL_MIDDLE + (_SKULL_RADII + spot[2]) * outward


def _tucked(strand: _Strand) -> _Strand:
    """Return the strand under the foremost one, inside the head: hair has a thickness, and no gap shows behind it."""
    on_skull = tuple((azimuth, elevation, -0.5) for azimuth, elevation, _ in strand.on_skull)
    return _Strand(on_skull, tuple((0.86 * x, y, z - 0.5) for x, y, z in strand.hanging))


def _sheet(net: tuple[_Strand, ...], seed: int, coarse: float) -> np.ndarray:
    """Return places (R, C, 3) on the surface that the strands span; ``coarse`` is the height of its locks in cm."""
    net = (_tucked(net[0]), *net)
    knots = np.array([[*map(_on_skull, strand.on_skull), *strand.hanging] for strand in net])
    across, along = (np.linspace(0.0, 1.0, num) for num in (_NUM_ACROSS, _NUM_ALONG))
    at = np.concatenate(([0.0], np.linspace(_TUCK, 1.0, len(net) - 1)))
    dense = PchipInterpolator(at, knots)(across)
    rest = make_interp_spline(np.linspace(0, 1, knots.shape[1]), dense, k=3, axis=1)(along).swapaxes(0, 1)
    return rest + _locks(rest, seed, coarse)


def _locks(rest: np.ndarray, seed: int, height_cm: float) -> np.ndarray:
    """Return offsets (R, C, 3) that part a sheet into locks: ridges along the strands, none at the roots."""
    noise = np.random.default_rng(seed).standard_normal(rest.shape[:2]).astype(np.float32)
    ridges = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.0, sigmaY=9.0)
    ridges = height_cm * ridges / ridges.std() * smoothstep(0.0, 0.3, np.linspace(0, 1, len(rest)))[:, None]
    outward = rest - _SKULL_MIDDLE
    return ridges[..., None] * outward / np.linalg.norm(outward, axis=-1, keepdims=True)


def _texture(seed: int) -> np.ndarray:
    width, height = TEXTURE_PX
    noise = np.random.default_rng(seed + 100).standard_normal((2, height, width)).astype(np.float32)
    fine = cv2.GaussianBlur(noise[0], (0, 0), sigmaX=0.7, sigmaY=24.0)
    broad = cv2.GaussianBlur(noise[1], (0, 0), sigmaX=4.0, sigmaY=40.0)
    fine, broad = fine / fine.std(), broad / broad.std()
    along = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    across = np.linspace(0.0, 1.0, width, dtype=np.float32)[None, :]
    lightness = 1.0 + 0.22 * fine + 0.16 * broad - 0.35 * bell(along, 0.07) + 0.12 * along
    ends = smoothstep(0.0, 0.07, 0.96 - along + 0.022 * fine[-1:] + 0.02 * broad[-1:])
    lightness = np.clip(lightness, 0.3, 1.9) * (0.55 + 0.45 * smoothstep(0.0, _TUCK, across))
    return np.dstack((lightness, ends)).astype(np.float32)
