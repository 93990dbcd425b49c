"""The held-out curve of a run: how near its fakes came to the real pictures while it learned. Plain numbers.

::

    RUN/curve.json      {"kind": "mueca curve", "points": [{"steps", "seconds", ..., "num_frames"}, ...]}
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from mueca.config import from_json, to_json
from mueca.errors import InputError, SettingsError
from mueca.files import read_text, write_whole

CURVE = "curve.json"
_KIND = "mueca curve"

LEAST_RISE = 0.002
"""In SSIM. Less over a third of the training is no rise, and no fall: the spread of two seeds is larger."""
_LEAST_POINTS = 4
"""So many points at least must lie in the last third."""
_SURE = 2.0
"""Standard deviations of single points: by less, the highest of many levels lies above the highest of a few by chance.
``paper``, which paints without an average of its weights, trembles by 0.01."""
_MEDIAN_OF_NORMAL = 0.6745
"""Of a normal distribution's absolute values, in standard deviations."""


@dataclass(frozen=True)
class Point:
    """The mean over some held-out frames of what the generator paints after ``steps`` steps."""

    steps: int
    seconds: float
    """Of training until then."""
    l1: float
    """As a share of the range, 0 to 1."""
    psnr: float
    """In dB."""
    ssim: float
    num_frames: int = 0
    """Held-out frames that it is the mean over; 0: not known, an older mueca measured it."""


@dataclass(frozen=True)
class Flat:
    """Where a curve was found to be flat."""

    steps: int
    seconds: float
    """Of training until then."""
    since: int
    """The step since which the SSIM had not risen by more than LEAST_RISE."""


@dataclass(frozen=True)
class Fall:
    """How far a curve has come down; the SSIMs are levels, see ``find_fall``."""

    since: int
    """The step at which it stood highest."""
    highest: float
    last: float

    @property
    def amount(self) -> float:
        """In SSIM, more than 0."""
        return self.highest - self.last


def read_curve(run: Path) -> tuple[Point, ...]:
    """Return the points of ``RUN/curve.json`` in order, none where there is no such file; raises InputError."""
    path = run / CURVE
    if not path.exists():
        return ()
    try:
        values = json.loads(read_text(path))
        if values["kind"] != _KIND:
            raise ValueError("is something else's")
        points = tuple(from_json(Point, each) for each in values["points"])
        if not all(math.isfinite(number) for point in points for number in astuple(point)):
            raise ValueError("holds what is no finite number")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: can't be read ({error!r}); remove it, the curve is lost") from error
    return tuple(sorted(points, key=lambda point: point.steps))


def write_curve(run: Path, points: Sequence[Point]) -> None:
    """Write ``RUN/curve.json``, whole."""
    values = {"kind": _KIND, "points": [to_json(point) for point in points]}
    write_whole(run / CURVE, json.dumps(values, indent=2, allow_nan=False) + "\n")


def curve_until(run: Path, steps: int) -> tuple[Point, ...]:
    """Return the points up to that step; a file that is damaged counts as none, with a warning."""
    try:
        return tuple(point for point in read_curve(run) if point.steps <= steps)
    except InputError as error:
        warnings.warn(f"{error}; going on with a new one", stacklevel=2)
        return ()


def find_flat(points: Sequence[Point]) -> Flat | None:
    """Return where the curve, in order, is flat at its last point; None while it rises or is too short to tell.

    It is flat when over the last third of the steps no SSIM was higher by more than LEAST_RISE than the highest
    before; each point counts as the median of itself and its two neighbours, so that one lucky point neither
    stops a run nor keeps it going. A share of the steps, for learning slows down as it goes on: what a minute
    brings early takes ten later.
    """
    early, late = _levels(points)
    if not early or len(late) < _LEAST_POINTS or max(late) > max(early) + LEAST_RISE:
        return None
    return Flat(points[-1].steps, points[-1].seconds, since=points[len(early) - 1].steps)


def find_fall(points: Sequence[Point]) -> Fall | None:
    """Return how far the curve, in order, has fallen; None where it has not, or is too short to tell.

    It has when over the last third of the steps every level lay lower than the highest before by more than LEAST_RISE,
    and by more than the points tremble; levels are those of ``find_flat``. So a curve that has fallen is flat too, and
    one that dipped and came back has not fallen.
    """
    early, late = _levels(points)
    if not early or len(late) < _LEAST_POINTS:
        return None
    if max(early) - max(late) <= max(LEAST_RISE, _SURE * _trembling(points)):
        return None
    return Fall(since=points[early.index(max(early))].steps, highest=max(early), last=late[-1])


def fall_in_words(fall: Fall) -> str:
    """Return how far it fell and what helps, in two sentences."""
    shorter = f"a shorter one, by --steps {fall.since}, and " if fall.since else ""
    return (
        f"The held-out SSIM stood highest at step {fall.since:,} and has fallen by {fall.amount:.3f} since, from "
        f"{fall.highest:.3f} to {fall.last:.3f}: more of the same training does harm. What helps is "
        f"{shorter}other footage."
    )


def _levels(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Return the smoothed SSIM of every point, those of the first two thirds of the steps and those of the last."""
    levels = [median(p.ssim for p in points[max(0, i - 1) : i + 2]) for i in range(len(points))]
    num_early = sum(3 * point.steps <= 2 * points[-1].steps for point in points)
    return levels[:num_early], levels[num_early:]


def _trembling(points: Sequence[Point]) -> float:
    """Return the standard deviation of single points around a smooth course: how sharply most of them bend it."""
    ssim = [point.ssim for point in points]
    bends = [abs(a - 2 * b + c) for a, b, c in zip(ssim, ssim[1:], ssim[2:], strict=False)]
    return median(bends) / (_MEDIAN_OF_NORMAL * math.sqrt(6))  # the root of 1 + 4 + 1: three points' own shares
