"""A face's 128 numbers tell people apart, also the two actors; references are few, spread, and looked at late."""

import numpy as np
import pytest
from scenes import acted

from mueca.face.detection import make_detector
from mueca.face.identity import SAME_PERSON, FaceEmbedder, Gallery, cut_face, is_same_person


class Numbers:
    """An embedder that gives a picture's mean grey as each of 128 numbers, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, image, box):
        self.asked += 1
        return np.full(128, image.mean() / 128**0.5)


@pytest.fixture(scope="module")
def numbers(models):
    """Each actor's 128 numbers (4, 128), from pictures spread over a performance."""
    embedder, detector = FaceEmbedder(), make_detector("yunet", models=models)

    def of(image):
        return embedder.embed(image, detector.predictor_box(detector.detect(image)[0]))

    return {name: np.array([of(image) for image in acted(name, 40)[0][::10]]) for name in "ab"}


def test_the_same_actor_is_near_their_own_mean_and_the_other_far_from_it(numbers):
    for name, other in (("a", "b"), ("b", "a")):
        reference = numbers[name][:2].mean(axis=0)
        assert np.linalg.norm(numbers[name][2:] - reference, axis=1).max() < SAME_PERSON
        assert np.linalg.norm(numbers[other] - reference, axis=1).min() > SAME_PERSON


def test_a_face_nearer_to_somebody_else_is_not_the_persons():
    assert is_same_person(0.3, 0.9) and not is_same_person(0.3, 0.2)


def test_between_sure_and_unlikely_only_somebody_elses_references_help():
    assert is_same_person(0.46, 0.6)
    assert not is_same_person(0.46, 0.5) and not is_same_person(0.46, np.inf) and not is_same_person(0.55, 0.9)


def test_a_gallery_looks_at_its_pictures_when_first_asked_and_never_again():
    embedder = Numbers()
    gallery = Gallery(embedder)
    gallery.keep(0.0, np.full((50, 50, 3), 10, np.uint8), (10, 10, 40, 40))
    gallery.keep(1.0, np.full((50, 50, 3), 20, np.uint8), (10, 10, 40, 40))
    assert embedder.asked == 0
    for _ in range(2):
        assert gallery.distance(np.full(128, 15 / 128**0.5)) == pytest.approx(0.0, abs=1e-9)
    assert embedder.asked == 2


def test_an_hour_of_references_stays_a_handful_spread_over_the_hour():
    embedder = Numbers()
    gallery = Gallery(embedder)
    for second in range(3600):
        gallery.keep(float(second), np.full((20, 20, 3), second * 255 // 3600, np.uint8), (5, 5, 15, 15))
    assert gallery.distance(np.full(128, 128 / 128**0.5)) < 40  # the mean reference is from about the middle
    assert 4 <= embedder.asked <= 8


def test_nothing_is_near_an_empty_gallery():
    assert Gallery(Numbers()).distance(np.zeros(128)) == np.inf


@pytest.mark.parametrize("box", [(-30, -30, 20, 20), (80, 80, 200, 200), (300, 300, 400, 400), (-90, -90, -50, -50)])
def test_a_face_beyond_the_pictures_border_is_cut_without_an_error(box):
    part, _ = cut_face(np.zeros((100, 120, 3), np.uint8), box)
    assert part.shape[0] >= 1 and part.shape[1] >= 1


def test_the_box_of_a_cut_face_holds_the_same_pixels():
    image = np.zeros((600, 800, 3), np.uint8)
    image[100:500, 200:600] = 255
    part, box = cut_face(image, (200, 100, 600, 500))
    x0, y0, x1, y1 = (round(v) for v in box)
    assert (part[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1] == 255).all() and part.mean() < 200
