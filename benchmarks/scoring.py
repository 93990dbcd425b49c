"""What gpu.py reads, and what it scores elsewhere: pairs in memory, and the landmark error of fakes it has written.

Needs NumPy and OpenCV alone to read, and all of mueca to score.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measuring import print_table

from mueca.files import write_whole

Array = np.ndarray


@dataclass(frozen=True)
class Split:
    """Pairs in memory, RGB uint8 (N, 256, 256, 3) each."""

    conditions: Array
    targets: Array
    names: tuple[str, ...]


def read_split(folder: Path, at_most: int | None) -> Split:
    """Return the pairs of ``folder``, or so many of them evenly over the clip; raises SystemExit where there are none.

    Not through ``mueca.pairs``, which needs Pillow.
    """
    names = sorted(path.name for path in (folder / "target").glob("*.png"))
    if not names:
        raise SystemExit(f"error: {folder}: holds no pairs; make some with: mueca extract VIDEO PAIRS")
    if at_most is not None and len(names) > at_most:
        names = [names[i] for i in np.linspace(0, len(names) - 1, at_most).round().astype(int)]
    conditions, targets = (np.stack([read_rgb(folder / half / n) for n in names]) for half in ("condition", "target"))
    return Split(conditions, targets, tuple(Path(name).stem for name in names))


def read_rgb(path: Path) -> Array:
    """Return the picture, RGB uint8 (256, 256, 3); raises SystemExit where it is missing or of another size."""
    data = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None or picture.shape != (256, 256, 3):
        raise SystemExit(f"error: {path}: is missing, or no picture of 256 x 256; extract the pairs again")
    return np.ascontiguousarray(picture[..., ::-1])


def score_fakes(folder: Path, pairs: Path, out: Path, models: Path | None) -> None:
    """Add to the JSON ``out`` the ``akd`` of each run's held-out fakes, as ``mueca evaluate`` measures it; needs dlib.

    Its mean goes over the frames in whose target a face is found. A fake without one, which ``undetected`` counts, has
    the mean face's error there: a broken generator gains nothing by showing no face.
    """
    from mueca.portraits import make_ruler

    numbers = json.loads(out.read_text(encoding="utf-8"))
    find = make_ruler(None, models=models).find
    of_mean = mean_landmarks(pairs, find)
    reals: dict[str, Array | None] = {}
    for run in numbers["held_out"]:
        with np.load(folder / f"{run}.npz") as saved:
            fakes = dict(zip(saved["names"].tolist(), saved["fakes"], strict=True))
        for name in fakes.keys() - reals.keys():
            reals[name] = find(read_rgb(pairs / "test" / "target" / f"{name}.png"))
        seen = [(find(fake), reals[name]) for name, fake in fakes.items()]
        numbers["held_out"][run] |= landmark_scores(seen, of_mean)
    write_whole(out, json.dumps(numbers, indent=2) + "\n")
    rows = numbers["held_out"].items()
    print_table([{"run": run, "steps": told.get("steps"), "akd": told["akd"]} for run, told in rows])


def mean_landmarks(pairs: Path, find: Callable[[Array], Array | None]) -> Array:
    """Return the landmarks (68, 2) in the mean of the training targets, or the subject's own where it shows no face."""
    from mueca.subject import fit_subject

    mean_face = read_split(pairs / "train", None).targets.mean(axis=0).round().astype(np.uint8)
    found = find(mean_face)
    return fit_subject(pairs).typical_shape if found is None else found


def landmark_scores(seen: Sequence[tuple[Array | None, Array | None]], of_mean: Array) -> dict[str, Any]:
    """Return ``akd`` and ``undetected`` of the landmarks (68, 2) found in fakes and in their targets; None: no face."""
    from mueca import metrics

    known = [(of_mean if fake is None else fake, real) for fake, real in seen if real is not None]
    distances = [float(metrics.landmark_distance(fake, real)) for fake, real in known]
    undetected = sum(fake is None for fake, _ in seen)
    return {"akd": statistics.fmean(distances) if distances else None, "undetected": undetected}
