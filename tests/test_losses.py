"""What a fake is measured by: the similarity is scikit-image's, and the face counts as much more as was asked."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from mueca.losses import dissimilarity, face_weights, weighted_l1


def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    small = rng.uniform(-1, 1, (16, 16, 3))
    real = cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC).clip(-1, 1)
    return (real + rng.normal(0, 0.1, real.shape)).clip(-1, 1), real


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def test_the_dissimilarity_is_one_less_scikit_images_similarity():
    fake, real = pictures()
    whole = structural_similarity(real, fake, channel_axis=2, data_range=2, use_sample_covariance=False)
    assert float(dissimilarity(tensor(fake), tensor(real))) == pytest.approx(1 - whole, abs=2e-3)  # every other window


def test_equal_pictures_are_not_dissimilar_and_every_pixel_learns_from_others():
    fake, real = (tensor(picture) for picture in pictures())
    assert float(dissimilarity(real, real)) == pytest.approx(0, abs=1e-12)
    fake.requires_grad_(True)
    dissimilarity(fake, real).backward()
    assert fake.grad is not None and bool((fake.grad[..., :-1, :-1] != 0).all())  # no window ends there


def test_weights_have_a_mean_of_one_and_count_the_face_as_much_more_as_asked():
    condition = -torch.ones(2, 3, 256, 256, dtype=torch.float64)
    condition[0, 1, 96:160, 96:160] = 1.0
    condition[1, 2, 40:200, 60:64] = 1.0
    weights = face_weights(condition, 3.0)
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(2, dtype=torch.float64))
    assert float(weights[0, 0, 128, 128] / weights[0, 0, 10, 10]) == pytest.approx(4.0)
    assert float(weights[1, 0, 120, 62] / weights[1, 0, 10, 250]) > 3.0
    assert bool((weights[0, 0, :70] == weights[0, 0, 0, 0]).all())  # far from the face nothing changes


def test_where_nothing_or_everything_is_drawn_all_pixels_count_alike():
    for value in (-1.0, 0.3):
        torch.testing.assert_close(face_weights(torch.full((1, 3, 256, 256), value), 3.0), torch.ones(1, 1, 256, 256))


def test_a_weighted_l1_of_equal_weights_is_the_plain_one():
    fake, real = (tensor(picture) for picture in pictures())
    plain = weighted_l1(fake, real, None)
    torch.testing.assert_close(weighted_l1(fake, real, torch.ones(1, 1, 256, 256, dtype=fake.dtype)), plain)
    assert float(plain) == pytest.approx(np.abs(pictures()[0] - pictures()[1]).mean())
