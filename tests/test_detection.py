"""Every detector keeps the same contract; model files are checked, and their absence is survived."""

import dataclasses
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from mueca.actors import ACTORS, Expression, render
from mueca.errors import ModelFileError
from mueca.face import model_files
from mueca.face.detection import HogDetector, make_detector
from mueca.face.landmarks import eye_distance
from mueca.face.model_files import LANDMARKS_68, YUNET, fetch, packaged
from mueca.face.prediction import LandmarkPredictor

NAMES = ("yunet", "ssd", "hog")


@pytest.fixture(scope="module")
def actor() -> tuple[np.ndarray, np.ndarray]:
    return render(ACTORS["a"], Expression())


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_one_face_and_its_box_holds_the_eyes_and_the_mouth(name, models, actor):
    image, landmarks = actor
    detector = make_detector(name, models=models)
    (face,) = detector.detect(image)
    x0, y0, x1, y1 = face.box
    inner = landmarks[27:]
    assert detector.name == name
    assert (inner > (x0, y0)).all() and (inner < (x1, y1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_finds_nothing_in_noise_and_nothing_in_a_single_pixel(name, models):
    detector = make_detector(name, models=models)
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    for shape in ((1, 1, 3), (1, 500, 3), (500, 1, 3), (2, 3, 3)):
        assert detector.detect(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize("name", NAMES)
def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(name, models, actor):
    image, _ = actor
    wide = np.pad(image, ((300, 500), (700, 500), (0, 0)), mode="edge")
    detector = make_detector(name, models=models, min_score=0.3 if name == "ssd" else None)
    (small,), large = detector.detect(image), detector.detect(wide)
    assert np.abs(np.array(large[0].box) - small.box - (700, 300, 700, 300)).max() < 40


@pytest.mark.parametrize("name", NAMES)
def test_the_predictor_is_given_the_box_that_hog_would_draw(name, models, actor):
    image, _ = actor
    detector, hog = make_detector(name, models=models), HogDetector()
    box, drawn = detector.predictor_box(detector.detect(image)[0]), hog.detect(image)[0].box
    assert np.abs(np.subtract(box, drawn)).max() < 0.15 * (drawn[2] - drawn[0])


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_found_through_any_detector_are_those_the_actor_was_drawn_with(name, models, actor):
    image, landmarks = actor
    detector = make_detector(name, models=models)
    found = LandmarkPredictor().predict(image, detector.predictor_box(detector.detect(image)[0]))
    assert np.linalg.norm(found - landmarks, axis=1).mean() / eye_distance(landmarks) < 0.06


def test_a_higher_min_score_finds_less(models, actor):
    assert make_detector("yunet", models=models, min_score=0.999).detect(actor[0]) == []


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(model_files.pooch, "retrieve", refuse)


def test_without_its_file_and_without_a_name_hog_takes_over_with_one_warning(tmp_path, no_network):
    with pytest.warns(UserWarning, match="HOG") as caught:
        assert make_detector(models=tmp_path).name == "hog"
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["yunet", "ssd"])
def test_a_named_detector_without_its_file_says_where_to_put_it(name, tmp_path, no_network):
    with pytest.raises(ModelFileError, match=r"put the file there by hand.*--models") as error:
        make_detector(name, models=tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_file_is_refused_by_name_and_not_loaded(tmp_path):
    (tmp_path / YUNET.name).write_bytes(b"not a network")
    with pytest.raises(ModelFileError, match=f"{YUNET.name}.*sha256"):
        fetch(YUNET, tmp_path)


@pytest.fixture
def server(models):
    """Serve the model folder on loopback; yields its address and the list of paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(models))

        def log_request(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/", asked
        http.shutdown()


def test_a_file_is_downloaded_once(tmp_path, models, server):
    address, asked = server
    served = dataclasses.replace(YUNET, source=address + YUNET.name)
    for _ in range(2):
        path = fetch(served, tmp_path / "cache")
    assert path.read_bytes() == (models / YUNET.name).read_bytes()
    assert asked == [f"/{YUNET.name}"]


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(tmp_path, server):
    address, _ = server
    forged = dataclasses.replace(YUNET, source=address + YUNET.name, sha256="0" * 64)
    with pytest.raises(ModelFileError, match="can't be had"):
        fetch(forged, tmp_path / "cache")
    assert not (tmp_path / "cache" / YUNET.name).exists()


def test_the_predictors_file_is_found_without_importing_its_package():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert packaged(LANDMARKS_68).is_file()
    with pytest.raises(ModelFileError, match="pip install face_recognition_models"):
        packaged(dataclasses.replace(LANDMARKS_68, name="no such file"))
