"""How long a run is, when it ends, and when it looks at itself: plain numbers in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mueca.config import LengthKind, StopRule
from mueca.curve import Flat

SHEETS_PER_RUN = 20

FALL_OF_AUTO = 0.75
"""The share of a run under ``stop`` auto after which its rates fall: for a third of what went before."""

_POINTS_OF_AUTO = 40
_LONGEST_BETWEEN_POINTS_S = 20.0
_MOST_FRAMES, _FEWEST_FRAMES = 32, 4
_STEPS_PER_FRAME = 4
"""Painting and scoring a frame takes as long as a third of a step: the curve may cost a tenth of the training."""
_SECONDS_PER_FRAME = 1.0


@dataclass(frozen=True)
class Schedule:
    """The most that a run may take, in epochs, steps or seconds of training, and whether it may end before."""

    kind: LengthKind
    amount: float
    num_pairs: int
    batch: int = 1
    """Pairs a step."""
    stop: StopRule = "length"

    @property
    def num_steps(self) -> int | None:
        """The most steps that the run may take; None: the clock decides."""
        if self.kind == "budget":
            return None
        return math.ceil(self.amount * self.num_pairs / self.batch if self.kind == "epochs" else self.amount)

    def share(self, steps: int, seconds: float) -> float:
        """Return how much of the most is used up; 1 or more: all of it."""
        return seconds / self.amount if self.num_steps is None else steps / self.num_steps

    def progress(self, steps: int, seconds: float, flat: Flat | None) -> float:
        """Return how much of the run is done, 1 or more: all of it; ``flat`` brings its end forward.

        From where the held-out curve was found flat, the rates fall for a third of what was spent until then: the end
        lies at four thirds of it, and the progress leaps to FALL_OF_AUTO.
        """
        end = 1.0 if flat is None else min(1.0, self.share(flat.steps, flat.seconds) / FALL_OF_AUTO)
        return self.share(steps, seconds) / end

    def may_turn_flat(self, steps: int, seconds: float) -> bool:
        """Return whether a flat curve would still bring the end forward."""
        return self.stop == "auto" and self.share(steps, seconds) < FALL_OF_AUTO

    def sheet_is_due(self, before: float, now: float) -> bool:
        """Return whether a twentieth of the run ended between two states of its progress."""
        return _a_part_ended(before, now, SHEETS_PER_RUN)

    def point_is_due(self, before: float, now: float) -> bool:
        """Return whether, between two shares, a part of the run ended after which the curve gets a point."""
        return _a_part_ended(before, now, self._num_points)

    @property
    def num_frames(self) -> int:
        """How many held-out frames a point is measured on, so that the pauses for it stay short."""
        if self.num_steps is None:
            between = self.amount / self._num_points / _SECONDS_PER_FRAME
        else:
            between = self.num_steps / self._num_points / _STEPS_PER_FRAME
        return min(_MOST_FRAMES, max(_FEWEST_FRAMES, int(between)))

    @property
    def _num_points(self) -> int:
        if self.stop == "length":
            return SHEETS_PER_RUN
        # By the clock only where the clock decides anyhow: a run of so many steps stays a function of its settings.
        by_clock = math.ceil(self.amount / _LONGEST_BETWEEN_POINTS_S) if self.kind == "budget" else 0
        return max(_POINTS_OF_AUTO, by_clock)


def _a_part_ended(before: float, now: float, num_parts: int) -> bool:
    # Rounded: 3 of 60 steps are one twentieth, though 3 / 60 * 20 need not be 1.
    return math.floor(round(now * num_parts, 6)) > math.floor(round(before * num_parts, 6))
