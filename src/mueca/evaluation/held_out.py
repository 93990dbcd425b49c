"""evaluate(): how close a run comes to its held-out frames, beside trivial answers; metrics.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mueca.config import EvaluateSettings
from mueca.curve import Point, read_curve
from mueca.errors import InputError, ModelFileError
from mueca.evaluation.frames import held_out_of, nearest_rows, poses_of
from mueca.evaluation.intervals import BLOCK_FRAMES, FEWEST_BLOCKS
from mueca.evaluation.measuring import (
    FAKE,
    MEAN_FACE,
    NEAREST,
    FaceReader,
    Standing,
    Table,
    measure_frames,
    score_of,
)
from mueca.evaluation.reenacted import follow_driver, require_drivable
from mueca.evaluation.report import shown_frames, write_report
from mueca.evaluation.scores import (
    HELD_OUT_METRICS,
    TRAINED_AKD,
    FrameScores,
    Metrics,
    Report,
    Score,
    Tile,
)
from mueca.evaluation.storing import write_metrics
from mueca.files import sha256_of, whole_folder
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.marks import SYNTHETIC, Origin
from mueca.painter import Painter
from mueca.pairs import SPLITS, Pairs
from mueca.pictures import write_picture
from mueca.portraits import make_ruler
from mueca.reenactment import load_generator
from mueca.runs import GENERATOR, Run, read_run
from mueca.subject import read_atlas, read_known, with_charts
from mueca.version import VERSION

Array = np.ndarray

FAKES, REPORT = "fakes", "report.html"


@dataclass(frozen=True)
class Material:
    """A run, its curve and the pairs that it was trained on, in memory."""

    run: Path
    record: Run
    data: Dataset
    train: Pairs
    test: Pairs
    curve: tuple[Point, ...]


def evaluate(
    run: Path,
    settings: EvaluateSettings | None = None,
    *,
    generator: Painter | None = None,
    show_progress: bool = False,
) -> Metrics:
    """Measure the run on its held-out pairs, and on a driver's video if the settings name one.

    Writes ``RUN/metrics.json`` and ``RUN/report.html``, and returns what the first holds. ``generator`` stands in for
    the run's own. Raises InputError where the run, its pairs or the driver can't be used.
    """
    settings = settings or EvaluateSettings()
    stand_in = read_known(run).typical_shape
    require_drivable(run, settings)
    material = read_material(run, settings.pairs)
    sha256 = None if generator else sha256_of(run / GENERATOR)  # before it is loaded: a training run may replace it
    paint = generator or load_generator(run, device=settings.device, threads=settings.threads)
    reader = FaceReader(make_ruler(settings.detector, models=settings.models, min_score=settings.min_score))
    driven, driven_tiles = None, ()
    if settings.driver:  # first, for a video that can't be used shall not cost the minutes of the rest
        driven, driven_tiles = follow_driver(
            run, settings, paint, reader, material.train, material.test.targets, show_progress=show_progress
        )
    progress = {"desc": "paint", "unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    fakes = [paint_row(paint, material.test, row) for row in tqdm(range(len(material.test.names)), **progress)]
    metrics = measure(material, fakes, reader, stand_in, show_progress=show_progress)
    metrics = replace(metrics, driver=driven, generator_sha256=sha256, min_score=settings.min_score)
    if settings.save_fakes:
        _save_fakes(run / FAKES, material.test, fakes, sha256)
    write_metrics(run, metrics)
    names = {frame.name for frames in shown_frames(metrics.frames).values() for frame in frames}
    tiles = {name: tile for name, tile in _tiles(material.test, fakes).items() if name in names}
    write_report(run / REPORT, replace(make_report(material, metrics, tiles), driven_tiles=driven_tiles))
    return metrics


def read_material(run: Path, named: Path | None) -> Material:
    """Return the run and its pairs, which lie where it was trained or in the folder that is named.

    Raises InputError where they are not there, or are not those that it was trained on, and at a damaged curve.
    """
    record = read_run(run)
    pairs = named or record.pairs
    if not pairs.is_dir():
        raise InputError(f"{pairs}: the pairs of {run} are not there; name their folder with --pairs")
    data = open_dataset(pairs, record.settings.condition)
    if sha256_of_dataset(data) != record.pairs_sha256:
        raise InputError(f"{pairs}: these are not the pairs that {run} was trained on; name their folder with --pairs")
    train, test = (read_part(data, split) for split in SPLITS)
    if record.preset.textures:
        test = with_charts(test, pairs, read_atlas(run))
    return Material(run, record, data, train, test, read_curve(run))


def paint_row(paint: Painter, pairs: Pairs, row: int) -> Array:
    """Return the fake of one of the pairs, RGB uint8 (H, W, 3)."""
    rows = slice(row, row + 1)
    return paint(pairs.conditions[rows], None if pairs.charts is None else pairs.charts[rows])[0]


def measure(
    material: Material,
    fakes: Sequence[Array],
    reader: FaceReader,
    stand_in: Array | None,
    *,
    show_progress: bool = False,
) -> Metrics:
    """Compare fakes of the held-out conditions with the real pictures, frame by frame, RGB uint8 (H, W, 3) each.

    ``stand_in`` (68, 2) stands for the mean face's landmarks where the ruler finds no face in it; None where the
    subject's are not known, and pictures without faces are then no error.
    """
    train, test = material.train, material.test
    held_out = held_out_of(material.data, test)
    mean_face = Standing(train.targets.mean(axis=0).round().astype(np.uint8), stand_in)
    nearest = train.targets[nearest_rows(test.conditions, train.conditions)]
    table = measure_frames(fakes, nearest, mean_face, held_out, reader, show_progress=show_progress)
    if stand_in is not None and np.isnan(table["akd"][FAKE]).all():
        raise InputError("the test frames show no face that the detector finds; try another with --detector")
    left_out = {name: why for name, why in _REASONS.items() if np.isnan(table[name][FAKE]).all()}
    learned, missing = _learned_scores(fakes, nearest, mean_face.picture, test.targets, held_out.block)
    scores = {name: score_of(columns, held_out.block) for name, columns in table.items()} | learned
    num_blocks = len(set(held_out.block.tolist()))
    blocks = "seconds" if held_out.landmarks is not None else f"{BLOCK_FRAMES} frames"
    if num_blocks < FEWEST_BLOCKS:
        what = "seconds" if blocks == "seconds" else f"blocks of {blocks}"
        left_out["ci"] = (
            f"the held-out frames are of fewer than {FEWEST_BLOCKS} {what}: how sure the numbers are can't be told"
        )
    return Metrics(
        **{name: scores[name] for name in HELD_OUT_METRICS},
        left_out=left_out | missing,
        trained=is_trained(scores["ssim"], scores["psnr"], scores["akd"]),
        num_frames=len(test.names),
        num_undetected=int(table["undetected"][FAKE].sum()),
        num_unmeasured=int(np.isnan(table["akd"][FAKE]).sum()),
        detector=reader.detector.name,
        pairs_sha256=material.record.pairs_sha256,
        generator_sha256=None,
        mueca_version=VERSION,
        frames=_frame_scores(table, test),
        num_blocks=num_blocks,
        blocks=blocks,
    )


def is_trained(ssim: Score, psnr: Score, akd: Score | None) -> bool:
    """Tell whether a run beats the mean face in both picture metrics and follows its landmarks, if it has any."""
    follows = akd is None or akd.value <= TRAINED_AKD
    return ssim.value > ssim.mean_face and psnr.value > psnr.mean_face and follows


def make_report(material: Material, metrics: Metrics, tiles: dict[str, Tile]) -> Report:
    """Return what a page about the run is made of, but for a driver's frames."""
    return Report(
        run=material.run,
        record=material.record,
        metrics=metrics,
        curve=material.curve,
        tiles=tiles,
        poses=poses_of(material.data, material.train, material.test),
    )


_NO_FACE = "no face is found in the held-out pictures"
_NO_LANDMARKS = "where the face is isn't known: the pairs have no landmarks, and no face is found in their pictures"
_REASONS = {
    "akd": _NO_FACE,
    "identity": _NO_FACE,
    "flicker": "no two of the held-out frames are neighbours in time",
    **dict.fromkeys(("l1_face", "psnr_face", "ssim_face", "sharpness_mouth", "sharpness_eyes"), _NO_LANDMARKS),
}
"""Why a metric can't be told of any frame."""


def _frame_scores(table: Table, test: Pairs) -> tuple[FrameScores, ...]:
    is_seen = table["undetected"][FAKE] == 0
    akd = np.where(is_seen, table["akd"][FAKE], np.nan)
    rows = zip(test.names, test.frame_index, *(table[n][FAKE] for n in ("ssim", "psnr", "l1")), akd, strict=True)
    return tuple(
        FrameScores(name, int(index), float(ssim), float(psnr), float(l1), None if np.isnan(akd) else float(akd))
        for name, index, ssim, psnr, l1, akd in rows
    )


def _learned_scores(
    fakes: Sequence[Array], nearest: Sequence[Array], mean_face: Array, reals: Sequence[Array], block: Array
) -> tuple[dict[str, Score | None], dict[str, str]]:
    """Return the scores that need large networks, and why those are left out whose networks are not there."""
    scores: dict[str, Score | None] = dict.fromkeys(("lpips", "fid", "kid"))
    left_out = {}
    try:
        from mueca.nets import perception
    except ModuleNotFoundError:
        return scores, dict.fromkeys(scores, "PyTorch is not installed; pip install 'mueca[train]'")
    answers = {FAKE: fakes, MEAN_FACE: [mean_face] * len(reals), NEAREST: nearest}
    try:
        columns = {name: perception.lpips_distances(each, reals) for name, each in answers.items()}
        scores["lpips"] = score_of(columns, block)
    except ModelFileError as error:
        left_out["lpips"] = str(error)
    try:
        distances = {name: perception.fid_and_kid(each, reals) for name, each in answers.items()}
        for place, name in enumerate(("fid", "kid")):
            of_answers = {answer: pair[place] for answer, pair in distances.items()}
            scores[name] = Score(of_answers.pop(FAKE), **of_answers)  # no interval: a distance of whole sets
    except ModelFileError as error:
        left_out |= dict.fromkeys(("fid", "kid"), str(error))
    return scores, left_out


def _tiles(test: Pairs, fakes: Sequence[Array]) -> dict[str, Tile]:
    pictures = zip(test.names, test.conditions, test.targets, fakes, strict=True)
    return {name: Tile(condition=condition, real=real, fake=fake) for name, condition, real, fake in pictures}


def _save_fakes(folder: Path, test: Pairs, fakes: Sequence[Array], model_sha256: str | None) -> None:
    mark = replace(SYNTHETIC, origin=Origin(model_sha256=model_sha256))
    with whole_folder(folder, replace=True) as partial:
        for name, fake in zip(test.names, fakes, strict=True):
            write_picture(partial / f"{name}.png", fake, mark=mark)
