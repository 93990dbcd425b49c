"""How much landmarks tremble on calm faces, as found and as mueca steadies them, and what a blink keeps.

    python benchmarks/landmarks.py --out benchmarks/results/landmarks.json [--quick] [--clips FOLDER]

Tremble is the median motion of a landmark from frame to frame, and the median of its second difference, in % of the
outer eye distance. It counts on real clips only: drawn faces do not tremble. Blinks of three frames, closing at once
and gradually, are put into the found landmarks, and the depth that is left of them measured.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
from measuring import find_clips, make_parser, print_table, write_result

from mueca.face.detection import Detector, make_detector
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, eye_distance
from mueca.face.prediction import LandmarkPredictor
from mueca.face.smoothing import smooth_landmarks
from mueca.video import VideoReader

CLIPS = ("d18", "d19", "s18")
BLINKS = {"sudden": (1.0, 1.0, 1.0), "gradual": (0.5, 1.0, 0.5)}


def find(video: Path, detector: Detector, *, max_frames: int) -> dict[str, np.ndarray]:
    """Return landmarks (N, 68, 2) of the first frames, found from one box and from five, and ms per frame (N,)."""
    predictor = LandmarkPredictor()
    found: dict[str, list[np.ndarray]] = {"one": [], "five": []}
    seconds = []
    for frame in VideoReader(video):
        faces = detector.detect(frame.image)
        if frame.index == max_frames:
            break
        if not faces:
            continue
        box = detector.predictor_box(faces[0])
        found["one"].append(predictor.predict(frame.image, box, num_boxes=1))
        start = time.perf_counter()
        found["five"].append(predictor.predict(frame.image, box))
        seconds.append(1000 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in found.items()} | {"ms": np.array(seconds)}


def tremble(landmarks: np.ndarray, order: int) -> float:
    """Return the median difference of that order along time, in % of the eye distance."""
    moved = np.linalg.norm(np.diff(landmarks, order, axis=0), axis=-1)
    return float(100 * np.median(moved / eye_distance(landmarks)[order:, None]))


def blink_kept(landmarks: np.ndarray, closing: tuple[float, ...]) -> float:
    """Return the share of a blink's depth that smoothing leaves: the upper lids come down to the lower ones."""
    at = len(landmarks) // 2
    blinking = landmarks.copy()
    for offset, share in enumerate(closing):
        for eye in (EYE_RIGHT, EYE_LEFT):
            upper, lower = blinking[at + offset, eye][1:3], blinking[at + offset, eye][[5, 4]]
            upper += share * (lower - upper)
    numbers = np.arange(len(landmarks))
    before, after = smooth_landmarks(landmarks, numbers), smooth_landmarks(blinking, numbers)
    middle = at + len(closing) // 2
    opened, closed, found = (_opening(track[middle]) for track in (before, after, blinking))
    return float((opened - closed) / (opened - found))


def _opening(face: np.ndarray) -> float:
    return float(sum((face[eye][[4, 5], 1] - face[eye][[1, 2], 1]).mean() for eye in (EYE_RIGHT, EYE_LEFT)))


def measure(video: Path, detector: Detector, *, max_frames: int) -> dict[str, object]:
    found = find(video, detector, max_frames=max_frames)
    steady = smooth_landmarks(found["five"], np.arange(len(found["five"])))
    row: dict[str, object] = {"clip": video.stem, "frames": len(steady)}
    for name, track in (("one_box", found["one"]), ("five_boxes", found["five"]), ("smoothed", steady)):
        row[f"{name}_motion"], row[f"{name}_second"] = tremble(track, 1), tremble(track, 2)
    row["tremble_ratio"] = tremble(steady, 1) / tremble(found["one"], 1)
    for name, closing in BLINKS.items():
        row[f"blink_{name}"] = blink_kept(found["five"], closing)
    return row | {"ms_per_frame": float(np.median(found["ms"]))}


def main() -> None:
    arguments = make_parser(__doc__ or "", clips=True).parse_args()
    detector = make_detector(models=arguments.models)
    clips = find_clips(arguments.clips, CLIPS)
    rows = [measure(clip, detector, max_frames=60 if arguments.quick else 200) for clip in clips]
    print_table(rows)
    numbers = {"tremble_ratio": statistics.median(row["tremble_ratio"] for row in rows), "clips": rows}
    write_result(arguments.out, numbers, quick=arguments.quick)


if __name__ == "__main__":
    main()
