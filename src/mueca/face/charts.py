"""Where each place of a crop lies in the scene and on the face: two charts that a generator can learn textures on.

A crop follows the head, so that what stands still behind it moves through the crop, as the landmarks do not tell; hair,
glasses and skin move with the head and with the expression. The **scene** chart is fixed to the camera's picture, the
**face** chart to the subject's mean face. Both are (x, y) from -1 to 1 across the subject's usual crop, its middle 0,
and are told at GRID x GRID places of a crop, from corner to corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mueca.config import SIZE_PX

Array = np.ndarray

GRID = 33
"""Every eighth pixel: between them both charts are nearly straight."""
NUM_CHARTS = 2

STIFFNESS = 1e-3
"""Of the face chart, in squared halves of a crop: 0 goes through every landmark, trembling as they do; 0.03 measured
the same on ``d9``."""
_RING = 1.2 * np.array([(x, y) for y in (-1.0, 0.0, 1.0) for x in (-1.0, 0.0, 1.0) if x or y])
"""(8, 2): where the face chart is bent no more, beside the middle of the mean face, in halves of a crop. Without such a
ring the spline bends the more the further it is from the landmarks, and tears a turned head's hair."""
_NO_SIZE = 1e-6
_NO_PLANE = 1e-9
"""What stands for zero where the landmarks all lie on a line, and the plane through them is anyone's guess."""
_FRAMES_AT_ONCE = 64


@dataclass(frozen=True)
class Atlas:
    """What a subject's charts refer to."""

    centre_px: list[float]
    """(2,): x and y of the usual crop's middle, in frame pixels."""
    side_px: float
    """Of the usual crop."""
    view_low: list[float]
    """(3,): the range of the views, see ``views_of``, from the 1st to the 99th percentile."""
    view_high: list[float]
    """(3,)"""
    landmarks: list[list[float]]
    """(68, 2): the mean landmarks, in crop pixels; the face chart is fixed to them."""


def fit_atlas(landmarks: Array, frame_from_crop: Array) -> Atlas:
    """Return the atlas of landmarks (N, 68, 2) in crop pixels and the crops' transforms (N, 3, 3); N is 1 or more."""
    usual = _usual(frame_from_crop)
    low, high = np.percentile(_beside(frame_from_crop, *usual), (1, 99), axis=0)
    return Atlas(usual[0].tolist(), usual[1], low.tolist(), high.tolist(), landmarks.mean(axis=0).tolist())


def views_of(frame_from_crop: Array, atlas: Atlas) -> Array:
    """Return how crops lie beside the usual one (N, 3), from their transforms (N, 3, 3).

    Their middles' distance from its middle, x and y, in its sides; and their sides, as shares of its side.
    """
    return _beside(frame_from_crop, np.array(atlas.centre_px), atlas.side_px)


def borrowed_views(frame_from_driver: Array, atlas: Atlas) -> Array:
    """Return the views (N, 3) of a subject's scene that a driver's crops (N, 3, 3) call for.

    The driver moves beside their own usual crop as the subject shall beside theirs, within what the subject showed.
    """
    return np.clip(_beside(frame_from_driver, *_usual(frame_from_driver)), atlas.view_low, atlas.view_high)


def charts_of(landmarks: Array, views: Array, atlas: Atlas) -> Array:
    """Return the charts of crops, (N, 4, GRID, GRID) float32: x and y in the scene, x and y on the face.

    ``landmarks`` (N, 68, 2) are in crop pixels, ``views`` (N, 3) as ``views_of`` has them. The face chart is a thin
    plate spline from the landmarks to the atlas's, and far from them the similarity that lays the ones best on the
    others. Source: Bookstein, "Principal warps", PAMI 1989; the stiffness as in
    Wahba, "Spline models for observational data", 1990.
    """
    charts = np.empty((len(landmarks), 2 * NUM_CHARTS, GRID, GRID), np.float32)
    places = _places()
    charts[:, :2] = (2 * views[:, None, :2] + views[:, None, 2:] * places).swapaxes(1, 2).reshape(-1, 2, GRID, GRID)
    own, resting = _in_halves(landmarks), _in_halves(np.array(atlas.landmarks))
    ring = resting.mean(axis=0) + _RING
    own, resting = np.concatenate([own, _brought_back(ring, own, resting)], axis=1), np.concatenate([resting, ring])
    for start in range(0, len(landmarks), _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        charts[rows, 2:] = _spline(own[rows], resting, places).swapaxes(1, 2).reshape(-1, 2, GRID, GRID)
    return charts


def _usual(frame_from_crop: Array) -> tuple[Array, float]:
    """Return the middle (2,) and the side of the usual crop, in frame pixels: the medians."""
    centre, side = _squares(frame_from_crop)
    return np.median(centre, axis=0), float(np.median(side))


def _beside(frame_from_crop: Array, centre_px: Array, side_px: float) -> Array:
    centre, side = _squares(frame_from_crop)
    return np.column_stack([(centre - centre_px) / side_px, side / side_px])


def _squares(frame_from_crop: Array) -> tuple[Array, Array]:
    """Return the crops' middles (N, 2) and sides (N,), in frame pixels."""
    middle = np.array([(SIZE_PX - 1) / 2, (SIZE_PX - 1) / 2, 1.0])
    return (frame_from_crop @ middle)[:, :2], frame_from_crop[:, 0, 0] * SIZE_PX


def _places() -> Array:
    """Return the grid's places in a crop, (GRID ** 2, 2), -1 to 1."""
    along = np.linspace(-1.0, 1.0, GRID)
    return np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)


def _in_halves(points_px: Array) -> Array:
    """Return crop pixels as -1 to 1 from border to border; pixel centres have whole coordinates."""
    return (points_px + 0.5) * (2 / SIZE_PX) - 1.0


def _brought_back(points: Array, corners: Array, values: Array) -> Array:
    """Return where ``points`` (P, 2) come from, (N, P, 2), by the similarities that bring corners best to values.

    ``corners`` are (N, K, 2), ``values`` (K, 2). As complex numbers, a similarity is a product and a sum.
    """
    from_, onto, wanted = (array @ np.array([1.0, 1.0j]) for array in (corners, values, points))
    middle = from_.mean(axis=1, keepdims=True)
    apart = from_ - middle
    size = np.maximum((np.abs(apart) ** 2).sum(axis=1, keepdims=True), _NO_SIZE)
    factor = (np.conj(apart) * (onto - onto.mean())).sum(axis=1, keepdims=True) / size
    factor = np.where(np.abs(factor) < _NO_SIZE, 1.0, factor)
    found = (wanted - onto.mean()) / factor + middle
    return np.stack([found.real, found.imag], axis=-1)


def _spline(corners: Array, values: Array, places: Array) -> Array:
    """Return at ``places`` (P, 2) the splines that bring ``corners`` (N, K, 2) near to ``values`` (K, 2): (N, P, 2)."""
    num, known = corners.shape[:2]
    system = np.zeros((num, known + 3, known + 3))
    system[:, :known, :known] = _bending(corners, corners) + STIFFNESS * np.eye(known)
    system[:, :known, known] = system[:, known, :known] = 1.0
    system[:, :known, known + 1 :] = corners
    system[:, known + 1 :, :known] = corners.swapaxes(1, 2)
    system[:, known:, known:] = -_NO_PLANE * np.eye(3)
    wanted = np.vstack([values, np.zeros((3, 2))])
    weights = np.linalg.solve(system, np.broadcast_to(wanted, (num, known + 3, 2)))
    plane = np.column_stack([np.ones(len(places)), places])
    # Single precision: most of the time goes into the logarithms, of which there are 74,000 a frame.
    bending = _bending(np.broadcast_to(places, (num, *places.shape)).astype(np.float32), corners.astype(np.float32))
    return bending @ weights[:, :known].astype(np.float32) + plane @ weights[:, known:]


def _bending(a: Array, b: Array) -> Array:
    """Return the splines' kernel between points (N, P, 2) and (N, K, 2): (N, P, K)."""
    across, down = (a[:, :, None, axis] - b[:, None, :, axis] for axis in (0, 1))
    squares = across * across + down * down
    return 0.5 * squares * np.log(np.maximum(squares, 1e-12))
