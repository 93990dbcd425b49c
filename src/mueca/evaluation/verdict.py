"""What the numbers say in plain words: what is good, what is weak, and what would help."""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mueca.coaching.comparison import TOLERANCE
from mueca.curve import LEAST_RISE, Point, fall_in_words, find_fall, find_flat
from mueca.evaluation.scores import TRAINED_AKD, Measure, Metrics, Poses, Score

Grade = Literal["good", "fair", "weak"]

MOST_GOOD, MOST_WEAK = 3, 2
"""So many of each are named in the one sentence."""
LEAST_BEYOND = 0.02
"""Of the held-out frames: when fewer leave what the training frames show, nothing is said. The ends of that are the 1st
and 99th percentile, which two in a hundred frames leave by themselves."""


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers say."""

    grade: Grade
    clause: str
    """Goes on after "it": "follows the face closely"."""
    evidence: str
    """The number behind it."""


@dataclass(frozen=True)
class Best:
    """Which of several runs does best in one metric."""

    index: int | None
    """None: no run has a number, or they are equal."""
    is_clear: bool
    """It has an interval, and it lies apart from those of all others, which all have one."""


def findings(metrics: Metrics) -> tuple[Finding, ...]:
    """Return what can be said of the run, the good first, then by what matters to somebody who looks at the puppet."""
    looks: tuple[Callable[[Metrics], Finding | None], ...]
    looks = (_following, _likeness, _closeness, _sharpness, _steadiness, _presence)
    found = [finding for look in looks if (finding := look(metrics)) is not None]
    return tuple(finding for grade in typing.get_args(Grade) for finding in found if finding.grade == grade)


def sentence(found: Sequence[Finding], *, trained: bool) -> str:
    """Return the verdict in a sentence: what is good, and what is weak."""
    good = [each.clause for each in found if each.grade == "good"][:MOST_GOOD]
    weak = [each.clause for grade in ("weak", "fair") for each in found if each.grade == grade][:MOST_WEAK]
    if not trained:
        return f"This puppet isn't good enough yet{f': it {_listed(weak)}' if weak else ''}."
    if not good:
        return f"This puppet works, and no more: it {_listed(weak)}." if weak else "This puppet works."
    return f"This puppet {_listed(good)}, but {_listed(weak)}." if weak else f"This puppet {_listed(good)}."


def advice(points: Sequence[Point], poses: Poses | None) -> tuple[str, ...]:
    """Return what would help, as far as the curve and the poses tell."""
    lines = [] if len(points) < _FEWEST_POINTS else [_of_curve(points)]
    return (*lines, *([] if poses is None else _of_poses(poses)))


def best_of(scores: Sequence[Score | None], measure: Measure) -> Best:
    """Return which score is the best, by the nearness to the real clip's where that is the aim."""
    losses = {i: _losses(score, measure) for i, score in enumerate(scores) if score is not None}
    if len(losses) < 2 or len({loss[1] for loss in losses.values()}) == 1:
        return Best(None, is_clear=False)
    first = min(losses, key=lambda i: losses[i][1])
    others = [loss for i, loss in losses.items() if i != first]
    all_told = all(score.ci is not None for score in scores if score is not None)
    return Best(first, is_clear=all_told and all(losses[first][2] < loss[0] for loss in others))


def _losses(score: Score, measure: Measure) -> tuple[float, float, float]:
    """Return the least, the measured and the most of a number that is the better the lower it is."""
    low, high = score.ci or (score.value, score.value)
    if measure.better == "higher":
        return -high, -score.value, -low
    if measure.better == "lower" or score.real is None:
        return low, score.value, high
    ends = sorted(abs(end - score.real) for end in (low, high))
    least = 0.0 if low <= score.real <= high else ends[0]
    return least, abs(score.value - score.real), ends[1]


def _following(metrics: Metrics) -> Finding | None:
    if metrics.akd is None:
        return None
    share = metrics.akd.value
    evidence = f"landmarks are {100 * share:.1f} % of the eyes' distance off"
    clauses: tuple[tuple[float, Grade, str], ...] = (
        (0.5 * TRAINED_AKD, "good", "follows the face very closely"),
        (TRAINED_AKD, "good", "follows the face closely"),
        (2.0 * TRAINED_AKD, "fair", "follows the face only roughly"),
    )
    return _first(share, clauses, "hardly follows the face", evidence)


def _likeness(metrics: Metrics) -> Finding | None:
    if metrics.identity is None:
        return None
    distance, own = metrics.identity.value, metrics.identity.real
    evidence = f"a face recogniser's distance is {distance:.2f}; from {_STRANGER:.2f} on it can be somebody else's"
    if own is not None:
        evidence += f", and two real pictures lie {own:.2f} apart"
    near = _LIKE_REAL if own is None else min(own + _BEYOND_REAL, _STRANGER)
    clauses: tuple[tuple[float, Grade, str], ...] = (
        (near, "good", "stays the same person"),
        (_STRANGER, "fair", "resembles the person, and not in every feature"),
        (_SAME, "fair", "could be taken for somebody else by a face recogniser"),
    )
    return _first(distance, clauses, "looks like somebody else to a face recogniser", evidence)


def _closeness(metrics: Metrics) -> Finding | None:
    whole = (("PSNR", metrics.psnr, "{:.1f} dB"), ("SSIM", metrics.ssim, "{:.3f}"))
    for name, score, form in whole:  # what counts as trained: see held_out.is_trained
        if score.mean_face is not None and score.value <= score.mean_face:
            own, of_mean = form.format(score.value), form.format(score.mean_face)
            evidence = f"{name} over the picture is {own}; the mean face has {of_mean}"
            return Finding("weak", "comes no closer to the real pictures than the mean face", evidence)
    score, where = (metrics.ssim_face, "on the face") if metrics.ssim_face else (metrics.ssim, "over the picture")
    trivial = [v for v in (score.mean_face, score.nearest_frame) if v is not None]
    if not trivial:
        return None
    best = max(trivial)
    whose = "the mean face" if best == score.mean_face else "the most alike training frame"
    evidence = f"SSIM {where} is {score.value:.3f}; {whose} has {best:.3f}"
    low = score.ci[0] if score.ci else score.value
    if low > best:
        on_face = " on the face" if metrics.ssim_face else ""
        return Finding("good", f"paints better{on_face} than {whose}", evidence)
    if score.value > best:
        return Finding("fair", f"comes little closer to the real pictures than {whose}", evidence)
    return Finding("weak", f"comes no closer to the real pictures than {whose}", evidence)


def _sharpness(metrics: Metrics) -> Finding | None:
    shares = {"mouth": _share(metrics.sharpness_mouth), "eyes": _share(metrics.sharpness_eyes)}
    known = {part: share for part, share in shares.items() if share is not None}
    if not known:
        return None
    evidence = " and ".join(f"{part} {100 * share:.0f} %" for part, share in known.items()) + " of the real sharpness"
    soft = [part for part, share in known.items() if share < _SHARP]
    harsh = [part for part, share in known.items() if share > _HARSH]
    if soft:
        how = "blurs" if min(known.values()) < _BLURRED else "softens"
        return Finding("weak" if how == "blurs" else "fair", f"{how} {' and '.join(soft)}", evidence)
    if harsh:
        return Finding("fair", f"draws {' and '.join(harsh)} harsher than they are", evidence)
    on_face = metrics.ssim_face or metrics.ssim
    if on_face.value < _IN_PLACE:
        evidence += f", at an SSIM of {on_face.value:.3f}"
        return Finding("fair", f"leaves details of {' and '.join(known)} out of place", evidence)
    return Finding("good", f"keeps {' and '.join(known)} sharp", evidence)


def _steadiness(metrics: Metrics) -> Finding | None:
    share = _share(metrics.flicker)
    if share is None:
        return None
    evidence = f"from frame to frame it changes {share:.2f} times as much as the real clip"
    if share < _FROZEN:
        return Finding("weak", "hardly moves", evidence)
    if share < _STIFF:
        return Finding("fair", "moves less than the real clip", evidence)
    clauses: tuple[tuple[float, Grade, str], ...] = (
        (_STEADY, "good", "is as steady as the real clip"),
        (_RESTLESS, "fair", "is a little restless"),
    )
    return _first(share, clauses, "flickers", evidence)


def _presence(metrics: Metrics) -> Finding | None:
    fakes, reals = metrics.undetected.value, metrics.undetected.real or 0.0
    if fakes <= reals:  # where the real pictures show no face, the fakes need not
        return None
    evidence = f"{metrics.num_undetected} of {metrics.num_frames} fakes"
    if reals:
        evidence += f", and {100 * reals:.1f} % of the real pictures"
    grade: Grade = "weak" if fakes - reals > _OFTEN else "fair"
    return Finding(grade, "shows no face that a detector finds in some frames", evidence)


def _of_curve(points: Sequence[Point]) -> str:
    fall = find_fall(points)
    if fall is not None:
        return fall_in_words(fall)
    flat = find_flat(points)
    if flat is not None:
        return (
            f"The held-out curve is flat since step {flat.since:,}: more of the same training brings little; other "
            "footage may bring more."
        )
    late = [p.ssim for p in points if p.seconds >= 0.8 * points[-1].seconds]
    if max(late) - late[0] > LEAST_RISE:
        return "The held-out curve still rises at the end: a longer training should help."
    return "The held-out curve has nearly levelled off: a longer training may help a little."


def _of_poses(poses: Poses) -> list[str]:
    """Return a line for each movement in which held-out frames go beyond the training frames."""
    lines = []
    for movement, words in BEYOND.items():
        trained, tested = poses.train[movement], poses.test[movement]
        least, most = (float(end) for end in np.percentile(trained, (1, 99)))
        low = float((tested < least - TOLERANCE[movement]).mean())
        high = float((tested > most + TOLERANCE[movement]).mean())
        lines += [
            f"In {100 * share:.0f} % of the held-out frames {did} than in nearly all training ones: film more of that."
            for share, did in ((low, words[0]), (high, words[1]))
            if share >= LEAST_BEYOND
        ]
    return lines


BEYOND: dict[str, tuple[str, str]] = {
    "yaw": ("the head is turned further to its own right", "the head is turned further to its own left"),
    "pitch": ("the chin is raised higher", "the chin is lowered further"),
    "roll": ("the head is tilted further to its own right", "the head is tilted further to its own left"),
    "mouth": ("the mouth is shut more firmly", "the mouth is opened wider"),
    "lips": ("the lips are pursed more", "the mouth is drawn wider"),
    "eyes": ("the eyes are closed more", "the eyes are opened wider"),
    "brows": ("the brows are lowered more", "the brows are raised higher"),
}
"""What held-out frames do below and above what the training frames show."""

_STRANGER, _SAME = 0.44, 0.56
"""Distances of two single pictures: nobody else's was less, none of the same person's was more. Measured on six clips
and two actors: see mueca.face.identity.SAME_PERSON."""
_LIKE_REAL, _BEYOND_REAL = 0.35, 0.1
"""A judgement: so near is the same person where no two real pictures tell how far they lie apart, and so much farther
than those where they do."""
_SHARP, _BLURRED, _HARSH = 0.85, 0.6, 1.25
"""Shares of the real sharpness. A judgement."""
_FROZEN, _STIFF, _STEADY, _RESTLESS = 0.4, 0.85, 1.15, 1.5
"""Shares of the real clip's flicker, which movement has too: the mean face, which never moves, has 0. A judgement."""
_OFTEN = 0.02
"""Of the fakes: more than one in two seconds of 25 frames a second. A judgement."""
_IN_PLACE = 0.8
"""SSIM on the face below which edges lie beside the real ones: an actor's smeared eyes were as sharp at .72."""
_FEWEST_POINTS = 6
"""Of a curve: below that it has no last fifth to speak of."""


def _first(value: float, clauses: tuple[tuple[float, Grade, str], ...], otherwise: str, evidence: str) -> Finding:
    """Return the finding of the first limit that the value keeps, and a weak one where it keeps none."""
    for most, grade, clause in clauses:
        if value <= most:
            return Finding(grade, clause, evidence)
    return Finding("weak", otherwise, evidence)


def _share(score: Score | None) -> float | None:
    """Return the score as a share of the real clip's own."""
    return None if score is None or not score.real else score.value / score.real


def _listed(clauses: Sequence[str]) -> str:
    *first, last = clauses
    return f"{', '.join(first)} and {last}" if first else last
