"""What a run knows of its subject: learned from the training frames alone, and never believed when damaged."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mueca.actors import ACTORS, landmarks_of, performance
from mueca.config import to_json
from mueca.errors import InputError
from mueca.face.crop import apply_transform
from mueca.pairs import read_landmarks, read_manifest
from mueca.subject import (
    FEWEST_GOOD,
    GOOD_QUALITY,
    SUBJECT,
    Subject,
    fit_subject,
    learn_subject,
    read_subject,
    write_subject,
)

RULE = {"side": 5.0, "up": 0.5, "sigma_centre_s": 0.4, "sigma_size_s": 0.83}


@pytest.fixture(scope="module")
def subject() -> Subject:
    landmarks = np.array([landmarks_of(ACTORS["a"], e) for e in performance(seed=5, num_frames=60)]) / 2
    gaze = np.random.default_rng(0).uniform(-0.4, 0.4, (60, 2))
    return learn_subject(landmarks, gaze, crop_rule=RULE, source_name="clip.mp4")


def written(tmp_path: Path, values: object) -> Path:
    """Return a run folder whose subject.json holds these values."""
    (tmp_path / SUBJECT).write_text(json.dumps(values))
    return tmp_path


def test_a_subject_is_read_as_it_was_written(subject, tmp_path):
    write_subject(tmp_path / SUBJECT, subject)
    assert read_subject(tmp_path) == subject


def test_a_subject_of_one_frame_is_read_as_it_was_written(tmp_path):
    landmarks = landmarks_of(ACTORS["a"], performance(seed=5, num_frames=1)[0])[None]
    one = learn_subject(landmarks, np.zeros((1, 2)), crop_rule=RULE, source_name="one.png")
    write_subject(tmp_path / SUBJECT, one)
    assert read_subject(tmp_path) == one


def test_it_is_learned_from_the_good_frames_before_the_first_test_frame(actor_pairs):
    track, first = read_landmarks(actor_pairs), read_manifest(actor_pairs).first_test_frame
    learned = fit_subject(actor_pairs)
    training = (track.frame_index < first) & (track.quality > GOOD_QUALITY)
    assert FEWEST_GOOD <= learned.face.num_frames == training.sum() < len(training)
    in_crop = apply_transform(np.linalg.inv(track.frame_from_crop), track.landmarks)[training]
    assert learned.face.centre_px == pytest.approx(in_crop.mean((0, 1)), abs=1e-3)
    assert learned.typical_shape.mean(0) == pytest.approx(in_crop.mean((0, 1)), abs=0.1)


def test_bad_frames_are_not_learned_from_unless_there_are_hardly_others(actor_pairs, tmp_path, monkeypatch):
    track = read_landmarks(actor_pairs)
    for num_good, wanted in ((FEWEST_GOOD, FEWEST_GOOD), (FEWEST_GOOD - 1, None)):
        quality = np.where(np.arange(len(track.quality)) < num_good, 0.9, 0.2)
        spoilt = replace(track, quality=quality)
        monkeypatch.setattr("mueca.subject.read_landmarks", lambda _, spoilt=spoilt: spoilt)
        training = int((track.frame_index < read_manifest(actor_pairs).first_test_frame).sum())
        assert fit_subject(actor_pairs).face.num_frames == (wanted or training)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("face", "neutral", [[0.0, 0.0, 0.0]]),
        ("face", "neutral", [["x", 0, 0]] * 68),
        ("face", "neutral", [[math.nan, 0, 0]] * 68),
        ("face", "neutral", [[1e6, 0, 0]] * 68),
        ("face", "size_px", 0.0),
        ("face", "size_px", math.inf),
        ("face", "pose_low", [10**400, 0, 0]),
        ("face", "centre_px", [1.0]),
        ("face", "pose_low", [90.0, 0.0, 0.0]),
        ("face", "pose_high", [1e9, 0.0, 0.0]),
        ("face", "directions", [[0.0] * 136] * 5),
        ("face", "directions", [[0.0] * 135] * 3),
        ("face", "reach_beside", -math.inf),
        ("face", "closed", None),
        ("face", "unheard_of", 1),
        ("gaze", "usual", [0.0]),
        ("gaze", "low", [[0.0, 0.0]]),
        ("crop_rule", "side", 1e9),
        ("crop_rule", "side", math.nan),
        ("crop_rule", "sides", 5.0),
    ],
)
def test_a_damaged_subject_is_refused_in_one_line(part, name, value, subject, tmp_path):
    values = to_json(subject)
    values[part][name] = value
    with pytest.raises(InputError, match=r"subject.json: can't be read \(.*\); train the run again") as caught:
        read_subject(written(tmp_path, values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [[], "text", 5, None, {}, {"face": {}}, {"face": None}])
def test_other_json_is_refused(values, tmp_path):
    with pytest.raises(InputError, match=r"subject.json: can't be read"):
        read_subject(written(tmp_path, values))


def test_an_older_runs_subject_says_to_train_again(tmp_path):
    values = {"num_frames": 3, "landmarks_mean": [], "landmarks_std": [], "crop_rule": RULE, "source_name": "c.mp4"}
    with pytest.raises(InputError, match=r"subject.json: an older mueca .* train again with --fresh"):
        read_subject(written(tmp_path, values))


def test_a_folder_without_one_is_no_run(tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        read_subject(tmp_path)
