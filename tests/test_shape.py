"""A person's own face is learned from a clip's landmarks: shape, pose, expression and their ranges."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.actors import ACTORS, Expression, landmarks_of, performance
from mueca.config import from_json, to_json
from mueca.face.generic import GENERIC_FACE
from mueca.face.landmarks import eye_distance
from mueca.face.shape import (
    MOST_FRAMES,
    FaceModel,
    Poses,
    eye_openings,
    fit_face,
    fit_poses,
    rotations,
    turned_back,
)

ANGLES = st.tuples(st.floats(-50, 50), st.floats(-40, 40), st.floats(-60, 60))


def clip_of(name: str, num_frames: int = 120) -> np.ndarray:
    """Return the true landmarks of an actor's clip (N, 68, 2)."""
    return np.array([landmarks_of(ACTORS[name], e) for e in performance(seed=5, num_frames=num_frames)])


@given(ANGLES)
def test_angles_become_a_rotation_and_come_back(angles):
    rotation = rotations(np.array([angles]))
    assert rotation[0] @ rotation[0].T == pytest.approx(np.eye(3), abs=1e-9)
    assert Poses(rotation, np.ones(1), np.zeros((1, 2))).degrees[0] == pytest.approx(angles, abs=1e-6)


@given(ANGLES, st.floats(5, 300), st.floats(-500, 500), st.floats(-500, 500))
def test_a_pose_is_found_again_wherever_and_however_large_the_face_is(angles, scale, x, y):
    seen = Poses(rotations(np.array([angles])), np.array([scale]), np.array([[x, y]])).project(GENERIC_FACE)
    found = fit_poses(GENERIC_FACE, seen, rounds=100)
    assert found.degrees[0] == pytest.approx(angles, abs=0.5)
    assert found.project(GENERIC_FACE) == pytest.approx(seen, abs=0.01 * scale)


@pytest.mark.parametrize(
    ("axis", "turn"),
    [(0, {"yaw": 20.0}), (0, {"yaw": -20.0}), (1, {"pitch": 10.0}), (1, {"pitch": -10.0}), (2, {"roll": 12.0})],
)
def test_the_pose_of_a_face_nobody_knows_is_right_to_a_few_degrees(axis, turn):
    straight, turned = (
        fit_poses(GENERIC_FACE, landmarks_of(ACTORS["a"], e)[None]).degrees[0]
        for e in (Expression(), Expression(**turn))
    )
    assert turned[axis] - straight[axis] == pytest.approx(next(iter(turn.values())), abs=3.0)
    assert np.abs(np.delete(turned - straight, axis)).max() < 3.0


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_shape_is_the_persons_own_and_not_the_smile_or_the_turn_of_the_clip(name):
    def misfit(shape: np.ndarray, to: str) -> float:
        true = landmarks_of(ACTORS[to], Expression())
        true = (true - true.mean(0)) / np.sqrt(((true - true.mean(0)) ** 2).sum(1).mean())
        return float(np.linalg.norm(shape - true, axis=1).mean())

    neutral = np.array(fit_face(clip_of(name)).neutral)[:, :2]
    assert misfit(neutral, name) < 0.04 < 0.05 < misfit(neutral, "b" if name == "a" else "a")


def test_depth_comes_from_the_turns_of_the_head_where_there_are_any():
    deep = GENERIC_FACE * (1, 1, 1.5)
    angles = np.stack([np.linspace(-30, 30, 60), 10 * np.sin(np.arange(60)), np.zeros(60)], axis=-1)
    turning = Poses(rotations(angles), np.full(60, 50.0), np.zeros((60, 2))).project(deep)
    still = Poses(rotations(0 * angles), np.full(60, 50.0), np.zeros((60, 2))).project(deep)

    def depth(landmarks: np.ndarray) -> float:
        return float(np.ptp(np.array(fit_face(landmarks).neutral)[:, 2]) / np.ptp(GENERIC_FACE[:, 2]))

    assert depth(turning) > 1.05 and depth(still) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 7])
def test_a_few_frames_are_enough_and_one_is_its_own_neutral_face(num_frames):
    landmarks = clip_of("a", 40)[:num_frames]
    model = fit_face(landmarks)
    poses = fit_poses(np.array(model.neutral), landmarks)
    assert all(np.isfinite(np.array(value)).all() for value in to_json(model).values())
    if num_frames == 1:
        off = np.linalg.norm(poses.project(np.array(model.neutral)) - landmarks, axis=-1).mean()
        assert off < 0.01 * eye_distance(landmarks[0])


def test_a_blink_is_seen_and_how_far_the_lids_are_open_is_told_for_each_eye():
    frames = [Expression(), Expression(blink_left=1.0), Expression(blink_right=0.5)]
    landmarks = np.array([landmarks_of(ACTORS["a"], e) for e in frames])
    model = fit_face(landmarks[:1])
    neutral = np.array(model.neutral)
    poses = fit_poses(neutral, landmarks)
    opening = eye_openings(neutral, turned_back(poses, landmarks - poses.project(neutral)))
    assert opening == pytest.approx(np.array([[1, 1], [0, 1], [1, 0.5]]), abs=0.15)
    assert model.closed == [0.0, 0.0]
    right, left = fit_face(np.repeat(landmarks, [40, 4, 4], axis=0)).closed  # the right eye is on the picture's left
    assert right < 0.1 and 0.3 < left < 0.7


def test_the_model_survives_json():
    model = fit_face(clip_of("b", 40))
    assert from_json(FaceModel, json.loads(json.dumps(to_json(model)))) == model


def test_frames_beyond_what_is_needed_are_not_gone_through():
    landmarks = np.tile(clip_of("a", 50), (100, 1, 1))
    evenly = landmarks[np.linspace(0, len(landmarks) - 1, MOST_FRAMES).round().astype(int)]
    assert replace(fit_face(evenly), num_frames=len(landmarks)) == fit_face(landmarks)
