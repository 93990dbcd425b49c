"""How steady the landmarks are, how late, and how much of a blink is left: plainly found, followed, and live.

    python benchmarks/landmarks.py --out benchmarks/results/landmarks.json [--quick] [--clips FOLDER]

Each frame's landmarks are found in three ways: "plain" (the detector in every frame, one answer of the predictor for
its box in the picture as it is: the report's way), "files" (``mueca.face.following.follow``, which looks ahead) and
"live" (``mueca.face.live_following.LiveFollower``, which can't). The table says, in % of the distance between the
outer eye corners,

- motion: how far a landmark moves from one frame to the next, and second: the second difference along time, medians
  over landmarks and frames. On calm clips of real people that is tremble; drawn actors' landmarks tremble little.
- lag: by how many frames the landmarks are behind the truth, which only the drawn actors know; "slow" in that third
  of the frames in which the truth moves least.
- error: the mean distance from the truth, on the actors.
- blink: what is left of the depth of a blink painted into the landmarks: three frames with the lids closed all at
  once, or gradually (half, wholly, half).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from measuring import actor_clips, find_clips, make_parser, print_table, write_result

from mueca.actors import ACTORS, landmarks_of, standard_performance
from mueca.face.detection import Detector, make_detector
from mueca.face.following import follow
from mueca.face.landmarks import EYE_LEFT, EYE_RIGHT, eye_distance
from mueca.face.live_following import LiveFollower
from mueca.face.model_files import LANDMARKS_68, packaged
from mueca.face.smoothing import smooth_landmarks
from mueca.face.steadying import Steadier
from mueca.video import VideoReader

Array = np.ndarray
Found = tuple[Array, Array]
"""Frame numbers (N,) and their landmarks (N, 68, 2)."""

CLIPS = ("d18", "d19", "s18")
BLINKS = {"sudden": (1.0, 1.0, 1.0), "gradual": (0.5, 1.0, 0.5)}


def find_plainly(video: Path, detector: Detector) -> Found:
    """Return the report's landmarks: the best face of every frame, one answer for its box."""
    predictor = dlib.shape_predictor(str(packaged(LANDMARKS_68)))
    found: dict[int, Array] = {}
    for frame in VideoReader(video):
        faces = detector.detect(frame.image)
        if faces:
            box = dlib.rectangle(*(round(v) for v in detector.predictor_box(faces[0])))
            found[frame.index] = np.array([(p.x, p.y) for p in predictor(frame.image, box).parts()], dtype=float)
    return _as_found(found)


def find_in_file(video: Path, detector: Detector) -> Found:
    """Return what following a file gives."""
    track = follow(VideoReader(video), detector)
    return track.frame_index, track.landmarks


def find_live(video: Path, detector: Detector) -> Found:
    """Return what following a camera gives."""
    follower = LiveFollower(detector)
    readings = {frame.index: follower.step(frame.image, frame.timestamp_s) for frame in VideoReader(video)}
    return _as_found({index: reading.landmarks for index, reading in readings.items() if reading is not None})


WAYS: dict[str, Callable[[Path, Detector], Found]] = {
    "plain": find_plainly,
    "files": find_in_file,
    "live": find_live,
}


def tremble(landmarks: Array, frame_index: Array, order: int) -> float:
    """Return the median difference of that order along time, in % of the eye distance; none reaches over a gap."""
    moved = np.linalg.norm(np.diff(landmarks, order, axis=0), axis=-1) / eye_distance(landmarks)[order:, None]
    return float(100 * np.median(moved[frame_index[order:] - frame_index[:-order] == order]))


def lag_frames(found: Array, truth: Array, *, slow: bool = False) -> float:
    """Return by how many frames landmarks (N, 68, 2) of all frames are behind the truth (N, 68, 2).

    It is the shift of the truth that leaves the least squared distance between the two, to a fiftieth of a frame; what
    predictor and drawing call a chin differs by a constant, each landmark's mean, which doesn't count.
    """
    place = np.arange(len(truth))
    inner = slice(_FARTHEST, len(truth) - _FARTHEST)
    speed = np.linalg.norm(np.gradient(truth, axis=0), axis=-1).mean(-1)[inner]
    counts = speed <= np.percentile(speed, 100 / 3) if slow else np.ones(len(speed), bool)
    shifts = np.arange(-_FARTHEST, _FARTHEST + 1e-9, 0.02)
    errors = []
    for shift in shifts:
        at = np.clip(place - shift, 0, len(truth) - 1)
        low = np.minimum(np.floor(at).astype(int), len(truth) - 2)
        share = (at - low)[:, None, None]
        apart = (found - (1 - share) * truth[low] - share * truth[low + 1])[inner][counts]
        errors.append(((apart - apart.mean(axis=0)) ** 2).sum())
    return float(shifts[int(np.argmin(errors))])


_FARTHEST = 3


def longest_stretch(frame_index: Array) -> Array:
    """Return the places in ``frame_index`` of the most frames that follow each other without a gap."""
    stretches = np.split(np.arange(len(frame_index)), np.flatnonzero(np.diff(frame_index) != 1) + 1)
    return max(stretches, key=len)


def blink_kept(steady: Callable[[Array], Array], landmarks: Array, closing: tuple[float, ...]) -> float:
    """Return the share of a blink's depth that ``steady`` leaves: the upper lids come down to the lower ones."""
    at = len(landmarks) // 2
    blinking = landmarks.copy()
    for offset, share in enumerate(closing):
        for eye in (EYE_RIGHT, EYE_LEFT):
            upper, lower = blinking[at + offset, eye][1:3], blinking[at + offset, eye][[5, 4]]
            upper += share * (lower - upper)
    middle = at + len(closing) // 2
    opened, closed, asked = (_opening(track[middle]) for track in (steady(landmarks), steady(blinking), blinking))
    return float((opened - closed) / (opened - asked))


def steadied_as_file(landmarks: Array) -> Array:
    """Return landmarks (N, 68, 2) of consecutive frames, 30 a second, as ``follow`` smooths them."""
    return smooth_landmarks(landmarks, np.arange(len(landmarks)), np.zeros(len(landmarks), int), 30.0)


def steadied_live(landmarks: Array) -> Array:
    """Return landmarks (N, 68, 2) of consecutive frames, 30 a second, as ``LiveFollower`` steadies them."""
    steadier = Steadier()
    return np.array([steadier.steady(face, k / 30) for k, face in enumerate(landmarks)])


def measure_clip(video: Path, detector: Detector) -> dict[str, Any]:
    """Return one clip's row: motion, second differences, and what is left of blinks."""
    row: dict[str, Any] = {"clip": video.stem}
    for name, find in WAYS.items():
        frame_index, landmarks = find(video, detector)
        if len(longest_stretch(frame_index)) < 10:
            raise SystemExit(f"error: {video}: no ten frames with a face in a row; name clips of a face in --clips")
        row[f"{name}_motion"], row[f"{name}_second"] = (tremble(landmarks, frame_index, order) for order in (1, 2))
        if name == "plain":
            stretch = landmarks[longest_stretch(frame_index)]
            for blink, closing in BLINKS.items():
                row[f"files_blink_{blink}"] = blink_kept(steadied_as_file, stretch, closing)
                row[f"live_blink_{blink}"] = blink_kept(steadied_live, stretch, closing)
    for name in ("files", "live"):
        row[f"{name}_ratio"] = row[f"{name}_motion"] / row["plain_motion"]
    return row


def measure_actor(name: str, video: Path, detector: Detector) -> dict[str, Any]:
    """Return an actor's row: lag and error of each way, the truth being known."""
    truth = np.array([landmarks_of(ACTORS[name], expression) for expression in standard_performance(name)])
    row: dict[str, Any] = {"actor": name}
    for way, find in WAYS.items():
        frame_index, landmarks = find(video, detector)
        if len(frame_index) != len(truth):
            raise SystemExit(f"error: {video}: the face was found in {len(frame_index)} of {len(truth)} frames")
        apart = np.linalg.norm(landmarks - truth, axis=-1).mean(-1) / eye_distance(truth)
        row[f"{way}_lag"] = lag_frames(landmarks, truth)
        row[f"{way}_lag_slow"] = lag_frames(landmarks, truth, slow=True)
        row[f"{way}_error"] = float(100 * apart.mean())
    return row


def measure(clips: list[Path], actors: dict[str, Path], detector: Detector) -> dict[str, Any]:
    """Return the numbers of all clips and actors: medians of the ratios, and the worst lag."""
    rows = [measure_clip(clip, detector) for clip in clips]
    print_table(rows)
    truths = [measure_actor(name, clip, detector) for name, clip in actors.items()]
    print_table(truths)
    return {
        "tremble_ratio": statistics.median(row["files_ratio"] for row in rows),
        "tremble_ratio_live": statistics.median(row["live_ratio"] for row in rows),
        "lag_frames": max((row["files_lag"] for row in truths), key=abs),
        "lag_frames_live": max((row["live_lag"] for row in truths), key=abs),
        "clips": rows,
        "actors": truths,
    }


def _as_found(found: dict[int, Array]) -> Found:
    return np.array(list(found), dtype=np.int64), np.array(list(found.values())).reshape(-1, 68, 2)


def _opening(face: Array) -> float:
    return float(sum((face[eye][[4, 5], 1] - face[eye][[1, 2], 1]).mean() for eye in (EYE_RIGHT, EYE_LEFT)))


def main() -> None:
    arguments = make_parser(__doc__ or "", clips=True).parse_args()
    detector = make_detector(models=arguments.models)
    clips = find_clips(arguments.clips, CLIPS)[: 1 if arguments.quick else None]
    numbers = measure(clips, actor_clips(), detector)
    write_result(arguments.out, numbers, quick=arguments.quick)


if __name__ == "__main__":
    main()
