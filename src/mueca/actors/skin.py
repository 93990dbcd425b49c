"""The actors' skin: its colour by place, and the body's meshes that are not the head's: ears and neck."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from mueca.actors.backdrop import linear
from mueca.actors.head import MOUTH_Y, Mesh, bell, grid_triangles, head_mesh, smoothstep
from mueca.actors.people import Identity

TEXELS_PER_CELL = 5
"""The head's texture is this much finer than its mesh."""
EAR_ROW, NECK_ROW = 8, 24
"""Rows, counted from below the head's own texture, whose one colour the ears and the neck take."""
_EXTRA_ROWS = 32


@lru_cache(maxsize=8)
def skin_texture(identity: Identity) -> np.ndarray:
    """Return the skin's light (H, W, 3) float32 by column and row of the head's mesh, shade of hollows included."""
    rest = head_mesh(identity).rest.astype(np.float32)
    height, width = ((n - 1) * TEXELS_PER_CELL + 1 for n in rest.shape[:2])
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    place = cv2.remap(rest, columns / TEXELS_PER_CELL, rows / TEXELS_PER_CELL, cv2.INTER_LINEAR)
    x, y, z = np.moveaxis(place, -1, 0)
    tone = _tone(identity, x, y, z) * (_hollows(identity, x, y, z) * _grain(identity, x.shape))[..., None]
    skin, blush = linear(identity.skin), linear(identity.blush)
    extra = np.empty((_EXTRA_ROWS, width, 3), np.float32)
    extra[: _EXTRA_ROWS // 2], extra[_EXTRA_ROWS // 2 :] = skin * 0.6 + blush * 0.4, skin * 0.97
    return np.concatenate((tone, extra)).astype(np.float32)


def texture_place(identity: Identity, row: int) -> tuple[float, float]:
    """Return u and v of the middle of one of the extra rows."""
    num_rows, num_columns = head_mesh(identity).rest.shape[:2]
    return (num_columns - 1) * TEXELS_PER_CELL / 2, (num_rows - 1) * TEXELS_PER_CELL + row


@lru_cache(maxsize=1)
def ear_meshes() -> tuple[tuple[Mesh, np.ndarray], ...]:
    """Return the ear on the picture's left and on its right: mesh and how open to light each vertex (R, C) is."""
    return tuple(_ear(side) for side in (-1, 1))


@lru_cache(maxsize=8)
def neck_mesh(identity: Identity) -> Mesh:
    """Return the neck, from inside the head down to below the collar."""
    y = np.linspace(5.0, 22.0, 18)[:, None]
    angle = np.radians(np.linspace(-180.0, 180.0, 33))[None, :]
    broad = (4.9 if identity.hair_style == "bob" else 6.1) + 2.2 * smoothstep(13.0, 22.0, y)
    sinews = 0.22 * bell(np.abs(angle) - np.radians(38) + 0.022 * (y - 8.0), 0.16) * smoothstep(8.0, 11.0, y)
    x = (broad + sinews) * np.sin(angle)
    z = (4.9 + sinews) * np.cos(angle) - 1.6 - 0.12 * (y - 8.0)
    rest = np.stack((x, y + 0 * x, z), -1)
    return Mesh(rest, grid_triangles(*rest.shape[:2]))


def _ear(side: int) -> tuple[Mesh, np.ndarray]:
    out = np.linspace(0.0, 1.12, 13)[:, None]
    angle = -side * np.linspace(0.0, 2.0 * np.pi, 33)[None, :]
    back, down = np.cos(angle), np.sin(angle)
    lobe = smoothstep(0.3, 1.0, down)
    u = out * back * 1.75 * (1.0 - 0.42 * lobe) + 0.25 * lobe * out - 0.18 * down * out
    v = out * down * 3.05
    rim = 0.42 * bell(out - 0.84, 0.13) * (1.0 - 0.7 * lobe) * smoothstep(-1.0, -0.2, back)
    fold = 0.3 * bell(out - 0.52 - 0.12 * down, 0.12) * smoothstep(-0.3, 0.4, back) * (1.0 - lobe)
    bowl = -0.5 * bell(np.hypot(u + 0.25, v - 0.35), 0.75)
    height = rim + fold + bowl + 0.3 - 0.6 * smoothstep(0.92, 1.12, out)
    flare = np.radians(24.0)
    x = side * (7.45 + u * np.sin(flare) + height * np.cos(flare) + 0.35)
    z = 0.4 - u * np.cos(flare) + height * np.sin(flare)
    rest = np.stack((x, 1.7 + v - 0.12 * u, z), -1)
    openness = np.clip(0.55 + 1.0 * (height - 0.05), 0.35, 1.0)
    return Mesh(rest, grid_triangles(*rest.shape[:2])), openness


def _tone(identity: Identity, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the skin's colour (H, W, 3): redder cheeks and nose, freckles, stubble, the mole."""
    front, beside, i = smoothstep(0.0, 3.0, z), np.abs(x), identity
    red = 0.5 * bell(np.hypot((beside - 4.4) / 2.1, (y - 3.7) / 1.8), 1.0)
    red = red + 0.38 * bell(np.hypot(x / 1.3, (y - 4.2) / 1.2), 1.0)
    red = red + 0.22 * bell(np.hypot(x / 2.0, (y - 11.3) / 1.0), 1.0)
    red = red + 0.25 * bell(np.hypot((beside - 3.2 * i.eye_distance) / 1.9, (y + 0.5) / 0.9), 1.0)
    red = np.clip(front * red, 0, 1)[..., None]
    tone = linear(i.skin) * (1.0 - red) + linear(i.blush) * red
    tone = tone * (1.0 - 0.4 * i.freckles * _freckles(i, x, y) * front)[..., None]
    edge = 4.8 + 1.4 * smoothstep(2.0, 5.0, beside) - 1.6 * smoothstep(5.4, 7.2, beside)
    beard = smoothstep(edge, edge + 2.2, y) * smoothstep(13.5, 11.8, y) * smoothstep(-2.5, 0.5, z)
    beard = beard * (1.0 - 0.5 * bell(np.hypot((beside - 3.9) / 1.6, (y - 5.6) / 1.5), 1.0))
    tone = tone * (1.0 - i.stubble * beard[..., None] * np.array([0.46, 0.40, 0.34], np.float32))
    mole = smoothstep(0.24, 0.12, np.hypot(x - i.mole_cm[0], y - i.mole_cm[1])) * front
    return tone * (1.0 - 0.82 * mole[..., None])


def _freckles(identity: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    spots = np.random.default_rng(identity.seed + 7).uniform((-5.5, 1.2), (5.5, 5.2), (130, 2))
    cover = np.zeros_like(x)
    for spot_x, spot_y in spots:
        cover = np.maximum(cover, smoothstep(0.13, 0.04, np.hypot(x - spot_x, y - spot_y)))
    return cover * bell(np.hypot((np.abs(x) - 2.6) / 2.6, (y - 3.0) / 1.6), 1.0)


def _hollows(identity: Identity, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return how much of the surrounding light reaches the skin, 0 to 1: less under brow, nose, lip and chin."""
    beside, i = np.abs(x), identity
    eye_x = 3.21 * i.eye_distance
    shade = 0.30 * bell(np.hypot((beside - eye_x + 0.5) / 1.7, (y + 0.85) / 0.55), 1.0)
    shade = shade + 0.30 * bell(np.hypot((beside - 1.5) / 0.6, (y - 0.2) / 0.9), 1.0)
    shade = shade + 0.13 * bell(np.hypot((beside - eye_x + 0.3) / 1.4, (y - 1.15) / 0.4), 1.0)
    shade = shade + 0.36 * bell(np.hypot(x / (1.25 * i.nose_width), (y - 5.25) / 0.32), 1.0)
    shade = shade + 0.35 * bell(np.hypot((beside - 1.75 * i.nose_width) / 0.3, (y - 4.75) / 0.55), 1.0)
    shade = shade + 0.12 * bell(np.hypot((beside - 5.6) / 1.5, (y - 5.6 + 0.3 * (beside - 5.6)) / 1.1), 1.0)
    shade = shade + 0.22 * bell(np.hypot(x / 1.7, (y - 8.85) / 0.42), 1.0)
    shade = shade + 0.18 * bell(np.hypot((beside - 2.95 * i.mouth_width) / 0.4, (y - MOUTH_Y) / 0.4), 1.0)
    shade = shade * smoothstep(1.0, 3.0, z)
    under_jaw = 0.5 * smoothstep(11.6, 12.5, y) + 0.3 * smoothstep(4.0, -3.0, z) * smoothstep(3.0, 7.0, y)
    return np.clip(1.0 - shade - under_jaw, 0.15, 1.0)


def _grain(identity: Identity, shape: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(identity.seed + 3).standard_normal(shape).astype(np.float32)
    broad = cv2.GaussianBlur(noise, (0, 0), 6.0)
    return 1.0 + 0.02 * broad / broad.std() + 0.022 * cv2.GaussianBlur(noise, (0, 0), 0.7)
