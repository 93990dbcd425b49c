"""What the fuzzer reads: each target with the whole files that its mutants come from. A new parser is a new entry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import media
import mutations
import numpy as np
import torch
from mutations import Mutation
from PIL import Image
from test_report import CURVE, DRIVEN, good_metrics
from toys import narrow_presets, only_asked_saves, write_toy_pairs

from mueca.actors import ACTORS, landmarks_of, performance
from mueca.checkpoint import load_newest
from mueca.cli import COMMANDS, make_parser
from mueca.config import ExportSettings, TrainSettings
from mueca.conversion import convert
from mueca.curve import read_curve, write_curve
from mueca.errors import InputError
from mueca.evaluation.storing import read_metrics, write_metrics
from mueca.exported import Exported
from mueca.exporting import export
from mueca.face.track import Track
from mueca.foreign import open_dataset, read_part, sha256_of_dataset
from mueca.interchange import export_reference, read_state
from mueca.nets.reference import discriminator_from_reference, generator_from_reference
from mueca.options import flags_of, parse, settings_from
from mueca.painter import Painter
from mueca.pictures import decode_frame, read_picture
from mueca.reenactment import ClipReenactor, open_puppet
from mueca.runs import read_run
from mueca.subject import Subject, fit_subject, with_charts
from mueca.training import train
from mueca.video import VideoReader

_MOST_FRAMES = 200
"""A damaged file may tell more of them than the box has time for."""


@dataclass(frozen=True)
class Target:
    """A parser, and what it is given."""

    name: str
    make: Callable[[Path], None]
    """Makes the seeds in a folder: each folder in it is what one mutant begins as."""
    read: Callable[[Path, Path], object]
    """Reads what lies in the first folder, and may write to the second."""
    structured: Mapping[str, Sequence[Mutation]] = field(default_factory=dict)
    """By suffix: the mutations that keep a valid header; others leave a file's first bytes alone."""


# Media


def _make_videos(seeds: Path) -> None:
    images = media.moving(8)
    for name, codec, pix_fmt, sound_codec in [
        ("a.mp4", "libx264", "yuv420p", "aac"),
        ("a.mov", "prores_ks", "yuv444p10le", "pcm_s16le"),
        ("a.mkv", "ffv1", "bgr0", "libopus"),
        ("a.webm", "libvpx", "yuv420p", None),
        ("a.avi", "mjpeg", "yuvj420p", None),
        ("a.ts", "mpeg2video", "yuv420p", "ac3"),
        ("a.gif", "gif", "rgb8", None),
    ]:
        folder = seeds / name
        folder.mkdir(parents=True)
        rate_hz = 48_000 if sound_codec in ("libopus", "ac3") else 44_100
        sound = {"sound": media.tone(0.4, rate_hz), "sound_codec": sound_codec, "sound_rate_hz": rate_hz}
        media.make_video(
            folder / name, images, codec=codec, pix_fmt=pix_fmt, **(sound if sound_codec else {}),
            **({"time_base": media.Fraction(1, 100)} if codec == "gif" else {}),
        )  # fmt: skip


def _read_video(given: Path, out: Path) -> None:
    (path,) = given.iterdir()
    reader = VideoReader(path)
    for frame in reader:
        if frame.index < _MOST_FRAMES:
            _ = frame.image
    media.write(out / "driven.mp4", media.moving(4), sound=path)


def _make_pictures(seeds: Path) -> None:
    image = Image.fromarray(media.corners(48, 40))
    for suffix in ("png", "jpg", "webp", "gif", "bmp", "tiff"):
        (seeds / suffix).mkdir(parents=True)
        image.save(seeds / suffix / f"a.{suffix}")
    (seeds / "rgba").mkdir()
    image.convert("RGBA").save(seeds / "rgba" / "a.png")
    (seeds / "grey").mkdir()
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(40, 30)).save(seeds / "grey" / "a.png")


def _read_picture(given: Path, _: Path) -> None:
    (path,) = given.iterdir()
    if path.suffix == ".jpg":
        decode_frame(path.read_bytes())  # as a camera's
    read_picture(path)


# Pairs


def _make_pairs(seeds: Path) -> None:
    seeds.mkdir(parents=True)
    write_toy_pairs(seeds / "pairs", num_train=2, num_test=1)


def _make_side_by_side(seeds: Path) -> None:
    for split, number in (("train", 3), ("test", 1)):
        (seeds / "pairs" / split).mkdir(parents=True)
        for i in range(number):
            Image.fromarray(np.hstack(_halves(i))).save(seeds / "pairs" / split / f"{i}.png")


def _make_four_folders(seeds: Path) -> None:
    for split, number in (("train", 3), ("test", 1)):
        for place, half in enumerate(("tagged", "input")):
            folder = seeds / "pairs" / f"{half}_{split}"
            folder.mkdir(parents=True)
            for i in range(number):
                Image.fromarray(_halves(i)[place]).save(folder / f"{i}.{'png' if i else 'jpg'}")


def _halves(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two pictures 64 x 64."""
    return media.corners(64, 64), media.moving(5, 64, 64)[number]


def _read_pairs(given: Path, out: Path) -> None:
    """Read as ``train`` does before its first step, and convert."""
    data = open_dataset(given)
    parts = [read_part(data, split) for split in ("train", "test")]
    sha256_of_dataset(data)
    if data.layout == "pairs":
        atlas = fit_subject(given).atlas
        for part in parts:
            with_charts(part, given, atlas)
    convert(given, out / "converted")


# Settings


def _make_settings(seeds: Path) -> None:
    for command, arguments in {
        "extract": [
            "a.mp4",
            "pairs",
            "--every",
            "2",
            "--face",
            "320,180",
            "--min-score",
            "0.5",
        ],
        "train": ["pairs", "run", "--budget", "1h30m", "--batch", "4", "--seed", "7", "--threads", "2"],
        "drive": ["run", "a.mp4", "out.mp4", "--view", "compare", "--driver-face", "2", "--workers", "2"],
        "live": ["run", "--port", "8000", "--camera", "0", "--record", "me.mp4"],
        "evaluate": ["run", "--compare", "one", "two", "--out", "page.html"],
        "run": ["a.mp4", "b.mp4", "out", "--steps", "12", "--preset", "small", "--device", "cpu"],
    }.items():
        (seeds / command).mkdir(parents=True)
        (seeds / command / "arguments.json").write_text(json.dumps([command, *arguments]))


def _read_settings(given: Path, _: Path) -> None:
    try:
        arguments = [str(value) for value in json.loads((given / "arguments.json").read_text(encoding="utf-8"))]
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("arguments.json: is a shell's and not mueca's") from error
    known = {name: flags_of(command.settings) for name, command in COMMANDS.items()}
    try:
        parsed = parse(make_parser(), arguments, known=known)
    except SystemExit as end:  # --help
        if end.code:
            raise
        return
    settings_from(COMMANDS[parsed.command].settings, parsed)


# Runs


def _make_run(seeds: Path, preset: str = "small") -> Path:
    narrow_presets(dict.__setitem__)
    only_asked_saves(setattr)
    pairs = seeds.parent / f"pairs of {seeds.name}"
    seeds.mkdir(parents=True)
    write_toy_pairs(pairs, num_train=2, num_test=1)
    run = seeds / "run"
    train(pairs, run, TrainSettings(preset=preset, steps=2, device="cpu", threads=1), save_every=1)
    write_metrics(run, good_metrics(driver=DRIVEN))
    write_curve(run, CURVE)
    for name in ("log", "samples"):
        shutil.rmtree(run / name)
    (run / "samples.mp4").unlink()
    return run


def _read_run(given: Path, _: Path) -> None:
    """Read all that training, driving and evaluating read of a run, and drive with it."""
    read_run(given)
    read_curve(given)
    read_metrics(given)
    load_newest(given)
    _drive(*open_puppet(given, device="cpu", threads=1, runtime="onnxruntime"))


def _drive(subject: Subject, paint: Painter) -> None:
    """Paint one frame of a driver: what was read is used, so that numbers which make no sense come to light."""
    driver = _driver()
    for retarget in ("shape", "none"):
        ClipReenactor(paint, subject, driver, retarget=retarget).paint(0, np.zeros((480, 480, 3), np.uint8))


def _driver() -> Track:
    points = np.array([landmarks_of(ACTORS["b"], expression) for expression in performance(3, 6)])
    number = np.arange(len(points))
    return Track(
        frame_index=number, timestamp_s=number / 25, landmarks=points, gaze=np.zeros((len(points), 2)),
        shot=np.zeros(len(points), int), quality=np.ones(len(points)), problem=np.full(len(points), "", dtype="U9"),
        lost={}, num_frames=len(points), fps=25.0, others=0,
    )  # fmt: skip


def _make_exported(seeds: Path) -> None:
    run = _make_run(seeds.parent / "run of an export")
    (seeds / "file").mkdir(parents=True)
    export(run, seeds / "file" / "puppet.onnx")


def _read_exported(given: Path, _: Path) -> None:
    (path,) = given.iterdir()
    exported = Exported(path, runtime="onnxruntime", threads=1)
    _drive(exported.facts.subject, exported)


def _make_reference(seeds: Path) -> None:
    run = _make_run(seeds.parent / "run of a reference", "paper")
    seeds.mkdir(parents=True)
    files = export_reference(run, seeds / "both", ExportSettings(format="reference"))
    for path in (files.generator, files.discriminator):
        (seeds / path.stem).mkdir()
        path.rename(seeds / path.stem / path.name)
    (seeds / "both").rmdir()


def _read_reference(given: Path, _: Path) -> None:
    (path,) = given.iterdir()
    change = generator_from_reference if path.stem.endswith("_G") else discriminator_from_reference
    change(read_state(path))


_TEXT_AND_TENSORS = {".json": mutations.JSON, ".safetensors": mutations.SAFETENSORS}
_PAIRS = {".json": mutations.JSON, ".npz": mutations.ARRAYS, ".png": mutations.PNG}

TARGETS = {
    target.name: target
    for target in (
        Target("video", _make_videos, _read_video, {".mp4": mutations.VIDEO, ".mov": mutations.VIDEO}),
        Target("picture", _make_pictures, _read_picture, {".png": mutations.PNG}),
        Target("pairs", _make_pairs, _read_pairs, _PAIRS),
        Target("side_by_side", _make_side_by_side, _read_pairs, _PAIRS),
        Target("four_folders", _make_four_folders, _read_pairs, _PAIRS),
        Target("settings", _make_settings, _read_settings, {".json": mutations.JSON}),
        Target("run", lambda seeds: _make_run(seeds), _read_run, _TEXT_AND_TENSORS),
        Target("export", _make_exported, _read_exported, {".onnx": mutations.ONNX}),
        Target("reference", _make_reference, _read_reference, {".pth": mutations.ZIP}),
    )
}


def make_seeds(folder: Path, names: Sequence[str]) -> None:
    """Make the seeds of these targets, each in a folder of its name."""
    torch.set_num_threads(1)
    for name in names:
        TARGETS[name].make(folder / name)
