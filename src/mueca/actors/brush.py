"""Soft-edged shapes in a small window of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4
"""OpenCV's polygons take whole numbers; with this many fractional bits edges move in sixteenths of a pixel."""


@dataclass(frozen=True)
class Window:
    """A rectangle of the frame: everything drawn in it has its shape, so that small features stay cheap."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def fill(self, outline: np.ndarray, blur_px: float = 0.0) -> np.ndarray:
        """Return how much (H, W) float32 of each pixel the polygon (N, 2), in frame pixels, covers."""
        cover = np.zeros((self.y1 - self.y0, self.x1 - self.x0), np.uint8)
        cv2.fillPoly(cover, [self._fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
        return self._soft(cover, blur_px)

    def stroke(self, curves: list[np.ndarray], thickness_px: int = 1, blur_px: float = 0.0) -> np.ndarray:
        """Return cover (H, W) float32 of open curves (N, 2) of one thickness."""
        cover = np.zeros((self.y1 - self.y0, self.x1 - self.x0), np.uint8)
        fixed = [self._fixed(curve) for curve in curves]
        cv2.polylines(cover, fixed, False, 255, thickness_px, cv2.LINE_AA, _SHIFT)
        return self._soft(cover, blur_px)

    def ribbon(self, curve: np.ndarray, widths_px: np.ndarray, blur_px: float = 0.0) -> np.ndarray:
        """Return cover of a curve (N, 2) that is as wide as ``widths_px`` (N,) says at each of its points."""
        along = np.gradient(curve, axis=0)
        across = np.stack((-along[:, 1], along[:, 0]), -1)
        across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
        half = across * np.asarray(widths_px)[:, None] / 2
        return self.fill(np.concatenate((curve + half, (curve - half)[::-1])), blur_px)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.round((points - (self.x0, self.y0)) * (1 << _SHIFT)).astype(np.int32)

    def _soft(self, cover: np.ndarray, blur_px: float) -> np.ndarray:
        if blur_px > 0:
            cover = cv2.GaussianBlur(cover, (0, 0), blur_px)
        return cover.astype(np.float32) / 255.0


def window_about(points: np.ndarray, margin_px: float, size_px: int) -> Window:
    """Return the window that holds points (N, 2) and a margin, cut at the frame's edge; at least 2 x 2 pixels."""
    low = np.clip(np.floor(points.min(0) - margin_px), 0, size_px - 2).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin_px), low + 2, size_px).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def paint(picture: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay a colour (3,) or colours (H, W, 3) over ``picture`` (H, W, 3), in place, as far as ``cover`` (H, W) says."""
    picture += (colour - picture) * cover[..., None]
