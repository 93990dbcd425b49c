"""compare(): several runs on the same held-out frames, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mueca.config import EvaluateSettings
from mueca.errors import InputError, OutputError, SettingsError
from mueca.evaluation.held_out import Material, evaluate, make_report, paint_row, read_material
from mueca.evaluation.reenacted import driven_by, require_drivable
from mueca.evaluation.report import write_comparison
from mueca.evaluation.scores import DrivenBy, Metrics, Report, Tile
from mueca.evaluation.storing import METRICS, read_metrics
from mueca.face.detection import make_detector
from mueca.files import open_regular, sha256_of
from mueca.reenactment import load_generator
from mueca.runs import GENERATOR, read_run, require_own
from mueca.version import VERSION

COMPARISON = "compare.html"
NUM_FRAMES = 12
"""So many frames are shown of each run: from the first run's best to its worst."""


@dataclass(frozen=True)
class Comparison:
    """Several runs' reports, and the page that lays them side by side."""

    page: Path
    reports: tuple[Report, ...]


def compare(
    runs: Sequence[Path],
    settings: EvaluateSettings | None = None,
    *,
    out: Path | None = None,
    show_progress: bool = False,
) -> Comparison:
    """Lay two runs or more side by side and write ``out``, or else ``compare.html`` into the first of them.

    Runs are measured that have no ``metrics.json`` that holds for what they are now. Raises SettingsError where there
    is one run alone or one twice, and InputError where they were trained on other pairs, or can't be used.
    """
    settings = settings or EvaluateSettings()
    page = out or runs[0] / COMPARISON
    _require_comparable(runs)
    if out is None:
        require_own(runs[0])
    _require_free(page)
    for run in runs:  # before the minutes that the first may take
        require_drivable(run, settings)
    by = driven_by(settings) if settings.driver else None
    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score).name
    measured = []
    for run in runs:
        known = _known_metrics(run, settings, detector, by)
        measured.append(known or evaluate(run, settings, show_progress=show_progress))
    names = _spread_names(measured[0])
    reports = []
    for run, metrics in zip(runs, measured, strict=True):
        material = read_material(run, settings.pairs)
        reports.append(make_report(material, metrics, _tiles(material, names, settings)))
    write_comparison(page, reports)
    return Comparison(page, tuple(reports))


def _require_comparable(runs: Sequence[Path]) -> None:
    folders = [run.resolve() for run in runs]
    if len(runs) < 2 or len(set(folders)) < len(runs):
        raise SettingsError(f"--compare {' '.join(map(str, runs))}: name two different runs or more")
    first, *others = ((run, read_run(run).pairs_sha256) for run in runs)
    for run, sha256 in others:
        if sha256 != first[1]:
            raise InputError(
                f"{run}: was trained on other pairs than {first[0]}, so that their held-out frames are not the same; "
                "compare runs on the same pairs"
            )


def _require_free(page: Path) -> None:
    """Raise OutputError where something else than an earlier page would be written over."""
    if page.suffix.lower() != ".html":
        raise OutputError(f"{page}: the page is written as .html; name such a file")
    try:
        with open_regular(page) as file:
            is_ours = _SIGNATURE in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return
    except OSError:
        is_ours = False
    if not is_ours:
        raise OutputError(f"{page}: is something else; name another file with --out")


_SIGNATURE, _HEAD_BYTES = b'name="generator" content="mueca"', 4096


def _known_metrics(run: Path, settings: EvaluateSettings, detector: str, by: DrivenBy | None) -> Metrics | None:
    """Return the run's metrics where they are what ``evaluate`` would find, driven ``by`` that video, else None."""
    if settings.save_fakes or not (run / METRICS).is_file():
        return None
    try:
        known = read_metrics(run)
    except InputError:  # damaged, or an older version's: it is written anew
        return None
    is_same = (
        known.pairs_sha256 == read_run(run).pairs_sha256
        and known.generator_sha256 == sha256_of(run / GENERATOR)
        and known.detector == detector
        and known.min_score == settings.min_score
        and known.mueca_version == VERSION
    )
    if by and (known.driver is None or known.driver.by != by):
        return None
    return known if is_same else None


def _spread_names(metrics: Metrics) -> tuple[str, ...]:
    ranked = sorted(metrics.frames, key=lambda frame: -frame.ssim)
    places = np.linspace(0, len(ranked) - 1, min(NUM_FRAMES, len(ranked))).round().astype(int)
    return tuple(ranked[place].name for place in places)


def _tiles(material: Material, names: Sequence[str], settings: EvaluateSettings) -> dict[str, Tile]:
    paint = load_generator(material.run, device=settings.device, threads=settings.threads)
    test = material.test
    rows = [test.names.index(name) for name in names]
    fakes = [paint_row(paint, test, row) for row in rows]
    return {
        test.names[row]: Tile(condition=test.conditions[row], real=test.targets[row], fake=fake)
        for row, fake in zip(rows, fakes, strict=True)
    }
