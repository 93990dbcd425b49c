"""Frames that are no good examples are told from good ones, each by its own word; good ones are left alone."""

import cv2
import numpy as np
import pytest
from scenes import acted, clip_of

from mueca.actors import ACTORS, Expression, landmarks_of
from mueca.face.detection import make_detector
from mueca.face.following import follow
from mueca.face.quality import CUT_OFF_SHARE, PROBLEMS, SMALL_PX, Evidence, judge, share_outside, turn_of

NUM_FRAMES = 40
FRONTAL = landmarks_of(ACTORS["a"], Expression())


def evidence(num_frames: int = 20, **changes: np.ndarray) -> Evidence:
    """Return the evidence of a good clip of actor a, but for what is changed."""
    good = {
        "landmarks": np.repeat(FRONTAL[None], num_frames, axis=0),
        "disagreement": np.full(num_frames, 0.006),
        "sharpness": np.full(num_frames, 0.3),
        "score": np.full(num_frames, 0.93),
        "size_px": np.full((num_frames, 2), 480.0),
    }
    return Evidence(**(good | changes))


def with_last(value: float, usual: float, num_frames: int = 20) -> np.ndarray:
    return np.r_[np.full(num_frames - 1, usual), value]


def test_a_good_clip_has_no_problem_and_full_marks():
    quality, problem = judge(evidence())
    assert (problem == "").all() and (quality > 0.9).all()


def test_no_frames_are_judged_without_an_error():
    quality, problem = judge(evidence(0))
    assert quality.shape == problem.shape == (0,)


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("blurred", {"sharpness": with_last(0.1, 0.3)}),
        ("covered", {"disagreement": with_last(0.02, 0.006), "score": with_last(0.85, 0.93)}),
    ],
)
def test_one_bad_frame_is_named_and_the_others_are_not(word, changes):
    quality, problem = judge(evidence(**changes))
    assert problem.tolist() == [""] * 19 + [word]
    assert quality[-1] <= 0.5 < quality[:-1].min()


def test_a_clip_that_is_blurred_throughout_says_so():
    assert (judge(evidence(sharpness=np.full(20, 0.04)))[1] == "blurred").all()


def test_neither_disagreement_nor_a_lower_score_alone_makes_a_covered_face():
    assert (judge(evidence(disagreement=with_last(0.02, 0.006)))[1] == "").all()
    assert (judge(evidence(score=with_last(0.85, 0.93)))[1] == "").all()


def test_a_detector_whose_scores_vary_by_themselves_covers_nobody():
    scores = np.random.default_rng(0).normal(1.5, 0.5, 200)  # as HOG's do
    changes = {"score": scores, "disagreement": np.where(scores < 1.0, 0.02, 0.006)}
    assert (judge(evidence(200, **changes))[1] == "").mean() > 0.95


def test_a_face_half_outside_is_cut_off_and_its_share_is_counted():
    shifted = FRONTAL[None] - (FRONTAL.mean(axis=0)[0], 0)
    (share,) = share_outside(shifted, np.array([[480.0, 480.0]]))
    assert 0.3 < share < 0.7
    assert judge(evidence(1, landmarks=shifted))[1].tolist() == ["cut_off"]
    assert CUT_OFF_SHARE > 3 / 68  # a chin's tip below the border is nothing


def test_a_face_of_thirty_pixels_is_small():
    small = FRONTAL[None] * (0.7 * SMALL_PX / np.linalg.norm(FRONTAL[36] - FRONTAL[45]))
    assert judge(evidence(1, landmarks=small))[1].tolist() == ["small"]


def test_the_turn_is_signed_zero_from_the_front_and_grows_to_the_profile():
    turns = [float(turn_of(landmarks_of(ACTORS["a"], Expression(yaw=yaw)))) for yaw in (-40, -20, 0, 20, 40)]
    assert turns == sorted(turns) and abs(turns[2]) < 0.1 and turns[0] == pytest.approx(-turns[4], abs=0.15)


def test_a_face_turned_to_the_profile_is_turned_away():
    turned = FRONTAL[None].copy()
    turned[0, 30] = turned[0, 14:17].mean(axis=0) - (2, 0)
    assert judge(evidence(1, landmarks=turned))[1].tolist() == ["turned_away"]


def spoilt(image: np.ndarray, landmarks: np.ndarray, how: str, share: float) -> np.ndarray:
    """Return a picture that is no good example any more; what is cut off slides out of it by a share."""
    image = image.copy()
    (left, top), (right, bottom) = landmarks.min(axis=0).astype(int), landmarks.max(axis=0).astype(int)
    if how == "blurred":
        return cv2.GaussianBlur(image, (0, 0), 0.04 * (right - left))
    if how == "covered":
        image[max(top - 90, 0) : bottom + 20, max(left - 30, 0) : (left + right) // 2] = (40, 30, 30)
        return image
    shift = round(share * (left + (right - left) / 3))
    return np.hstack([image[:, shift:], np.full((480, shift, 3), 90, np.uint8)])


@pytest.mark.parametrize("how", ["blurred", "covered", "cut_off"])
def test_spoilt_pictures_are_named_for_what_spoils_them_and_the_rest_is_kept(how, models):
    images, landmarks = list(acted("a", NUM_FRAMES)[0]), acted("a", NUM_FRAMES)[1]
    start = 18 if how == "cut_off" else 30
    for k in range(start, NUM_FRAMES):
        images[k] = spoilt(images[k], landmarks[k], how, min((k - start) / 12, 1.0))
    track = follow(clip_of(images), make_detector("yunet", models=models), workers=1)
    is_spoilt = track.frame_index >= 30
    assert track.frame_index[track.problem == ""].tolist()[:start] == list(range(start))
    assert (track.problem[is_spoilt] == "").sum() <= 2  # a few may not be found at all
    assert how in track.problem[is_spoilt] and set(track.problem) <= {"", *PROBLEMS}
    assert track.quality[is_spoilt].mean() < 0.5 * np.median(track.quality[~is_spoilt])


def test_a_tiny_face_is_followed_and_called_small(models):
    images = [cv2.resize(i, (60, 60), interpolation=cv2.INTER_AREA) for i in acted("a", NUM_FRAMES)[0][:10]]
    track = follow(clip_of(images), make_detector("yunet", models=models), workers=1)
    assert len(track.frame_index) == 10 and (track.problem == "small").all()
