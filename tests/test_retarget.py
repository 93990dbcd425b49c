"""A driver's movements are carried over onto the subject's face: its shape stays, eyes close, lips meet."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mueca.actors import ACTORS, Expression, Identity, landmarks_of, performance
from mueca.face.gaze import GazeRange
from mueca.face.landmarks import eye_distance
from mueca.face.retarget import OUT_OF_RANGE, Retargeter, carry_gaze, place, soft_limit
from mueca.face.shape import LID_PAIRS, LIP_PAIRS, FaceModel, fit_face, fit_poses
from mueca.metrics import landmark_distance, shape_leak

A, B = ACTORS["a"], ACTORS["b"]
FRAMES = performance(seed=5, num_frames=120)
OTHERS = {
    "b": B,
    "wide": replace(A, eye_distance=0.93, jaw_width=1.06, mouth_width=1.06),
    "narrow": replace(B, eye_distance=1.09, jaw_width=0.91, mouth_width=0.9, eye_opening=1.15),
}


def clip_of(identity: Identity, frames: list[Expression] | None = None) -> np.ndarray:
    """Return true landmarks (N, 68, 2) of what the person does, all FRAMES if nothing is named."""
    if frames is None:
        return _lively(identity).copy()
    return np.array([landmarks_of(identity, e) for e in frames])


@lru_cache
def _lively(identity: Identity) -> np.ndarray:
    return clip_of(identity, FRAMES)


def model_of(identity: Identity) -> FaceModel:
    return fit_face(clip_of(identity))


def gaps(landmarks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the distances (N, ...) between the pairs' points, over the eye distance."""
    apart = np.linalg.norm(landmarks[:, pairs[..., 0]] - landmarks[:, pairs[..., 1]], axis=-1)
    return apart / eye_distance(landmarks).reshape(-1, *[1] * (apart.ndim - 1))


def errors(landmarks: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return each frame's landmark distance (N,), wherever the faces are."""
    return np.array([landmark_distance(x - x.mean(0), y - y.mean(0)) for x, y in zip(landmarks, true, strict=True)])


MODEL_A = model_of(A)
MODELS = {name: model_of(identity) for name, identity in OTHERS.items()}


def test_a_person_who_drives_themselves_stays_as_they_are():
    landmarks = clip_of(A)
    retargeter = Retargeter(MODEL_A, MODEL_A)
    inside = retargeter.out_of_range(landmarks) == 0
    assert inside.mean() > 0.75
    assert retargeter.carry_over(landmarks)[inside] == pytest.approx(landmarks[inside], abs=0.2)


@pytest.mark.parametrize("name", OTHERS)
def test_the_subject_moves_as_the_driver_and_keeps_its_own_shape(name):
    driver, true = clip_of(OTHERS[name]), clip_of(A)
    carried = Retargeter(MODEL_A, MODELS[name]).carry_over(driver)
    as_they_are = place(driver, MODEL_A, MODELS[name])
    assert errors(carried, true).mean() < 0.007 < 0.010 < errors(as_they_are, true).mean()
    shapes = [fit_face(x).frontal_shape for x in (carried, as_they_are, true, driver)]
    assert abs(shape_leak(shapes[0], shapes[2], shapes[3])) < 0.05
    assert shape_leak(shapes[1], shapes[2], shapes[3]) > 0.95


@pytest.mark.parametrize("name", OTHERS)
def test_turned_heads_are_right_too(name):
    turned = np.abs([e.yaw for e in FRAMES]) > 15
    off = errors(Retargeter(MODEL_A, MODELS[name]).carry_over(clip_of(OTHERS[name])), clip_of(A))
    assert off[turned].mean() < 0.007


@settings(max_examples=15)  # each of them fits a face
@given(st.floats(0.1, 10), st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_how_large_and_where_the_driver_is_in_their_picture_does_not_matter(size, x, y):
    driver = clip_of(B)[::10]
    moved = driver * size + (x, y)
    before = Retargeter(MODEL_A, fit_face(driver)).carry_over(driver)
    assert Retargeter(MODEL_A, fit_face(moved)).carry_over(moved) == pytest.approx(before, abs=0.05)


@given(st.sampled_from(sorted(OTHERS)), st.integers(0, len(FRAMES) - 1))
def test_lids_that_meet_meet(name, row):
    landmarks = clip_of(OTHERS[name])[[row]]
    middle = landmarks[:, LID_PAIRS].mean(axis=-2, keepdims=True)
    landmarks[:, LID_PAIRS] = middle
    carried = Retargeter(MODEL_A, MODELS[name]).carry_over(landmarks)
    assert gaps(carried, LID_PAIRS).max() < 0.01


@pytest.mark.parametrize("identity", [B, OTHERS["wide"]], ids=["b", "wide"])
def test_lips_that_meet_meet_even_of_a_driver_whose_mouth_stands_open_at_rest(identity):
    driver = fit_face(clip_of(identity, [replace(e, jaw=max(e.jaw, 0.25)) for e in FRAMES]))
    landmarks = clip_of(identity)
    landmarks[:, LIP_PAIRS] = landmarks[:, LIP_PAIRS].mean(axis=-2, keepdims=True)
    carried = Retargeter(MODEL_A, driver).carry_over(landmarks)
    assert gaps(carried, LIP_PAIRS).max() < 0.005


def test_a_wink_stays_a_wink():
    wink = clip_of(B, [Expression(blink_left=1.0)])
    right, left = gaps(Retargeter(MODEL_A, MODELS["b"]).carry_over(wink), LID_PAIRS)[0].mean(axis=-1)
    assert right < 0.4 * left


def test_a_blink_reads_on_the_subject_as_its_own_blinks_read():
    """The predictor reads a closed eye as half open, more so in some faces than in others."""
    shut, ajar = replace(MODEL_A, closed=[0.3, 0.3]), replace(MODELS["b"], closed=[0.6, 0.6])
    rest = MODELS["b"].frontal_shape
    landmarks = np.stack([rest, rest])
    pair = rest[LID_PAIRS]
    middle = pair.mean(axis=-2, keepdims=True)
    landmarks[1][LID_PAIRS] = middle + 0.6 * (pair - middle)
    opened, blinking = gaps(Retargeter(shut, ajar).carry_over(landmarks), LID_PAIRS).mean(axis=(1, 2))
    assert blinking / opened == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("yaw", [-28.0, 28.0])
def test_a_turn_beyond_what_the_subject_showed_is_brought_back_and_reported(yaw):
    calm = replace(MODEL_A, pose_low=[-8.0, -15.0, -15.0], pose_high=[8.0, 15.0, 15.0])
    lively = replace(MODELS["b"], pose_low=[-30.0, -15.0, -15.0], pose_high=[30.0, 15.0, 15.0])
    retargeter = Retargeter(calm, lively)
    turned, straight = (clip_of(B, [Expression(yaw=y)]) for y in (yaw, 0.0))
    assert retargeter.out_of_range(turned)[0] > 1.0 and retargeter.out_of_range(straight)[0] == 0.0
    found = fit_poses(np.array(MODEL_A.neutral), retargeter.carry_over(turned)).degrees[0, 0]
    assert 8.0 < abs(found) < 13.0 and np.sign(found) == np.sign(yaw)


def test_a_mouth_opened_wider_than_the_subject_ever_did_opens_less():
    shy = fit_face(clip_of(A, [replace(e, jaw=0.25 * e.jaw) for e in FRAMES]))
    shout = clip_of(B, [Expression(jaw=0.9)])
    whole, held_back = (Retargeter(m, MODELS["b"]).carry_over(shout) for m in (MODEL_A, shy))
    assert gaps(held_back, LIP_PAIRS).mean() < 0.75 * gaps(whole, LIP_PAIRS).mean()
    assert Retargeter(shy, MODELS["b"]).out_of_range(shout)[0] > OUT_OF_RANGE


def test_a_driver_filmed_from_the_side_is_turned_to_where_the_subject_was():
    aside = clip_of(B, [replace(e, yaw=25 + 0.15 * e.yaw) for e in FRAMES])
    narrow = fit_face(clip_of(A, [replace(e, yaw=0.3 * e.yaw) for e in FRAMES]))
    driver = fit_face(aside)
    as_they_are = replace(driver, pose_low=narrow.pose_low, pose_high=narrow.pose_high)
    assert (Retargeter(narrow, as_they_are).out_of_range(aside) > OUT_OF_RANGE).all()
    assert (Retargeter(narrow, driver).out_of_range(aside) < OUT_OF_RANGE).mean() > 0.8


@pytest.mark.parametrize("num_frames", [1, 2])
def test_a_clip_of_one_frame_drives_and_is_driven(num_frames):
    few = fit_face(clip_of(B)[:num_frames])
    for retargeter, landmarks in ((Retargeter(MODEL_A, few), clip_of(B)), (Retargeter(few, MODEL_A), clip_of(A))):
        assert np.isfinite(retargeter.carry_over(landmarks)).all()
        assert np.isfinite(retargeter.out_of_range(landmarks)).all()


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30),
    st.floats(-50, 0),
    st.floats(0, 50),
    st.floats(0.1, 20),
)
def test_the_soft_limit_keeps_what_is_inside_the_order_and_the_margin(values, low, high, margin):
    values = np.sort(values)
    limited = soft_limit(values, low, high, margin)
    inside = (values >= low) & (values <= high)
    assert np.array_equal(limited[inside], values[inside])
    assert (np.diff(limited) >= 0).all()
    assert limited.min() >= low - margin and limited.max() <= high + margin


def test_the_driver_as_they_are_keep_their_proportions_in_the_subjects_place():
    placed = place(clip_of(B), MODEL_A, MODELS["b"])
    assert fit_face(placed).centre_px == pytest.approx(MODEL_A.centre_px, abs=0.1)
    assert fit_face(placed).size_px == pytest.approx(MODEL_A.size_px, rel=1e-3)
    assert np.array(fit_face(placed).neutral) == pytest.approx(np.array(MODELS["b"].neutral), abs=1e-3)


def test_the_gaze_departs_from_the_subjects_usual_one_as_the_drivers_from_theirs_and_no_further_than_it_went():
    subject = GazeRange(usual=[0.1, 0.0], low=[-0.3, -0.1], high=[0.5, 0.1])
    driver = GazeRange(usual=[-0.1, 0.05], low=[-0.2, 0.0], high=[0.0, 0.1])
    carried = carry_gaze(np.array([[-0.1, 0.05], [0.1, 0.05], [0.9, 0.05]]), subject, driver)
    assert carried[:2] == pytest.approx(np.array([[0.1, 0.0], [0.3, 0.0]]))
    assert 0.5 < carried[2, 0] < 0.5 + 0.25 * 0.8
