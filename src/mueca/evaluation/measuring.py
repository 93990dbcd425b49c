"""The held-out frames one by one: what each answer, the fake and the trivial ones, scores in every metric."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from mueca import metrics
from mueca.evaluation.frames import HeldOut
from mueca.evaluation.intervals import interval
from mueca.evaluation.scores import Score
from mueca.face.detection import Detector
from mueca.face.identity import FaceEmbedder
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, MOUTH, eye_distance
from mueca.portraits import LandmarkRuler, Seen

Array = np.ndarray
Box = tuple[int, int, int, int]
Columns = dict[str, Array]
"""By the answer's name: its score in every frame, (N,) float64; NaN where it can't be told."""
Table = dict[str, Columns]
"""By the metric's name."""

FAKE, MEAN_FACE, NEAREST, REAL = "value", "mean_face", "nearest_frame", "real"
"""Answers by the names of the fields of ``Score``; the real pictures themselves where a metric tells of one clip."""

PICTURE_METRICS = ("l1", "psnr", "ssim", "ms_ssim", "l1_face", "psnr_face", "ssim_face")
SHARPNESS = {"sharpness_mouth": (MOUTH,), "sharpness_eyes": (EYE_RIGHT, EYE_LEFT)}
IDENTITY_FRAMES = 60
"""An embedding takes 120 ms: it is taken of at most so many frames, evenly spread."""

_BOX_MARGIN = 0.12
"""Of the outer eye distance, around a part's landmarks."""


class FaceReader:
    """Finds faces in pictures, and the numbers that tell whose they are; of equal pictures once."""

    def __init__(self, ruler: LandmarkRuler, embedder: FaceEmbedder | None = None):
        self._ruler, self._embedder = ruler, embedder or FaceEmbedder()
        self._seen: dict[bytes, Seen | None] = {}
        self._numbers: dict[bytes, Array | None] = {}

    @property
    def detector(self) -> Detector:
        """What finds the faces."""
        return self._ruler.detector

    def look(self, picture: Array) -> Seen | None:
        """Return the largest face, its landmarks as found again; None where there is none."""
        key = _key(picture)
        if key not in self._seen:
            self._seen[key] = self._ruler.look(picture)
        return self._seen[key]

    def numbers(self, picture: Array) -> Array | None:
        """Return dlib's 128 numbers of the largest face; None where there is none."""
        key = _key(picture)
        if key not in self._numbers:
            seen = self.look(picture)
            self._numbers[key] = None if seen is None else self._embedder.embed(picture, seen.box)
        return self._numbers[key]


@dataclass(frozen=True)
class Standing:
    """What stands for the mean face where something has to."""

    picture: Array
    """The mean of the training targets, RGB uint8."""
    landmarks: Array | None
    """(68, 2): those of the subject; None where they are not known."""


def measure_frames(
    fakes: Sequence[Array],
    nearest: Sequence[Array],
    mean_face: Standing,
    held_out: HeldOut,
    reader: FaceReader,
    *,
    show_progress: bool = False,
) -> Table:
    """Return what the fakes and the trivial answers score against the held-out frames, RGB uint8 (H, W, 3) each."""
    num = len(held_out.targets)
    answers = {FAKE: fakes, MEAN_FACE: [mean_face.picture] * num, NEAREST: nearest}
    names = [*PICTURE_METRICS, *SHARPNESS, "akd", "identity", "flicker", "undetected"]
    table = {name: {answer: np.full(num, np.nan) for answer in (*answers, REAL)} for name in names}
    looked_at = set(evenly(num, IDENTITY_FRAMES).tolist())
    rows = tqdm(range(num), desc="measure", unit=" frames", disable=not show_progress, dynamic_ncols=True)
    for row in rows:
        pictures = {answer: several[row] for answer, several in answers.items()}
        real = held_out.targets[row]
        seen = reader.look(real)
        landmarks = _landmarks_of(held_out, row, seen)
        _enter(table, row, _compare_pictures(pictures, real, landmarks))
        _enter(table, row, _sharpness(pictures | {REAL: real}, landmarks))
        _enter(table, row, _follow(pictures, seen, mean_face, reader))
        if row in looked_at:
            _enter(table, row, _identity(pictures, real, reader))
        if held_out.follows[row]:
            before = {answer: several[row - 1] for answer, several in answers.items()}
            pictures, before = pictures | {REAL: real}, before | {REAL: held_out.targets[row - 1]}
            _enter(table, row, {"flicker": {name: metrics.l1(pictures[name], before[name]) for name in pictures}})
    table["identity"][REAL] = _apart([held_out.targets[row] for row in sorted(looked_at)], reader, num)
    return table


def score_of(columns: Mapping[str, Array], block: Array) -> Score | None:
    """Return the means of the answers in one metric, and the interval of the fakes'; None where none can be told."""
    value = columns[FAKE]
    known = ~np.isnan(value)
    if not known.any():
        return None
    others = {name: float(np.nanmean(v)) for name, v in columns.items() if name != FAKE and not np.isnan(v).all()}
    ci = interval(value[known], block[known])
    if ci and (value[known] >= 0).all():
        ci = (max(ci[0], 0.0), ci[1])  # of few blocks it can be wide, but no distance is below zero
    return Score(float(value[known].mean()), ci, **others)


def evenly(num: int, most: int) -> Array:
    """Return at most so many places of ``num``, evenly spread, in order."""
    return np.unique(np.linspace(0, num - 1, min(num, most)).round().astype(int))


def _enter(table: Table, row: int, values: Mapping[str, Mapping[str, float]]) -> None:
    for metric, of_answers in values.items():
        for answer, value in of_answers.items():
            table[metric][answer][row] = value


def _landmarks_of(held_out: HeldOut, row: int, seen: Seen | None) -> Array | None:
    """Return where the real face is: by the pairs, which looked along time, or else by the single picture."""
    if held_out.landmarks is not None:
        return held_out.landmarks[row]
    return None if seen is None else seen.landmarks


def _compare_pictures(pictures: Mapping[str, Array], real: Array, landmarks: Array | None) -> dict[str, dict]:
    mask = None if landmarks is None else metrics.face_mask(landmarks, len(real))
    found: dict[str, dict[str, float]] = {name: {} for name in PICTURE_METRICS}
    for answer, picture in pictures.items():
        for name, value in _picture_scores(picture, real, mask).items():
            found[name][answer] = value
    return found


def _picture_scores(fake: Array, real: Array, mask: Array | None) -> dict[str, float]:
    ssim, where = metrics.ssim_with_map(fake, real)
    scores = {
        "l1": metrics.l1(fake, real),
        "psnr": _finite(metrics.psnr(fake, real)),
        "ssim": ssim,
        "ms_ssim": metrics.ms_ssim(fake, real),
    }
    if mask is not None and mask.any():
        scores["l1_face"] = metrics.l1(fake[mask], real[mask])
        scores["psnr_face"] = _finite(metrics.psnr(fake[mask], real[mask]))
        inner = cv2.erode(mask.astype(np.uint8), _SSIM_WINDOW).astype(bool)  # what lies outside is in no window there
        scores["ssim_face"] = float(where[inner if inner.any() else mask].mean())
    return scores


_SSIM_WINDOW = np.ones((7, 7), np.uint8)
"""scikit-image's default, in pixels."""


def _finite(decibels: float) -> float:
    return min(decibels, metrics.PSNR_OF_EQUALS_DB)


def _sharpness(pictures: Mapping[str, Array], landmarks: Array | None) -> dict[str, dict[str, float]]:
    """Return how sharp each picture is where the real face has its parts."""
    if landmarks is None:
        return {}
    size_px = len(next(iter(pictures.values())))
    found = {}
    for metric, parts in SHARPNESS.items():
        boxes = [box for part in parts if (box := _box_around(landmarks, part, size_px))]
        if boxes:
            found[metric] = {
                answer: float(np.mean([metrics.sharpness(picture, box) for box in boxes]))
                for answer, picture in pictures.items()
            }
    return found


def _box_around(landmarks: Array, part: slice, size_px: int) -> Box | None:
    """Return the box around a part's landmarks with a margin, inside the picture; None where that leaves nothing."""
    margin = _BOX_MARGIN * float(eye_distance(landmarks))
    low = np.floor(landmarks[part].min(axis=0) - margin).clip(0, size_px).astype(int)
    high = np.ceil(landmarks[part].max(axis=0) + margin).clip(0, size_px).astype(int)
    return (low[0], low[1], high[0], high[1]) if (high - low > 1).all() else None


def _follow(
    pictures: Mapping[str, Array], real: Seen | None, mean_face: Standing, reader: FaceReader
) -> dict[str, dict[str, float]]:
    """Return each answer's landmark error, that of the mean face where it shows no face, and whether it shows one."""
    seen = {answer: reader.look(picture) for answer, picture in pictures.items()}
    found: dict[str, dict[str, float]] = {"undetected": {answer: float(s is None) for answer, s in seen.items()}}
    found["undetected"][REAL] = float(real is None)
    of_mean = seen[MEAN_FACE].landmarks if seen[MEAN_FACE] else mean_face.landmarks
    if real is not None and of_mean is not None:
        found["akd"] = {
            answer: float(metrics.landmark_distance(s.landmarks if s else of_mean, real.landmarks))
            for answer, s in seen.items()
        }
    return found


def _identity(pictures: Mapping[str, Array], real: Array, reader: FaceReader) -> dict[str, dict[str, float]]:
    """Return how far whom each answer shows is from whom the real picture shows; no face: as far as the mean face."""
    who = reader.numbers(real)
    if who is None:
        return {}
    numbers = {answer: reader.numbers(picture) for answer, picture in pictures.items()}
    known = {
        answer: numbers[MEAN_FACE] if of_answer is None else of_answer
        for answer, of_answer in numbers.items()
        if of_answer is not None or numbers[MEAN_FACE] is not None
    }
    return {"identity": {answer: float(np.linalg.norm(each - who)) for answer, each in known.items()}}


def _apart(reals: Sequence[Array], reader: FaceReader, num_frames: int) -> Array:
    """Return how far real pictures lie from those half a clip away, as the first of (num_frames,); the rest is NaN."""
    numbers = [each for each in map(reader.numbers, reals) if each is not None]
    apart = np.full(num_frames, np.nan)
    half = len(numbers) // 2
    if half:
        apart[: len(numbers)] = np.linalg.norm(np.roll(numbers, half, axis=0) - numbers, axis=1)
    return apart


def _key(picture: Array) -> bytes:
    return hashlib.sha1(np.ascontiguousarray(picture), usedforsecurity=False).digest()
