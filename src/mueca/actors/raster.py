"""Triangles to pixels with a depth buffer, in NumPy: thousands of small triangles at once instead of one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_WINDOWS_PX = (2, 3, 4, 6, 8, 12, 16, 32, 64)
"""A triangle is tried against every pixel of the smallest of these square windows that holds it."""


@dataclass(frozen=True)
class Surface:
    """What is nearest at the N pixels where anything is."""

    pixel: np.ndarray
    """(N,) row times the picture's side plus column, each once."""
    depth: np.ndarray
    """(N,) float32, greater is nearer."""
    values: np.ndarray
    """(N, K) float32, the interpolated attributes."""


def rasterise(
    points: np.ndarray, attributes: np.ndarray, triangles: np.ndarray, size_px: int, two_sided: np.ndarray | None = None
) -> Surface:
    """Return the visible surface in a picture of ``size_px`` a side.

    points (V, 3): x and y in pixels, pixel centres at whole numbers, and depth, greater is nearer.
    attributes (V, K) are interpolated over each triangle. triangles (F, 3) are vertex numbers; those that turn
    clockwise on the picture (y down) face the viewer, the others are dropped except where ``two_sided`` (F,).
    """
    x, y = (np.ascontiguousarray(points[:, k], dtype=np.float32)[triangles.T] for k in range(2))  # (3, F) each
    doubled_area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    shown = doubled_area > 1e-6 if two_sided is None else np.where(two_sided, np.abs(doubled_area), doubled_area) > 1e-6
    kept = np.flatnonzero(shown)
    pixel, number, weights = _fragments(x[:, kept], y[:, kept], doubled_area[kept], size_px)
    corners = np.ascontiguousarray(triangles[kept].T)[:, number]  # (3, N)
    depth = sum(weights[k] * points[:, 2].astype(np.float32)[corners[k]] for k in range(3))
    winner = _nearest(pixel, depth, size_px)
    attributes = np.ascontiguousarray(attributes, dtype=np.float32)
    values = sum(weights[k][winner, None] * attributes[corners[k][winner]] for k in range(3))
    return Surface(pixel[winner], depth[winner], values)


def _nearest(pixel: np.ndarray, depth: np.ndarray, size_px: int) -> np.ndarray:
    """Return the numbers of the fragments that are in front, one for each pixel."""
    front = np.full(size_px * size_px, -np.inf, np.float32)
    np.maximum.at(front, pixel, depth)
    candidates = np.flatnonzero(depth == front[pixel])
    taken = np.full(size_px * size_px, -1)
    taken[pixel[candidates]] = candidates  # two triangles that share an edge may both lie there: the last one stays
    return taken[taken >= 0]


def _fragments(
    x: np.ndarray, y: np.ndarray, doubled_area: np.ndarray, size_px: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixel (N,), triangle number (N,) and corner weights (3, N) of every pixel inside a triangle.

    x and y are the corners' (3, F).
    """
    left, top = (np.ceil(np.minimum(np.minimum(c[0], c[1]), c[2])).astype(np.int32) for c in (x, y))
    right, bottom = (np.floor(np.maximum(np.maximum(c[0], c[1]), c[2])).astype(np.int32) for c in (x, y))
    extent = np.maximum(right - left, bottom - top) + 1
    extent[(right < 0) | (bottom < 0) | (left >= size_px) | (top >= size_px)] = 0
    found = []
    for smaller, window in zip((0, *_WINDOWS_PX), _WINDOWS_PX, strict=False):
        chosen = np.flatnonzero((extent > smaller) & (extent <= window))
        offset_y, offset_x = (part.ravel() for part in np.mgrid[0:window, 0:window].astype(np.int32))
        pixel_x, pixel_y = left[chosen, None] + offset_x, top[chosen, None] + offset_y  # (n, window * window)
        ax, bx, cx = (x[k, chosen, None] - pixel_x.astype(np.float32) for k in range(3))
        ay, by, cy = (y[k, chosen, None] - pixel_y.astype(np.float32) for k in range(3))
        scale = 1.0 / doubled_area[chosen, None]
        a, b = (bx * cy - by * cx) * scale, (cx * ay - cy * ax) * scale
        c = 1.0 - a - b
        inside = (a >= 0) & (b >= 0) & (c >= 0) & (pixel_x >= 0) & (pixel_y >= 0)
        inside &= (pixel_x < size_px) & (pixel_y < size_px)
        which = np.broadcast_to(chosen[:, None], inside.shape)[inside]
        found.append((pixel_y[inside] * size_px + pixel_x[inside], which, np.stack((a[inside], b[inside], c[inside]))))
    pixel, number, weights = zip(*found, strict=True)
    return np.concatenate(pixel), np.concatenate(number), np.concatenate(weights, axis=1)
