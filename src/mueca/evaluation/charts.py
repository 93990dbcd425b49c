"""Where things lie on the report's charts with axes: numbers in, places out. The templates draw them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mueca.coaching.coverage import HISTOGRAM_RANGES
from mueca.curve import Point
from mueca.evaluation.scores import Measure

Array = np.ndarray

PANEL_PX = (340, 230)
"""Width and height of a chart with axes."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 14, 328, 190
_FEWEST_STEPS = 6
_LINE_PX = 13.0


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels of the panel, and what is written there."""

    place: float
    words: str


@dataclass(frozen=True)
class Line:
    """One run's curve."""

    path: str
    """For SVG's ``d``."""
    end: tuple[float, float]
    label_y: float
    """Height at which its name is written beside its end, clear of the other lines' names."""
    last: float
    """The number at the end."""


@dataclass(frozen=True)
class Panel:
    """A chart with two axes, PANEL_PX large."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_title: str
    lines: tuple[Line, ...]
    baseline: float | None
    """Height of the mean face's number; None: unknown, or not on the chart."""
    plot: tuple[float, float, float, float] = (_LEFT, _TOP, _RIGHT, _BOTTOM)


@dataclass(frozen=True)
class Cloud:
    """Frames as dots over two movements, PANEL_PX large; each set of dots is one path of points."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_ends: tuple[str, str]
    y_ends: tuple[str, str]
    train: str
    test: str
    worst: str
    plot: tuple[float, float, float, float] = (_LEFT, _TOP, _RIGHT, _BOTTOM)


def curve_panel(metric: str, curves: Sequence[Sequence[Point]], mean_face: float | None, measure: Measure) -> Panel:
    """Return the chart of a metric over training time, a line for each curve; one curve or more of two points each.

    What a generator paints in the first tenth of its training is left out of the range, or all else would be a flat
    line.
    """
    settled = [getattr(p, metric) for points in curves for p in points if p.seconds >= 0.1 * points[-1].seconds]
    low, high, y_values = _axis([*settled, *([] if mean_face is None else [mean_face])])
    seconds = max(points[-1].seconds for points in curves)
    unit, unit_s = next((u, s) for u, s, most_s in _CLOCK if seconds <= most_s)
    x, y = _across(0.0, max(seconds, 1e-9)), _up(low, high)
    places = [[(x(p.seconds), y(getattr(p, metric))) for p in points] for points in curves]
    heights = _apart([each[-1][1] for each in places])
    lines = [
        Line(_joined(each), each[-1], height, getattr(points[-1], metric))
        for each, height, points in zip(places, heights, curves, strict=True)
    ]
    x_values = _tick_values(0.0, seconds / unit_s)
    return Panel(
        x_ticks=tuple(Tick(x(v * unit_s), words) for v, words in zip(x_values, _in_figures(x_values), strict=True)),
        y_ticks=tuple(map(Tick, map(y, y_values), _in_figures([v * measure.scale for v in y_values]))),
        x_title=f"training time in {unit}",
        lines=tuple(lines),
        baseline=None if mean_face is None else y(mean_face),
    )


def cloud_of(
    train: Mapping[str, Array], test: Mapping[str, Array], worst: Sequence[int], axes: tuple[str, str]
) -> Cloud:
    """Return the training and held-out frames over two movements; ``worst`` are places among the held-out ones.

    What lies beyond the chart is drawn on its edge. Turns are mirrored: the person's left is on the left.
    """
    horizontal, vertical = axes
    x = _of_movement(horizontal, _LEFT, _RIGHT)
    y = _of_movement(vertical, _BOTTOM, _TOP)

    def dots(movements: Mapping[str, Array]) -> list[tuple[float, float]]:
        return [(x(h), y(v)) for h, v in zip(movements[horizontal], movements[vertical], strict=True)]

    tested = dots(test)
    return Cloud(
        x_ticks=_movement_ticks(horizontal, x),
        y_ticks=_movement_ticks(vertical, y),
        x_ends=_ENDS[horizontal],
        y_ends=_ENDS[vertical],
        train=_dotted(dots(train)),
        test=_dotted(tested),
        worst=_dotted([tested[i] for i in worst]),
    )


def timeline(values: Sequence[float], *, width: float = 1000.0, height: float = 100.0) -> tuple[str, list[float]]:
    """Return a path through the values from left to right, higher ones above, and the height of each of them."""
    low, high = min(values), max(values)
    span = max(high - low, 1e-9)
    heights = [height - 6 - (height - 12) * (value - low) / span for value in values]
    step = width / max(1, len(values) - 1)
    return _joined([(i * step, y) for i, y in enumerate(heights)]), heights


CLOUDS: tuple[tuple[str, str, str], ...] = (
    ("Head turned and raised", "yaw", "pitch"),
    ("Mouth and eyes opened", "mouth", "eyes"),
    ("Lips and brows", "lips", "brows"),
)
"""Title and the two movements of each chart of the frames."""

_ENDS: dict[str, tuple[str, str]] = {
    "yaw": ("own left", "own right"),
    "pitch": ("down", "up"),
    "mouth": ("shut", "open"),
    "eyes": ("closed", "open"),
    "lips": ("pout", "smile"),
    "brows": ("low", "high"),
}
"""What the left and right, or the lower and upper, end of an axis mean."""
_FLIPPED = ("yaw", "pitch")
"""Positive is to the person's left, which is drawn on the left, and down."""
_CLOCK = (("seconds", 1.0, 180.0), ("minutes", 60.0, 10_800.0), ("hours", 3600.0, math.inf))
"""Unit, its seconds, and up to how many seconds it is used."""


def _axis(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Return low and high end of an axis that holds the values, and the numbers to write on it."""
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 1e-6 * max(1.0, abs(high)))
    return low - room, high + room, _tick_values(low - room, high + room)


def _tick_values(low: float, high: float) -> list[float]:
    """Return round numbers from low to high, three to seven."""
    raw = max(high - low, 1e-12) / _FEWEST_STEPS
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _across(low: float, high: float) -> Callable[[float], float]:
    return lambda value: round(_LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low), 1)


def _up(low: float, high: float) -> Callable[[float], float]:
    return lambda value: round(_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low), 1)


def _of_movement(movement: str, start: float, end: float) -> Callable[[float], float]:
    low, high = HISTOGRAM_RANGES[movement]

    def place(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(start + (end - start) * (1.0 - share if movement in _FLIPPED else share), 1)

    return place


def _movement_ticks(movement: str, place: Callable[[float], float]) -> tuple[Tick, ...]:
    low, high = HISTOGRAM_RANGES[movement]
    in_degrees = movement in ("yaw", "pitch")
    values = _tick_values(low, high)
    words = [f"{abs(v):g}°" for v in values] if in_degrees else _in_figures(values)
    return tuple(map(Tick, map(place, values), words))


def _in_figures(values: Sequence[float]) -> list[str]:
    """Return the numbers with as many digits behind the point as the longest of them needs."""
    digits = max((len(f"{value:.6g}".partition(".")[2]) for value in values), default=0)
    return [f"{value:.{digits}f}" for value in values]


def _apart(heights: Sequence[float]) -> list[float]:
    """Return the heights, some of them lowered so that names written there don't touch."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=lambda i: moved[i])
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _LINE_PX)
    return moved


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _dotted(places: Sequence[tuple[float, float]]) -> str:
    """Return a path of lines without length: their round caps are the dots."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in places)
