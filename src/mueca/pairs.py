"""The pairs folder: what ``extract`` leaves and ``train`` learns from.

::

    PAIRS/train/condition/000123.png    landmarks drawn on black, of frame 123
    PAIRS/train/target/000123.png       the face in that frame
    PAIRS/test/...                      the same, held out: the clip's last frames
    PAIRS/landmarks.npz                 every followed frame
    PAIRS/pairs.json                    the manifest
    PAIRS/preview.jpg                   a contact sheet to judge them by
    PAIRS/coverage.png                  what the clip covers, and what to film next
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np

from mueca.config import SIZE_PX, from_json, to_json
from mueca.errors import InputError, SettingsError
from mueca.face.model_files import UsedFile
from mueca.files import open_regular, read_text, write_whole
from mueca.marks import UNMARKED
from mueca.pictures import contact_sheet, encode_picture, read_picture, write_picture

Array = np.ndarray
Split = Literal["train", "test"]

SPLITS: tuple[Split, ...] = ("train", "test")
HALVES = ("condition", "target")
MANIFEST = "pairs.json"
PREVIEW = "preview.jpg"
COVERAGE = "coverage.png"
LANDMARKS = "landmarks.npz"
CONTENTS = (*SPLITS, LANDMARKS, MANIFEST, PREVIEW, COVERAGE)


@dataclass(frozen=True)
class Manifest:
    """What ``pairs.json`` holds."""

    mueca_version: str
    source_name: str
    source_sha256: str
    source_size_px: list[int]
    """Width and height, upright."""
    source_shortfall: str | None
    """What of the file did not decode, in words; None: all did."""
    fps: float
    num_frames: int
    detector: str
    size_px: int
    settings: dict[str, Any]
    """The settings of ``extract`` that shape the pairs."""
    crop_rule: dict[str, float]
    kept: int
    dropped: dict[str, Any]
    """``{reason: {"count": n, "first": [frame numbers]}}`` for frames that could not be used."""
    not_chosen: int
    """Usable frames that were not needed."""
    in_gap: int
    """Usable frames in the second between training and test, which neither may have."""
    others: int
    """The most other people that a frame showed beside the one followed."""
    advice: list[str]
    """What to film next, see ``mueca.coaching``."""
    num_train: int
    num_test: int
    first_test_frame: int
    model_files: tuple[UsedFile, ...] = ()
    """What the landmarks were found with; of pairs made before mueca told it, none."""


@dataclass(frozen=True)
class Pairs:
    """One split, in memory."""

    conditions: Array
    """(N, SIZE_PX, SIZE_PX, 3) RGB uint8."""
    targets: Array
    """(N, SIZE_PX, SIZE_PX, 3) RGB uint8."""
    frame_index: Array
    """(N,) int64, rising."""
    names: tuple[str, ...]
    """What each pair's file is called, without its suffix; no two are alike."""
    charts: Array | None = None
    """(N, 4, GRID, GRID) float32, see ``mueca.face.charts``; None: not known, or not needed."""

    def taken(self, rows: Array) -> Pairs:
        """Return the pairs of these rows."""
        charts = None if self.charts is None else self.charts[rows]
        names = tuple(self.names[row] for row in rows)
        return Pairs(self.conditions[rows], self.targets[rows], self.frame_index[rows], names, charts)


@dataclass(frozen=True)
class PairFiles:
    """Where the two halves of one pair lie: in two files, or side by side in the same one."""

    name: str
    condition: Path
    target: Path


@dataclass(frozen=True)
class Landmarks:
    """Every followed frame of the source; N of them."""

    frame_index: Array
    """(N,) int64."""
    timestamp_s: Array
    """(N,) float64."""
    landmarks: Array
    """(N, 68, 2) float64, in frame pixels."""
    gaze: Array
    """(N, 2) float64, -1 to 1: as ``mueca.face.track.Track`` has it."""
    shot: Array
    """(N,) int64, the number of the frame's shot."""
    quality: Array
    """(N,) float64, 0 to 1."""
    frame_from_crop: Array
    """(N, 3, 3) float64."""
    kept: Array
    """(N,) bool: written as a pair."""


def pair_path(pairs: Path, split: Split, half: str, frame_index: int) -> Path:
    """Return where one half of a pair lies."""
    return pairs / split / half / f"{frame_index:06d}.png"


def write_pair(pairs: Path, split: Split, frame_index: int, condition: Array, target: Array) -> None:
    """Write both halves, RGB uint8 (SIZE_PX, SIZE_PX, 3), into the folders of the split."""
    for half, image in zip(HALVES, (condition, target), strict=True):
        path = pair_path(pairs, split, half, frame_index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_picture(image, path.suffix, UNMARKED))  # whole with its folder: see whole_folder


def write_manifest(pairs: Path, manifest: Manifest) -> None:
    """Write ``pairs.json``."""
    write_whole(pairs / MANIFEST, json.dumps(to_json(manifest), indent=2) + "\n")


def write_landmarks(pairs: Path, landmarks: Landmarks) -> None:
    """Write ``landmarks.npz``."""
    np.savez_compressed(pairs / LANDMARKS, **vars(landmarks))


def write_preview(pairs: Path, tiles: Sequence[tuple[Array, Array]], *, columns: int = 4) -> None:
    """Write ``preview.jpg``: (condition, target) of some frames in order of time, at half their size."""
    pictures = [np.hstack([condition[::2, ::2], target[::2, ::2]]) for condition, target in tiles]
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    sheet, _ = contact_sheet(rows)
    write_picture(pairs / PREVIEW, sheet, mark=UNMARKED)


def read_manifest(pairs: Path) -> Manifest:
    """Return the manifest; raises InputError where the folder is no pairs folder or its manifest is damaged."""
    path = pairs / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{pairs}: is no pairs folder (it has no {MANIFEST}); make one with: mueca extract VIDEO PAIRS"
        )
    try:
        return from_json(Manifest, json.loads(read_text(path)))
    except (ValueError, TypeError, AttributeError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: can't be read ({error}); extract the pairs again with --fresh") from error


def read_landmarks(pairs: Path) -> Landmarks:
    """Return every followed frame's landmarks; raises InputError where the file is missing or damaged."""
    path = pairs / LANDMARKS
    try:
        with open_regular(path) as file:
            _require_modest(file)
            with np.load(file, allow_pickle=False) as arrays:
                found = Landmarks(**{name: arrays[name] for name in Landmarks.__dataclass_fields__})
        _require_sense(found)
    except (*_ARCHIVE_ERRORS, OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise InputError(f"{path}: can't be read ({error}); extract the pairs again with --fresh") from error
    return found


_ARCHIVE_ERRORS = (
    *(BadZipFile, EOFError, IndexError, NotImplementedError, OverflowError, SyntaxError, TokenError, zlib.error),
)
"""What zipfile and NumPy raise at a damaged archive beyond OSError, ValueError and their like."""
_UNPACKED_BYTES, _UNPACKED_TIMES = 1 << 26, 50
"""An archive may unpack to the one, or to so many times its size: numbers of a face pack to a half."""


def _require_modest(file: BinaryIO) -> None:
    """Raise ValueError at an archive that would fill the memory; leaves the file at its start."""
    with ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(_UNPACKED_BYTES, _UNPACKED_TIMES * file.seek(0, os.SEEK_END)):
        raise ValueError(f"it would unpack to {unpacked} bytes")
    file.seek(0)


def _require_sense(found: Landmarks) -> None:
    """Raise ValueError unless the arrays are as many, of the kinds and as finite as ``extract`` writes them."""
    num = len(found.frame_index)
    shapes = {name: (num, *shape) for name, shape in _SHAPES.items()}
    for name, (kinds, shape) in {name: (_KINDS.get(name, "f"), shapes[name]) for name in shapes}.items():
        array = getattr(found, name)
        if array.shape != shape or array.dtype.kind not in kinds:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, of {num} frames")
        if array.dtype.kind == "f" and not (np.abs(array) <= _LARGEST).all():  # no NaN passes either
            raise ValueError(f"{name} holds numbers that make no sense")
    if not (np.diff(found.frame_index) > 0).all():
        raise ValueError("its frames are in no order")
    if not (np.abs(np.linalg.det(found.frame_from_crop)) > 1 / _LARGEST).all():
        raise ValueError("frame_from_crop has no inverse")


_SHAPES: dict[str, tuple[int, ...]] = {
    "frame_index": (),
    "timestamp_s": (),
    "landmarks": (68, 2),
    "gaze": (2,),
    "shot": (),
    "quality": (),
    "frame_from_crop": (3, 3),
    "kept": (),
}
_KINDS = {"frame_index": "iu", "shot": "iu", "kept": "b"}
_LARGEST = 1e9
"""Pixels or seconds: beyond it a number is damaged."""


def is_whole(pairs: Path, manifest: Manifest) -> bool:
    """Tell whether as many pairs lie there as the manifest says, and their landmarks."""
    expected = {"train": manifest.num_train, "test": manifest.num_test}
    counts = [len(list((pairs / split / half).glob("*.png"))) == expected[split] for split in SPLITS for half in HALVES]
    return all(counts) and (pairs / LANDMARKS).is_file()


def list_split(pairs: Path, split: Split) -> tuple[PairFiles, ...]:
    """Return the files of a split in order of their names; raises InputError at a missing half or an empty split."""
    read_manifest(pairs)
    conditions, targets = ({p.name: p for p in sorted((pairs / split / half).glob("*.png"))} for half in HALVES)
    for name in sorted(conditions.keys() ^ targets.keys()):
        half = "condition" if name in targets else "target"
        raise InputError(f"{pairs / split / half / name}: missing, while its other half is there; extract again")
    if not conditions:
        raise InputError(f"{pairs / split}: holds no pairs; extract again")
    for path in conditions.values():
        if not path.stem.isdecimal():
            raise InputError(f"{path}: its name is no frame number; remove it or extract again")
    return tuple(PairFiles(path.stem, path, targets[name]) for name, path in conditions.items())


def read_split(pairs: Path, split: Split) -> Pairs:
    """Return all pairs of a split.

    Raises InputError at a missing half, a picture of another size, or an empty split, naming the file.
    """
    return gather(list_split(pairs, split), read_pair)


def read_pair(files: PairFiles) -> tuple[Array, Array]:
    """Return condition and target, RGB uint8 (SIZE_PX, SIZE_PX, 3); raises InputError at another size."""
    return _read_half(files.condition), _read_half(files.target)


def gather(files: Sequence[PairFiles], read: Callable[[PairFiles], tuple[Array, Array]]) -> Pairs:
    """Return what ``read`` gives for each pair, in memory; frames are numbered by name, or else by order."""
    conditions, targets = np.empty((2, len(files), SIZE_PX, SIZE_PX, 3), np.uint8)
    for row, pair in enumerate(files):
        conditions[row], targets[row] = read(pair)
    names = tuple(pair.name for pair in files)
    return Pairs(conditions, targets, _frame_numbers(names), names)


def sha256_of_pairs(pairs: Path) -> str:
    """Return one SHA-256 over the names and bytes of every pair, in order of their names, and the landmarks.

    Raises InputError where the landmarks are missing or damaged.
    """
    total = hashlib.sha256()
    for array in vars(read_landmarks(pairs)).values():
        total.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    for path in sorted(p for split in SPLITS for half in HALVES for p in (pairs / split / half).glob("*.png")):
        total.update(path.relative_to(pairs).as_posix().encode(errors="surrogateescape") + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _read_half(path: Path) -> Array:
    image = read_picture(path)
    if image.shape != (SIZE_PX, SIZE_PX, 3):
        size = f"{image.shape[1]}x{image.shape[0]}"
        raise InputError(f"{path}: is {size}, not {SIZE_PX}x{SIZE_PX}; extract the pairs again")
    return image


def _frame_numbers(names: Sequence[str]) -> Array:
    """Return the names as numbers where all are numbers that rise, else their places."""
    if all(name.isdecimal() and len(name) <= _DIGITS_OF_INT64 for name in names):
        numbers = np.array([int(name) for name in names], dtype=np.int64)
        if (np.diff(numbers) > 0).all():
            return numbers
    return np.arange(len(names), dtype=np.int64)


_DIGITS_OF_INT64 = 18
