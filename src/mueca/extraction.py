"""extract(): a video becomes pairs on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mueca.config import SIZE_PX, ExtractSettings, to_json
from mueca.errors import InputError, OutputError
from mueca.face.condition import draw_condition
from mueca.face.crop import CropRule, apply_transform, crop_transforms, cut_crop
from mueca.face.detection import make_detector
from mueca.face.following import TimedImage, Track, follow, require_face
from mueca.face.prediction import LandmarkPredictor
from mueca.files import sha256_of, whole_folder
from mueca.pairs import (
    CONTENTS,
    MANIFEST,
    Landmarks,
    Manifest,
    is_whole,
    read_manifest,
    write_landmarks,
    write_manifest,
    write_pair,
    write_preview,
)
from mueca.version import VERSION
from mueca.video import VideoReader

Array = np.ndarray

FEWEST_FRAMES = 20
"""Below this, training and a held-out fifth make no sense."""

FIRST_SHOWN = 10
"""So many of the dropped frames' numbers are listed for each reason."""

PREVIEW_TILES = 24


def extract(
    video: Path,
    pairs: Path,
    settings: ExtractSettings | None = None,
    *,
    show_progress: bool = False,
) -> Manifest:
    """Write the pairs of a video's main face into the folder ``pairs`` and return their manifest.

    The video is read twice: the face is followed through every frame, then the chosen frames are written, so that
    memory stays flat. Pairs that the same call made before are left as they are. Raises InputError where the video
    gives no usable pairs, and OutputError where the folder holds something else.
    """
    settings = settings or ExtractSettings()
    reader = VideoReader(video)
    source_sha256 = sha256_of(video)
    if _made_before(pairs, source_sha256, settings):
        return read_manifest(pairs)

    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score)
    progress = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    with tqdm(reader, desc="follow", total=reader.info.declared_frames, **progress) as frames:
        track = follow(frames, detector, LandmarkPredictor())
    chosen = choose_frames(track.frame_index, every=settings.every, max_frames=settings.max_frames)
    _require_enough(video, track, len(chosen))

    rule = CropRule()
    landmarks = _place_crops(track, chosen, rule)
    manifest = Manifest(
        mueca_version=VERSION,
        source_name=video.name,
        source_sha256=source_sha256,
        source_size_px=[reader.info.width, reader.info.height],
        source_shortfall=reader.shortfall,
        detector=detector.name,
        settings=_shaping(settings),
        crop_rule=dataclasses.asdict(rule),
        **_counts(track, chosen, settings.train_share),
    )
    with whole_folder(pairs, replace=True, durable=False) as folder:
        with tqdm(reader, desc="write", total=track.num_frames, **progress) as frames:
            _write_pairs(folder, frames, landmarks, manifest)
        write_landmarks(folder, landmarks)
        write_manifest(folder, manifest)
    return manifest


def choose_frames(frame_index: Array, *, every: int, max_frames: int) -> Array:
    """Return those of the usable frame numbers (N,) that are written: every Nth of the clip, evenly at most so many."""
    chosen = frame_index[frame_index % every == 0]
    if len(chosen) <= max_frames:
        return chosen
    return chosen[np.linspace(0, len(chosen) - 1, max_frames).round().astype(int)]


def _made_before(pairs: Path, source_sha256: str, settings: ExtractSettings) -> bool:
    """Tell whether the folder holds just these pairs; raises OutputError where it holds anything that must stay."""
    if not pairs.exists() or (pairs.is_dir() and not any(pairs.iterdir())):
        return False
    if not (pairs / MANIFEST).is_file():
        raise OutputError(f"{pairs}: exists and is no pairs folder (it has no {MANIFEST}); name another folder")
    if settings.fresh:
        _require_nothing_else(pairs)
        return False
    manifest = read_manifest(pairs)
    now = {"source": source_sha256, "version": VERSION, **_shaping(settings)}
    then = {"source": manifest.source_sha256, "version": manifest.mueca_version, **manifest.settings}
    differing = [name for name in now if now[name] != then.get(name)]
    if differing:
        name = differing[0]
        what = (
            f"of another video ({manifest.source_name})" if name == "source" else f"made with {name} {then.get(name)}"
        )
        raise OutputError(f"{pairs}: holds pairs {what}; name another folder, or replace them with --fresh")
    if not is_whole(pairs, manifest):
        _require_nothing_else(pairs)
        return False
    return True


def _require_nothing_else(pairs: Path) -> None:
    """Raise OutputError where replacing the pairs would take anything with them that ``extract`` didn't write."""
    strange = sorted(path.name for path in pairs.iterdir() if path.name not in CONTENTS)
    if strange:
        raise OutputError(f"{pairs}: holds {strange[0]} beside the pairs; move it away, or name another folder")


def _shaping(settings: ExtractSettings) -> dict[str, Any]:
    """Return the settings that shape the pairs: not where model files lie, nor whether old pairs may go."""
    return {name: value for name, value in to_json(settings).items() if name not in ("models", "fresh")}


def _require_enough(video: Path, track: Track, num_chosen: int) -> None:
    require_face(video, track)
    if num_chosen < FEWEST_FRAMES:
        raise InputError(
            f"{video}: {num_chosen} usable frames of {track.num_frames} "
            f"({len(track.dropped.get('no_face', []))} without a face), and at least {FEWEST_FRAMES} are needed; "
            "film for longer, or lower --every"
        )


def _place_crops(track: Track, chosen: Array, rule: CropRule) -> Landmarks:
    return Landmarks(
        frame_index=track.frame_index,
        timestamp_s=track.timestamp_s,
        landmarks=track.landmarks,
        frame_from_crop=crop_transforms(track.landmarks, track.frame_index, track.fps, rule),
        kept=np.isin(track.frame_index, chosen),
    )


def _counts(track: Track, chosen: Array, train_share: float) -> dict[str, Any]:
    """Return the manifest's fields that count frames; the test frames are the last of the chosen ones."""
    num_train = min(max(round(train_share * len(chosen)), 1), len(chosen) - 1)
    return {
        "fps": track.fps,
        "num_frames": track.num_frames,
        "size_px": SIZE_PX,
        "kept": len(chosen),
        "dropped": {k: {"count": len(v), "first": v[:FIRST_SHOWN]} for k, v in track.dropped.items()},
        "not_chosen": len(track.frame_index) - len(chosen),
        "num_train": num_train,
        "num_test": len(chosen) - num_train,
        "first_test_frame": int(chosen[num_train]),
    }


def _write_pairs(folder: Path, frames: Iterable[TimedImage], landmarks: Landmarks, manifest: Manifest) -> None:
    """Write every kept frame's pair, and the preview."""
    row_of = {int(landmarks.frame_index[row]): row for row in np.flatnonzero(landmarks.kept)}
    kept = sorted(row_of)
    shown = {kept[i] for i in np.linspace(0, len(kept) - 1, PREVIEW_TILES).round().astype(int)}
    tiles = []
    for frame in frames:
        row = row_of.get(frame.index)
        if row is None:
            continue
        frame_from_crop = landmarks.frame_from_crop[row]
        target = cut_crop(frame.image, frame_from_crop)
        points = apply_transform(np.linalg.inv(frame_from_crop), landmarks.landmarks[row])
        condition = draw_condition(points, target)
        split = "test" if frame.index >= manifest.first_test_frame else "train"
        write_pair(folder, split, frame.index, condition, target)
        if frame.index in shown:
            tiles.append((condition, target))
        row_of.pop(frame.index)
    if row_of:
        raise InputError(f"{manifest.source_name}: frame {min(row_of)} decoded once and not again; copy the file anew")
    write_preview(folder, tiles)
