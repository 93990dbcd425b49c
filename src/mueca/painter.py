"""What stands for a generator wherever one paints: a plain function on pictures. Needs no torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Painter(Protocol):
    """Paints fakes from conditions, both RGB uint8 (N, SIZE_PX, SIZE_PX, 3), and their charts, where they are known.

    A generator with textures needs the charts, (N, 4, GRID, GRID) float32, see ``mueca.face.charts``; for others they
    make no difference.
    """

    def __call__(self, conditions: np.ndarray, charts: np.ndarray | None = None) -> np.ndarray: ...
