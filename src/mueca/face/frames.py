"""What a frame must offer to be followed."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class TimedImage(Protocol):
    """A frame: its number, its time, and its RGB uint8 (H, W, 3) picture."""

    index: int
    timestamp_s: float
    image: np.ndarray
