"""The pieces that both pages are made of: numbers in words, pictures as text, rows of metrics, curves."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mueca.evaluation.charts import Panel, curve_panel
from mueca.evaluation.intervals import BLOCK_FRAMES
from mueca.evaluation.rails import Rail, rail_of
from mueca.evaluation.scores import MEASURES, Measure, Metrics, Report, Score
from mueca.marks import Mark, Picture
from mueca.pictures import encode_picture

CURVES = ("ssim", "psnr", "l1")
"""Metrics that training follows."""

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Does it follow, and is it still the same person?", "", ("akd", "identity", "undetected")),
    ("How close are the pictures on the face alone?", "", ("ssim_face", "psnr_face", "l1_face")),
    ("How close are the whole pictures?", "", ("ssim", "ms_ssim", "psnr", "l1")),
    (
        "Is it as sharp and as steady as the real clip?",
        "Here the green line is the aim: short of it is blurred or stiff, beyond it harsh or restless.",
        ("sharpness_mouth", "sharpness_eyes", "flicker"),
    ),
    ("How close do other networks find them?", "", ("lpips", "fid", "kid")),
)
"""Title, a word about it, and the metrics of each group."""


MOVEMENT_WORDS = {
    "yaw": "head turned",
    "pitch": "head nodded",
    "roll": "head tilted",
    "mouth": "mouth opened",
    "lips": "lips drawn or pursed",
    "eyes": "lids",
    "brows": "brows",
    "gaze_x": "gaze to the side",
    "gaze_y": "gaze up and down",
}
"""Each of ``mueca.face.movements.MOVEMENTS`` as a page calls it."""


@dataclass(frozen=True)
class ScoreRow:
    """One metric in a table."""

    measure: Measure
    score: Score
    rail: Rail


def number(value: float | None, measure: Measure, unit: bool = True) -> str:
    """Return a number as it is shown, "–" for None."""
    if value is None:
        return "–"
    after = f"\u202f{measure.unit}" if unit and measure.unit else ""
    return f"{value * measure.scale:.{measure.digits}f}{after}"


def duration(seconds: float) -> str:
    """Return seconds in words, in two units at most: 42 s, 2 min 30 s, 10 min, 1 h 5 min."""
    whole = round(seconds)
    if whole >= 3600:
        parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"))
    else:
        parts = ((whole // 60, "min"), (whole % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def data_uri(picture: Picture, mark: Mark) -> str:
    """Return the picture, RGB uint8 (H, W, 3), with its mark, as a URI that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_picture(picture, ".jpg", mark)).decode()


def name_of(run: Path) -> str:
    """Return the run's folder and the one it lies in: most runs are called run."""
    return "/".join(run.parts[-2:]) if run.name == "run" else run.name


def blocks_in_words(metrics: Metrics) -> str:
    """Return what the intervals were drawn from, in a sentence."""
    if "ci" in metrics.left_out:
        return f"Intervals: none; {metrics.left_out['ci']}."
    what = "one second" if metrics.blocks == "seconds" else f"{BLOCK_FRAMES} frames in a row"
    return f"Intervals: 95 %, from {metrics.num_blocks} blocks of {what}, for neighbouring frames tell nearly the same."


def rows_of(scores: Mapping[str, Score | None]) -> list[ScoreRow]:
    """Return a row for each metric that has a score."""
    known = [(MEASURES[name], score) for name, score in scores.items() if score is not None]
    return [ScoreRow(measure, score, rail_of(score, measure)) for measure, score in known]


def curves_of(reports: Sequence[Report]) -> list[tuple[Measure, Panel]]:
    """Return a chart for each metric that was followed while training; none where nothing was."""
    curves = [report.curve for report in reports if len(report.curve) > 1]
    if not curves:
        return []
    metrics = reports[0].metrics
    return [
        (MEASURES[name], curve_panel(name, curves, getattr(metrics, name).mean_face, MEASURES[name])) for name in CURVES
    ]
