"""Following one face through a clip: its steadied landmarks in every frame where it is found."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from mueca.errors import FaceChoiceError, InputError
from mueca.face.association import Bystander
from mueca.face.detection import Detector
from mueca.face.frames import TimedImage
from mueca.face.identity import FaceEmbedder
from mueca.face.locating import KEY_EVERY, Located, Locator
from mueca.face.quality import Evidence, judge
from mueca.face.reading import Readers, Reading, cut_patch
from mueca.face.smoothing import smooth_landmarks, steady_gaze
from mueca.face.track import Track
from mueca.video import VideoInfo

Array = np.ndarray

_MOST_WAITING_BYTES = 64 << 20
"""Of patches: 300 frames of d9, which are located while the workers still start."""


class Readable(Protocol):
    """What a reader of a video, or of a folder of pictures, must offer: its frames, its file and how many to expect."""

    path: Path
    info: VideoInfo

    def __iter__(self) -> Iterator[TimedImage]: ...


def follow_video(
    reader: Readable,
    detector: Detector,
    *,
    face: str = "largest",
    workers: int | None = None,
    show_progress: bool = False,
) -> Track:
    """Return ``follow`` of all frames of a reader, with a progress bar.

    Raises InputError, naming the file, where it shows no face, or not the one that was asked for.
    """
    options = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    with tqdm(reader, desc="follow", total=reader.info.declared_frames, **options) as frames:
        try:
            track = follow(frames, detector, face=face, workers=workers)
        except FaceChoiceError as error:
            raise InputError(f"{reader.path}: {error}") from error
    if not len(track.frame_index):
        raise InputError(
            f"{reader.path}: no face in any of its {track.num_frames} frames; "
            "film the face from the front in good light, or lower --min-score"
        )
    return track


def follow(
    frames: Iterable[TimedImage],
    detector: Detector,
    *,
    face: str = "largest",
    workers: int | None = None,
    embedder: FaceEmbedder | None = None,
) -> Track:
    """Return the track of one person's face through a clip; ``face`` says whose: see ``mueca.config.parse_face``.

    With ``largest``, of those who were followed one after the other, the track is that of whose boxes' areas sum up
    to most; see ``Association`` for when somebody else is followed.

    This process decodes and locates the face; ``workers`` others (None: one for each core; 1: this one does it all)
    read its landmarks. Only those are kept, so that memory stays flat however long the clip is. The track does not
    depend on the number of workers. Raises FaceChoiceError where the chosen face never shows, and MuecaError where a
    worker ends too soon.
    """
    notes = _Notes()
    waiting: deque[tuple[int, Future[list[Reading]]]] = deque()
    with Readers(workers) as readers:
        for located in Locator(detector, face, embedder).locate(frames):
            patches = [cut_patch(each.frame.image, each.box) for each in located if each.box is not None]
            notes.add_frames(located)
            waiting.append((sum(patch.grey.nbytes for patch in patches), readers.submit(patches)))
            while sum(num_bytes for num_bytes, _ in waiting) > _MOST_WAITING_BYTES:
                notes.readings += waiting.popleft()[1].result()
        for _, future in waiting:
            notes.readings += future.result()
    return notes.as_track()


@dataclass
class _Notes:
    """What is kept of a clip while it is read: numbers only."""

    index: list[int] = field(default_factory=list)
    timestamp_s: list[float] = field(default_factory=list)
    shot: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    size_px: list[tuple[int, int]] = field(default_factory=list)
    is_found: list[bool] = field(default_factory=list)
    company: list[tuple[Bystander, ...]] = field(default_factory=list)
    who: list[int] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    """Of the face's box, in pixels; 0 where it was not found."""
    readings: list[Reading] = field(default_factory=list)
    """One for each frame in which the face was found, in their order."""

    def add_frames(self, located: list[Located]) -> None:
        for each in located:
            self.index.append(each.frame.index)
            self.timestamp_s.append(each.frame.timestamp_s)
            self.shot.append(each.shot)
            self.score.append(each.score)
            self.size_px.append((each.frame.image.shape[1], each.frame.image.shape[0]))
            self.is_found.append(each.box is not None)
            self.company.append(each.company)
            self.who.append(each.who)
            self.area.append(0.0 if each.box is None else (each.box[2] - each.box[0]) * (each.box[3] - each.box[1]))

    def as_track(self) -> Track:
        who, is_found = np.array(self.who, dtype=np.int64), np.array(self.is_found, dtype=bool)
        chosen = int(np.bincount(who, self.area).argmax()) if len(who) else 0
        found = is_found & (who == chosen)
        readings = [r for r, number in zip(self.readings, who[is_found], strict=True) if number == chosen]
        frame_index = np.array(self.index, dtype=np.int64)[found]
        shot = np.array(self.shot, dtype=np.int64)[found]
        fps = frames_per_second(self.timestamp_s)
        landmarks = np.array([r.landmarks for r in readings], dtype=np.float64).reshape(-1, 68, 2)
        evidence = Evidence(
            landmarks=landmarks,
            disagreement=np.array([r.disagreement for r in readings]),
            sharpness=np.array([r.sharpness for r in readings]),
            score=np.array(self.score)[found],
            size_px=np.array(self.size_px, dtype=np.float64).reshape(-1, 2)[found],
        )
        quality, problem = judge(evidence)
        gaze = np.array([r.gaze for r in readings], dtype=np.float64).reshape(-1, 2)
        return Track(
            frame_index=frame_index,
            timestamp_s=np.array(self.timestamp_s, dtype=np.float64)[found],
            landmarks=smooth_landmarks(landmarks, frame_index, shot, fps) if len(landmarks) else landmarks,
            gaze=steady_gaze(gaze, frame_index, shot, fps) if len(gaze) else gaze,
            shot=shot,
            quality=quality,
            problem=problem,
            lost=self._lost(chosen),
            num_frames=len(found),
            fps=fps,
            others=self._others(chosen),
        )

    def _others(self, chosen: int) -> int:
        """Return how many others one frame shows at most; for those where somebody else was followed, one at least."""
        beside = (sum(b.is_person and b.number != chosen for b in company) for company in self.company)
        return max(int(bool(self._people() - {chosen})), *beside, 0)

    def _people(self) -> set[int]:
        """Return the numbers of those who were found for as long as from one look to the next, as no false hit is."""
        frames = Counter(number for number, is_found in zip(self.who, self.is_found, strict=True) if is_found)
        return {number for number, count in frames.items() if count >= KEY_EVERY}

    def _lost(self, chosen: int) -> dict[str, list[int]]:
        lost: dict[str, list[int]] = {}
        people = self._people()
        frames = zip(self.index, self.is_found, self.who, self.company, strict=True)
        for index, is_found, number, company in frames:
            if not is_found or number != chosen:
                is_somebody = any(b.is_person for b in company) or (is_found and number in people)
                lost.setdefault("other_face" if is_somebody else "no_face", []).append(index)
        return lost


def frames_per_second(times: list[float]) -> float:
    """Return the median rate of frames at these times in seconds; a single picture counts as 25."""
    return float(1.0 / np.median(np.diff(times))) if len(times) > 1 else 25.0
