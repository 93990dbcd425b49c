"""A driver beside a subject, before anything is rendered: where the driver does what the subject never showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mueca.face.movements import movements_of, ranges_of
from mueca.face.track import Track

Array = np.ndarray

TOLERANCE: dict[str, float] = {
    "yaw": 3.0,
    "pitch": 3.0,
    "roll": 3.0,
    "mouth": 0.04,
    "lips": 0.06,
    "eyes": 0.15,
    "brows": 0.06,
    "gaze_x": 0.15,
}
"""Beyond the subject's range by so much is still inside: about the usual error of the measurement, and a fifth of the
way from rest to what the coach asks for. The gaze up and down isn't compared: it measures little but its error."""

WORDINGS: dict[str, tuple[str, str]] = {
    "yaw": ("turns further to their own right", "turns further to their own left"),
    "pitch": ("raises the chin further", "lowers the chin further"),
    "roll": ("tilts further to their own right", "tilts further to their own left"),
    "mouth": ("shuts the mouth more", "opens the mouth wider"),
    "lips": ("purses the lips more", "draws the mouth wider"),
    "eyes": ("closes the eyes more", "opens the eyes wider"),
    "brows": ("lowers the brows more", "raises the brows higher"),
    "gaze_x": ("looks further to their own right", "looks further to their own left"),
}
"""What a driver does below and above the subject's range."""

LEAST_SHARE = 0.005
"""Of the driver's frames: below it there is no line."""
BRIDGED_S = 0.3
"""Spans with less than this between them are told as one."""
SPANS_TOLD = 2


@dataclass(frozen=True)
class Excess:
    """One movement, in one direction, beyond what the subject showed."""

    movement: str
    above: bool
    """Beyond the upper end of the subject's range; else the lower."""
    share: float
    """Of the driver's frames."""
    spans_s: list[list[float]]
    """``[start, end]`` in the driver's time."""
    first_frame: int


@dataclass(frozen=True)
class Comparison:
    """Where a driver's frames lie outside what the subject showed; ``dataclasses.asdict`` makes JSON values of it."""

    num_frames: int
    duration_s: float
    share_outside: float
    """Of the driver's frames in which any movement is."""
    excesses: list[Excess]
    """The one with most frames first."""
    subject_ranges: dict[str, list[float]]
    driver_ranges: dict[str, list[float]]

    def lines(self) -> list[str]:
        """Return one sentence for each excess that is more than a few frames; none: all lies inside."""
        return [_line(excess) for excess in self.excesses if excess.share >= LEAST_SHARE]


def compare(driver: Track, subject_ranges: Mapping[str, Sequence[float]]) -> Comparison:
    """Lay every followed frame of a driver, at least one, beside a subject's ``ranges_of`` movements."""
    movements = movements_of(driver.landmarks, driver.gaze)
    outside = np.zeros(len(driver.frame_index), bool)
    excesses = []
    for name, margin in TOLERANCE.items():
        values, (low, _, high) = movements[name], subject_ranges[name]
        for above, beyond in ((False, values < low - margin), (True, values > high + margin)):
            outside |= beyond
            if beyond.any():
                excesses.append(_excess(name, above, beyond, driver))
    return Comparison(
        num_frames=len(outside),
        duration_s=float(driver.timestamp_s[-1] + 1.0 / driver.fps),
        share_outside=float(outside.mean()),
        excesses=sorted(excesses, key=lambda excess: -excess.share),
        subject_ranges={name: list(subject_ranges[name]) for name in TOLERANCE},
        driver_ranges=ranges_of(movements),
    )


def _excess(movement: str, above: bool, beyond: Array, driver: Track) -> Excess:
    return Excess(
        movement=movement,
        above=above,
        share=float(beyond.mean()),
        spans_s=_spans(driver.timestamp_s[beyond], 1.0 / driver.fps),
        first_frame=int(driver.frame_index[beyond][0]),
    )


def _spans(times: Array, frame_s: float) -> list[list[float]]:
    """Return the stretches that rising times (N,) form, those close to each other as one."""
    breaks = np.flatnonzero(np.diff(times) > BRIDGED_S) + 1
    return [[round(float(part[0]), 3), round(float(part[-1] + frame_s), 3)] for part in np.split(times, breaks)]


def _line(excess: Excess) -> str:
    longest = sorted(sorted(excess.spans_s, key=lambda span: span[0] - span[1])[:SPANS_TOLD])
    told = ", ".join(f"{clock(start)} to {clock(end)}" for start, end in longest)
    rest = len(excess.spans_s) - len(longest)
    more = f" and {rest} times more" if rest > 1 else " and once more" if rest else ""
    share = f"{100 * excess.share:.0f} %" if excess.share >= 0.01 else "under 1 %"
    does = WORDINGS[excess.movement][excess.above]
    return f"in {share} of the frames the driver {does} than the subject did: {told}{more}"


def clock(seconds: float) -> str:
    """Return ``0:03.2`` for 3.2 seconds."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
