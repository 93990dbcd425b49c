"""convert(): pairs in any layout become pix2pix's pictures A|B, so that the reference trainer can learn from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mueca.config import ConvertSettings
from mueca.errors import OutputError
from mueca.files import whole_folder
from mueca.foreign import Dataset, open_dataset, read_halves, sha256_of_dataset
from mueca.marks import UNMARKED
from mueca.pairs import SPLITS, Split
from mueca.pictures import encode_picture
from mueca.version import VERSION

RECORD = "converted.json"
"""What ``OUT`` was made of; by it ``--fresh`` knows that it may go."""


@dataclass(frozen=True)
class Conversion:
    """What ``convert`` wrote, and ``OUT/converted.json`` holds."""

    pairs_sha256: str
    num_train: int
    num_test: int
    direction: str
    """What the reference trainer's ``--direction`` must be for it: AtoB where the condition is on the left, or BtoA."""
    notes: tuple[str, ...]
    """What was taken for granted in reading the pairs."""
    mueca_version: str


def convert(
    pairs: Path, out: Path, settings: ConvertSettings | None = None, *, show_progress: bool = False
) -> Conversion:
    """Write every pair as ``OUT/train/NAME.png`` or ``OUT/test/NAME.png``, 512 x 256, the halves side by side.

    The pixels are those that ``train`` learns from. Raises InputError where the pairs can't be used, OutputError where
    ``out`` exists and may not be replaced.
    """
    settings = settings or ConvertSettings()
    data = open_dataset(pairs, settings.from_condition)
    _require_free(out, fresh=settings.fresh)
    done = Conversion(
        pairs_sha256=sha256_of_dataset(data),
        num_train=len(data.files["train"]),
        num_test=len(data.files["test"]),
        direction="AtoB" if settings.condition == "left" else "BtoA",
        notes=data.notes,
        mueca_version=VERSION,
    )
    total, hidden = done.num_train + done.num_test, not show_progress
    with (
        whole_folder(out, replace=settings.fresh, durable=False) as partial,
        tqdm(desc="convert", unit=" pairs", total=total, delay=2, disable=hidden, dynamic_ncols=True) as bar,
    ):
        for split in SPLITS:
            _write(data, split, partial / split, settings.condition, bar)
        (partial / RECORD).write_text(json.dumps(asdict(done), indent=2) + "\n", encoding="utf-8")
    return done


def _require_free(out: Path, *, fresh: bool) -> None:
    """Raise OutputError where something is that an earlier ``convert`` didn't write, or that is not to be replaced."""
    if not out.exists():
        return
    if not (out / RECORD).is_file():
        raise OutputError(f"{out}: exists and is nothing that convert wrote (it has no {RECORD}); name another folder")
    strange = sorted(path.name for path in out.iterdir() if path.name not in (*SPLITS, RECORD))
    if strange:
        raise OutputError(f"{out}: holds {strange[0]} beside what convert wrote; move it away, or name another folder")
    if not fresh:
        raise OutputError(f"{out}: exists already; name another folder, or replace it with --fresh")


def _write(data: Dataset, split: Split, folder: Path, condition_side: str, bar: tqdm) -> None:
    folder.mkdir()
    for files in data.files[split]:
        condition, target = read_halves(data, files)
        picture = np.hstack([condition, target] if condition_side == "left" else [target, condition])
        # Nothing in it was painted by a network. It is whole with its folder: see whole_folder.
        (folder / f"{files.name}.png").write_bytes(encode_picture(picture, ".png", UNMARKED))
        bar.update()
