"""Reenactor: a camera's frames come in one by one, and the puppet moves as the face does, without jumps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mueca import reenactor as module
from mueca.actors import performance
from mueca.config import SIZE_PX
from mueca.errors import InputError
from mueca.face.condition import draw_condition
from mueca.face.crop import CropFollower, CropRule, crop_transforms
from mueca.face.movements import movements_of
from mueca.marks import SYNTHETIC, stamp
from mueca.reenactor import Reenactor
from mueca.subject import Subject, fit_subject
from mueca.video import VideoReader

FPS = 25
ACTED = performance(seed=7, num_frames=40)
"""What the clip's actor does."""


@pytest.fixture(scope="module")
def subject(actor_pairs: Path) -> Subject:
    return fit_subject(actor_pairs)


@pytest.fixture(scope="module")
def frames(actor_clip: Path) -> list[np.ndarray]:
    return [frame.image for frame in VideoReader(actor_clip)]


class Poses:
    """What conditions were drawn from."""

    def __init__(self) -> None:
        self.landmarks: list[np.ndarray] = []
        self.gaze: list[np.ndarray] = []

    def draw(self, landmarks: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        self.landmarks.append(landmarks)
        self.gaze.append(gaze)
        return draw_condition(landmarks, gaze)


@pytest.fixture
def poses(monkeypatch: pytest.MonkeyPatch) -> Poses:
    seen = Poses()
    monkeypatch.setattr(module, "draw_condition", seen.draw)
    return seen


@pytest.fixture
def reenactor(subject: Subject, models: Path, poses: Poses, monkeypatch: pytest.MonkeyPatch) -> Reenactor:
    """A reenactor whose puppet looks like the condition."""
    puppet = Puppet(subject, lambda conditions, charts=None: conditions, Origin())
    monkeypatch.setattr(module, "open_puppet", lambda *_, **__: puppet)
    return Reenactor(Path("run"), models=models)


def show(reenactor: Reenactor, frames: list[np.ndarray], start_s: float = 0.0) -> float:
    """Step through frames; return the time of the next one."""
    for number, frame in enumerate(frames):
        reenactor.step(frame, start_s + number / FPS)
    return start_s + len(frames) / FPS


def jumps(landmarks: list[np.ndarray]) -> np.ndarray:
    """Return how far, in crop pixels, the landmarks move from each frame to the next, the one that moves the most."""
    return np.abs(np.diff(np.array(landmarks), axis=0)).max(axis=(1, 2))


def test_what_a_step_returns_is_badged_and_what_paint_returns_is_for_the_package_alone(reenactor, frames):
    reenactor._generator = lambda conditions, charts=None: np.full_like(conditions, 128)
    grey = np.full((SIZE_PX, SIZE_PX, 3), 128, np.uint8)
    assert np.array_equal(reenactor.step(frames[0], 0.0), stamp(grey, SYNTHETIC))
    assert np.array_equal(reenactor.paint(frames[0], 0.04).fake, grey)


def test_the_puppets_mouth_opens_as_the_drivers_does(reenactor, frames, poses):
    show(reenactor, frames)
    acted = [expression.jaw for expression in ACTED]
    opened = movements_of(np.array(poses.landmarks), np.array(poses.gaze))["mouth"]
    assert np.corrcoef(acted[5:], opened[5:])[0, 1] > 0.8


def test_a_lost_face_lets_the_puppet_ease_to_rest_and_a_found_one_lets_it_ease_back(reenactor, frames, poses, subject):
    now = show(reenactor, frames[:20])
    assert not reenactor.is_lost
    usual = np.percentile(jumps(poses.landmarks), 95)
    dark = np.zeros_like(frames[0])
    now = show(reenactor, [dark] * 40, now)
    assert reenactor.is_lost
    assert np.abs(poses.landmarks[-1] - subject.typical_shape).max() < 1.0
    show(reenactor, frames[20:], now)
    assert not reenactor.is_lost
    assert jumps(poses.landmarks).max() < max(
        2 * usual, 0.25 * np.abs(poses.landmarks[19] - subject.typical_shape).max()
    )


def test_calibrated_the_face_that_was_seen_is_the_subjects_at_rest(reenactor, frames, poses, subject):
    still = frames[int(np.argmax([expression.jaw for expression in ACTED]))]  # an open mouth is theirs to choose
    now = show(reenactor, frames)
    now = show(reenactor, [still] * 40, now)
    before = len(poses.landmarks)
    reenactor.calibrate()
    show(reenactor, [still] * 50, now)
    rest = movements_of(subject.typical_shape[None], np.array([subject.gaze.usual]))["mouth"][0]
    shown = movements_of(np.array(poses.landmarks), np.array(poses.gaze))["mouth"]
    assert abs(shown[-1] - rest) < 0.3 * abs(shown[before - 1] - rest)
    assert jumps(poses.landmarks[before - 1 :]).max() < 4


def test_without_a_face_there_is_nothing_to_calibrate_by(reenactor, frames):
    with pytest.raises(InputError, match="calibrate: no face is seen"):
        reenactor.calibrate(np.zeros_like(frames[0]), 0.0)


def test_after_a_reset_the_next_face_is_another_persons(reenactor, frames):
    show(reenactor, frames[:10])
    reenactor.calibrate()
    reenactor.reset()
    assert reenactor.is_lost
    with pytest.raises(InputError, match="calibrate: no face is seen"):
        reenactor.calibrate()


def test_a_crop_that_follows_a_still_face_lies_where_a_clips_would():
    face = np.random.default_rng(0).uniform(100, 200, (68, 2))
    rule = CropRule()
    wanted = crop_transforms(np.array([face] * 5), np.arange(5), np.zeros(5, int), 25.0, rule)[2]
    follower = CropFollower(rule)
    for number in range(5):
        found = follower.follow(face, number / 25)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_a_crop_reaches_a_face_that_has_moved_and_at_once_after_it_was_forgotten():
    face = np.random.default_rng(0).uniform(100, 200, (68, 2))
    follower = CropFollower(CropRule())
    start = follower.follow(face, 0.0)
    soon = follower.follow(face + 50, 0.04)
    assert 0 < (soon - start)[0, 2] < 25
    assert follower.follow(face + 50, 5.0) == pytest.approx(follower.follow(face + 50, 9.0), abs=0.1)
    follower.forget()
    assert follower.follow(face, 9.04) == pytest.approx(start)
