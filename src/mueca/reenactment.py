"""drive(): a video of the driver becomes a video of the subject, making the driver's expressions.

The generator comes in as a plain callable, so that an exported file can stand in its place without torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from mueca import metrics
from mueca.config import SIZE_PX, DeviceName, DriveSettings, RuntimeName, to_json
from mueca.errors import MuecaError, OutputError
from mueca.exported import Exported, is_exported
from mueca.face.charts import borrowed_views, charts_of
from mueca.face.condition import draw_condition
from mueca.face.crop import apply_transform, crop_transforms, cut_crop
from mueca.face.detection import make_detector
from mueca.face.following import follow_video
from mueca.face.frames import TimedImage
from mueca.face.gaze import fit_gaze
from mueca.face.prediction import LandmarkPredictor
from mueca.face.retarget import OUT_OF_RANGE, Retargeter, carry_gaze, place
from mueca.face.shape import FaceModel, fit_face
from mueca.face.track import Track
from mueca.files import cannot_write, sha256_of, write_whole
from mueca.manifests import ingredient_of
from mueca.marks import SYNTHETIC, Mark, Origin, composite
from mueca.painter import Painter
from mueca.portraits import LandmarkRuler
from mueca.runs import GENERATOR
from mueca.subject import Subject, read_subject
from mueca.version import VERSION
from mueca.video import VideoReader, VideoWriter

Array = np.ndarray


@dataclass(frozen=True)
class DriveSummary:
    """What ``drive`` did."""

    out: Path
    num_frames: int
    held: list[int]
    """Frame numbers without the driver's face, for which the last good pose was held."""
    leak: float | None
    """How much of the driver's face shape shows in the result: see ``mueca.metrics.shape_leak``. None where it can't
    be known: the two faces are too alike, or none was found in the fakes."""
    out_of_range: list[float | None]
    """For each frame, how far what it shows lies beyond what the subject showed, in widths of the subject's range; 0
    inside it, None where the pose is held. ``Retargeter`` brings such frames back."""
    out_of_range_share: float
    """Share of the frames with a face that lie beyond by more than ``mueca.face.retarget.OUT_OF_RANGE``."""
    detector: str
    shortfall: str | None
    """What of the driver's file did not decode, in words."""
    driver_is_generated: bool
    """The driver's file says of itself that it was generated."""


@dataclass(frozen=True)
class Painted:
    """One frame's pictures, each RGB uint8 (SIZE_PX, SIZE_PX, 3)."""

    driver: Array
    condition: Array
    fake: Array


VIEWS: dict[str, tuple[str, ...]] = {"result": ("fake",), "compare": ("driver", "condition", "fake")}
"""The pictures that stand side by side in each view."""


class ClipReenactor:
    """Paints the subject with the face of one driver; pictures in, pictures out."""

    driver: FaceModel
    """The driver's face, in pixels of their crop."""
    out_of_range: dict[int, float]
    """By frame number: see ``DriveSummary``."""

    def __init__(
        self, generator: Painter, subject: Subject, track: Track, *, retarget: Literal["shape", "none"] = "shape"
    ):
        """Learn from the driver's track, of one frame or more, what the driver's face is like.

        ``retarget`` none lets the driver's own face shape in.
        """
        self._generator = generator
        self._row_of = {int(number): row for row, number in enumerate(track.frame_index)}
        self._frame_from_driver = crop_transforms(
            track.landmarks, track.frame_index, track.shot, track.fps, subject.rule
        )
        in_crop = apply_transform(np.linalg.inv(self._frame_from_driver), track.landmarks)
        self.driver = fit_face(in_crop)
        retargeter = Retargeter(subject.face, self.driver)
        beyond = retargeter.out_of_range(in_crop)
        self.out_of_range = {number: float(beyond[row]) for number, row in self._row_of.items()}
        if retarget == "none":
            self._landmarks, self._gaze = place(in_crop, subject.face, self.driver), track.gaze
        else:
            self._landmarks = retargeter.carry_over(in_crop)
            self._gaze = carry_gaze(track.gaze, subject.gaze, fit_gaze(track.gaze))
        self._atlas = subject.atlas
        self._views = borrowed_views(self._frame_from_driver, subject.atlas) if subject.atlas else None
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
        condition = draw_condition(self._landmarks[row], self._gaze[row])
        return Painted(
            driver=cut_crop(image, self._frame_from_driver[row]),
            condition=condition,
            fake=self._generator(condition[None], self._charts(row))[0],
        )

    def _charts(self, row: int) -> Array | None:
        if self._atlas is None or self._views is None:
            return None
        rows = slice(row, row + 1)
        return charts_of(self._landmarks[rows], self._views[rows], self._atlas)


class LeakMeter:
    """Finds the landmarks again in some of the fakes, and tells from them how much of the driver's shape shows."""

    def __init__(self, find: Callable[[Array], Array | None], *, every: int):
        """Look at every such fake that is offered; ``find`` returns a picture's landmarks (68, 2), or None."""
        self._find, self._every, self._num_offered = find, every, 0
        self._found: list[Array] = []

    def offer(self, fake: Array) -> None:
        """Take a fake, RGB uint8 (SIZE_PX, SIZE_PX, 3)."""
        self._num_offered += 1
        if (self._num_offered - 1) % self._every == 0:
            landmarks = self._find(fake)
            if landmarks is not None:
                self._found.append(landmarks)

    def leak(self, subject: FaceModel, driver: FaceModel) -> float | None:
        """Return the leak of what was offered so far: see ``DriveSummary``."""
        if not self._found:
            return None
        result = fit_face(np.array(self._found))
        return metrics.shape_leak(result.frontal_shape, subject.frontal_shape, driver.frontal_shape)


LEAK_FRAMES = 60
"""The leak is measured on at most so many fakes, evenly spread."""


def drive(
    run: Path,
    video: Path,
    out: Path,
    settings: DriveSettings | None = None,
    *,
    generator: Painter | None = None,
    show_progress: bool = False,
) -> DriveSummary:
    """Write to ``out`` (.mp4) the subject making the expressions of the face in ``video``.

    ``run`` is a run's folder, or a file that ``export`` wrote. Timing and sound are the driver's. ``generator`` stands
    in for the run's own. A frame without a face repeats the last good picture; the frames before the first face show
    its first pose. What the summary tells is written beside the video, as ``out`` with the suffix .json. Raises
    InputError where the run or the video can't be used, and OutputError where ``out`` can't be signed or written.
    """
    settings = settings or DriveSettings()
    puppet = open_puppet(run, device=settings.device, threads=settings.threads, runtime=settings.runtime)
    subject, generator = puppet.subject, generator or puppet.paint
    reader = VideoReader(video)
    if out.exists() and out.samefile(video):
        raise OutputError(f"{out}: is the driver's own video; name another output")
    _require_free(_report_path(out))
    tiles = VIEWS[settings.view]
    driver = ingredient_of(video)
    model_sha256 = puppet.origin.model_sha256 if generator is puppet.paint else None
    origin = replace(puppet.origin, model_sha256=model_sha256, driver=driver)
    mark = replace(_mark(tiles), origin=origin, badge=not settings.no_badge)
    writer = VideoWriter(out, size_px=(len(tiles) * SIZE_PX, SIZE_PX), mark=mark, sound=video)
    detector = make_detector(settings.detector, models=settings.models, min_score=settings.min_score)

    following = {"face": settings.driver_face, "workers": settings.workers, "show_progress": show_progress}
    track = follow_video(reader, detector, **following)
    reenactor = ClipReenactor(generator, subject, track, retarget=settings.retarget)
    ruler = LandmarkRuler(detector, LandmarkPredictor())
    meter = LeakMeter(ruler.find, every=-(-len(track.frame_index) // LEAK_FRAMES))
    shortfall = reader.shortfall
    options = {"unit": " frames", "disable": not show_progress, "dynamic_ncols": True}
    with writer, tqdm(reader, desc="paint", total=track.num_frames, **options) as frames:
        _paint_all(reenactor, frames, writer, tiles, meter)
    beyond = [reenactor.out_of_range.get(number) for number in range(track.num_frames)]
    summary = DriveSummary(
        out=out,
        num_frames=track.num_frames,
        held=sorted(number for numbers in track.lost.values() for number in numbers),
        leak=meter.leak(subject.face, reenactor.driver),
        out_of_range=[None if amount is None else round(amount, 3) for amount in beyond],
        out_of_range_share=float(np.mean([amount > OUT_OF_RANGE for amount in reenactor.out_of_range.values()])),
        detector=detector.name,
        shortfall=shortfall,
        driver_is_generated=driver.is_generated,
    )
    _write_report(_report_path(out), summary, settings)
    return summary


_KIND = "mueca drive"


def _report_path(out: Path) -> Path:
    return out.with_suffix(".json")


def _require_free(report: Path) -> None:
    """Raise OutputError where something else than an earlier report would be written over."""
    if not report.exists():
        return
    try:
        is_ours = json.loads(report.read_text(encoding="utf-8")).get("kind") == _KIND
    except (OSError, ValueError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise OutputError(f"{report}: is something else, and the report would be written there; name another output")


def _write_report(report: Path, summary: DriveSummary, settings: DriveSettings) -> None:
    told = {"retarget": settings.retarget, "badge": not settings.no_badge}
    values = {"kind": _KIND, "mueca_version": VERSION, **told, **to_json(summary)}
    try:
        write_whole(report, json.dumps(values | {"out": summary.out.name}) + "\n")
    except OSError as error:
        raise cannot_write(report, error) from error


@dataclass(frozen=True)
class Puppet:
    """What paints the subject of a run or an exported file."""

    subject: Subject
    paint: Painter
    origin: Origin
    """What manifests tell of it."""


def open_puppet(run: Path, *, device: DeviceName, threads: int | None, runtime: RuntimeName) -> Puppet:
    """Return what paints the subject of a run's folder, or of a file that ``export`` wrote.

    Raises InputError where they can't be used.
    """
    if is_exported(run):
        exported = Exported(run, runtime=runtime, threads=threads)
        return Puppet(exported.facts.subject, exported, Origin(model_sha256=exported.facts.generator_sha256))
    subject, weights = read_subject(run), run / GENERATOR
    # Before it is loaded, for a training run may replace it; where it is missing, loading it tells.
    origin = Origin(model_sha256=sha256_of(weights) if weights.is_file() else None)
    return Puppet(subject, load_generator(run, device=device, threads=threads), origin)


def load_generator(run: Path, *, device: str, threads: int | None) -> Painter:
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


def _paint_all(
    reenactor: ClipReenactor,
    frames: Iterable[TimedImage],
    writer: VideoWriter,
    tiles: tuple[str, ...],
    meter: LeakMeter,
) -> None:
    waiting: list[float] = []  # times of the frames before the first face: they get its picture
    for frame in frames:
        painted = reenactor.paint(frame.index, frame.image)
        waiting.append(frame.timestamp_s)
        if painted is None:
            continue
        if frame.index in reenactor.out_of_range:  # a held pose counts once
            meter.offer(painted.fake)
        picture = np.hstack([getattr(painted, tile) for tile in tiles])
        for timestamp_s in waiting:
            writer.write(picture, timestamp_s)
        waiting.clear()
