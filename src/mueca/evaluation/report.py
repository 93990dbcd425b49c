"""write_report() and write_comparison(): what evaluation found, as a page that stands alone and needs no script.

What is shown is gathered here, and in ``contrast`` for several runs; ``rails`` and ``charts`` work out where things
lie, ``verdict`` what is said of them, and the templates draw it. Whatever goes into a template is escaped there,
however a file or a driver's video is called.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mueca.config import TrainSettings, to_json
from mueca.curve import CURVE
from mueca.evaluation import verdict
from mueca.evaluation.charts import CLOUDS, PANEL_PX, Cloud, cloud_of
from mueca.evaluation.charts import timeline as timeline_of
from mueca.evaluation.contrast import comparison_values
from mueca.evaluation.parts import (
    GROUPS,
    MOVEMENT_WORDS,
    ScoreRow,
    blocks_in_words,
    curves_of,
    data_uri,
    duration,
    name_of,
    number,
    rows_of,
)
from mueca.evaluation.scores import DRIVEN_METRICS, HELD_OUT_METRICS, MEASURES, Driven, FrameScores, Report, Tile
from mueca.files import write_whole
from mueca.marks import SYNTHETIC, UNMARKED
from mueca.presets import PRESETS
from mueca.runs import Run, Start

NUM_SHOWN = 12
"""Frames of each kind: the best, the median and the worst."""

HEROES = {"best": "The best", "median": "In the middle", "worst": "The worst"}
"""Kinds of frames, one of each stands at the top, and their titles."""


@dataclass(frozen=True)
class Shown:
    """A held-out frame with its pictures as data URIs."""

    scores: FrameScores
    condition: str
    real: str
    fake: str


@dataclass(frozen=True)
class Move:
    """How a movement of the driver's is followed, in words."""

    words: str
    share: float | None
    """Length of its bar in %; None: the driver keeps still."""
    along: str | None
    reach: str | None


def write_report(path: Path, report: Report) -> None:
    """Write the report of one run as one HTML file that needs no other."""
    _write(path, "report.html.j2", _report_values(report))


def write_comparison(path: Path, reports: Sequence[Report]) -> None:
    """Write a page with two runs or more side by side, all on the same held-out frames, as one HTML file."""
    if len(reports) < 2:
        raise ValueError(f"a comparison takes two reports or more, not {len(reports)}")
    _write(path, "comparison.html.j2", comparison_values(reports))


def shown_frames(frames: Sequence[FrameScores], most: int = NUM_SHOWN) -> dict[str, tuple[FrameScores, ...]]:
    """Return the best, the median and the worst frames by SSIM, best first but the worst; no frame is in two of them.

    Of fewer than three times ``most`` frames each gets a third; of fewer than three, all are the best.
    """
    ranked = sorted(frames, key=lambda frame: frame.ssim, reverse=True)
    num = min(most, len(ranked) // 3)
    if num == 0:
        return {"best": tuple(ranked), "median": (), "worst": ()}
    middle = (len(ranked) - num) // 2
    return {
        "best": tuple(ranked[:num]),
        "median": tuple(ranked[middle : middle + num]),
        "worst": tuple(ranked[: -num - 1 : -1]),
    }


def training_command(record: Run, run: Path) -> str:
    """Return the command that trains such a run again, in which no folder but the last names stand.

    Threads and precision are named as they were resolved, for another machine would choose its own.
    """
    several = record.num_processes > 1
    words = ["torchrun", f"--nproc_per_node={record.num_processes}", "-m"] if several else []
    words += ["mueca", "train", record.pairs.name, run.name]
    settings = dataclasses.replace(record.settings, precision=record.precision, threads=record.threads)
    for field in dataclasses.fields(TrainSettings):
        value = getattr(settings, field.name)
        if value == field.default and field.name not in ("preset", "seed"):
            continue
        if field.name in ("device", "models", "fresh"):  # of this machine and this call, not of the run
            continue
        words += ["--" + field.name.replace("_", "-"), f"{value:g}s" if field.name == "budget" else str(value)]
    return shlex.join(words)


def beyond_command(report: Report) -> str | None:
    """Return why the command alone doesn't make the run again, in a sentence; None: it does."""
    record = report.record
    if record.origin:
        files = [file for file in (record.origin.generator, record.origin.discriminator) if file]
        named = " and ".join(f"{file.name} (SHA-256 {file.sha256})" for file in files)
        return f"It began from imported networks, {named}: without mueca import before it, this command makes others."
    widths = [(p.width_generator, p.width_discriminator) for p in (record.preset, PRESETS[record.settings.preset])]
    if widths[0] != widths[1]:
        preset = record.settings.preset
        return f"Its networks have other widths than preset {preset} has now, and this command makes others."
    if any(_way_of(start) != _way_of(record) for start in record.earlier):
        return (
            "It was gone on with in another way than it began, and this command tells the last: the earlier starts "
            "stand in the settings below."
        )
    return None


def _way_of(start: Start | Run) -> tuple[Any, ...]:
    """Return what may change the weights that a start ends in: all but where it went on."""
    return tuple(getattr(start, field.name) for field in dataclasses.fields(Start) if field.name != "first_step")


def _write(path: Path, template: str, values: Mapping[str, Any]) -> None:
    page = _environment().get_template(template).render(values)
    write_whole(path, page.encode(errors="replace"))  # a file's name need not be text


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("mueca.evaluation")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"number": number, "duration": duration, "thousands": lambda value: f"{value:,}"}
    made.globals |= {"panel_px": PANEL_PX, "measures": MEASURES}
    return made


def _report_values(report: Report) -> dict[str, Any]:
    """Return what the template of one run asks for."""
    found = verdict.findings(report.metrics)
    chosen = shown_frames(report.frames)
    groups = {kind: _with_pictures(frames, report.tiles) for kind, frames in chosen.items()}
    return {
        "report": report,
        "name": name_of(report.run),
        "sentence": verdict.sentence(found, trained=report.metrics.trained),
        "findings": found,
        "advice": verdict.advice(report.curve, report.poses),
        "hero": [(title, groups[kind][0]) for kind, title in HEROES.items() if groups[kind]],
        "tables": _tables(report),
        "curves": curves_of([report]),
        "timeline": _timeline(report.frames, chosen["worst"]),
        "groups": groups,
        "clouds": _clouds(report, chosen["worst"]),
        "driver": report.metrics.driver and _driver_values(report.metrics.driver, report.driven_tiles),
        "left_out": _labelled(_missing(report) | report.metrics.left_out),
        "blocks": blocks_in_words(report.metrics),
        "flattered": report.record.settings.stop == "auto",
        "beyond_command": beyond_command(report),
        "command": training_command(report.record, report.run),
        "settings": _settings_text(report.record),
    }


def _tables(report: Report) -> list[tuple[str, str, list[ScoreRow]]]:
    scores = {name: getattr(report.metrics, name) for name in HELD_OUT_METRICS}
    tables = [(title, about, rows_of({n: scores[n] for n in names})) for title, about, names in GROUPS]
    return [table for table in tables if table[2]]


def _timeline(frames: Sequence[FrameScores], worst: Sequence[FrameScores]) -> dict[str, Any] | None:
    """Return SSIM along the held-out frames, drawn 1000 x 100, with dots at the worst; None for a frame or two."""
    if len(frames) < 3:
        return None
    values = [frame.ssim for frame in frames]
    path, heights = timeline_of(values)
    step = 1000 / (len(frames) - 1)
    dots = [(round(i * step, 1), round(heights[i], 1)) for i, frame in enumerate(frames) if frame in worst]
    ends = (frames[0].name, frames[-1].name)
    return {"path": path, "dots": dots, "low": min(values), "high": max(values), "ends": ends}


def _with_pictures(frames: Sequence[FrameScores], tiles: Mapping[str, Tile]) -> list[Shown]:
    return [
        Shown(
            scores=frame,
            condition=data_uri(tiles[frame.name].condition, UNMARKED),
            real=data_uri(tiles[frame.name].real, UNMARKED),
            fake=data_uri(tiles[frame.name].fake, SYNTHETIC),
        )
        for frame in frames
        if frame.name in tiles
    ]


def _clouds(report: Report, worst: Sequence[FrameScores]) -> list[tuple[str, Cloud]]:
    if report.poses is None:
        return []
    train, test = report.poses.train, report.poses.test
    same_frames = len(test["yaw"]) == len(report.frames)  # some may show no face
    places = [i for i, frame in enumerate(report.frames) if frame in worst] if same_frames else []
    return [(title, cloud_of(train, test, places, (x, y))) for title, x, y in CLOUDS]


def _driver_values(driven: Driven, tiles: Sequence[Tile]) -> dict[str, Any]:
    """Return what the template asks for about a driver's video."""
    rows = rows_of({name: getattr(driven, name) for name in DRIVEN_METRICS})
    others = (("mean face", "mean_face"), ("most alike", "nearest_frame"), ("real", "real"))
    kinds = [(words, kind) for words, kind in others if any(getattr(row.score, kind) is not None for row in rows)]
    pictures = [
        {
            "driver": None if tile.driver is None else data_uri(tile.driver, UNMARKED),
            "condition": data_uri(tile.condition, UNMARKED),
            "fake": data_uri(tile.fake, SYNTHETIC),
            "real": None if tile.real is None else data_uri(tile.real, UNMARKED),
        }
        for tile in tiles[:NUM_SHOWN]
    ]
    return {
        "scores": driven,
        "rows": rows,
        "kinds": kinds,
        "tiles": pictures,
        "aims": _aims(driven),
        "num_faceless": driven.num_unmeasured,
        "moves": _moves(driven),
        "left_out": _labelled(driven.left_out),
    }


def _aims(driven: Driven) -> str | None:
    """Return in words whose numbers the green lines are; None where there are none."""
    whose = driven.truth_name or "the driver's own video"
    aims = [
        ("in the identity distance the subject's other real frames", driven.identity),
        (f"in flicker {whose}", driven.flicker),
    ]
    known = [words for words, score in aims if score is not None and score.real is not None]
    return f"The green line is {' and '.join(known)}." if known else None


def _moves(driven: Driven) -> list[Move]:
    return [
        Move(
            words=MOVEMENT_WORDS.get(movement, movement),
            share=None if value is None else round(100 * min(max(value, 0.0), 1.0), 1),
            along=None if value is None else f"{value:.2f}",
            reach=None if (far := driven.reach.get(movement)) is None else f"{100 * far:.0f}\u202f%",
        )
        for movement, value in driven.followed.items()
    ]


def _missing(report: Report) -> dict[str, str]:
    """Return the parts of the page that aren't there, and why."""
    missing = {}
    if len(report.curve) < 2:
        missing["curve"] = f"the run has no {CURVE} with two points or more: it is written while a run is trained"
    if report.poses is None:
        missing["poses"] = "the pairs tell no landmarks of their frames; those that mueca extract makes do"
    return missing


def _labelled(left_out: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what was left out by its name in words, and why; of several with one reason, one line."""
    by_reason: dict[str, list[str]] = {}
    for name, why in left_out.items():
        by_reason.setdefault(why, []).append(MEASURES[name].label if name in MEASURES else _OTHERS.get(name, name))
    return [(", ".join(names), why) for why, names in by_reason.items()]


_OTHERS = {
    "ci": "Intervals",
    "leak": "Shape leak",
    "identity_driver": "The driver's identity",
    "followed": "Movements",
    "reach": "How far they go",
    "curve": "While it learned",
    "poses": "What was there to learn from",
}


def _settings_text(record: Run) -> str:
    """Return all of ``settings.json`` but the folders that the pairs and the models lay in, which may name people."""
    values = to_json(record)
    values["pairs"] = record.pairs.name
    values["settings"] |= {"models": None}
    return json.dumps(values, indent=2)
