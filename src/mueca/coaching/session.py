"""coach(): a video is followed, and its person told what it covers, or what of it a run can't follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mueca.coaching.charts import CHART_PX, draw_comparison, draw_coverage
from mueca.coaching.comparison import Comparison, compare
from mueca.coaching.coverage import Coverage, advice, coverage_of
from mueca.config import CoachSettings
from mueca.errors import InputError, OutputError
from mueca.face.detection import make_detector
from mueca.face.following import follow_video
from mueca.marks import UNMARKED
from mueca.pictures import WRITTEN_SUFFIXES, read_picture, write_picture
from mueca.subject import read_subject
from mueca.video import VideoReader


@dataclass(frozen=True)
class Report:
    """What ``coach`` found: ``comparison`` where a run was named, else ``coverage``."""

    coverage: Coverage | None
    comparison: Comparison | None
    lines: list[str]
    """What to film next, or what the driver does that the subject didn't; empty: nothing."""


def coach(video: Path, settings: CoachSettings | None = None, *, show_progress: bool = False) -> Report:
    """Follow a video's face and return what it covers, or where as a driver of a run it leaves what the subject showed.

    Nothing is rendered, and no more than the chart is written. Raises InputError where the video shows no face or the
    run can't be used.
    """
    settings = settings or CoachSettings()
    ranges = read_subject(settings.run).movements if settings.run else None
    if settings.picture:
        _require_free(settings.picture)
    reader = VideoReader(video)
    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score)
    track = follow_video(reader, detector, face=settings.face, workers=settings.workers, show_progress=show_progress)
    if ranges is not None:
        comparison = compare(track, ranges)
        report, chart = Report(None, comparison, comparison.lines()), draw_comparison(comparison)
    else:
        usable = np.flatnonzero(track.problem == "")
        if not len(usable):
            raise InputError(f"{video}: none of its {track.num_frames} frames is good enough to learn from; film anew")
        coverage = coverage_of(track, usable)
        report, chart = Report(coverage, None, advice(coverage)), draw_coverage(coverage)
    if settings.picture:
        write_picture(settings.picture, chart, mark=UNMARKED)
    return report


def _require_free(picture: Path) -> None:
    """Raise OutputError where no chart can be written, before the video is followed."""
    if picture.suffix.lower() not in WRITTEN_SUFFIXES:
        raise OutputError(f"{picture}: charts are written as {', '.join(WRITTEN_SUFFIXES)}; name another file")
    if picture.exists():
        try:
            size = read_picture(picture).shape[:2]
        except InputError:
            size = None
        if size != CHART_PX[::-1]:
            raise OutputError(f"{picture}: exists and is no chart of mueca's; name another file")
