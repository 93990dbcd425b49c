"""How much of the driver's face shape shows through, and how well their expressions arrive, where the truth is known.

    python benchmarks/retargeting.py --out benchmarks/results/retargeting.json [--quick] [--work FOLDER]

The drawn actors a and b and another person of each build (a2, b2: other eyes, jaw, mouth, nose and brows) drive each
other by video: each driver's clip is followed as any video is. The truth is the subject rendered with the driver's
performance.

- Conditions: the retargeted landmarks against those found in the true video, for all eight pairings of a subject of
  one build and a driver of the other, in % of the distance between the outer eye corners; "turned" where the head is
  turned by more than 15 degrees.
- Results: a and b are trained (preset small, --budget each, 150 s unless told), each is driven by both people of the
  other build, and landmarks are found again in the videos that come out. ``shape_leak`` is 0 where the result has the
  subject's own shape and 1 where it has the driver's. "expression" is the landmark error less its mean over the clip,
  which is shape; ``expression_error_ratio`` is that of cross- over that of self-reenactment (the run's own held-out
  frames). Every line is there with retargeting and with --retarget none, the report's way.

Clips and runs lie in --work and are found again by the next call.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from measuring import actor_clips, make_parser, print_table, write_result

from mueca import metrics
from mueca.actors import ACTORS, CLIP_FPS, Expression, Identity, landmarks_of, render, standard_performance, write_clip
from mueca.config import DriveSettings, ExtractSettings, TrainSettings, parse_duration
from mueca.evaluation.held_out import paint_row
from mueca.extraction import extract
from mueca.face.crop import CropRule, apply_transform, crop_transforms, cut_crop
from mueca.face.detection import Detector
from mueca.face.following import follow
from mueca.face.retarget import Retargeter, place
from mueca.face.shape import fit_face
from mueca.face.track import Track
from mueca.pairs import read_split
from mueca.portraits import make_ruler
from mueca.reenactment import drive, load_generator
from mueca.subject import read_atlas, read_subject, with_charts
from mueca.training import train
from mueca.video import VideoReader

Array = np.ndarray
Find = Callable[[Array], Array | None]
"""From a picture to its landmarks (68, 2), or None."""

PEOPLE: dict[str, Identity] = {
    **ACTORS,
    "a2": replace(
        ACTORS["a"],
        name="a2",
        eye_distance=0.95,
        eye_size=0.95,
        eye_opening=0.95,
        jaw_width=1.04,
        mouth_width=1.05,
        lip_fullness=1.0,
        nose_width=1.0,
        brow_height_cm=-0.05,
        brow_thickness=1.1,
        seed=31,
    ),
    "b2": replace(
        ACTORS["b"],
        name="b2",
        eye_distance=1.07,
        eye_size=1.02,
        eye_opening=1.12,
        jaw_width=0.93,
        mouth_width=0.92,
        lip_fullness=1.1,
        nose_width=0.95,
        nose_height=0.95,
        brow_height_cm=0.12,
        brow_thickness=0.85,
        seed=37,
    ),
}
BUILDS = {"a": ("a", "a2"), "b": ("b", "b2")}
"""Who performs which standard performance."""

TURNED_DEGREES = 15.0
EVERY = 5
"""Of the painted frames so many are compared with the truth, which takes 60 ms to render."""


@dataclass(frozen=True)
class Comparison:
    """Means over frames; landmark errors in % of the true face's eye distance."""

    landmark_error: float
    landmark_error_turned: float | None
    expression_error: float
    psnr: float
    ssim: float
    leak: float | None
    undetected: int


class Studio:
    """The people's clips, filmed when first asked for, and the tracks of them."""

    def __init__(self, folder: Path, detector: Detector):
        self._folder, self._detector = folder, detector
        self._standard = actor_clips()
        self._tracks: dict[Path, Track] = {}

    def clip(self, who: str, act: str) -> Path:
        """Return the video in which a person gives the standard performance of actor ``act``."""
        if who == act:
            return self._standard[who]
        path = self._folder / f"{who}_as_{act}.mp4"
        if not path.exists():
            write_clip(path, PEOPLE[who], standard_performance(act), fps=CLIP_FPS)
        return path

    def track(self, who: str, act: str) -> Track:
        """Return what following finds in that video."""
        path = self.clip(who, act)
        if path not in self._tracks:
            self._tracks[path] = follow(VideoReader(path), self._detector)
        return self._tracks[path]


def in_crops(track: Track) -> Array:
    """Return the track's landmarks (N, 68, 2) in pixels of the crops that follow it."""
    transforms = crop_transforms(track.landmarks, track.frame_index, track.shot, track.fps, CropRule())
    return apply_transform(np.linalg.inv(transforms), track.landmarks)


def measure_condition(studio: Studio, subject: str, driver: str) -> dict[str, Any]:
    """Return one pairing's row: the errors of its conditions' landmarks, retargeted and not."""
    act = driver[0]
    truth, asked = studio.track(subject, act), studio.track(driver, act)
    face, drivers = (fit_face(in_crops(track)) for track in (studio.track(subject, subject[0]), asked))
    _, ours, theirs = np.intersect1d(asked.frame_index, truth.frame_index, return_indices=True)
    yaw = np.array([standard_performance(act)[index].yaw for index in asked.frame_index[ours]])
    row: dict[str, Any] = {"subject": subject, "driver": driver}
    ways = {
        "shape": Retargeter(face, drivers).carry_over(in_crops(asked)),
        "none": place(in_crops(asked), face, drivers),
    }
    for way, carried in ways.items():
        error = 100.0 * metrics.landmark_distance(carried[ours], in_crops(truth)[theirs])
        row[way], row[f"{way}_turned"] = float(error.mean()), float(error[np.abs(yaw) > TURNED_DEGREES].mean())
    return row


def true_crops(identity: Identity, expressions: Sequence[Expression], rows: Sequence[int]) -> list[Array]:
    """Return the true pictures of some frames of a performance, cropped by their true landmarks."""
    exact = np.stack([landmarks_of(identity, expression) for expression in expressions])
    index = np.arange(len(exact))
    transforms = crop_transforms(exact, index, np.zeros_like(index), CLIP_FPS, CropRule())
    return [cut_crop(render(identity, expressions[row], frame_index=row)[0], transforms[row]).copy() for row in rows]


def compare(
    fakes: Sequence[Array], truths: Sequence[Array], yaw: Array, find: Find, subject: Array, driver: Array
) -> Comparison:
    """Compare fakes with the true pictures; ``subject`` and ``driver`` are neutral shapes (68, 2)."""
    found = [(find(fake), find(true)) for fake, true in zip(fakes, truths, strict=True)]
    seen = np.array([a is not None and b is not None for a, b in found])
    if not seen.any():
        raise SystemExit("error: not one fake shows a face; train for longer with --budget")
    ours, theirs = (np.stack([pair[k] for pair, ok in zip(found, seen, strict=True) if ok]) for k in (0, 1))
    error, turned = 100.0 * metrics.landmark_distance(ours, theirs), np.abs(yaw[seen]) > TURNED_DEGREES
    return Comparison(
        landmark_error=float(error.mean()),
        landmark_error_turned=float(error[turned].mean()) if turned.any() else None,
        expression_error=100.0 * float(metrics.expression_distance(ours, theirs).mean()),
        psnr=float(np.mean([metrics.psnr(a, b) for a, b in zip(fakes, truths, strict=True)])),
        ssim=float(np.mean([metrics.ssim(a, b) for a, b in zip(fakes, truths, strict=True)])),
        leak=metrics.shape_leak(fit_face(ours).frontal_shape, subject, driver),
        undetected=int((~seen).sum()),
    )


def learn(subject: str, work: Path, clip: Path, *, budget: float, models: Path | None) -> tuple[Path, Path]:
    """Return the subject's pairs and trained run; a run that is there already is taken as it is."""
    pairs, run = work / subject / "pairs", work / subject / "run"
    extract(clip, pairs, ExtractSettings(models=models), show_progress=True)
    train(pairs, run, TrainSettings(budget=budget), show_progress=True)
    return pairs, run


def measure_self(subject: str, pairs: Path, run: Path, find: Find) -> dict[str, Any]:
    """Return the row of a run's own held-out frames."""
    paint, test = load_generator(run, device="auto", threads=None), read_split(pairs, "test")
    test = with_charts(test, pairs, read_atlas(run))
    fakes = [paint_row(paint, test, row) for row in range(len(test.names))]
    yaw = np.array([standard_performance(subject)[index].yaw for index in test.frame_index])
    shape, anybody = read_subject(run).typical_shape, fit_face(in_crops_of_other(subject)).frontal_shape
    result = compare(fakes, list(test.targets), yaw, find, shape, anybody)
    return {"subject": subject, "driver": subject, "retarget": "self", **asdict(result)}


def in_crops_of_other(subject: str) -> Array:
    """Return the true landmarks (N, 68, 2) of the actor who is not the subject: the one whose shape can't leak."""
    (other,) = set(ACTORS) - {subject}
    return np.stack([landmarks_of(ACTORS[other], expression) for expression in standard_performance(other)])


def measure_result(
    studio: Studio, subject: str, driver: str, run: Path, find: Find, *, models: Path | None
) -> list[dict[str, Any]]:
    """Return the two rows of a run driven by a person: retargeted, and with the driver's own shape."""
    act = driver[0]
    expressions = standard_performance(act)
    rows = list(range(2, len(expressions), EVERY))
    truths = true_crops(PEOPLE[subject], expressions, rows)
    yaw = np.array([expressions[row].yaw for row in rows])
    shape, drivers = read_subject(run).typical_shape, fit_face(in_crops(studio.track(driver, act))).frontal_shape
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for way in ("shape", "none"):
            out = Path(folder) / f"{way}.mp4"
            drive(run, studio.clip(driver, act), out, DriveSettings(retarget=way, models=models), show_progress=True)
            fakes = [frame.image.copy() for frame in VideoReader(out) if frame.index in set(rows)]
            result = compare(fakes, truths, yaw, find, shape, drivers)
            results.append({"subject": subject, "driver": driver, "retarget": way, **asdict(result)})
    return results


def measure(work: Path, *, budget: float, quick: bool, models: Path | None) -> dict[str, Any]:
    """Return the numbers of all pairings; with ``quick`` of actor a driven by b alone."""
    ruler = make_ruler(None, models=models)
    studio = Studio(work, ruler.detector)
    pairings = [("a", "b")] if quick else [(s, d) for s in PEOPLE for d in PEOPLE if s[0] != d[0]]
    conditions = [measure_condition(studio, *pairing) for pairing in pairings]
    print_table(conditions)
    results: list[dict[str, Any]] = []
    for subject in ("a",) if quick else ACTORS:
        pairs, run = learn(subject, work, studio.clip(subject, subject), budget=budget, models=models)
        results.append(measure_self(subject, pairs, run, ruler.find))
        for driver in [d for s, d in pairings if s == subject]:
            results += measure_result(studio, subject, driver, run, ruler.find, models=models)
    print_table(results)
    ways = {way: [row for row in results if row["retarget"] == way] for way in ("self", "shape", "none")}
    own = {row["subject"]: row["expression_error"] for row in ways["self"]}
    return {
        "shape_leak": _largest(ways["shape"]),
        "shape_leak_without": _largest(ways["none"]),
        "shape_leaks": {f"{row['subject']} by {row['driver']}": row["leak"] for row in ways["shape"]},
        "expression_error_ratio": max(row["expression_error"] / own[row["subject"]] for row in ways["shape"]),
        "condition_error": float(np.mean([row["shape"] for row in conditions])),
        "condition_error_without": float(np.mean([row["none"] for row in conditions])),
        "budget_s": budget,
        "conditions": conditions,
        "results": results,
    }


def _largest(rows: list[dict[str, Any]]) -> float | None:
    """Return the largest leak; None where none can be told. Below zero a result departs from the driver's shape."""
    return max((row["leak"] for row in rows if row["leak"] is not None), default=None)


def main() -> None:
    parser = make_parser(__doc__ or "", clips=False, models=True)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="for clips and runs (default: one that goes again)")
    parser.add_argument("--budget", type=parse_duration, metavar="TIME", help="of each training (default: 150s)")
    arguments = parser.parse_args()
    budget = arguments.budget or (20.0 if arguments.quick else 150.0)
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        numbers = measure(work, budget=budget, quick=arguments.quick, models=arguments.models)
    write_result(arguments.out, numbers, quick=arguments.quick)


if __name__ == "__main__":
    main()
