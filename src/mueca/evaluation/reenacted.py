"""How well a run follows a driver's video, and whether the subject stays the subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mueca import metrics
from mueca.coaching.comparison import TOLERANCE
from mueca.config import EvaluateSettings
from mueca.errors import InputError
from mueca.evaluation.frames import nearest_rows
from mueca.evaluation.intervals import BLOCK_S, FEWEST_BLOCKS, blocks_of
from mueca.evaluation.likeness import identity_distances, mean_distance, mean_face
from mueca.evaluation.measuring import FAKE, MEAN_FACE, NEAREST, REAL, FaceReader, evenly, score_of
from mueca.evaluation.scores import DRIVEN_METRICS, Driven, DrivenBy, Score, Tile
from mueca.face.crop import crop_transforms, cut_crop
from mueca.face.following import follow_video
from mueca.face.gaze import measure_gaze
from mueca.face.movements import movements_of
from mueca.face.track import Track
from mueca.files import sha256_of
from mueca.painter import Painter
from mueca.pairs import Pairs
from mueca.reenactment import ClipReenactor, LeakMeter, Painted
from mueca.subject import Subject, read_subject
from mueca.video import VideoReader

Array = np.ndarray

MOST_FRAMES = 150
"""Of a longer video so many are painted: whole seconds, evenly spread."""
NUM_TILES = 12
FOLLOWED = tuple(TOLERANCE)


@dataclass(frozen=True)
class Performance:
    """The frames of a driver that were painted; N of them, in order of time."""

    rows: Array
    """(N,) in the driver's track."""
    painted: tuple[Painted, ...]
    truths: tuple[Array, ...] | None
    """What the fakes should show, RGB uint8 (SIZE_PX, SIZE_PX, 3); None: nobody knows."""
    block: Array
    """(N,) int64, see ``mueca.evaluation.intervals``."""
    follows: Array
    """(N,) bool: the frame is the one right after the frame before it."""

    @property
    def fakes(self) -> list[Array]:
        """The fakes, RGB uint8 (SIZE_PX, SIZE_PX, 3) each."""
        return [painted.fake for painted in self.painted]


def require_drivable(run: Path, settings: EvaluateSettings) -> None:
    """Raise InputError where a driver is named and the run can't be driven, or a video can't be opened."""
    if settings.driver:
        read_subject(run)
        for video in (settings.driver, settings.truth):
            if video:
                VideoReader(video)


def driven_by(settings: EvaluateSettings) -> DrivenBy:
    """Return what tells a driver's video, its truth and its face from others; the settings name a driver."""
    truth = settings.truth and sha256_of(settings.truth)
    return DrivenBy(sha256_of(settings.driver), truth, settings.driver_face)


def follow_driver(
    run: Path,
    settings: EvaluateSettings,
    paint: Painter,
    reader: FaceReader,
    training: Pairs,
    held_out: Sequence[Array],
    *,
    show_progress: bool = False,
) -> tuple[Driven, tuple[Tile, ...]]:
    """Drive the run with ``settings.driver``, and return how well it follows and some of its frames.

    ``held_out`` are real pictures of the subject, RGB uint8 (H, W, 3). Raises InputError where a video can't be used,
    or ``settings.truth`` has another number of frames than the driver's.
    """
    by = driven_by(settings)
    subject, video = read_subject(run), VideoReader(settings.driver)
    track = follow_video(video, reader.detector, face=settings.driver_face, show_progress=show_progress)
    reenactor = ClipReenactor(paint, subject, track)
    rows = chosen_rows(track)
    truths = _truths(settings, reader, subject, track, show_progress) if settings.truth else None
    if truths is not None:
        rows = np.array([row for row in rows if int(track.frame_index[row]) in truths], dtype=np.int64)
        if not len(rows):
            raise InputError(f"{settings.truth}: shows no face in any frame in which {settings.driver} does")
    acted = _perform(reenactor, video, track, rows, truths, show_progress)
    meter = LeakMeter(lambda fake: _landmarks(reader, fake), every=1)
    for fake in acted.fakes:
        meter.offer(fake)
    scores, left_out = _scores(acted, reader, training, held_out, subject.typical_shape)
    follows, reach = followed(acted, track, reader)
    identity_driver = mean_distance([p.driver for p in acted.painted], training.targets, reader)
    leak = meter.leak(subject.face, reenactor.driver)
    unknown = {"leak": leak, "identity_driver": identity_driver}
    left_out |= {name: _UNKNOWN[name] for name, value in unknown.items() if value is None}
    driven = Driven(
        by=by,
        driver_name=video.path.name,
        truth_name=settings.truth.name if settings.truth else None,
        num_frames=len(acted.rows),
        num_followed=len(track.frame_index),
        identity_driver=identity_driver,
        followed=follows,
        leak=leak,
        left_out=left_out,
        num_unmeasured=sum(reader.look(fake) is None for fake in acted.fakes),
        reach=reach,
        **scores,
    )
    return driven, _tiles(acted)


_UNKNOWN = {
    "leak": "the two faces are too much alike to tell, or the fakes show none",
    "identity_driver": "no face is found to compare, in the driver's pictures or in the subject's",
}


def chosen_rows(track: Track, most: int = MOST_FRAMES) -> Array:
    """Return which rows of a track are painted: all of them, or about ``most``, in seconds spread evenly over it."""
    num = len(track.frame_index)
    if num <= most:
        return np.arange(num)
    length = max(2, min(round(BLOCK_S * track.fps), most // 2))
    stretches = np.array_split(np.arange(num), num // length)
    kept = evenly(len(stretches), most // length)
    return np.concatenate([stretches[place] for place in kept])


def followed(
    acted: Performance, track: Track, reader: FaceReader
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return by movement how the driver's course and the fakes' correlate, and how far these go for what is asked.

    The second is the slope of the fakes' over the driver's. None where the driver keeps still.
    """
    found = [_landmarks(reader, fake) for fake in acted.fakes]
    seen = [place for place, landmarks in enumerate(found) if landmarks is not None]
    if not seen:
        return dict.fromkeys(FOLLOWED), dict.fromkeys(FOLLOWED)
    landmarks = np.stack([found[place] for place in seen])
    greys = (cv2.cvtColor(acted.fakes[place], cv2.COLOR_RGB2GRAY) for place in seen)
    gaze = np.stack([measure_gaze(grey, points) for grey, points in zip(greys, landmarks, strict=True)])
    ours = movements_of(landmarks, gaze)
    theirs = movements_of(track.landmarks, track.gaze)
    alike: dict[str, float | None] = dict.fromkeys(FOLLOWED)
    reach: dict[str, float | None] = dict.fromkeys(FOLLOWED)
    for name in FOLLOWED:
        asked = theirs[name][acted.rows[seen]]
        low, high = np.percentile(asked, (5, 95))
        if high - low > TOLERANCE[name]:
            alike[name] = metrics.correlation(asked, ours[name])
            reach[name] = float(np.cov(asked, ours[name], bias=True)[0, 1] / np.var(asked))
    return alike, reach


def _truths(
    settings: EvaluateSettings, reader: FaceReader, subject: Subject, driver: Track, show_progress: bool
) -> dict[int, Array]:
    """Return the truth's crops, cut as the subject's own were, by the number of the frame."""
    video = VideoReader(settings.truth)
    track = follow_video(video, reader.detector, show_progress=show_progress)
    if track.num_frames != driver.num_frames:
        raise InputError(
            f"{settings.truth}: has {track.num_frames} frames and {settings.driver} {driver.num_frames}; "
            "the truth shows frame by frame what the driver does"
        )
    transforms = crop_transforms(track.landmarks, track.frame_index, track.shot, track.fps, subject.rule)
    row_of = {int(number): row for row, number in enumerate(track.frame_index)}
    wanted = {int(driver.frame_index[row]) for row in chosen_rows(driver)} & row_of.keys()
    return {
        frame.index: cut_crop(frame.image, transforms[row_of[frame.index]]) for frame in video if frame.index in wanted
    }


def _perform(
    reenactor: ClipReenactor,
    video: VideoReader,
    track: Track,
    rows: Array,
    truths: dict[int, Array] | None,
    show_progress: bool,
) -> Performance:
    numbers = track.frame_index[rows]
    wanted = set(numbers.tolist())
    painted = {}
    options = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    with tqdm(desc="drive", total=len(rows), **options) as bar:
        for frame in video:
            if frame.index in wanted:
                painted[frame.index] = reenactor.paint(frame.index, frame.image)
                bar.update()
    return Performance(
        rows=rows,
        painted=tuple(painted[number] for number in numbers.tolist()),
        truths=None if truths is None else tuple(truths[number] for number in numbers.tolist()),
        block=blocks_of(track.timestamp_s[rows], len(rows)),
        follows=(np.diff(numbers, prepend=-2) == 1) & (np.diff(track.shot[rows], prepend=-1) == 0),
    )


def _scores(
    acted: Performance, reader: FaceReader, training: Pairs, held_out: Sequence[Array], stand_in: Array
) -> tuple[dict[str, Score | None], dict[str, str]]:
    """Return the scores of ``Driven`` by name, and why some are left out; for ``stand_in`` see ``_beside_truth``."""
    real = acted.truths or [painted.driver for painted in acted.painted]
    columns = {
        "undetected": {FAKE: np.array([float(reader.look(fake) is None) for fake in acted.fakes])},
        "flicker": {FAKE: _changes(acted.fakes, acted.follows), REAL: _changes(real, acted.follows)},
        "identity": identity_distances(acted.fakes, training.targets, held_out, reader),
    }
    columns |= _beside_truth(acted, reader, training, stand_in)
    scores = {name: score_of(columns[name], acted.block) if name in columns else None for name in DRIVEN_METRICS}
    reasons = {"flicker": "no two frames with a face are neighbours", "identity": "no face is found to compare"}
    beside = "no face is found in the truth" if acted.truths else "needs --truth, which only actors have"
    reasons |= dict.fromkeys(("ssim", "psnr", "akd", "expression"), beside)
    left_out = {name: why for name, why in reasons.items() if scores[name] is None}
    if len(set(acted.block.tolist())) < FEWEST_BLOCKS:
        left_out["ci"] = f"the frames are of fewer than {FEWEST_BLOCKS} seconds: how sure the numbers are can't be told"
    return scores, left_out


def _beside_truth(
    acted: Performance, reader: FaceReader, training: Pairs, stand_in: Array
) -> dict[str, dict[str, Array]]:
    """Return what the fakes and the trivial answers score against the truth, by metric and answer, (N,) each.

    A picture without a face errs in its landmarks as the mean face does, for which ``stand_in`` (68, 2) stands where
    the reader finds no face in it.
    """
    if acted.truths is None:
        return {}
    nearest = nearest_rows([painted.condition for painted in acted.painted], training.conditions)
    average = mean_face(training.targets)
    of_average = _landmarks(reader, average)
    of_average = stand_in if of_average is None else of_average
    answers = {
        FAKE: acted.fakes,
        MEAN_FACE: [average] * len(acted.truths),
        NEAREST: [training.targets[row] for row in nearest],
    }
    columns = {name: _errors(pictures, acted.truths, reader, of_average) for name, pictures in answers.items()}
    return {metric: {name: column[metric] for name, column in columns.items()} for metric in columns[FAKE]}


def _errors(
    pictures: Sequence[Array], truths: Sequence[Array], reader: FaceReader, of_average: Array
) -> dict[str, Array]:
    """Return how pictures stand to their truths, by metric, (N,) each; NaN where the truth shows no face."""
    both = list(zip(pictures, truths, strict=True))
    ours, true = ([_landmarks(reader, pair[k]) for pair in both] for k in (0, 1))
    known = [place for place, landmarks in enumerate(true) if landmarks is not None]
    seen = [place for place in known if ours[place] is not None]
    akd, expression = np.full((2, len(both)), np.nan)
    for places, answers in ((known, [of_average] * len(both)), (seen, ours)):  # the second where there is one
        if places:
            a, b = (np.stack([each[place] for place in places]) for each in (answers, true))
            akd[places] = metrics.landmark_distance(a, b)
            expression[places] = metrics.expression_distance(a, b)
    decibels = [min(metrics.psnr(a, b), metrics.PSNR_OF_EQUALS_DB) for a, b in both]
    ssim = [metrics.ssim(a, b) for a, b in both]
    return {"ssim": np.array(ssim), "psnr": np.array(decibels), "akd": akd, "expression": expression}


def _changes(pictures: Sequence[Array], follows: Array) -> Array:
    """Return how much each picture differs from the one before it, (N,); NaN where that is no neighbour."""
    pairs = zip(pictures, [pictures[0], *pictures[:-1]], follows, strict=True)
    return np.array([metrics.l1(b, a) if is_next else np.nan for b, a, is_next in pairs])


def _landmarks(reader: FaceReader, picture: Array) -> Array | None:
    seen = reader.look(picture)
    return None if seen is None else seen.landmarks


def _tiles(acted: Performance) -> tuple[Tile, ...]:
    return tuple(
        Tile(
            condition=acted.painted[place].condition,
            real=None if acted.truths is None else acted.truths[place],
            fake=acted.painted[place].fake,
            driver=acted.painted[place].driver,
        )
        for place in evenly(len(acted.painted), NUM_TILES)
    )
