"""What a run knows of its subject: learned from the training frames' landmarks, kept in ``RUN/subject.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mueca.config import from_json, to_json
from mueca.errors import InputError, SettingsError
from mueca.face.crop import CropRule, apply_transform
from mueca.files import write_whole
from mueca.pairs import read_landmarks, read_manifest

Array = np.ndarray

SUBJECT = "subject.json"

_ABSURD = 1000.0
"""Face sizes or seconds: a crop rule that says as much is damaged, and would smooth over gigabytes."""


@dataclass(frozen=True)
class Subject:
    """Landmark statistics over every followed training frame, in crop pixels, and how the crops were placed."""

    num_frames: int
    landmarks_mean: list[list[float]]
    """(68, 2)"""
    landmarks_std: list[list[float]]
    """(68, 2)"""
    crop_rule: dict[str, float]
    source_name: str

    @property
    def mean_shape(self) -> Array:
        """The mean landmarks (68, 2) in crop pixels."""
        return np.array(self.landmarks_mean)

    @property
    def rule(self) -> CropRule:
        """The rule that placed the subject's crops."""
        return CropRule(**self.crop_rule)


def fit_subject(pairs: Path) -> Subject:
    """Learn the subject from a pairs folder: every followed frame before the first test frame."""
    manifest, track = read_manifest(pairs), read_landmarks(pairs)
    training = track.frame_index < manifest.first_test_frame
    in_crop = apply_transform(np.linalg.inv(track.frame_from_crop[training]), track.landmarks[training])
    return Subject(
        num_frames=int(training.sum()),
        landmarks_mean=in_crop.mean(axis=0).round(4).tolist(),
        landmarks_std=in_crop.std(axis=0).round(4).tolist(),
        crop_rule=manifest.crop_rule,
        source_name=manifest.source_name,
    )


def write_subject(path: Path, subject: Subject) -> None:
    """Write the subject as JSON."""
    write_whole(path, json.dumps(to_json(subject)) + "\n")


def read_subject(run: Path) -> Subject:
    """Return ``RUN/subject.json``; raises InputError where it is missing or damaged."""
    path = run / SUBJECT
    try:
        subject = from_json(Subject, json.loads(path.read_text(encoding="utf-8")))
        if subject.mean_shape.shape != (68, 2) or not np.isfinite(subject.mean_shape).all():
            raise ValueError("landmarks_mean is not 68 points")
        _require_sense(subject.rule)  # a foreign rule fails here, not while driving
    except FileNotFoundError as error:
        raise InputError(
            f"{run}: is no run folder (it has no {SUBJECT}); make one with: mueca train PAIRS RUN"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: can't be read ({error}); train the run again") from error
    return subject


def _require_sense(rule: CropRule) -> None:
    lengths = (rule.side, rule.sigma_centre_s, rule.sigma_size_s)
    if not (all(0 < value < _ABSURD for value in lengths) and -_ABSURD < rule.up < _ABSURD):  # no NaN passes either
        raise ValueError(f"crop_rule is {rule}")
