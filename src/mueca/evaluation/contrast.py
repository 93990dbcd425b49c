"""What the page that lays several runs side by side shows: who is ahead where, and the same frames of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mueca.evaluation import verdict
from mueca.evaluation.parts import GROUPS, MOVEMENT_WORDS, blocks_in_words, curves_of, data_uri, name_of
from mueca.evaluation.rails import rails_of_runs
from mueca.evaluation.scores import DRIVEN_METRICS, MEASURES, Driven, Metrics, Report, same_driving
from mueca.marks import SYNTHETIC, UNMARKED

MOST_NAMED = 3
"""Runs named at the top of a comparison."""


def comparison_values(reports: Sequence[Report]) -> dict[str, Any]:
    """Return what the template of several runs asks for."""
    held_out = [report.metrics for report in reports]
    tables = [(title, about, _compared_rows(held_out, names)) for title, about, names in GROUPS]
    tables = [table for table in tables if table[2]]
    letters = [_letter(i) for i in range(len(reports))]
    classes = [f"run-{letter}" for letter in "abcdef"]
    with_curve = [i for i, report in enumerate(reports) if len(report.curve) > 1]
    return {
        "reports": reports,
        "letters": letters,
        "classes": [classes[i % len(classes)] for i in range(len(reports))],
        "names": [name_of(report.run) for report in reports],
        "sentence": _who_leads(reports, [row for _, _, rows in tables for row in rows]),
        "sentences": [_verdict_of(report) for report in reports],
        "tables": tables,
        "driven": _compared_driving(reports),
        "curves": curves_of(reports),
        "curve_classes": [classes[i % len(classes)] for i in with_curve],
        "curve_letters": [letters[i] for i in with_curve],
        "frames": _compared_frames(reports),
        "blocks": blocks_in_words(reports[0].metrics),
        "flattered": [letters[i] for i, report in enumerate(reports) if report.record.settings.stop == "auto"],
    }


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def _verdict_of(report: Report) -> str:
    return verdict.sentence(verdict.findings(report.metrics), trained=report.metrics.trained)


def _compared_rows(measured: Sequence[Metrics] | Sequence[Driven], names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        scores = [getattr(each, name) for each in measured]
        if any(score is not None for score in scores):
            best = verdict.best_of(scores, MEASURES[name])
            rails = rails_of_runs(scores, MEASURES[name])
            rows.append({"measure": MEASURES[name], "scores": scores, "rails": rails, "best": best})
    return rows


def _compared_driving(reports: Sequence[Report]) -> dict[str, Any] | None:
    """Return what the template asks for about a driver's video; None unless the same one drove all runs."""
    driven = same_driving(reports)
    if not driven:
        return None
    movements = [name for name in driven[0].followed if any(each.followed[name] is not None for each in driven)]
    return {
        "first": driven[0],
        "rows": _compared_rows(driven, DRIVEN_METRICS),
        "leaks": [each.leak for each in driven],
        "moves": [
            (MOVEMENT_WORDS.get(name, name), [(each.followed[name], each.reach.get(name)) for each in driven])
            for name in movements
        ],
    }


def _who_leads(reports: Sequence[Report], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in a sentence which runs are ahead in how many measures, and in how many of them beyond chance."""
    parts = []
    for i, report in enumerate(reports):
        ahead = [row["best"].is_clear for row in rows if row["best"].index == i]
        named = f"{_letter(i)} ({name_of(report.run)})"
        parts.append((sum(ahead), len(ahead), f"{named} in {len(ahead)}, clearly in {sum(ahead)}"))
    leading = [words for _, num, words in sorted(parts, key=lambda part: part[:2], reverse=True) if num]
    if not leading:
        return f"In all {len(rows)} measures the runs are equal."
    return f"Ahead in the {len(rows)} measures: {'; '.join(leading[:MOST_NAMED])}."


def _compared_frames(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return the frames that all runs have pictures of, from the first run's best to its worst."""
    first = reports[0]
    common = [f for f in first.frames if all(f.name in report.tiles for report in reports)]
    common.sort(key=lambda frame: frame.ssim, reverse=True)
    scores = [{frame.name: frame for frame in report.frames} for report in reports]
    return [
        {
            "name": frame.name,
            "condition": data_uri(first.tiles[frame.name].condition, UNMARKED),
            "real": data_uri(first.tiles[frame.name].real, UNMARKED),
            "fakes": [data_uri(report.tiles[frame.name].fake, SYNTHETIC) for report in reports],
            "scores": [of_run.get(frame.name) for of_run in scores],
        }
        for frame in common
    ]
