"""A metric on a rail: better is to the right, where the best possible number stands.

The bar from the trivial answer to the run's own number says how much of the way is done. Numbers in, places out; the
templates draw them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mueca.evaluation.scores import Measure, Score

BEST_SHOWN_DB = 35.0
"""Right end of a rail in dB, which have no best: beyond it hardly anybody tells the pictures apart."""
_ROOM = 0.06
"""Left of the worst number on a rail, as a share of what is shown."""


@dataclass(frozen=True)
class Mark:
    """A number on a rail."""

    kind: str
    """``mean_face``, ``nearest_frame``, ``real`` or ``run``."""
    place: float
    """0 to 100, % of the rail from its left end."""
    value: float


@dataclass(frozen=True)
class Span:
    """A stretch of a rail, in % of it."""

    place: float
    width: float


@dataclass(frozen=True)
class Rail:
    """One metric drawn; all places in % from the left."""

    ends: tuple[float, float]
    """The numbers at the left and at the right end."""
    bar: Span
    """From the best trivial answer to the run: the gain, or the loss."""
    is_gain: bool
    interval: Span | None
    marks: tuple[Mark, ...]
    """In drawing order, the run's own last."""


def rail_of(score: Score, measure: Measure) -> Rail:
    """Return how the score is drawn; where the real clip is what to reach, the rail begins at 0.

    Where the real clip has a number of its own, a real frame is no trivial answer: the bar begins at the mean face.
    """
    kinds = ("mean_face", "nearest_frame", "real")
    others = [v for kind in kinds for v in [getattr(score, kind)] if v is not None]
    left, right = _ends([score.value, *(score.ci or ()), *others], measure)
    place = _placing(left, right)
    trivial = [v for v in (score.mean_face, score.nearest_frame if score.real is None else None) if v is not None]
    start = left if measure.better == "like real" or not trivial else _best(trivial, measure)
    marks = [Mark(kind, place(v), v) for kind in kinds for v in [getattr(score, kind)] if v is not None]
    return Rail(
        ends=(left, right),
        bar=_span(place(start), place(score.value)),
        is_gain=place(score.value) >= place(start),
        interval=None if score.ci is None else _span(*(place(v) for v in score.ci)),
        marks=(*marks, Mark("run", place(score.value), score.value)),
    )


def rails_of_runs(scores: Sequence[Score | None], measure: Measure) -> tuple[Rail | None, ...]:
    """Return one rail for each run, all with the same ends, so that they can be laid on one another."""
    known = [score for score in scores if score is not None]
    values = [v for s in known for v in (s.value, *(s.ci or ()), s.mean_face, s.real) if v is not None]
    if not known:
        return tuple(None for _ in scores)
    left, right = _ends(values, measure)
    place = _placing(left, right)
    return tuple(
        s
        and Rail(
            ends=(left, right),
            bar=_span(0.0, place(s.value)),
            is_gain=True,
            interval=None if s.ci is None else _span(*(place(v) for v in s.ci)),
            marks=(
                *([] if s.real is None else [Mark("real", place(s.real), s.real)]),
                Mark("run", place(s.value), s.value),
            ),
        )
        for s in scores
    )


def _ends(values: Sequence[float], measure: Measure) -> tuple[float, float]:
    low, high = min(values), max(values)
    if measure.better == "like real":
        return 0.0, max(high * (1 + _ROOM), 1e-9)
    if measure.better == "higher":
        right = max(BEST_SHOWN_DB if measure.unit == "dB" else 1.0, high)
        return low - _ROOM * max(right - low, 1e-9), right
    return max(high * (1 + _ROOM), 10.0**-measure.digits / measure.scale), min(0.0, low)


def _best(values: Sequence[float], measure: Measure) -> float:
    return max(values) if measure.better == "higher" else min(values)


def _placing(left: float, right: float) -> Callable[[float], float]:
    return lambda value: round(100.0 * min(max((value - left) / (right - left), 0.0), 1.0), 2)


def _span(a: float, b: float) -> Span:
    return Span(min(a, b), round(abs(b - a), 2))
