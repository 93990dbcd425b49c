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
from mueca.files import write_whole

CURVE = "curve.json"
_KIND = "mueca curve"

LEAST_RISE = 0.002
"""In SSIM. Less over a third of the training is no rise, and no fall: the spread of two seeds is larger."""
_LEAST_POINTS = 4
"""So many points at least must lie in the last third."""


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
    """From where on a curve came down again."""

    steps: int
    """Where the SSIM stood highest."""
    seconds: float
    """Of training until then."""
    by: float
    """In SSIM, from there to the end."""


def read_curve(run: Path) -> tuple[Point, ...]:
    """Return the points of ``RUN/curve.json`` in order, none where there is no such file; raises InputError."""
    path = run / CURVE
    if not path.exists():
        return ()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
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
    before. A share of the steps, for learning slows down as it goes on: what a minute brings early takes ten later.
    """
    if not points:
        return None
    levels = _levels(points)
    last = points[-1].steps
    early = [level for point, level in zip(points, levels, strict=True) if 3 * point.steps <= 2 * last]
    late = levels[len(early) :]
    if not early or len(late) < _LEAST_POINTS or max(late) > max(early) + LEAST_RISE:
        return None
    return Flat(points[-1].steps, points[-1].seconds, since=points[len(early) - 1].steps)


def find_fall(points: Sequence[Point]) -> Fall | None:
    """Return from where on the curve, in order, came down by more than LEAST_RISE until its end; None if it didn't."""
    levels = _levels(points)
    if not levels or max(levels) - levels[-1] <= LEAST_RISE:
        return None
    highest = points[levels.index(max(levels))]
    return Fall(highest.steps, highest.seconds, by=max(levels) - levels[-1])


def _levels(points: Sequence[Point]) -> list[float]:
    """Return each point's SSIM as the median of its own and its two neighbours': a lucky point decides nothing."""
    return [median(p.ssim for p in points[max(0, i - 1) : i + 2]) for i in range(len(points))]
