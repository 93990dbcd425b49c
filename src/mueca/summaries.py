"""What the command line tells of each stage: its result, in lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mueca.curve import LEAST_RISE, fall_in_words

if TYPE_CHECKING:
    from mueca.coaching import Report
    from mueca.config import CoachSettings, ImportSettings
    from mueca.conversion import Conversion
    from mueca.evaluation import Comparison, Driven, Metrics, Score
    from mueca.evaluation.scores import Report as RunReport
    from mueca.exporting import ExportedFile
    from mueca.interchange import Imported, ReferenceFiles
    from mueca.pairs import Manifest
    from mueca.reenactment import DriveSummary
    from mueca.training import TrainResult
    from mueca.verification import Verification

_FIRST = 3
"""So many frame numbers are shown of those that something befell."""
_WORTH_TELLING_S = 2.0


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
    if result.flat:
        lines.append(
            f"stopped at step {result.steps}: the held-out SSIM had not risen by more than {LEAST_RISE} since step "
            f"{result.flat.since}"
        )
    if result.fall:
        lines.append(f"note: {fall_in_words(result.fall)}")
    if result.setup_seconds > _WORTH_TELLING_S:
        lines.append(f"made the device ready in {result.setup_seconds:.0f} s, which count as no training")
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


def of_import(result: Imported, settings: ImportSettings) -> list[str]:
    """Return what the run was made of, and the commands to go on with: what decides about the pairs is named there."""
    origin = f"from {result.discriminator}" if result.discriminator else "drawn from the seed"
    lines = [
        f"{result.run}: at step 0: generator of width {result.width_generator}, "
        f"discriminator of width {result.width_discriminator} {origin}"
    ]
    lines += [f"note: {result.run}: can't be driven: {result.undrivable}"] if result.undrivable else []
    train = f"mueca train {settings.pairs} {result.run} --preset paper"
    train += f" --condition {settings.condition}" if settings.condition else ""
    train += f" --seed {settings.seed}" if settings.seed else ""
    return [*lines, f"next: mueca evaluate {result.run}; {train}"]


def of_export(result: ExportedFile | ReferenceFiles) -> list[str]:
    """Return what was written, and how far a file's fakes are from PyTorch's."""
    from mueca.exporting import ExportedFile

    if isinstance(result, ExportedFile):
        parity = result.parity
        return [
            f"wrote {result.path} ({result.num_bytes / 1e6:.1f} MB), as of step {result.steps}",
            f"on {parity.num_conditions} held-out conditions it paints as PyTorch does: largest difference "
            f"{parity.largest} of 255 levels, mean {parity.mean:.4f}",
        ]
    return [f"wrote {result.generator} and {result.discriminator.name}, as of step {result.steps}"]


def of_metrics(metrics: Metrics) -> list[str]:
    """Return a table of the metrics beside the trivial answers' and the real clip's, the driver's part, the verdict."""
    from mueca.evaluation.scores import HELD_OUT_METRICS

    lines = [
        f"{'on ' + str(metrics.num_frames) + ' held-out frames':>24}  {'this run':>8}  {'95 % interval':>15}  "
        f"{'mean face':>9}  {'nearest':>7}  {'real':>6}"
    ]
    known = [(name, score) for name in HELD_OUT_METRICS if (score := getattr(metrics, name)) is not None]
    lines += [_score_line(name, score) for name, score in known if name != "undetected" or metrics.num_undetected]
    if metrics.driver:
        lines += _of_driver(metrics.driver)
    verdict = (
        "beats the mean face and follows the landmarks"
        if metrics.trained
        else "not good enough yet; the report says why"
    )
    lines.append(f"{'verdict':>24}  {verdict}")
    return lines + ([f"left out: {', '.join(metrics.left_out)}; the report says why"] if metrics.left_out else [])


def of_comparison(comparison: Comparison) -> list[str]:
    """Return a table with a column for each run, numbers and intervals, and where the page lies."""
    from mueca.evaluation.scores import HELD_OUT_METRICS

    reports = comparison.reports
    header = "".join(f"  {_short(str(report.run)):>24}" for report in reports)
    lines = [f"{'on ' + str(reports[0].metrics.num_frames) + ' held-out frames':>24}{header}"]
    for name in HELD_OUT_METRICS:
        scores = [getattr(report.metrics, name) for report in reports]
        if any(score is not None for score in scores):
            lines.append(_compared_line(_label(name), [_with_interval(name, score) for score in scores]))
    return [*lines, *_of_compared_driving(reports), f"look at {comparison.page}"]


def _of_compared_driving(reports: Sequence[RunReport]) -> list[str]:
    """Return how each of the runs follows the driver's video that drove them all, if there is one."""
    from mueca.evaluation.scores import DRIVEN_METRICS, same_driving

    driven = same_driving(reports)
    if not driven:
        return []
    lines = [f"{'driven by':>24}  {driven[0].driver_name}: {driven[0].num_frames} frames"]
    for name in DRIVEN_METRICS:
        scores = [getattr(each, name) for each in driven]
        if any(score is not None for score in scores):
            lines.append(_compared_line(_label(name), [_with_interval(name, score) for score in scores]))
    return [*lines, _compared_line("shape leak", ["-" if each.leak is None else f"{each.leak:.0%}" for each in driven])]


def _compared_line(label: str, cells: Sequence[str]) -> str:
    return f"{label:>24}" + "".join(f"  {cell:>24}" for cell in cells)


def _score_line(name: str, score: Score) -> str:
    ends = _shown_interval(name, score)
    return (
        f"{_label(name):>24}  {_shown(name, score.value):>8}  {ends:>15}  {_shown(name, score.mean_face):>9}  "
        f"{_shown(name, score.nearest_frame):>7}  {_shown(name, score.real):>6}"
    ).rstrip()


def _of_driver(driven: Driven) -> list[str]:
    """Return how the run follows a driver's video, a line for each number that is known."""
    lines = [f"{'driven by':>24}  {driven.driver_name}: {driven.num_frames} of {driven.num_followed} frames"]
    numbers = [f"{name} {value:.2f}" for name, value in driven.followed.items() if value is not None]
    lines += [f"{'follows (correlation)':>24}  {', '.join(numbers)}"] if numbers else []
    lines += [f"{'shape leak':>24}  {driven.leak:.0%}"] if driven.leak is not None else []
    if driven.identity:
        beside = {"real frames": driven.identity.real, "the driver": driven.identity_driver}
        told = [f"{who} {value:.2f}" for who, value in beside.items() if value is not None]
        lines.append(f"{'identity distance':>24}  {driven.identity.value:.2f} ({', '.join(told)})")
    if driven.flicker:
        real, whose = _shown("flicker", driven.flicker.real), "the truth" if driven.truth_name else "the driver"
        lines.append(f"{_label('flicker'):>24}  {_shown('flicker', driven.flicker.value)} ({whose} {real})")
    beside_truth = [(name, getattr(driven, name)) for name in ("ssim", "psnr", "akd", "expression")]
    lines += [
        f"{_label(name) + ' to truth':>24}  {_with_interval(name, score)}" for name, score in beside_truth if score
    ]
    return lines


def _label(name: str) -> str:
    from mueca.evaluation.scores import MEASURES

    return f"{name} {MEASURES[name].unit}".rstrip()


def _shown(name: str, value: float | None) -> str:
    from mueca.evaluation.scores import MEASURES

    measure = MEASURES[name]
    return "" if value is None else f"{measure.scale * value:.{measure.digits}f}"


def _shown_interval(name: str, score: Score) -> str:
    return "" if score.ci is None else f"{_shown(name, score.ci[0])} - {_shown(name, score.ci[1])}"


def _with_interval(name: str, score: Score | None) -> str:
    if score is None:
        return "-"
    ends = _shown_interval(name, score)
    return f"{_shown(name, score.value)}  ({ends})" if ends else _shown(name, score.value)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"...{text[-21:]}"


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


def of_verification(found: Verification) -> list[str]:
    """Return the verdict's sentence, then what the manifest and the imperceptible mark tell."""
    lines = [f"{found.verdict}: {found.sentence}"]
    made = found.manifest.provenance if found.manifest else None
    if found.manifest and made:
        told = {
            "made with": found.manifest.tool,
            "kind": found.manifest.source_type,
            "model": made.model_sha256,
            "consent": made.consent_id,
            "driver": made.driver and f"{made.driver.name}{', itself generated' if made.driver.is_generated else ''}",
            "badge": {True: "in the picture", False: "turned off by whoever made it", None: None}[made.badge],
            "signed by": found.manifest.signer,
        }
        prefix = "" if found.manifest.holds else "the manifest, which doesn't hold, says "
        lines += [f"  {prefix}{name}: {value}" for name, value in told.items() if value]
    if found.mark is not None:
        lines.append(
            f"  imperceptible mark: {'found' if found.mark.found else 'not found'}, score {found.mark.score:.1f}"
        )
    return lines


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:_FIRST]))
