"""What a run knows of its subject: learned from the training frames, kept in ``RUN/subject.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mueca.config import from_json, to_json
from mueca.errors import InputError, SettingsError
from mueca.face.charts import Atlas, charts_of, fit_atlas, views_of
from mueca.face.crop import CropRule, apply_transform
from mueca.face.gaze import GazeRange, fit_gaze
from mueca.face.movements import MOVEMENTS, movements_of, ranges_of
from mueca.face.shape import FaceModel, fit_face
from mueca.files import read_text, write_whole
from mueca.pairs import Landmarks, Pairs, read_landmarks, read_manifest

Array = np.ndarray

SUBJECT = "subject.json"

GOOD_QUALITY = 0.5
"""Frames with a problem have at most this quality; where so few are better, the others are learned from as well."""
FEWEST_GOOD = 20

_ABSURD = 1000.0
"""Face sizes or seconds: a crop rule that says as much is damaged, and would smooth over gigabytes."""


@dataclass(frozen=True)
class Subject:
    """The subject's face and gaze over the followed training frames, in crop pixels, and how the crops were placed."""

    face: FaceModel
    gaze: GazeRange
    movements: dict[str, list[float]]
    """How far the subject moved, by which a driver is compared: see ``mueca.face.movements.ranges_of``."""
    crop_rule: dict[str, float]
    source_name: str
    atlas: Atlas | None = None
    """What the charts refer to, see ``mueca.face.charts``; None: bare pictures don't tell where the camera stood."""

    @property
    def typical_shape(self) -> Array:
        """The face at rest, (68, 2) in crop pixels, seen from the front."""
        return self.face.frontal_shape

    @property
    def rule(self) -> CropRule:
        """The rule that placed the subject's crops."""
        return CropRule(**self.crop_rule)


@dataclass(frozen=True)
class Undrivable:
    """What stands in the subject's place where a run can't be driven."""

    undrivable: str
    """Why, in words."""
    shape: list[list[float]] | None
    """(68, 2): the mean landmarks of the faces in its targets, in crop pixels; None: too few show one."""

    @property
    def typical_shape(self) -> Array | None:
        """The mean landmarks (68, 2) in crop pixels, if any are known."""
        return None if self.shape is None else np.array(self.shape)


def fit_subject(pairs: Path) -> Subject:
    """Learn the subject from a pairs folder: every followed frame before the first test frame, the good ones.

    Raises InputError where the folder's numbers are damaged.
    """
    manifest, track = read_manifest(pairs), read_landmarks(pairs)
    rows = _training_rows(track, manifest.first_test_frame)
    in_crop = apply_transform(np.linalg.inv(track.frame_from_crop[rows]), track.landmarks[rows])
    told = {"crop_rule": manifest.crop_rule, "source_name": manifest.source_name}
    try:
        subject = learn_subject(in_crop, track.gaze[rows], **told)
        return replace(subject, atlas=fit_atlas(in_crop, track.frame_from_crop[rows]))
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"{pairs}: its landmarks are no face's ({error}); extract the pairs again with --fresh"
        ) from error


def with_charts(part: Pairs, pairs: Path, atlas: Atlas) -> Pairs:
    """Return a split of a pairs folder with its frames' charts; raises InputError where the landmarks lack a frame."""
    track = read_landmarks(pairs)
    row_of = {int(number): row for row, number in enumerate(track.frame_index)}
    missing = [int(number) for number in part.frame_index if int(number) not in row_of]
    if missing:
        raise InputError(f"{pairs}: its landmarks lack frame {missing[0]}; extract the pairs again with --fresh")
    rows = [row_of[int(number)] for number in part.frame_index]
    frame_from_crop = track.frame_from_crop[rows]
    in_crop = apply_transform(np.linalg.inv(frame_from_crop), track.landmarks[rows])
    return replace(part, charts=charts_of(in_crop, views_of(frame_from_crop, atlas), atlas))


def learn_subject(landmarks: Array, gaze: Array, *, crop_rule: dict[str, float], source_name: str) -> Subject:
    """Return what landmarks (N, 68, 2) in crop pixels and gazes (N, 2) tell of a person; N is 1 or more."""
    return Subject(
        face=fit_face(landmarks),
        gaze=fit_gaze(gaze),
        movements=ranges_of(movements_of(landmarks, gaze)),
        crop_rule=crop_rule,
        source_name=source_name,
    )


def _training_rows(track: Landmarks, first_test_frame: int) -> Array:
    training = np.flatnonzero(track.frame_index < first_test_frame)
    good = training[track.quality[training] > GOOD_QUALITY]
    return good if len(good) >= FEWEST_GOOD else training


def write_subject(path: Path, subject: Subject | Undrivable) -> None:
    """Write the subject as JSON."""
    write_whole(path, json.dumps(to_json(subject)) + "\n")


def read_subject(run: Path) -> Subject:
    """Return the subject to drive; raises InputError as ``read_known``, and where the run can't be driven."""
    known = read_known(run)
    if isinstance(known, Undrivable):
        way_out = "train on pairs that mueca extract made of a video"
        raise InputError(f"{run}: can't be driven: {known.undrivable}; {way_out}")
    return known


def read_known(run: Path) -> Subject | Undrivable:
    """Return ``RUN/subject.json``; raises InputError where it is missing, damaged or an older version's."""
    path = run / SUBJECT
    try:
        values = json.loads(read_text(path))
        if "landmarks_mean" in values:
            raise InputError(f"{path}: an older mueca learned the subject's shape; train again with --fresh")
        return subject_from_json(values)
    except FileNotFoundError as error:
        raise InputError(
            f"{run}: is no run folder (it has no {SUBJECT}); make one with: mueca train PAIRS RUN"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: can't be read ({error}); train the run again") from error


def subject_from_json(values: dict[str, Any]) -> Subject | Undrivable:
    """Return what ``write_subject`` wrote.

    Raises ValueError, TypeError or SettingsError at what it can't have written.
    """
    if "undrivable" in values:
        return _require_shape(from_json(Undrivable, values))
    subject = from_json(Subject, values)
    _require_face(subject.face)
    _require_gaze(subject.gaze)
    _require_movements(subject.movements)
    if subject.atlas:
        _require_atlas(subject.atlas)
    _require_rule(subject.rule)  # a foreign rule fails here, not while driving
    return subject


def read_atlas(run: Path) -> Atlas:
    """Return what the run's charts refer to; raises InputError as ``read_known``, and where it is not known."""
    known = read_known(run)
    if isinstance(known, Undrivable) or known.atlas is None:
        raise InputError(f"{run / SUBJECT}: lacks the atlas that its textures need; train the run again with --fresh")
    return known.atlas


_LARGEST = {
    "landmarks": 1e5,
    "side_px": 1e5,
    "view_low": 1e3,
    "view_high": 1e3,
    "neutral": 10.0,
    "size_px": 1e4,
    "centre_px": 1e5,
    "shape": 1e5,
    "reach_low": 100.0,
    "reach_high": 100.0,
}
"""Beyond these a subject is damaged: in sizes of the face, or pixels."""


def _require_face(face: FaceModel) -> None:
    num = len(face.directions)
    shapes = {"neutral": (68, 3), "directions": (num, 136), "reach_low": (num,), "reach_high": (num,)}
    shapes |= {
        "size_px": (),
        "reach_beside": (),
        "lips_apart": (),
        "centre_px": (2,),
        "closed": (2,),
        "wide_open": (2,),
    }
    shapes |= {"pose_low": (3,), "pose_high": (3,)}
    for name, shape in shapes.items():
        _require_numbers(name, getattr(face, name), shape if num or name != "directions" else (0,))
    if face.size_px <= 0 or num > 136:
        raise ValueError(f"size_px is {face.size_px}, with {num} directions")
    if min(face.wide_open) < 1 or not 0 <= min(face.closed) <= max(face.closed) < 1 or face.reach_beside < 0:
        raise ValueError(f"wide_open is {face.wide_open}, closed {face.closed}, reach_beside {face.reach_beside}")
    for low, high in (("pose_low", "pose_high"), ("reach_low", "reach_high")):
        if (np.array(getattr(face, low)) > getattr(face, high)).any():
            raise ValueError(f"{low} is above {high}")


def _require_atlas(atlas: Atlas) -> None:
    shapes = {"centre_px": (2,), "side_px": (), "view_low": (3,), "view_high": (3,), "landmarks": (68, 2)}
    for name, shape in shapes.items():
        _require_numbers(name, getattr(atlas, name), shape)
    if atlas.side_px <= 0 or (np.array(atlas.view_low) > atlas.view_high).any() or atlas.view_low[2] <= 0:
        raise ValueError(f"side_px is {atlas.side_px}, view_low {atlas.view_low}, view_high {atlas.view_high}")


def _require_shape(known: Undrivable) -> Undrivable:
    if known.shape is not None:
        _require_numbers("shape", known.shape, (68, 2))
    return known


def _require_gaze(gaze: GazeRange) -> None:
    for name in ("usual", "low", "high"):
        _require_numbers(name, getattr(gaze, name), (2,))


def _require_movements(movements: dict[str, list[float]]) -> None:
    if set(movements) != set(MOVEMENTS):
        raise ValueError(f"movements are {', '.join(movements)}")
    for name, ends in movements.items():
        _require_numbers(name, ends, (3,))


def _require_numbers(name: str, value: Any, shape: tuple[int, ...]) -> None:
    numbers = np.array(value, dtype=np.float64)
    if numbers.shape != shape or not (np.abs(numbers) <= _LARGEST.get(name, 360.0)).all():  # no NaN passes either
        raise ValueError(f"{name} is not {shape} sensible numbers")


def _require_rule(rule: CropRule) -> None:
    lengths = (rule.side, rule.sigma_centre_s, rule.sigma_size_s)
    if not (all(0 < value < _ABSURD for value in lengths) and -_ABSURD < rule.up < _ABSURD):  # no NaN passes either
        raise ValueError(f"crop_rule is {rule}")
