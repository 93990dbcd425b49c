"""Settings: one frozen dataclass per command, and how they become JSON and come back; presets stand in ``presets``.

Each field carries its help text, so that the command line, the Python API and the JSON written beside a
result all come from here and each default exists once.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from mueca.errors import FieldsError, SettingsError

S = TypeVar("S")

SIZE_PX = 256
"""Side of a crop, of a condition and of a fake, in pixels: what eight halvings of pix2pix's U-Net need."""


def setting(default: Any, help: str, *, parse: Callable[[str], Any] | None = None, metavar: str | None = None) -> Any:
    """Declare a dataclass field with its default, its help text and how the command line reads it."""
    return field(default=default, metadata={"help": help, "parse": parse, "metavar": metavar})


def parse_duration(text: str) -> float:
    """Return the seconds that ``90``, ``90s``, ``5m`` or ``1h30m`` stand for; raises SettingsError."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip())
    seconds = sum(float(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not seconds:
        raise SettingsError(f"{text!r} is no length of time; write 90s, 5m or 1h30m")
    return seconds


def _require(ok: bool, name: str, value: Any, wanted: str) -> None:
    if not ok:
        raise SettingsError(f"--{name.replace('_', '-')} {value}: must be {wanted}")


def parse_face(text: str) -> str:
    """Return ``largest``, ``2`` (the second from the left) or ``x,y`` (a point in frame pixels) as it was written.

    Raises SettingsError at anything else.
    """
    text = text.strip()
    if not re.fullmatch(r"largest|[1-9]\d{0,3}|\d{1,5}(?:\.\d+)?,\d{1,5}(?:\.\d+)?", text):
        raise SettingsError(f"{text!r}: write largest, a number counted from the left (2), or a point (320,180)")
    return text


def _require_min_score(value: float | None) -> None:
    _require(value is None or math.isfinite(value), "min_score", value, "a finite number")


def _require_threads(value: int | None) -> None:
    _require(value is None or 1 <= value <= 1024, "threads", value, "from 1 to 1024")


def _require_workers(value: int | None) -> None:
    _require(value is None or 1 <= value <= 1024, "workers", value, "from 1 to 1024")


def _require_length(name: str, value: float) -> None:
    _require(0 < value <= LONGEST, name, value, f"more than 0 and at most {LONGEST:.0e}")


DetectorName = Literal["yunet", "ssd", "hog"]
DeviceName = Literal["auto", "cpu", "cuda"]
RuntimeName = Literal["auto", "onnxruntime", "openvino"]
ConditionHalf = Literal["left", "right", "tagged", "input"]

_DETECTOR_HELP = "face detector; when none is named: yunet, or hog where yunet's file can't be had"
_MIN_SCORE_HELP = "least confidence of a face; when not named: yunet 0.7, ssd 0.8, hog 0.0"
_RUNTIME_HELP = "what computes an exported file; auto: the faster of those installed, by a short trial"
_MODELS_HELP = "folder of the detectors' files; when not named: $MUECA_MODELS, or the download cache"
_DEVICE_HELP = "where the networks run; auto takes the GPU if there is one"
_THREADS_HELP = "threads for the networks on the CPU; when not named: PyTorch's choice"
_FACE_HELP = (
    "whose face, where the picture shows several: largest, a number counted from the left, or a point x,y in pixels"
)
_WORKERS_HELP = "processes that work side by side, 4 at most for one video; when not named: one for each core"
_CONDITION_HELP = (
    "which half of other people's pictures is the condition: left or right of pictures A|B (the reference's AtoB and "
    "BtoA), tagged or input of the report's folders; when not named: left, and tagged"
)
LONGEST = 1e12
"""Epochs, steps or seconds: beyond all use, and still exact as a float."""
_PRESETS_LENGTH_HELP = "when no length is named: 10 minutes for small and live, 50 epochs for paper"


LengthKind = Literal["epochs", "steps", "budget"]
StopRule = Literal["length", "auto"]
Precision = Literal["float32", "bfloat16"]
PrecisionName = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class ExtractSettings:
    """What ``extract`` takes from a video."""

    every: int = setting(1, "write every Nth frame at most; the face is followed on all of them", metavar="N")
    max_frames: int = setting(1000, "write at most N pairs; of more, evenly over the clip", metavar="N")
    train_share: float = setting(
        0.8, "share of the clip's time to train on; the test frames come after it, with a gap of a second between"
    )
    face: str = setting("largest", _FACE_HELP, parse=parse_face, metavar="WHICH")
    detector: DetectorName | None = setting(None, _DETECTOR_HELP)
    min_score: float | None = setting(None, _MIN_SCORE_HELP)
    models: Path | None = setting(None, _MODELS_HELP)
    workers: int | None = setting(None, _WORKERS_HELP, metavar="N")
    fresh: bool = setting(False, "extract again into a pairs folder made with other settings")

    def __post_init__(self) -> None:
        _require(self.every >= 1, "every", self.every, "1 or more")
        _require(self.max_frames >= 20, "max_frames", self.max_frames, "20 or more")
        _require(0.05 <= self.train_share <= 0.95, "train_share", self.train_share, "from 0.05 to 0.95")
        parse_face(self.face)
        _require_min_score(self.min_score)
        _require_workers(self.workers)


@dataclass(frozen=True)
class BatchSettings:
    """What ``extract`` takes from each of several videos, and what spreads them."""

    extract: ExtractSettings = field(default_factory=ExtractSettings)
    ray_address: str | None = setting(
        None,
        "spread several videos over this running Ray cluster (auto finds one); when not named: over Ray on this "
        "machine where it is installed, else over processes",
        metavar="HOST:PORT",
    )


@dataclass(frozen=True)
class CoachSettings:
    """How ``coach`` looks at a video."""

    run: Path | None = setting(None, "lay the video beside this run's subject, as its driver, before it is rendered")
    picture: Path | None = setting(None, "write the chart here, .png or .jpg", metavar="FILE")
    face: str = setting("largest", _FACE_HELP, parse=parse_face, metavar="WHICH")
    detector: DetectorName | None = setting(None, _DETECTOR_HELP)
    min_score: float | None = setting(None, _MIN_SCORE_HELP)
    models: Path | None = setting(None, _MODELS_HELP)
    workers: int | None = setting(None, _WORKERS_HELP, metavar="N")

    def __post_init__(self) -> None:
        parse_face(self.face)
        _require_min_score(self.min_score)
        _require_workers(self.workers)


@dataclass(frozen=True)
class TrainSettings:
    """How ``train`` learns. At most one of epochs, steps and budget; none: the preset's own length."""

    preset: Literal["small", "live", "paper"] = setting(
        "small", "networks and schedule: small, live (half of the work a picture, for a camera) or paper (pix2pix)"
    )
    epochs: int | None = setting(
        None,
        f"train for N passes over the training pairs; not with --steps or --budget; {_PRESETS_LENGTH_HELP}",
        metavar="N",
    )
    steps: int | None = setting(
        None, f"train for N steps; not with --epochs or --budget; {_PRESETS_LENGTH_HELP}", metavar="N"
    )
    budget: float | None = setting(
        None,
        "train for this much training time and make the best of it: 90s, 5m, 1h; the schedule is scaled to it, so that "
        f"a longer one raises rates that had fallen; not with --epochs or --steps; {_PRESETS_LENGTH_HELP}",
        parse=parse_duration,
        metavar="TIME",
    )
    stop: StopRule = setting(
        "length",
        "auto: stop when the held-out frames are painted no better than before (their numbers are then a little "
        "flattering); the length is the most that it may take",
    )
    batch: int | None = setting(
        None, "pairs a step, over all processes; when not named: the preset's, which is 1", metavar="N"
    )
    precision: PrecisionName = setting(
        "auto", "numbers that the networks compute in; auto: bfloat16 where the device is made for it, else float32"
    )
    seed: int = setting(0, "seed of the weights, the order of the pairs, jitter and dropout")
    condition: ConditionHalf | None = setting(None, _CONDITION_HELP)
    detector: DetectorName | None = setting(None, f"for other people's pictures: {_DETECTOR_HELP}")
    models: Path | None = setting(None, _MODELS_HELP)
    device: DeviceName = setting("auto", _DEVICE_HELP)
    threads: int | None = setting(None, _THREADS_HELP, metavar="N")
    fresh: bool = setting(False, "start over where the folder holds an earlier run")

    def __post_init__(self) -> None:
        lengths = {n: getattr(self, n) for n in ("epochs", "steps", "budget") if getattr(self, n) is not None}
        for name, value in lengths.items():
            _require_length(name, value)
        _require(0 <= self.seed <= 2**62, "seed", self.seed, "from 0 to 2**62")
        _require(self.batch is None or 1 <= self.batch <= 1024, "batch", self.batch, "from 1 to 1024")
        _require_threads(self.threads)
        if len(lengths) > 1:
            raise SettingsError(f"--{' and --'.join(lengths)} contradict each other; name one of them")


@dataclass(frozen=True)
class DriveSettings:
    """How ``drive`` paints the driver's performance."""

    view: Literal["result", "compare"] = setting("result", "compare: driver, condition and result side by side")
    retarget: Literal["shape", "none"] = setting(
        "shape", "none: the driver's own face shape goes in, as in the report, and shows through"
    )
    no_badge: bool = setting(
        False, "leave the visible badge out of the video; its signed manifest tells so, and the other marks stay"
    )
    driver_face: str = setting("largest", _FACE_HELP, parse=parse_face, metavar="WHICH")
    detector: DetectorName | None = setting(None, _DETECTOR_HELP)
    min_score: float | None = setting(None, _MIN_SCORE_HELP)
    models: Path | None = setting(None, _MODELS_HELP)
    device: DeviceName = setting("auto", _DEVICE_HELP)
    threads: int | None = setting(None, _THREADS_HELP, metavar="N")
    workers: int | None = setting(None, _WORKERS_HELP, metavar="N")
    runtime: RuntimeName = setting("auto", _RUNTIME_HELP)

    def __post_init__(self) -> None:
        parse_face(self.driver_face)
        _require_min_score(self.min_score)
        _require_threads(self.threads)
        _require_workers(self.workers)


@dataclass(frozen=True)
class LiveSettings:
    """How ``live`` serves the puppet on this machine."""

    port: int = setting(0, "port of the local page; 0: any that is free", metavar="N")
    open_browser: bool = setting(False, "open the page in this machine's browser")
    recordings: Path = setting(Path(), "folder for what a button or a key records", metavar="FOLDER")
    input: Path | None = setting(
        None, "a video drives, as fast as it was filmed, and there is no page; its sound is left out", metavar="VIDEO"
    )
    camera: int | None = setting(
        None, "this machine's camera of that number, from 0 on, drives, and there is no page", metavar="N"
    )
    window: bool = setting(
        False, "show the puppet in a window, and no page; without --input, camera 0 drives if none is named"
    )
    record: Path | None = setting(None, "without a page: record all of it to this file, .mp4", metavar="FILE")
    virtual_camera: bool = setting(
        False, "be a camera that other programs can choose, with a page or without; needs pyvirtualcam"
    )
    driver_face: str = setting("largest", _FACE_HELP, parse=parse_face, metavar="WHICH")
    detector: DetectorName | None = setting(None, _DETECTOR_HELP)
    min_score: float | None = setting(None, _MIN_SCORE_HELP)
    models: Path | None = setting(None, _MODELS_HELP)
    device: DeviceName = setting("auto", _DEVICE_HELP)
    threads: int | None = setting(None, _THREADS_HELP, metavar="N")
    runtime: RuntimeName = setting("auto", _RUNTIME_HELP)

    def __post_init__(self) -> None:
        _require(0 <= self.port <= 65535, "port", self.port, "from 0 to 65535")
        _require(self.camera is None or 0 <= self.camera <= 99, "camera", self.camera, "from 0 to 99")
        if self.input is not None and self.camera is not None:
            raise SettingsError(f"--input {self.input} and --camera {self.camera} contradict each other; name one")
        if self.record is not None and self.has_page:
            raise SettingsError(
                f"--record {self.record}: the page has a button for it; name --input, --camera or --window as well"
            )
        if not self.has_page and (self.port or self.open_browser):
            raise SettingsError("--port and --open-browser are for the page: leave out --input, --camera and --window")
        parse_face(self.driver_face)
        _require_min_score(self.min_score)
        _require_threads(self.threads)

    @property
    def has_page(self) -> bool:
        """Whether the driver comes by a browser."""
        return self.input is None and self.camera is None and not self.window


@dataclass(frozen=True)
class EvaluateSettings:
    """How ``evaluate`` measures a run on its held-out frames, and how well it follows a driver."""

    pairs: Path | None = setting(None, "pairs folder, if it is no longer where the run was trained")
    save_fakes: bool = setting(False, "write every test fake to RUN/fakes/")
    driver: Path | None = setting(
        None, "a driver's video: measure as well how the run follows it, and whether the subject stays the subject"
    )
    driver_face: str = setting("largest", _FACE_HELP, parse=parse_face, metavar="WHICH")
    truth: Path | None = setting(
        None, "a video of the subject doing frame by frame what the driver does, where there is one; with --driver"
    )
    detector: DetectorName | None = setting(None, _DETECTOR_HELP)
    min_score: float | None = setting(None, _MIN_SCORE_HELP)
    models: Path | None = setting(None, _MODELS_HELP)
    device: DeviceName = setting("auto", _DEVICE_HELP)
    threads: int | None = setting(None, _THREADS_HELP, metavar="N")

    def __post_init__(self) -> None:
        parse_face(self.driver_face)
        _require_min_score(self.min_score)
        _require_threads(self.threads)
        if self.truth and not self.driver:
            raise SettingsError(f"--truth {self.truth}: is the truth for a driver; name its video with --driver")


@dataclass(frozen=True)
class CompareSettings:
    """How ``evaluate`` measures a run, and lays several side by side."""

    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    compare: tuple[Path, ...] = setting(
        (), "lay these runs, trained on the same pairs, side by side; those without metrics are measured", metavar="RUN"
    )
    out: Path | None = setting(
        None, "write the page that compares here; when not named: compare.html in the first run", metavar="FILE"
    )

    def __post_init__(self) -> None:
        if self.out and not self.compare:
            raise SettingsError(f"--out {self.out}: is for the page that compares runs; name them with --compare")


@dataclass(frozen=True)
class ConvertSettings:
    """How ``convert`` lays pairs side by side."""

    condition: Literal["left", "right"] = setting("left", "the half of the written pictures that is the condition")
    from_condition: ConditionHalf | None = setting(None, f"in reading: {_CONDITION_HELP}")
    fresh: bool = setting(False, "replace what an earlier convert wrote")


@dataclass(frozen=True)
class ImportSettings:
    """How ``import`` makes a run from the reference's files."""

    pairs: Path | None = setting(None, "folder of the pairs to evaluate on and to go on training with; needed")
    discriminator: Path | None = setting(
        None, "the discriminator's file; when not named: one whose weights are drawn from the seed", metavar="D.pth"
    )
    seed: int = setting(0, "seed of what isn't in the files, and of training that goes on")
    condition: ConditionHalf | None = setting(None, _CONDITION_HELP)
    detector: DetectorName | None = setting(None, f"for other people's pictures: {_DETECTOR_HELP}")
    models: Path | None = setting(None, _MODELS_HELP)

    def __post_init__(self) -> None:
        _require(0 <= self.seed <= 2**62, "seed", self.seed, "from 0 to 2**62")


@dataclass(frozen=True)
class ExportSettings:
    """How ``export`` writes a run's networks for other programs."""

    format: Literal["onnx", "reference"] = setting(
        "onnx",
        "onnx: one file that drives without PyTorch; reference: a folder with the reference PyTorch implementation's "
        "files, for runs of preset paper",
    )
    pairs: Path | None = setting(
        None, "pairs folder to check the onnx file on, if it is no longer where the run was trained"
    )
    fresh: bool = setting(False, "replace what an earlier export wrote")


@dataclass(frozen=True)
class RunSettings:
    """Everything ``run`` does, in its order."""

    extract: ExtractSettings = field(default_factory=ExtractSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    drive: DriveSettings = field(default_factory=DriveSettings)

    def __post_init__(self) -> None:
        if self.train.condition is not None:
            raise SettingsError(
                f"--condition {self.train.condition}: is for other people's pictures, and run makes its own from the "
                "video; leave it out"
            )


@dataclass(frozen=True)
class VerifySettings:
    """How ``verify`` tells what it found."""

    json: bool = setting(False, "tell it as JSON")


@dataclass(frozen=True)
class DemoSettings:
    """How ``demo`` shows mueca on the two drawn actors."""

    budget: float = setting(150.0, "training time for each of the two actors", parse=parse_duration, metavar="TIME")
    clips: Path | None = setting(None, "folder for the actors' clips; when not named: the download cache")
    models: Path | None = setting(None, _MODELS_HELP)
    device: DeviceName = setting("auto", _DEVICE_HELP)
    threads: int | None = setting(None, _THREADS_HELP, metavar="N")
    fresh: bool = setting(False, "start over where the folder holds an earlier demo")

    def __post_init__(self) -> None:
        _require_length("budget", self.budget)
        _require_threads(self.threads)


def to_json(settings: Any) -> dict[str, Any]:
    """Return the dataclass as plain JSON values: paths become text, and tuples lists."""
    return {f.name: _plain(getattr(settings, f.name)) for f in dataclasses.fields(settings)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[S], values: dict[str, Any]) -> S:
    """Return ``kind(**values)``; raises FieldsError at an unknown or a missing name, SettingsError at a wrong type."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise FieldsError(f"unknown setting {unknown[0]!r}; known are {', '.join(hints)}")
    missing = [field.name for field in dataclasses.fields(kind) if _is_needed(field) and field.name not in values]
    if missing:
        raise FieldsError(f"it lacks {', '.join(missing)}")
    return kind(**{name: _typed(name, hints[name], value) for name, value in values.items()})


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _typed(name: str, hint: Any, value: Any) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, dict):
            return from_json(typing.cast(type, option), value)
        if typing.get_origin(option) is Literal and value in typing.get_args(option):
            return value
        if option is Path and isinstance(value, (str, Path)):
            return Path(value)
        if option is float and type(value) is int and abs(value) <= sys.float_info.max:
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, (tuple, list)):
            return _typed_items(name, typing.get_args(option), value)
        if typing.get_origin(option) in (dict, list) and isinstance(value, typing.get_origin(option)):
            return value
        if isinstance(option, type) and type(value) is option:
            return value
    wanted = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise SettingsError(f"setting {name!r} is {value!r}; it must be {wanted}")


def _typed_items(name: str, hints: tuple[Any, ...], values: typing.Sequence[Any]) -> tuple[Any, ...]:
    """Return the items as a tuple of these types; ``(float, ...)`` takes any number of them."""
    if hints[1:] == (...,):
        hints = hints[:1] * len(values)
    if len(hints) != len(values):
        raise SettingsError(f"setting {name!r} has {len(values)} items; it must have {len(hints)}")
    return tuple(_typed(name, hint, value) for hint, value in zip(hints, values, strict=True))
