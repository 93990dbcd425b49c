"""extract(): a video, or a folder of pictures, becomes pairs on disk."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from mueca.coaching.charts import draw_coverage
from mueca.coaching.coverage import advice, coverage_of
from mueca.config import SIZE_PX, ExtractSettings, to_json
from mueca.errors import InputError, OutputError
from mueca.face.condition import draw_condition
from mueca.face.crop import CropRule, apply_transform, crop_transforms, cut_crop
from mueca.face.detection import make_detector
from mueca.face.following import follow_video
from mueca.face.model_files import used_files
from mueca.face.track import Track
from mueca.files import whole_folder
from mueca.marks import UNMARKED
from mueca.pairs import (
    CONTENTS,
    COVERAGE,
    MANIFEST,
    Landmarks,
    Manifest,
    Split,
    is_whole,
    read_manifest,
    write_landmarks,
    write_manifest,
    write_pair,
    write_preview,
)
from mueca.pictures import write_picture
from mueca.selection import Choice, choose
from mueca.sources import REMEMBER_BYTES, name_of, open_source, sha256_of_source
from mueca.spreading import available_cores
from mueca.version import VERSION
from mueca.video import Frame

Array = np.ndarray
J, R = TypeVar("J"), TypeVar("R")

FEWEST_FRAMES = 20
"""Below this, training and a held-out fifth make no sense."""

FIRST_SHOWN = 10
"""So many of the dropped frames' numbers are listed for each reason."""

PREVIEW_TILES = 24

MOST_THREADS = 4
"""Of 3 ms a pair each; this thread, which decodes a frame in 0.7 ms, keeps no more of them busy."""


def extract(
    source: Path,
    pairs: Path,
    settings: ExtractSettings | None = None,
    *,
    show_progress: bool = False,
    remember_bytes: int = REMEMBER_BYTES,
) -> Manifest:
    """Write the pairs of one face in a source into the folder ``pairs`` and return their manifest.

    ``source`` is a video, or a folder of pictures that are the frames of one take in order: photographs taken one by
    one would have their landmarks smoothed over each other. It is read twice: the face is followed through every
    frame, then the chosen frames are written, so that memory stays flat; ``remember_bytes`` of a decoded video are
    kept for the second time. Pairs that the same call made before are left as they are.
    Raises InputError where the source gives no usable pairs, and OutputError where the folder holds something
    else.
    """
    settings = settings or ExtractSettings()
    reader = open_source(source, remember_bytes=remember_bytes)
    source_sha256 = sha256_of_source(source)
    if _made_before(pairs, source_sha256, settings):
        return read_manifest(pairs)

    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score)
    track = follow_video(reader, detector, face=settings.face, workers=settings.workers, show_progress=show_progress)
    choice = choose(track, every=settings.every, max_frames=settings.max_frames, train_share=settings.train_share)
    counts = _counts(track, choice, reader.unreadable)
    _require_enough(source, counts)

    rule = CropRule()
    landmarks = _place_crops(track, choice, rule)
    learnable = np.flatnonzero((track.problem == "") & (track.frame_index <= track.frame_index[choice.train[-1]]))
    coverage = coverage_of(track, learnable)
    manifest = Manifest(
        mueca_version=VERSION,
        source_name=name_of(source),
        source_sha256=source_sha256,
        source_size_px=[reader.info.width, reader.info.height],
        source_shortfall=reader.shortfall,
        detector=detector.name,
        model_files=used_files(detector.name),
        settings=_shaping(settings),
        crop_rule=dataclasses.asdict(rule),
        fps=track.fps,
        size_px=SIZE_PX,
        others=track.others,
        advice=advice(coverage),
        **counts,
    )
    threads = min(settings.workers or available_cores(), MOST_THREADS)
    with whole_folder(pairs, replace=True, durable=False) as folder:
        kept = landmarks.frame_index[landmarks.kept]
        options = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
        with tqdm(reader, desc="write", total=int(kept[-1]) + 1, **options) as frames:
            _write_pairs(folder, _jobs(frames, landmarks, manifest), kept, threads=threads)
        write_landmarks(folder, landmarks)
        write_picture(folder / COVERAGE, draw_coverage(coverage), mark=UNMARKED)
        write_manifest(folder, manifest)
    return manifest


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
    """Return the settings that shape the pairs: not where model files lie, how many work, or whether old ones go."""
    return {name: value for name, value in to_json(settings).items() if name not in ("models", "workers", "fresh")}


def _counts(track: Track, choice: Choice, unreadable: list[int]) -> dict[str, Any]:
    """Return the manifest's fields that count frames; ``unreadable`` are frames that following was never given."""
    dropped = {**track.lost, **({"unreadable": unreadable} if unreadable else {})}
    for reason in sorted({str(problem) for problem in track.problem} - {""}):
        dropped[reason] = sorted([*dropped.get(reason, []), *track.frame_index[track.problem == reason].tolist()])
    kept = len(choice.train) + len(choice.test)
    return {
        "num_frames": track.num_frames + len(unreadable),
        "kept": kept,
        "dropped": {k: {"count": len(v), "first": v[:FIRST_SHOWN]} for k, v in dropped.items() if v},
        "not_chosen": int((track.problem == "").sum()) - kept - len(choice.gap),
        "in_gap": len(choice.gap),
        "num_train": len(choice.train),
        "num_test": len(choice.test),
        "first_test_frame": int(track.frame_index[choice.test[0]]) if len(choice.test) else track.num_frames,
    }


def _require_enough(source: Path, counts: dict[str, Any]) -> None:
    usable = counts["kept"] + counts["in_gap"]
    if usable >= FEWEST_FRAMES and min(counts["num_train"], counts["num_test"]) > 0:
        return
    lost = [f"{entry['count']} {reason.replace('_', ' ')}" for reason, entry in counts["dropped"].items()]
    lost += [f"{counts['not_chosen']} skipped by --every"] if counts["not_chosen"] else []
    raise InputError(
        f"{source}: {usable} usable frames of {counts['num_frames']}{' (' + ', '.join(lost) + ')' if lost else ''}, "
        f"and at least {FEWEST_FRAMES} are needed; film for longer, or lower --every"
    )


def _place_crops(track: Track, choice: Choice, rule: CropRule) -> Landmarks:
    kept = np.zeros(len(track.frame_index), bool)
    kept[choice.train] = kept[choice.test] = True
    return Landmarks(
        frame_index=track.frame_index,
        timestamp_s=track.timestamp_s,
        landmarks=track.landmarks,
        gaze=track.gaze,
        shot=track.shot,
        quality=track.quality,
        frame_from_crop=crop_transforms(track.landmarks, track.frame_index, track.shot, track.fps, rule),
        kept=kept,
    )


def _write_pairs(folder: Path, jobs: Iterable[_Job], kept: Array, *, threads: int) -> None:
    """Write every job's pair, and the preview of some of the ``kept`` frame numbers (M,)."""
    shown = {int(number) for number in kept[np.linspace(0, len(kept) - 1, PREVIEW_TILES).round().astype(int)]}
    tiles = []
    for number, tile in _side_by_side(partial(_make_pair, folder), jobs, threads):
        if number in shown:
            tiles.append(tile)
    write_preview(folder, tiles)


@dataclass(frozen=True)
class _Job:
    """A kept frame, and all that making its pair needs."""

    frame: Frame
    split: Split
    frame_from_crop: Array
    landmarks: Array
    """(68, 2), in crop pixels."""
    gaze: Array


def _jobs(frames: Iterable[Frame], landmarks: Landmarks, manifest: Manifest) -> Iterator[_Job]:
    """Yield the kept frames; no others are converted, and after the last one nothing is decoded."""
    row_of = {int(landmarks.frame_index[row]): row for row in np.flatnonzero(landmarks.kept)}
    in_crop = apply_transform(np.linalg.inv(landmarks.frame_from_crop), landmarks.landmarks)
    for frame in frames:
        row = row_of.pop(frame.index, None)
        if row is not None:
            split: Split = "test" if frame.index >= manifest.first_test_frame else "train"
            yield _Job(frame, split, landmarks.frame_from_crop[row], in_crop[row], landmarks.gaze[row])
        if not row_of:
            return
    raise InputError(f"{manifest.source_name}: frame {min(row_of)} decoded once and not again; copy the file anew")


def _make_pair(folder: Path, job: _Job) -> tuple[int, tuple[Array, Array]]:
    """Write the job's pair and return (frame number, (condition, target))."""
    target = cut_crop(job.frame.image, job.frame_from_crop)
    condition = draw_condition(job.landmarks, job.gaze)
    write_pair(folder, job.split, job.frame.index, condition, target)
    return job.frame.index, (condition, target)


def _side_by_side(make: Callable[[J], R], jobs: Iterable[J], threads: int) -> Iterator[R]:
    """Yield ``make(job)`` in the order of the jobs, few of which wait, so that memory stays flat.

    Threads suffice: OpenCV and PyAV let go of Python's lock while they work. The jobs are drawn by the caller's.
    """
    if threads == 1:
        yield from map(make, jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for job in jobs:
            waiting.append(pool.submit(make, job))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
