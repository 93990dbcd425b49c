"""What stands for a puppet where a test is not about painting."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np

from mueca.config import SIZE_PX
from mueca.errors import InputError
from mueca.reenactment import Painted


class Grey:
    """Stands for a reenactor: the puppet is a grey as light as the frame's first pixel, or noise."""

    def __init__(self, *_: object, **__: object) -> None:
        self.consent = SimpleNamespace(id="0b5a3f6e-1111-4222-8333-444455556666")
        self.stages = SimpleNamespace(follow=1.0, retarget=2.0, paint=3.0)
        self.is_lost = False
        self.is_noisy = False
        self.takes_s = 0.0
        self.interrupts_at: int | None = None
        self.painted: list[int] = []
        self.calibrations = 0

    def reset(self) -> None:
        """Do nothing: what was painted stays known."""

    def warm_up(self) -> None:
        """Do nothing."""

    def calibrate(self) -> None:
        """Count it; raises InputError while the face is lost."""
        if self.is_lost:
            raise InputError("calibrate: no face is seen")
        self.calibrations += 1

    def paint(self, frame: np.ndarray, timestamp_s: float) -> Painted:
        """Return a grey."""
        time.sleep(self.takes_s)
        level = int(frame[0, 0, 0])
        self.painted.append(level)
        if len(self.painted) == self.interrupts_at:
            raise KeyboardInterrupt
        blank = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
        fake = np.full_like(blank, level)
        if self.is_noisy:
            fake = np.random.default_rng(len(self.painted)).integers(0, 256, blank.shape, np.uint8)
        return Painted(driver=blank, condition=blank, fake=fake)
