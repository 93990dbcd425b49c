"""Video: the encoders and decoders that mueca uses, tried on a few frames in a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mueca.diagnosis.checking import Finding
from mueca.errors import MuecaError

_AV_ANEW = "install PyAV's own wheel: pip install --force-reinstall av"
_TRIAL_SIZE_PX = (64, 64)
ENCODERS = ("libx264", "aac", "libx265", "libopus")
_NEEDED_ENCODERS = ("libx264", "aac")
_QUIET = {"libx265": {"x265-params": "log-level=none"}}


def video() -> Iterator[Finding]:
    import av

    from mueca.video.opening import PICTURE_DECODERS, SOUND_DECODERS

    versions = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavcodec",))
    yield Finding("video", "ok", f"PyAV {av.__version__}, FFmpeg {_ffmpeg_version()}, {versions}", is_needed=True)
    yield mp4_with_sound()
    yield from encoders()
    known = (*PICTURE_DECODERS, *SOUND_DECODERS)
    lacking = [name for name in known if name not in av.codecs_available]
    if lacking:
        way_out = "videos coded with these can't be read; install PyAV's own wheel: pip install --force-reinstall av"
        yield Finding("decoders", "missing", f"without {', '.join(lacking)}", way_out)
    else:
        yield Finding("decoders", "ok", f"all {len(known)} that mueca reads")


def encoders() -> Iterator[Finding]:
    """Tell of each encoder by itself: those that mueca writes with, and those of films that people bring."""
    for encoder in ENCODERS:
        yield round_trip(encoder)


def mp4_with_sound() -> Finding:
    """Return whether mueca's own writer makes an mp4 with sound that its own reader reads."""
    from mueca.marks import UNMARKED
    from mueca.video import Sound, VideoReader, VideoWriter

    check, frames = "mp4 with sound", _trial_frames()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trial.mp4")
        try:
            sound = Sound(np.zeros(16_000, np.float32), 16_000)
            with VideoWriter(path, size_px=_TRIAL_SIZE_PX, mark=UNMARKED, sound=sound) as writer:
                for number, frame in enumerate(frames):
                    writer.write(frame, number / 25)
            read = list(VideoReader(path))
        except MuecaError as error:
            told = str(error).replace(f"{path.resolve()}", path.name).replace(f"{path}", path.name)
            return Finding(check, "broken", told, _AV_ANEW, is_needed=True)
    if len(read) != len(frames):
        return Finding(check, "broken", f"{len(read)} of {len(frames)} frames came back", _AV_ANEW, is_needed=True)
    return Finding(check, "ok", f"{len(frames)} frames written and read back", is_needed=True)


def round_trip(encoder: str) -> Finding:
    """Return whether FFmpeg's encoder of that name writes something that a decoder here reads."""
    import av

    check, is_needed = f"encoder {encoder}", encoder in _NEEDED_ENCODERS
    try:
        num_written, num_read = _write_and_read(encoder)
    except av.codec.codec.UnknownCodecError:
        told = "this FFmpeg lacks it" + ("" if is_needed else "; mueca reads what it writes, and doesn't write with it")
        return Finding(check, "missing", told, _AV_ANEW if is_needed else None, is_needed)
    except (av.FFmpegError, ValueError, OSError) as error:
        told = f"does not work ({' '.join(str(error).split()):.120})"
        return Finding(check, "broken", told.replace(tempfile.gettempdir(), "TEMP"), _AV_ANEW, is_needed)
    if num_read < num_written:
        return Finding(check, "broken", f"{num_read} of {num_written} frames came back", _AV_ANEW, is_needed)
    return Finding(check, "ok", f"{num_written} frames written and read back", None, is_needed)


def _write_and_read(encoder: str) -> tuple[int, int]:
    """Return how many frames of pictures or blocks of samples were given to an encoder, and how many came back."""
    import av

    is_sound = av.Codec(encoder, "w").type == "audio"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "trial.mkv"))
        with av.open(path, "w") as container:
            if is_sound:
                stream = container.add_stream(encoder, rate=48_000)
                frames = [_silence(number) for number in range(8)]
            else:
                stream = container.add_stream(encoder, rate=25, width=64, height=64, options=_QUIET.get(encoder, {}))
                stream.pix_fmt = "yuv420p"
                frames = [av.VideoFrame.from_ndarray(frame) for frame in _trial_frames()]
            for frame in [*frames, None]:
                container.mux(stream.encode(frame))
        with av.open(path) as container:
            return len(frames), sum(1 for _ in container.decode(container.streams[0]))


def _ffmpeg_version() -> str:
    import av

    return str(getattr(av, "ffmpeg_version_info", "of unknown version"))


def _trial_frames() -> list[np.ndarray]:
    """Return some pictures (64, 64, 3) that move, RGB uint8."""
    ramp = np.arange(64, dtype=np.uint8)[None, :, None] * np.ones((64, 1, 3), np.uint8)
    return [np.roll(ramp, 4 * number, axis=1) for number in range(8)]


def _silence(number: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48_000, 1024 * number
    return frame
