"""Pairs in any layout behind one record: mueca's own, pix2pix's pictures A|B, the report's four folders.

::

    DIR/train/*.jpg, DIR/test/*.jpg     condition and target side by side in one picture, twice as wide as high;
                                        without test/, val/ stands in
    DIR/tagged_train, DIR/input_train   the conditions, and the targets of the same names: square pictures
    DIR/tagged_test, DIR/input_test     the same, held out
    PAIRS                               see mueca.pairs

Where nothing is held out, the last fifth of the pictures is, in order of their names. Pictures of another size are
brought to SIZE_PX by averaging areas, or linearly where they are smaller.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from mueca.config import SIZE_PX, ConditionHalf
from mueca.errors import InputError, SettingsError
from mueca.face.drawn import is_drawn
from mueca.pairs import (
    HALVES,
    MANIFEST,
    SPLITS,
    PairFiles,
    Pairs,
    Split,
    gather,
    list_split,
    read_pair,
    sha256_of_pairs,
)
from mueca.pictures import read_picture

Array = np.ndarray
Layout = Literal["pairs", "side_by_side", "four_folders"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""In either case; other files are passed over, as are hidden ones."""

HALVES_OF: dict[Layout, tuple[ConditionHalf, ...]] = {
    "pairs": (),
    "side_by_side": ("left", "right"),
    "four_folders": ("tagged", "input"),
}
"""Which halves a layout has; the first one is the condition unless the other is named."""

HELD_OUT_SHARE = 0.2
"""Of the training pictures, where the folder holds no test pictures: as ``extract`` has it."""

_KINDS = "one holds pairs.json (from mueca extract), train/ with pictures A|B, or input_train/ and tagged_train/"
_FOLDERS_OF: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": ("test", "val")}
_NUM_PROBED = 5


@dataclass(frozen=True)
class Dataset:
    """Pairs on disk, found and not yet read."""

    folder: Path
    layout: Layout
    condition: ConditionHalf | None
    """The half that is the condition; None in mueca's own pairs, whose halves say it themselves."""
    files: dict[Split, tuple[PairFiles, ...]]
    """In the order of their names, numbers in them counted as numbers."""
    picture_size_px: tuple[int, int]
    """Width and height of every picture."""
    notes: tuple[str, ...]
    """What was taken for granted, one line each."""


def layout_of(folder: Path) -> Layout:
    """Return how the folder holds its pairs; raises InputError where it holds none in a layout that is known."""
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise InputError(f"{folder}: is no pairs folder (it {what}); {_KINDS}")
    if (folder / MANIFEST).is_file() or any((folder / "train" / half).is_dir() for half in HALVES):
        return "pairs"
    if any(os.path.lexists(folder / name) for name in ("input_train", "tagged_train")):
        return "four_folders"
    if os.path.lexists(folder / "train"):
        return "side_by_side"
    raise InputError(f"{folder}: is no pairs folder; {_KINDS}")


def open_dataset(folder: Path, condition: ConditionHalf | None = None) -> Dataset:
    """Find the pairs in a folder of any layout and return where they are.

    ``condition`` says which half is the condition. Raises InputError at what can't be a set of pairs, naming the
    file, and where nothing was said and the other half is drawn as mueca draws conditions; SettingsError where the
    layout has no such half.
    """
    layout = layout_of(folder)
    if condition is not None and condition not in HALVES_OF[layout]:
        raise SettingsError(f"--condition {condition}: {folder} {_halves_in_words(layout)}")
    if layout == "pairs":
        files = {split: list_split(folder, split) for split in SPLITS}
        return Dataset(folder, layout, None, files, (SIZE_PX, SIZE_PX), notes=())
    half = condition or HALVES_OF[layout][0]
    files, notes = _hold_out(folder, *(_list(folder, layout, half, split) for split in SPLITS))
    if condition is None and layout == "side_by_side":
        notes = (f"{folder}: the left halves are the conditions; --condition right says otherwise", *notes)
    size = _size_of(files["train"][0].condition, layout)
    data = Dataset(folder, layout, half, files, size, notes)
    if condition is None:
        _require_right_way(data)
    return data


def read_part(data: Dataset, split: Split) -> Pairs:
    """Return all pairs of a split, in memory; raises InputError at a picture that can't be used, naming it."""
    return gather(data.files[split], lambda files: read_halves(data, files))


def read_halves(data: Dataset, files: PairFiles) -> tuple[Array, Array]:
    """Return condition and target of one pair, RGB uint8 (SIZE_PX, SIZE_PX, 3); raises InputError."""
    if data.layout == "pairs":
        return read_pair(files)
    if data.layout == "four_folders":
        condition, target = (_read(data, path) for path in (files.condition, files.target))
    else:
        left, right = np.hsplit(_read(data, files.condition), 2)
        condition, target = (left, right) if data.condition == "left" else (right, left)
    return _resized(condition), _resized(target)


def sha256_of_dataset(data: Dataset) -> str:
    """Return one SHA-256 over what is learned from: names, bytes, split, and which half is the condition."""
    if data.layout == "pairs":
        return sha256_of_pairs(data.folder)
    total = hashlib.sha256(f"{data.layout} {data.condition}\0".encode())
    for split in SPLITS:
        for path in dict.fromkeys(path for pair in data.files[split] for path in (pair.condition, pair.target)):
            name = f"{split} {path.relative_to(data.folder).as_posix()}\0"
            total.update(name.encode(errors="surrogateescape"))
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Return the names sorted so that 2 comes before 10."""
    return sorted(names, key=lambda n: ([int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", n)], n))


def _halves_in_words(layout: Layout) -> str:
    if layout == "pairs":
        return "is mueca's own pairs folder, whose halves say what they are; leave --condition out"
    what = {"side_by_side": "holds pictures A|B", "four_folders": "holds the report's folders"}[layout]
    return f"{what}; name {' or '.join(HALVES_OF[layout])}"


def _list(folder: Path, layout: Layout, condition: ConditionHalf, split: Split) -> tuple[tuple[PairFiles, ...], str]:
    """Return the pairs of a split, none where its folders are absent, and the name of the folder they came from."""
    if layout == "side_by_side":
        name = next((n for n in _FOLDERS_OF[split] if os.path.lexists(folder / n)), "")
        pictures = _pictures_in(folder / name) if name else []
        num_of = Counter(path.stem for path in pictures)
        named = (p.stem if num_of[p.stem] == 1 else p.name for p in pictures)
        return tuple(PairFiles(n, p, p) for n, p in zip(named, pictures, strict=True)), name
    target = "input" if condition == "tagged" else "tagged"
    folders = [folder / f"{half}_{split}" for half in (condition, target)]
    if split == "test" and not any(os.path.lexists(place) for place in folders):
        return (), ""
    conditions, targets = (_by_name(place) for place in folders)
    for name in in_natural_order(list(conditions.keys() ^ targets.keys())):
        there, lacking = (conditions, folders[1]) if name in conditions else (targets, folders[0])
        raise InputError(f"{there[name]}: has no other half in {lacking}; put it there, or remove this one")
    return tuple(PairFiles(n, conditions[n], targets[n]) for n in in_natural_order(list(conditions))), folders[0].name


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the folder's pictures by their names without suffix, no two of which may be alike."""
    found: dict[str, Path] = {}
    for path in _pictures_in(folder):
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem].name} lies beside it; keep one of the two")
        found[path.stem] = path
    return found


def _pictures_in(folder: Path) -> list[Path]:
    """Return the pictures that lie in the folder itself, one or more, in natural order."""
    try:
        paths = {p.name: p for p in folder.iterdir() if not p.name.startswith(".")}
    except OSError as error:
        raise InputError(f"{folder}: can't be read ({error.strerror}); put the pictures there") from error
    pictures = [paths[n] for n in in_natural_order(list(paths)) if paths[n].suffix.lower() in SUFFIXES]
    if not pictures:
        deeper = next((p.name for p in paths.values() if p.is_dir()), None)
        way_out = f"move those of {deeper}/ up" if deeper else "put some there, or remove the folder"
        raise InputError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)}); {way_out}")
    return pictures


def _hold_out(
    folder: Path, train: tuple[tuple[PairFiles, ...], str], test: tuple[tuple[PairFiles, ...], str]
) -> tuple[dict[Split, tuple[PairFiles, ...]], tuple[str, ...]]:
    """Return the pairs of both splits, the last of the training ones held out where there are no others."""
    (training, _), (held_out, place) = train, test
    if held_out:
        notes = (f"{folder}: has no test/; val/ stands in for it",) if place == "val" else ()
        return {"train": training, "test": held_out}, notes
    num_test = max(1, round(HELD_OUT_SHARE * len(training)))
    if num_test >= len(training):
        raise InputError(f"{folder}: holds {len(training)} pair, and one more at least must be held out; add some")
    kept, last = training[:-num_test], training[-num_test:]
    note = (
        f"{folder}: holds no test pictures: the last {num_test} of {len(training)} are held out, from {last[0].name} on"
    )
    return {"train": kept, "test": last}, (note,)


def _size_of(path: Path, layout: Layout) -> tuple[int, int]:
    """Return width and height of a picture; raises InputError where the layout can't have such a one."""
    height, width = read_picture(path).shape[:2]
    if layout == "side_by_side" and width != 2 * height:
        raise InputError(f"{path}: is {width}x{height}, not twice as wide as high, as two squares side by side are")
    if layout == "four_folders" and width != height:
        raise InputError(f"{path}: is {width}x{height}, not square; crop it, and its other half, to the face's square")
    return width, height


def _read(data: Dataset, path: Path) -> Array:
    image = read_picture(path)
    size = (image.shape[1], image.shape[0])
    if size != data.picture_size_px:
        wanted = "x".join(map(str, data.picture_size_px))
        first = data.files["train"][0].condition.name
        raise InputError(
            f"{path}: is {size[0]}x{size[1]}, and {first} is {wanted}; bring all to one size, or remove this one"
        )
    return image


def _resized(image: Array) -> Array:
    if len(image) == SIZE_PX:
        return image
    way = cv2.INTER_AREA if len(image) > SIZE_PX else cv2.INTER_LINEAR
    return cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=way)


def _require_right_way(data: Dataset) -> None:
    """Raise InputError where the targets are drawn as mueca draws conditions, and the conditions are not."""
    training = data.files["train"]
    probed = [training[i] for i in np.linspace(0, len(training) - 1, _NUM_PROBED).round().astype(int)]
    halves = [read_halves(data, files) for files in probed]
    drawn = [sum(is_drawn(image) for image in half) for half in zip(*halves, strict=True)]
    if drawn[1] > _NUM_PROBED / 2 > drawn[0]:
        first, other = HALVES_OF[data.layout]
        raise InputError(
            f"{data.folder}: {other} holds the drawn conditions, it seems, and {first} was to; "
            f"say which: --condition {other}, or --condition {first}"
        )
