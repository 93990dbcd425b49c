"""Every model file that mueca uses or can use: its licence, its source, and whether it is here and whole."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mueca.errors import ModelFileError
from mueca.face.model_files import (
    EMBEDDING,
    LANDMARKS_5,
    LANDMARKS_68,
    SSD_GRAPH,
    SSD_WEIGHTS,
    YUNET,
    ModelFile,
    packaged,
    place_of,
)
from mueca.files import homeless, sha256_of

LPIPS = ModelFile(
    "alexnet-owt-7be5be79.pth",
    "7be5be79",
    "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "none stated for the weights",
    "LPIPS in evaluate, where the package lpips and this file are there",
    limits="trained on ImageNet, whose pictures are for research that is not commercial",
    package="lpips",
)
INCEPTION = ModelFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "unknown",
    "FID and KID in evaluate, where the package torch-fidelity and this file are there",
    limits="trained on ImageNet, whose pictures are for research that is not commercial",
    package="torch_fidelity",
)
_DETECTORS = (YUNET, SSD_WEIGHTS, SSD_GRAPH)
_PACKAGED = (LANDMARKS_68, LANDMARKS_5, EMBEDDING)
_PERCEPTION = (LPIPS, INCEPTION)

State = Literal["whole", "changed", "absent"]


@dataclass(frozen=True)
class Licensed:
    """A model file, and what became of it on this machine."""

    name: str
    purpose: str
    licence: str
    limits: str | None
    """What stands in the way of some use in spite of the licence; None: nothing that is known."""
    source: str
    sha256: str
    """As it should be; of PyTorch's own files the first 8 digits, which their names tell."""
    state: State
    """whole: here, and its hash holds; changed: here with another hash, or unreadable; absent."""
    path: str | None
    """Where it is, the home folder written as ~; None: absent."""
    num_bytes: int | None
    """Of the file that is here."""
    package: str | None
    """The package that it comes with or serves; None: it is downloaded at the first use."""
    is_optional: bool
    """Whether nothing misses it: no part of mueca downloads or installs it."""


def licenses(models: Path | None = None) -> list[Licensed]:
    """Return every model file that mueca uses or can use, with its licence and state; nothing is downloaded.

    ``models`` is the folder of the detectors' files; None: the download cache. The detector hog has no file: its
    numbers are part of dlib (Boost Software License 1.0).
    """
    detectors = [_looked_at(file, place_of(file, models)) for file in _DETECTORS]
    landmarks = [_looked_at(file, _packaged_or_none(file)) for file in _PACKAGED]
    perception = [_looked_at(file, _in_torch_cache(file), is_optional=True) for file in _PERCEPTION]
    return detectors + landmarks + perception


def _looked_at(file: ModelFile, path: Path | None, *, is_optional: bool = False) -> Licensed:
    state: State = "absent"
    num_bytes = None
    if path is not None and path.is_file():
        num_bytes = path.stat().st_size
        state = "whole" if _is_whole(path, file.sha256) else "changed"
    return Licensed(
        name=file.name,
        purpose=file.purpose,
        licence=file.licence,
        limits=file.limits,
        source=file.source,
        sha256=file.sha256,
        state=state,
        path=None if state == "absent" else homeless(str(path)),
        num_bytes=num_bytes,
        package=file.package,
        is_optional=is_optional,
    )


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path).startswith(sha256)
    except OSError:  # a file that can't be read is not the one it should be
        return False


def _packaged_or_none(file: ModelFile) -> Path | None:
    try:
        return packaged(file)
    except ModelFileError:  # its absence is what is told
        return None


def _in_torch_cache(file: ModelFile) -> Path | None:
    """Return where PyTorch keeps the file; None where the package that would use it is not installed."""
    if file.package is None or importlib.util.find_spec(file.package) is None:
        return None
    try:
        hub = importlib.import_module("torch.hub")  # it alone knows where its cache is
    except ImportError:
        return None
    return Path(hub.get_dir()) / "checkpoints" / file.name
