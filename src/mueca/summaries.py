"""What the command line tells of each stage: its result, in lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mueca.coaching import Report
    from mueca.config import CoachSettings
    from mueca.conversion import Conversion
    from mueca.evaluation import Metrics
    from mueca.pairs import Manifest
    from mueca.reenactment import DriveSummary
    from mueca.training import TrainResult

_FIRST = 3
"""So many frame numbers are shown of those that something befell."""


def of_pairs(manifest: Manifest, pairs: Path) -> list[str]:
    """Return what became of the frames, who else was there, and what to film next."""
    left_out = [
        f"{entry['count']} dropped ({reason.replace('_', ' ')}; first: {_numbers(entry['first'])})"
        for reason, entry in manifest.dropped.items()
    ]
    left_out += [f"{manifest.not_chosen} not chosen"] if manifest.not_chosen else []
    left_out += [f"{manifest.in_gap} between training and test"] if manifest.in_gap else []
    lines = [
        f"{pairs}: {manifest.kept} pairs of {manifest.num_frames} frames{''.join(', ' + part for part in left_out)}; "
        f"{manifest.num_train} to train on, {manifest.num_test} held out; found by {manifest.detector}"
    ]
    if manifest.others:
        people = "one other person" if manifest.others == 1 else f"up to {manifest.others} other people"
        lines.append(f"{people} in the picture beside the one followed; --face chooses whom")
    return lines + [f"to film next: {line}" for line in manifest.advice]


def of_coaching(report: Report, settings: CoachSettings) -> list[str]:
    """Return what to film next, or where the driver leaves what the subject showed."""
    if settings.run:
        lines = report.lines or ["nothing in this video goes beyond what the subject showed"]
    else:
        lines = [f"to film next: {line}" for line in report.lines] or ["covers all that mueca asks for"]
    return lines + ([f"look at {settings.picture}"] if settings.picture else [])


def of_training(result: TrainResult, run: Path) -> list[str]:
    """Return how far training came."""
    lines = [f"{run}: {result.steps} steps in {result.seconds:.0f} s of training; samples in {run / 'samples'}"]
    return lines + ([f"note: {run}: can't be driven: {result.undrivable}"] if result.undrivable else [])


def of_notes(notes: Sequence[str]) -> list[str]:
    """Return what was taken for granted in reading other people's pairs."""
    return [f"note: {note}" for note in notes]


def of_conversion(result: Conversion, out: Path) -> list[str]:
    """Return what was written, and what the reference trainer must be told of it."""
    return [
        *of_notes(result.notes),
        f"{out}: {result.num_train} pictures to train on, {result.num_test} held out; "
        f"for the reference trainer: --dataroot {out} --direction {result.direction}",
    ]


def of_metrics(metrics: Metrics) -> list[str]:
    """Return a table of the metrics beside the mean face's, and the verdict."""
    lines = [f"{'on ' + str(metrics.num_frames) + ' held-out frames':>24}  {'this run':>8}  {'mean face':>9}"]
    for name, unit in (("l1", ""), ("psnr", " dB"), ("ssim", ""), ("akd", "")):
        score = getattr(metrics, name)
        if score is None:  # pictures without faces
            continue
        digits = 1 if unit else 4
        lines.append(f"{name + unit:>24}  {score.value:8.{digits}f}  {score.mean_face:9.{digits}f}")
    if metrics.undetected:
        lines.append(f"{'fakes without a face':>24}  {metrics.undetected:8d}")
    verdict = (
        "beats the mean face and follows the landmarks" if metrics.trained else "not trained yet: go on for longer"
    )
    return [*lines, f"{'verdict':>24}  {verdict}"]


def of_driving(summary: DriveSummary) -> list[str]:
    """Return what was painted, how much of the driver's shape shows, and how often the subject's range was left."""
    held = summary.held
    first = f" (first: {_numbers(held)})" if held else ""
    lines = [f"{summary.out}: {summary.num_frames} frames, {len(held)} of them held for want of a face{first}"]
    if summary.leak is None:
        lines.append("shape leak: can't be told; the two faces are too alike, or the fakes show none")
    else:
        lines.append(f"shape leak: {summary.leak:.0%} (0 %: the subject's own face shape, 100 %: the driver's)")
    share = summary.out_of_range_share
    if share:
        lines.append(f"{share:.0%} of the driver's frames went beyond what the subject showed, and were brought back")
    return lines


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:_FIRST]))
