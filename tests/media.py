"""Makes odd and broken media files in a folder of the caller's, none is stored; and reads and writes whole ones."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

from mueca.marks import UNMARKED
from mueca.video import Frame, VideoReader, VideoWriter

Picture = NDArray[np.uint8]

RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 180, 60), (50, 70, 210), (128, 128, 128)


def corners(width: int = 64, height: int = 48) -> Picture:
    """Return a picture whose corners are red, green, blue and grey: top left, top right, bottom left, bottom right."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, GREY
    return image


def moving(num_frames: int, width: int = 64, height: int = 48) -> list[Picture]:
    """Return smooth pictures, each different from the others: frame i is brighter than frame i - 1."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([x * 80 / width, y * 80 / height, (x + y) * 40 / (width + height)], -1)
    return [(ground + 20 + i * 120 / max(1, num_frames - 1)).astype(np.uint8) for i in range(num_frames)]


def tone(seconds: float, rate_hz: int = 44_100, *, start_s: float = 0.0, hz: float = 440.0) -> NDArray[np.float32]:
    """Return (N,) samples: silence until ``start_s``, then a sine of half amplitude."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.where(t < start_s, 0, 0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def make_video(
    path: Path,
    images: Sequence[Picture],
    *,
    pts: Sequence[int | None] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation_ccw: int | None = None,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    transfer: ColorTrc | None = None,
    options: dict[str, str] | None = None,
    movflags: str = "+faststart",
    sound: NDArray[np.float32] | None = None,
    sound_codec: str = "aac",
    sound_rate_hz: int = 44_100,
    sound_start_s: float = 0.0,
) -> Path:
    """Write a video with PyAV alone, so that the reader under test isn't tested by its own writer."""
    pts = list(range(len(images))) if pts is None else pts
    fmt = {".ts": "mpegts", ".mkv": "matroska"}.get(path.suffix)
    with av.open(
        str(path),
        "w",
        format=fmt,
        options={"movflags": movflags} if movflags and path.suffix in (".mp4", ".mov") else {},
    ) as out:
        height, width = images[0].shape[:2]
        video = out.add_stream(
            codec, rate=round(1 / time_base), width=width, height=height, pix_fmt=pix_fmt, options=options or {}
        )
        video.codec_context.time_base = time_base
        if rotation_ccw is not None:
            video.set_display_rotation(rotation_ccw, hflip=mirrored)
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        if transfer is not None:
            video.codec_context.color_trc = transfer
            video.codec_context.color_primaries, video.codec_context.colorspace = ColorPrimaries.BT2020, 9  # BT.2020
        audio = out.add_stream(sound_codec, rate=sound_rate_hz, layout="mono") if sound is not None else None
        for image, when in zip(images, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = when, time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            mux_sound(out, audio, sound, sound_rate_hz, sound_start_s)
    return path


def mux_sound(out, audio, samples: NDArray[np.float32], rate_hz: int, start_s: float) -> None:
    """Encode and mux ``samples`` on ``audio``, from ``start_s`` on."""
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        frame.rate, frame.pts = rate_hz, round(start_s * rate_hz) + start
        frame.time_base = Fraction(1, rate_hz)
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))


def make_sound_only(path: Path, *, cover: bool = False) -> Path:
    """Write a file with an audio track and no moving picture, but perhaps a cover."""
    with av.open(str(path), "w") as out:
        audio = out.add_stream("aac", rate=44_100, layout="mono")
        if cover:
            art = out.add_stream("mjpeg", rate=25, width=64, height=48, pix_fmt="yuvj420p")
            art.disposition = Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(corners(), "rgb24")
            frame.pts = 0
            out.mux([*art.encode(frame), *art.encode(None)])
        mux_sound(out, audio, tone(0.3), 44_100, 0.0)
    return path


def cut(path: Path, share: float) -> Path:
    """Cut the file to its first ``share``."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def damage(path: Path, *, first_share: float = 0.5, num_bytes: int = 400, seed: int = 0) -> Path:
    """Overwrite ``num_bytes`` bytes in the middle of the file with noise."""
    data = bytearray(path.read_bytes())
    start = int(len(data) * first_share)
    data[start : start + num_bytes] = np.random.default_rng(seed).bytes(num_bytes)
    path.write_bytes(bytes(data))
    return path


def decode_sound(path: Path) -> tuple[NDArray[np.float32], int, float]:
    """Return (samples of the first channel, rate in Hz, start in seconds on the file's clock)."""
    parts, rate, start_s = [], 0, None
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono")
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                start_s = float(part.pts * part.time_base) if start_s is None else start_s
                parts.append(part.to_ndarray()[0])
                rate = part.rate
    return np.concatenate(parts), rate, start_s or 0.0


def onset_s(path: Path) -> float:
    """Return when the sound first gets loud, in seconds on the file's clock."""
    samples, rate, start_s = decode_sound(path)
    return start_s + int(np.argmax(np.abs(samples) > 0.2)) / rate


@contextmanager
def small_disk(folder: Path, *, num_kib: int) -> Iterator[Path]:
    """Mount a disk of ``num_kib`` KiB at ``folder``; skips the test where this user may not mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={num_kib}k", "mueca-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk: {getattr(error, 'stderr', None) or error}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def write(path: Path, images, timestamps=None, *, mark=UNMARKED, sound=None) -> Path:
    """Write images at 25 frames per second, or at the given timestamps."""
    timestamps = [i / 25 for i in range(len(images))] if timestamps is None else timestamps
    height, width = images[0].shape[:2]
    with VideoWriter(path, size_px=(width, height), mark=mark, sound=sound) as film:
        for image, timestamp_s in zip(images, timestamps, strict=True):
            film.write(image, timestamp_s)
    return path


def read(path: Path) -> list[Frame]:
    """Return all frames of the video."""
    return list(VideoReader(path))


def times(frames: list[Frame]) -> list[float]:
    """Return the frames' timestamps in seconds."""
    return [frame.timestamp_s for frame in frames]


def corner_colours(image: Picture) -> list[list[int]]:
    """Return the colours top left, top right, bottom left and bottom right."""
    return [image[y, x].tolist() for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]


def about(colours, tolerance: int = 4):
    """Return the colours as approximations, to be compared with."""
    return [pytest.approx(list(colour), abs=tolerance) for colour in colours]


def heed_ctrl_c() -> None:
    """Undo, in a new process, what a shell does to its background jobs and all that they start: SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process and all that it started hold; skips the test where there is no /proc."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs Linux's /proc")
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended meanwhile
    return pages * os.sysconf("SC_PAGESIZE") + sum(map(resident_bytes, children))
