"""A driver's movements are carried over onto the subject's face, its eyes brought under the subject's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.face.condition import draw_condition
from mueca.face.crop import apply_transform
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT
from mueca.face.retarget import carry_over, cut_eyes, fit_placement

FACE = np.random.default_rng(0).normal(size=(68, 2))


@given(st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
def test_the_same_face_elsewhere_and_in_another_size_lands_on_the_subject(size, x, y):
    placement = fit_placement(FACE * size + (x, y), FACE * 40 + 128)
    assert apply_transform(placement, FACE * size + (x, y)) == pytest.approx(FACE * 40 + 128, abs=1e-6)


def test_another_shape_keeps_its_proportions():
    wide = FACE * (1.3, 0.9)
    placed = apply_transform(fit_placement(wide, FACE), wide)
    assert np.ptp(placed[:, 0]) / np.ptp(placed[:, 1]) == pytest.approx(np.ptp(wide[:, 0]) / np.ptp(wide[:, 1]))


def test_no_other_scale_or_shift_lies_closer():
    other = FACE + np.random.default_rng(1).normal(0, 0.3, FACE.shape)
    best = fit_placement(other, FACE)
    error = ((apply_transform(best, other) - FACE) ** 2).sum()
    for change in (np.diag([1.01, 1.01, 1]), np.diag([0.99, 0.99, 1])):
        assert ((apply_transform(best @ change, other) - FACE) ** 2).sum() > error


@given(st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
def test_the_same_person_elsewhere_drives_as_they_are(size, x, y):
    track = FACE * 40 + 128 + np.random.default_rng(1).normal(0, 3, (20, 68, 2))
    assert carry_over(track * size + (x, y), track.mean(0)) == pytest.approx(track, abs=1e-6)


def test_the_subject_keeps_its_own_shape_whatever_the_drivers_is():
    rng = np.random.default_rng(2)
    driver = FACE * (60, 30) + rng.normal(0, 8, (68, 2)) + rng.normal(0, 2, (30, 68, 2))
    subject = FACE * 40 + 128
    assert carry_over(driver, subject).mean(0) == pytest.approx(subject)


def test_a_movement_is_as_large_for_the_subjects_face_as_it_was_for_the_drivers():
    driver = np.repeat(FACE[None] * 20, 2, axis=0)
    driver[1, 60:68, 1] += 5
    subject = FACE * 40
    moved = np.diff(carry_over(driver, subject), axis=0)[0]
    assert moved[60:68, 1] == pytest.approx(10, rel=0.1) and np.abs(moved[:48]).max() == 0


def test_the_white_of_the_condition_comes_from_the_drivers_eyes_in_the_subjects_eye_shape():
    driver, subject = np.zeros((68, 2)), np.zeros((68, 2))
    shape = np.array([(-14, 0), (-5, -7), (5, -7), (14, 0), (5, 6), (-5, 6)], dtype=float)
    image = np.zeros((400, 400, 3), np.uint8)
    for eye, at, seen_at, bright in ((EYE_RIGHT, 90, 100, slice(80, 100)), (EYE_LEFT, 170, 300, slice(300, 330))):
        subject[eye], driver[eye] = shape + (at, 120), shape * 1.5 + (seen_at, 200)
        image[150:250, bright] = 255
    white = (draw_condition(subject, cut_eyes(image, driver, subject)) == 255).all(-1)
    assert white[120, 80:88].all() and not white[120, 93:100].any()
    assert white[120, 172:180].all() and not white[120, 160:167].any()
