"""Open a file nobody vouches for: only known containers and codecs, no second file, errors a stranger can act on."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from mueca.errors import InputError

FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "mpegts")
PICTURE_DECODERS = (
    *("h263", "h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "theora", "mpeg1video", "mpeg2video", "mpeg4"),
    *("msmpeg4", "msmpeg4v2", "dvvideo", "dnxhd", "prores", "qtrle", "png", "mjpeg", "gif"),
    *("ffv1", "huffyuv", "utvideo", "rawvideo"),
)
SOUND_DECODERS = (
    *("aac", "aac_latm", "mp2", "mp2float", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "vorbis", "flac"),
    *("alac", "amrnb", "amrwb", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le"),
    *("pcm_s24be", "pcm_s32le", "pcm_f32le"),
)
MAX_PIXELS = 50_000_000
"""8K video has 33 million; a 198 KB file that declared 8192 x 8192 took 1.6 GB for 8 frames."""
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".ts", ".mts", ".m2ts", ".3gp")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

_WAY_OUT = "give a video such as mp4, mov, mkv, webm or avi"
_PICTURE_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
# Without them a text file named .mp4 with an ffconcat header opened a second file, and FFmpeg's probing decodes
# with whatever decoder a file asks for.
_LIMITS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
    "codec_whitelist": ",".join(PICTURE_DECODERS + SOUND_DECODERS),
    "max_pixels": str(MAX_PIXELS),
}


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Give the open container; raises InputError with the reason and the way out when it can't be opened."""
    _check_is_file(path)
    try:
        container = av.open(str(path.absolute()), options=dict(_LIMITS), metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(f"{path}: {_why_unreadable(path)}") from error
    with container:
        yield container


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Return the video streams that are no cover picture."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the first video stream that is no cover picture, checked before anything of it is decoded."""
    stream = next(iter(moving_pictures(container)), None)
    if stream is None:
        what = "sound but no moving picture" if container.streams.audio else "no moving picture"
        raise InputError(f"{path}: holds {what}; {_WAY_OUT}")
    check_decoder(path, stream, PICTURE_DECODERS, "convert it to H.264 first")
    check_size(path, stream.width, stream.height)
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"max_pixels": _LIMITS["max_pixels"]}
    return stream


def check_decoder(path: Path, stream: VideoStream | AudioStream, known: tuple[str, ...], way_out: str) -> None:
    """Raise InputError unless the stream's decoder is one of ``known``."""
    name = stream.codec_context.codec.name if stream.codec_context else "unknown"
    if name not in known:
        raise InputError(f"{path}: its {stream.type} is coded with {name}, which is not read; {way_out}")


def check_size(path: Path, width: int, height: int) -> None:
    """Raise InputError for pictures that would take too much memory."""
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 1_000_000} megapixels"
        raise InputError(f"{path}: its picture is {width} x {height}, more than {limit}; scale it down")


def _check_is_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder{_about_folder(path)}")
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist; name a video file") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read ({reason}); name a video file") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is no regular file; name a video file")


def _about_folder(path: Path) -> str:
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    videos = [p for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return f"; name one video file, such as {videos[0]}"
    if any(p.suffix.lower() in PICTURE_SUFFIXES for p in files):
        return " of pictures; name one video file"
    return " that holds neither videos nor pictures; name one video file"


def _why_unreadable(path: Path) -> str:
    """Return what is wrong with a file that FFmpeg refused, and the way out, from its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        return f"can't be read ({error.strerror}); check its permissions"
    if not head:
        return f"is empty; {_WAY_OUT}"
    if head.startswith(_PICTURE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return f"is a picture, not a video; {_WAY_OUT}"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return "is cut short or damaged: its index (moov) can't be read; copy or record it again"
    if not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return f"is text or a playlist, not a video; {_WAY_OUT}"
    return f"is no video that can be read, or is damaged; {_WAY_OUT}"
