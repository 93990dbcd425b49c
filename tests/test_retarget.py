"""A driver's face is brought to the subject's place and size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.face.crop import apply_transform
from mueca.face.retarget import fit_placement

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
