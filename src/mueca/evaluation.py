"""evaluate(): how close a run comes to its held-out frames, beside the trivial answer "always the mean face"."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mueca import metrics
from mueca.config import EvaluateSettings, to_json
from mueca.errors import InputError
from mueca.files import whole_folder, write_whole
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.marks import SYNTHETIC
from mueca.pairs import Pairs
from mueca.pictures import write_picture
from mueca.portraits import LandmarkRuler, make_ruler
from mueca.reenactment import Generator, load_generator
from mueca.runs import Run, read_run
from mueca.subject import read_known
from mueca.version import VERSION

Array = np.ndarray

METRICS, FAKES = "metrics.json", "fakes"

PICTURE_METRICS: dict[str, Callable[[Array, Array], float]] = {
    "l1": metrics.l1,
    "psnr": metrics.psnr,
    "ssim": metrics.ssim,
}

TRAINED_AKD = 0.03
"""A run counts as trained when its fakes' landmarks are this close, and SSIM and PSNR beat the mean face's."""


@dataclass(frozen=True)
class Score:
    """A metric's mean over the held-out frames, and what the mean training face scores."""

    value: float
    mean_face: float


@dataclass(frozen=True)
class Metrics:
    """What ``RUN/metrics.json`` holds."""

    l1: Score
    """Mean absolute difference, as a share of the range."""
    psnr: Score
    """dB, scikit-image's, on RGB uint8."""
    ssim: Score
    """scikit-image's, on RGB uint8, default window."""
    akd: Score | None
    """Mean landmark distance over the real face's outer eye distance; None: nobody's landmarks are known."""
    undetected: int
    """Fakes in which no face was found: they enter ``akd`` with the mean face's error."""
    unmeasured: int
    """Real frames in which the ruler finds no face: they are left out of ``akd``."""
    num_frames: int
    trained: bool
    """Better than the mean face in SSIM and PSNR, and ``akd`` at most 0.03."""
    detector: str
    mueca_version: str


def evaluate(
    run: Path,
    settings: EvaluateSettings | None = None,
    *,
    generator: Generator | None = None,
    show_progress: bool = False,
) -> Metrics:
    """Measure the run on its held-out pairs, write ``RUN/metrics.json`` and return what it holds.

    ``generator`` stands in for the run's own. Raises InputError where the run or its pairs can't be used.
    """
    settings = settings or EvaluateSettings()
    stand_in = read_known(run).typical_shape
    data = _find_pairs(run, read_run(run), settings.pairs)
    train, test = read_part(data, "train"), read_part(data, "test")
    generator = generator or load_generator(run, device=settings.device, threads=settings.threads)
    ruler = make_ruler(settings.detector, models=settings.models, min_score=settings.min_score)

    progress = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    fakes = [generator(condition[None])[0] for condition in tqdm(test.conditions, desc="paint", **progress)]
    mean_face = train.targets.mean(axis=0).round().astype(np.uint8)
    with tqdm(test.targets, desc="measure", **progress) as targets:
        result = measure(fakes, targets, mean_face, ruler, stand_in)
    if settings.save_fakes:
        _save_fakes(run / FAKES, test, fakes)
    write_whole(run / METRICS, json.dumps(to_json(result), indent=2) + "\n")
    return result


def measure(
    fakes: Sequence[Array], reals: Sequence[Array], mean_face: Array, ruler: LandmarkRuler, mean_shape: Array | None
) -> Metrics:
    """Compare fakes with real pictures, frame by frame, all RGB uint8 (H, W, 3), at least one of each.

    ``mean_shape`` (68, 2) stands for the mean face's landmarks where the ruler finds no face in it; None where the
    subject's are not known, and pictures without faces are then no error.
    """
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in [*PICTURE_METRICS, "akd"]}
    found_mean = ruler.find(mean_face)
    mean_landmarks = mean_shape if found_mean is None else found_mean
    undetected = unmeasured = num_frames = 0
    for fake, real in zip(fakes, reals, strict=True):
        num_frames += 1
        for name, compare in PICTURE_METRICS.items():
            scores[name].append((compare(fake, real), compare(mean_face, real)))
        real_landmarks, fake_landmarks = ruler.find(real), ruler.find(fake)
        undetected += fake_landmarks is None
        if real_landmarks is None or mean_landmarks is None:
            unmeasured += 1
            continue
        of_mean = metrics.landmark_distance(mean_landmarks, real_landmarks)
        found = fake_landmarks is not None
        scores["akd"].append((metrics.landmark_distance(fake_landmarks, real_landmarks) if found else of_mean, of_mean))
    if not scores["akd"] and mean_shape is not None:
        raise InputError("the test frames show no face that the detector finds; try another with --detector")
    means = {name: _mean_score(values) for name, values in scores.items()}
    return Metrics(
        **means,
        undetected=undetected,
        unmeasured=unmeasured,
        num_frames=num_frames,
        trained=is_trained(means["ssim"], means["psnr"], means["akd"]),
        detector=ruler.detector.name,
        mueca_version=VERSION,
    )


def is_trained(ssim: Score, psnr: Score, akd: Score | None) -> bool:
    """Tell whether a run beats the mean face in both picture metrics and follows its landmarks, if it has any."""
    follows = akd is None or akd.value <= TRAINED_AKD
    return ssim.value > ssim.mean_face and psnr.value > psnr.mean_face and follows


def _mean_score(values: list[tuple[float, float]]) -> Score | None:
    if not values:
        return None
    value, mean_face = np.mean(values, axis=0)
    return Score(float(value), float(mean_face))


def _find_pairs(run: Path, record: Run, named: Path | None) -> Dataset:
    """Return the pairs that the run was trained on, checked by their hash."""
    pairs = named or record.pairs
    if not pairs.is_dir():
        raise InputError(f"{pairs}: the pairs of {run} are not there; name their folder with --pairs")
    data = open_dataset(pairs, record.settings.condition)
    if sha256_of_dataset(data) != record.pairs_sha256:
        raise InputError(f"{pairs}: these are not the pairs that {run} was trained on; name their folder with --pairs")
    return data


def _save_fakes(folder: Path, test: Pairs, fakes: Sequence[Array]) -> None:
    with whole_folder(folder, replace=True) as partial:
        for name, fake in zip(test.names, fakes, strict=True):
            write_picture(partial / f"{name}.png", fake, mark=SYNTHETIC)
