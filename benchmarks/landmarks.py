"""How much landmarks tremble on calm faces, as found and as mueca steadies them, and what a blink keeps.

    python benchmarks/landmarks.py --out benchmarks/results/landmarks.json [--quick] [--clips FOLDER]

Tremble is the median motion of a landmark from frame to frame, and the median of its second difference, in % of the
outer eye distance, over frames that follow each other. It counts on real clips only: drawn faces do not tremble.
``plain`` is dlib's predictor on the picture as it is, from one box of whole pixels; ``one_box`` on the face brought
to one size; ``five_boxes`` the mean over five such boxes; ``smoothed`` those along time. The ratio is of smoothed to
plain. Blinks of three frames, closing at once and gradually, are put into the found landmarks, in the middle of the
longest stretch without a gap, and the depth that is left of them measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
from measuring import find_clips, make_parser, print_table, write_result

from mueca.face.detection import Detector, make_detector
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, eye_distance
from mueca.face.model_files import LANDMARKS_68, packaged
from mueca.face.prediction import LandmarkPredictor
from mueca.face.smoothing import smooth_landmarks
from mueca.video import VideoReader

Array = np.ndarray
Box = tuple[float, float, float, float]

CLIPS = ("d18", "d19", "s18")
BLINKS = {"sudden": (1.0, 1.0, 1.0), "gradual": (0.5, 1.0, 0.5)}


def make_ways() -> dict[str, Callable[[Array, Box], Array]]:
    """Return the ways to find landmarks (68, 2) of a picture's box, by name."""
    plain, predictor = dlib.shape_predictor(str(packaged(LANDMARKS_68))), LandmarkPredictor()

    def predict_plainly(image: Array, box: Box) -> Array:
        parts = plain(image, dlib.rectangle(*(round(v) for v in box))).parts()
        return np.array([(p.x, p.y) for p in parts], dtype=float)

    return {
        "plain": predict_plainly,
        "one_box": lambda image, box: predictor.predict(image, box, num_boxes=1),
        "five_boxes": predictor.predict,
    }


def find(video: Path, detector: Detector, *, max_frames: int) -> tuple[Array, dict[str, Array], dict[str, float]]:
    """Return the numbers (N,) of the first frames that have a face, each way's landmarks (N, 68, 2) and ms a frame."""
    ways, frame_index = make_ways(), []
    found: dict[str, list[Array]] = {name: [] for name in ways}
    ms: dict[str, list[float]] = {name: [] for name in ways}
    for frame in VideoReader(video):
        if frame.index == max_frames:
            break
        faces = detector.detect(frame.image)
        if not faces:
            continue
        frame_index.append(frame.index)
        box = detector.predictor_box(faces[0])
        for name, predict in ways.items():
            start = time.perf_counter()
            found[name].append(predict(frame.image, box))
            ms[name].append(1000 * (time.perf_counter() - start))
    if len(longest_stretch(np.array(frame_index))) < 10:
        raise SystemExit(f"error: {video}: no ten frames with a face in a row; name clips of a face in --clips")
    tracks = {name: np.array(values) for name, values in found.items()}
    return np.array(frame_index), tracks, {name: statistics.median(values) for name, values in ms.items()}


def tremble(landmarks: Array, frame_index: Array, order: int) -> float:
    """Return the median difference of that order along time, in % of the eye distance; none reaches over a gap."""
    moved = np.linalg.norm(np.diff(landmarks, order, axis=0), axis=-1) / eye_distance(landmarks)[order:, None]
    return float(100 * np.median(moved[frame_index[order:] - frame_index[:-order] == order]))


def longest_stretch(frame_index: Array) -> Array:
    """Return the places in ``frame_index`` of the most frames that follow each other without a gap."""
    stretches = np.split(np.arange(len(frame_index)), np.flatnonzero(np.diff(frame_index) != 1) + 1)
    return max(stretches, key=len)


def blink_kept(landmarks: Array, frame_index: Array, closing: tuple[float, ...]) -> float:
    """Return the share of a blink's depth that smoothing leaves: the upper lids come down to the lower ones."""
    stretch = longest_stretch(frame_index)
    at = stretch[len(stretch) // 2]
    blinking = landmarks.copy()
    for offset, share in enumerate(closing):
        for eye in (EYE_RIGHT, EYE_LEFT):
            upper, lower = blinking[at + offset, eye][1:3], blinking[at + offset, eye][[5, 4]]
            upper += share * (lower - upper)
    before, after = smooth_landmarks(landmarks, frame_index), smooth_landmarks(blinking, frame_index)
    middle = at + len(closing) // 2
    opened, closed, found = (_opening(track[middle]) for track in (before, after, blinking))
    return float((opened - closed) / (opened - found))


def _opening(face: Array) -> float:
    return float(sum((face[eye][[4, 5], 1] - face[eye][[1, 2], 1]).mean() for eye in (EYE_RIGHT, EYE_LEFT)))


def measure(video: Path, detector: Detector, *, max_frames: int) -> dict[str, object]:
    """Return one clip's row of the table."""
    frame_index, tracks, ms = find(video, detector, max_frames=max_frames)
    tracks["smoothed"] = smooth_landmarks(tracks["five_boxes"], frame_index)
    row: dict[str, object] = {"clip": video.stem, "frames": len(frame_index)}
    for name, track in tracks.items():
        row[f"{name}_motion"], row[f"{name}_second"] = (tremble(track, frame_index, order) for order in (1, 2))
    row["tremble_ratio"] = row["smoothed_motion"] / row["plain_motion"]
    for name, closing in BLINKS.items():
        row[f"blink_{name}"] = blink_kept(tracks["five_boxes"], frame_index, closing)
    return row | {"plain_ms_per_frame": ms["plain"], "ms_per_frame": ms["five_boxes"]}


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
