"""What pairs tell of their subject; of bare pictures, with which no landmarks came, those found in the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from mueca.config import SIZE_PX, DetectorName
from mueca.face.crop import CropRule
from mueca.face.drawn import LEAST_AGREEMENT, agreement
from mueca.face.gaze import measure_gaze
from mueca.face.model_files import YUNET, UsedFile, place_of, used_files
from mueca.foreign import Dataset
from mueca.pairs import Pairs, read_manifest
from mueca.subject import Subject, Undrivable, fit_subject, learn_subject

if TYPE_CHECKING:
    from mueca.face.detection import Detector
    from mueca.face.prediction import LandmarkPredictor

Array = np.ndarray

FEWEST_FACES = 20
"""As many as ``extract`` asks for."""
LEAST_SHARE = 0.5
"""Of the targets must show a face: with fewer, what is learned is something else."""


@dataclass(frozen=True)
class Seen:
    """A face found on a single picture, in its pixels."""

    landmarks: Array
    """(68, 2) float64."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1, as dlib's HOG would have drawn it."""


class LandmarkRuler:
    """Finds landmarks on a single picture: detector and predictor, no hint from elsewhere, no smoothing."""

    def __init__(self, detector: Detector, predictor: LandmarkPredictor):
        self.detector = detector
        self._predictor = predictor

    def find(self, image: Array) -> Array | None:
        """Return the landmarks (68, 2) of the largest face in an RGB uint8 picture; None where there is no face."""
        seen = self.look(image)
        return None if seen is None else seen.landmarks

    def look(self, image: Array) -> Seen | None:
        """Return the largest face in an RGB uint8 picture; None where there is none."""
        face = max(self.detector.detect(image), key=lambda face: face.area, default=None)
        if face is None:
            return None
        box = self.detector.predictor_box(face)
        return Seen(self._predictor.predict(image, box), box)


def make_ruler(name: DetectorName | None, *, models: Path | None, min_score: float | None = None) -> LandmarkRuler:
    """Return a ruler with the named detector; see ``make_detector``."""
    from mueca.face.detection import make_detector  # dlib: a machine that only trains may lack it
    from mueca.face.prediction import LandmarkPredictor

    return LandmarkRuler(make_detector(name, models=models, min_score=min_score), LandmarkPredictor())


def subject_of(
    data: Dataset,
    training: Pairs,
    *,
    detector: DetectorName | None,
    models: Path | None,
    show_progress: bool = False,
) -> Subject | Undrivable:
    """Return what the pairs' own landmarks tell of the subject, or those that the detector finds in the targets.

    ``training`` are the data's training pairs. dlib is needed for the second alone.
    """
    if data.layout == "pairs":
        return fit_subject(data.folder)
    ruler = make_ruler(detector, models=models)
    return subject_from_targets(training, ruler.find, source_name=data.folder.name, show_progress=show_progress)


def files_behind(data: Dataset, *, detector: DetectorName | None, models: Path | None) -> tuple[UsedFile, ...]:
    """Return the model files that ``subject_of``, called before, knows the landmarks by."""
    if data.layout == "pairs":
        return read_manifest(data.folder).model_files
    return used_files(detector or ("yunet" if place_of(YUNET, models).is_file() else "hog"))


def subject_from_targets(
    training: Pairs, find: Callable[[Array], Array | None], *, source_name: str, show_progress: bool = False
) -> Subject | Undrivable:
    """Learn the subject from the landmarks that ``find`` sees in the targets, at most one face in each.

    Where too few show a face, or the conditions are not what mueca would draw for them, say why the run can't be
    driven.
    """
    bar = tqdm(training.targets, desc="find faces", unit=" frames", delay=2, disable=not show_progress)
    found = [find(target) for target in bar]
    seen = [row for row, landmarks in enumerate(found) if landmarks is not None]
    if len(seen) < max(FEWEST_FACES, LEAST_SHARE * len(found)):
        return Undrivable(_too_few(len(seen), len(found)), shape=None)
    landmarks = np.stack([found[row] for row in seen])
    agreed = float(np.median([agreement(training.conditions[row], found[row]) for row in seen]))
    if agreed < LEAST_AGREEMENT:
        return Undrivable(_other_conditions(agreed), landmarks.mean(axis=0).round(4).tolist())
    greys = (cv2.cvtColor(target, cv2.COLOR_RGB2GRAY) for target in training.targets[seen])
    gaze = np.stack([measure_gaze(grey, points) for grey, points in zip(greys, landmarks, strict=True)])
    return learn_subject(landmarks, gaze, crop_rule=asdict(rule_of(landmarks)), source_name=source_name)


def rule_of(landmarks: Array) -> CropRule:
    """Return the rule by which faces lie in pictures SIZE_PX wide as these landmarks (N, 68, 2) do, by the median."""
    centre = landmarks.mean(axis=1)
    size = np.sqrt(((landmarks - centre[:, None]) ** 2).sum(-1).mean(-1))
    up = (centre[:, 1] - (SIZE_PX - 1) / 2) / size
    return CropRule(side=round(float(np.median(SIZE_PX / size)), 4), up=round(float(np.median(up)), 4))


def _too_few(num_seen: int, num_targets: int) -> str:
    needed = f"at least {FEWEST_FACES} and half of them are needed"
    return f"a face was found in {num_seen} of its {num_targets} targets, and {needed} to know whom to drive"


def _other_conditions(agreed: float) -> str:
    return (
        "its conditions are not the landmarks of its targets as mueca draws them "
        f"(they agree to {agreed:.2f}, {LEAST_AGREEMENT:.2f} or more is needed), and mueca has no others for a driver"
    )
