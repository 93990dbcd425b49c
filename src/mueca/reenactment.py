"""drive(): a video of the driver becomes a video of the subject, making the driver's expressions.

The generator comes in as a plain callable, so that an exported file can stand in its place without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mueca.config import SIZE_PX, DriveSettings
from mueca.errors import MuecaError, OutputError
from mueca.face.condition import draw_condition
from mueca.face.crop import apply_transform, crop_transforms, cut_crop
from mueca.face.detection import make_detector
from mueca.face.following import TimedImage, Track, follow, require_face
from mueca.face.prediction import LandmarkPredictor
from mueca.face.retarget import carry_over, cut_eyes
from mueca.marks import SYNTHETIC, Mark, composite
from mueca.subject import Subject, read_subject
from mueca.video import VideoReader, VideoWriter

Array = np.ndarray

Generator = Callable[[Array], Array]
"""From conditions (N, SIZE_PX, SIZE_PX, 3) to fakes of the same shape, both RGB uint8."""


@dataclass(frozen=True)
class DriveSummary:
    """What ``drive`` did."""

    out: Path
    num_frames: int
    held: list[int]
    """Frame numbers without a face, for which the last good pose was held."""
    detector: str
    shortfall: str | None
    """What of the driver's file did not decode, in words."""


@dataclass(frozen=True)
class Painted:
    """One frame's pictures, each RGB uint8 (SIZE_PX, SIZE_PX, 3)."""

    driver: Array
    condition: Array
    fake: Array


VIEWS: dict[str, tuple[str, ...]] = {"result": ("fake",), "compare": ("driver", "condition", "fake")}
"""The pictures that stand side by side in each view."""


class Reenactor:
    """Paints the subject with the face of one driver; pictures in, pictures out."""

    def __init__(self, generator: Generator, subject: Subject, track: Track):
        """Learn from the driver's track, of one frame or more, what the driver's face is like on average."""
        self._generator = generator
        self._row_of = {int(number): row for row, number in enumerate(track.frame_index)}
        self._landmarks = track.landmarks
        self._frame_from_driver = crop_transforms(track.landmarks, track.frame_index, track.fps, subject.rule)
        in_crop = apply_transform(np.linalg.inv(self._frame_from_driver), track.landmarks)
        self._carried_over = carry_over(in_crop, subject.mean_shape)
        self._last: Painted | None = None
        self._last_row = 0

    def paint(self, frame_index: int, image: Array) -> Painted | None:
        """Return the pictures for the clip's frame of that number, RGB uint8 (H, W, 3); call it in order.

        A frame without a face holds the last pose; before the first face there is none to hold: None.
        """
        row = self._row_of.get(frame_index)
        if row is not None:
            self._last, self._last_row = self._paint(row, image), row
        elif self._last is not None:
            self._last = replace(self._last, driver=cut_crop(image, self._frame_from_driver[self._last_row]))
        return self._last

    def _paint(self, row: int, image: Array) -> Painted:
        landmarks = self._carried_over[row]
        condition = draw_condition(landmarks, cut_eyes(image, self._landmarks[row], landmarks))
        return Painted(
            driver=cut_crop(image, self._frame_from_driver[row]),
            condition=condition,
            fake=self._generator(condition[None])[0],
        )


def drive(
    run: Path,
    video: Path,
    out: Path,
    settings: DriveSettings | None = None,
    *,
    generator: Generator | None = None,
    show_progress: bool = False,
) -> DriveSummary:
    """Write to ``out`` (.mp4) the run's subject making the expressions of the face in ``video``.

    Timing and sound are the driver's. ``generator`` stands in for the run's own. A frame without a face repeats the
    last good picture; the frames before the first face show its first pose. Raises InputError where the run or the
    video can't be used, and OutputError where ``out`` can't be written.
    """
    settings = settings or DriveSettings()
    subject = read_subject(run)
    reader = VideoReader(video)
    if out.exists() and out.samefile(video):
        raise OutputError(f"{out}: is the driver's own video; name another output")
    tiles = VIEWS[settings.view]
    writer = VideoWriter(out, size_px=(len(tiles) * SIZE_PX, SIZE_PX), mark=_mark(tiles), sound=video)
    generator = generator or load_generator(run, device=settings.device, threads=settings.threads)
    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score)

    progress = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    with tqdm(reader, desc="follow", total=reader.info.declared_frames, **progress) as frames:
        track = follow(frames, detector, LandmarkPredictor())
    require_face(video, track)
    reenactor = Reenactor(generator, subject, track)
    shortfall = reader.shortfall
    with writer, tqdm(reader, desc="paint", total=track.num_frames, **progress) as frames:
        _paint_all(reenactor, frames, writer, tiles)
    return DriveSummary(
        out=out,
        num_frames=track.num_frames,
        held=track.dropped.get("no_face", []),
        detector=detector.name,
        shortfall=shortfall,
    )


def load_generator(run: Path, *, device: str, threads: int | None) -> Generator:
    """Return the run's generator; raises MuecaError where PyTorch is not installed."""
    try:
        from mueca import checkpoint
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MuecaError(f"{run}: painting needs PyTorch; install it with: pip install 'mueca[train]'") from error
    return checkpoint.load_generator(run, device=device, threads=threads)


def _mark(tiles: tuple[str, ...]) -> Mark:
    """Return the mark of a picture made of these tiles, left to right."""
    if tiles == ("fake",):
        return SYNTHETIC
    left = tiles.index("fake") * SIZE_PX
    return composite((left, 0, left + SIZE_PX, SIZE_PX))


def _paint_all(reenactor: Reenactor, frames: Iterable[TimedImage], writer: VideoWriter, tiles: tuple[str, ...]) -> None:
    waiting: list[float] = []  # times of the frames before the first face: they get its picture
    for frame in frames:
        painted = reenactor.paint(frame.index, frame.image)
        waiting.append(frame.timestamp_s)
        if painted is None:
            continue
        picture = np.hstack([getattr(painted, tile) for tile in tiles])
        for timestamp_s in waiting:
            writer.write(picture, timestamp_s)
        waiting.clear()
