"""run(): two videos in, a driven face out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mueca.agreement import source_of_clip
from mueca.config import EvaluateSettings, RunSettings
from mueca.evaluation import Metrics, evaluate
from mueca.extraction import extract
from mueca.pairs import Manifest
from mueca.permission import consent_to_train
from mueca.reenactment import DriveSummary, drive
from mueca.training import TrainResult, train
from mueca.video import VideoReader

PAIRS, RUN, DRIVEN = "pairs", "run", "driven.mp4"


@dataclass(frozen=True)
class RunSummary:
    """What each stage of ``run`` returned."""

    manifest: Manifest
    training: TrainResult
    metrics: Metrics
    driven: DriveSummary


def run(
    subject: Path,
    driver: Path,
    out_dir: Path,
    settings: RunSettings | None = None,
    *,
    show_progress: bool = False,
) -> RunSummary:
    """Learn to paint the face in ``subject``, and paint it making the expressions of the face in ``driver``.

    Writes ``OUT_DIR/pairs``, ``OUT_DIR/run`` with its report, and ``OUT_DIR/driven.mp4``. The same call goes on where
    it stopped. Raises MuecaError as its stages do; both videos are opened, and the subject's consent to ``train`` and
    to ``drive`` is checked, before the long work begins.
    """
    settings = settings or RunSettings()
    VideoReader(driver)
    pairs, run_folder = out_dir / PAIRS, out_dir / RUN
    consent_to_train(
        run_folder,
        [source_of_clip(subject)],
        consent=settings.train.consent,
        own_face=settings.train.own_face,
        purposes=("train", "drive"),
    )
    manifest = extract(subject, pairs, settings.extract, show_progress=show_progress)
    training = train(pairs, run_folder, settings.train, show_progress=show_progress)
    measuring = EvaluateSettings(
        driver=driver,
        driver_face=settings.drive.driver_face,
        detector=settings.drive.detector,
        min_score=settings.drive.min_score,
        models=settings.drive.models,
        device=settings.drive.device,
        threads=settings.drive.threads,
    )
    driven = drive(run_folder, driver, out_dir / DRIVEN, settings.drive, show_progress=show_progress)
    metrics = evaluate(run_folder, measuring, show_progress=show_progress)
    return RunSummary(manifest, training, metrics, driven)
