"""VideoReader: the frames of one video, upright, with their own timestamps, in flat memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from mueca.errors import InputError
from mueca.marks import Picture
from mueca.video.opening import MAX_PIXELS, check_size, opened, picture_stream

_UNKNOWN_FPS = 25.0
_MAX_BAD_IN_A_ROW = 300
"""After so many bad packets (ten seconds of video) or breaks the rest is given up."""
_UNSAID = (0, 2)
"""AVColorSpace: RGB, which small encoders write for "not said", and unspecified."""
_CLOCK_RESTART_S = 1.0
"""A timestamp this far back is a new clock (two recordings joined); a smaller step back is a glitch."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video is, after its first frame was decoded."""

    path: Path
    width: int
    """Of the upright picture with square pixels, as the frames come."""
    height: int
    fps: float
    """Frames per second on average."""
    declared_frames: int | None
    duration_s: float | None
    rotation: int
    """Degrees clockwise by which the stored picture is turned: 0, 90, 180 or 270."""
    has_audio: bool
    start_s: float
    """The first frame's time on the file's own clock, which is the clip's zero."""


class Frame:
    """One picture of a video or of a folder; it is converted when its pixels are first asked for.

    Converting costs as much as decoding: who skips frames saves it, and threads that ask for several frames' pixels
    convert them side by side. One frame is asked by one thread.
    """

    def __init__(self, index: int, timestamp_s: float, paint: Callable[[], Picture]) -> None:
        self.index = index
        self.timestamp_s = timestamp_s
        """Seconds after the first frame; grows strictly."""
        self._paint: Callable[[], Picture] | None = paint
        self._image: Picture | None = None

    @property
    def image(self) -> Picture:
        """RGB uint8 (H, W, 3), upright."""
        if self._paint is not None:
            self._image, self._paint = self._paint(), None  # the decoder's own picture may go
        return cast(Picture, self._image)


class VideoReader:
    """The frames of a video file: iterate as often as you like, each time from the first.

    Memory is flat; but a clip that takes no more than ``remember_bytes`` as its decoder gives it is kept as that by
    the first full pass, so that later ones needn't decode it again.
    Raises InputError when the file can't be used or not one frame of it decodes.
    """

    def __init__(self, path: Path, *, remember_bytes: int = 0) -> None:
        self.path = Path(path)
        self._remember_bytes = remember_bytes
        self._remembered: list[_What] | None = None
        self.info, self._matrix = _probe(self.path)
        self.shortfall: str | None = None
        """After a full pass: what the file declared and did not hold, in one sentence."""
        self.unreadable: list[int] = []
        """Numbers of the frames that can't be read; a video's are counted in ``shortfall`` and have no numbers."""

    def __iter__(self) -> Iterator[Frame]:
        if self._remembered is not None:
            yield from (Frame(*what) for what in self._remembered)
            return
        self.shortfall = None
        tally, memory = Tally(), _Memory(self._remember_bytes, self.info)
        index, end_s = -1, 0.0
        clock = Clock(1 / self.info.fps)
        painter = Painter(self.info, self._matrix)
        with opened(self.path) as container:
            stream = picture_stream(container, self.path)
            for index, frame in enumerate(decoded(container, stream, tally)):
                timestamp_s = clock.tell(frame.pts, frame.time_base)
                end_s = timestamp_s + clock.step_s
                what = (index, timestamp_s, partial(painter.paint, frame))
                memory.keep(what, sum(plane.buffer_size for plane in frame.planes))
                yield Frame(*what)
        self.shortfall = shortfall(index + 1, end_s, self.info.declared_frames, self.info.duration_s, tally)
        self._remembered = memory.kept


class _Memory:
    """What a pass went by, kept as long as it fits; from the start not where the file declares that it won't."""

    def __init__(self, room_bytes: int, info: VideoInfo) -> None:
        declared_bytes = 1.5 * info.width * info.height * (info.declared_frames or 0)  # 8 bits, colour at half size
        self._room_bytes = room_bytes
        self.kept: list[_What] | None = [] if 0 < declared_bytes <= room_bytes else None

    def keep(self, what: _What, num_bytes: int) -> None:
        self._room_bytes -= num_bytes
        if self._room_bytes < 0:
            self.kept = None
        if self.kept is not None:
            self.kept.append(what)


_What = tuple[int, float, Callable[[], Picture]]
"""What a Frame is made of."""


@dataclass
class Tally:
    """What was lost while decoding."""

    lost: int = 0
    """Packets the decoder refused, frames it flagged as corrupt, and breaks in the file."""


def decoded(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[av.VideoFrame]:
    """Yield the whole frames of ``stream``; bad packets and corrupt frames are counted and skipped."""
    in_a_row = 0
    for packet in _packets(container, stream, tally):
        try:
            frames = packet.decode() if packet is not None else stream.decode(None)
        except av.FFmpegError:
            frames = [None]
        for frame in frames:
            if frame is None or frame.is_corrupt:
                tally.lost, in_a_row = tally.lost + 1, in_a_row + 1
            else:
                in_a_row = 0
                yield frame
        if in_a_row >= _MAX_BAD_IN_A_ROW:
            return


def _packets(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[av.Packet | None]:
    """Yield the packets, then None to flush the decoder where a break in the file stopped the reading."""
    for _ in range(_MAX_BAD_IN_A_ROW):
        try:
            yield from container.demux(stream)
        except av.FFmpegError:
            tally.lost += 1
        else:
            return
    yield None


class Clock:
    """Turns a stream's own times into seconds after its first frame, growing strictly."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        """From one frame to the next on average."""
        self._last_s: float | None = None
        self._zero_s = 0.0

    def tell(self, pts: int | None, time_base: Fraction | None) -> float:
        """Return the frame's timestamp; a missing one lies a step after the last, a repeated one just after."""
        if self._last_s is None:
            self._zero_s, self._last_s = seconds(pts, time_base), 0.0
            return 0.0
        next_s = self._last_s + self.step_s
        time_s = next_s if pts is None else seconds(pts, time_base) - self._zero_s
        if time_s < self._last_s - _CLOCK_RESTART_S:
            self._zero_s += time_s - next_s
            time_s = next_s
        self._last_s = time_s if time_s > self._last_s else self._last_s + self.step_s / 4
        return self._last_s


def seconds(pts: int | None, time_base: Fraction | None) -> float:
    """Return a stream's own time in seconds; zero where the file doesn't say."""
    return float((pts or 0) * (time_base or 0))


class Painter:
    """Turns decoded frames into upright RGB pictures of one size; threads may paint side by side."""

    def __init__(self, info: VideoInfo, matrix: Matrix) -> None:
        self._info, self._matrix = info, matrix
        size = (info.width, info.height)
        self._width, self._height = size[::-1] if _is_transposed(matrix) else size  # before it is turned
        self._own = threading.local()  # a reformatter is no two threads' at a time, and its HDR table is dear

    def paint(self, frame: av.VideoFrame) -> Picture:
        """Return the frame as RGB (info.height, info.width, 3)."""
        check_size(self._info.path, frame.width, frame.height)
        conversion = colour_conversion(frame)
        rgb = self._reformatter().reformat(frame, self._width, self._height, "rgb24", threads=1, **conversion)
        return upright(rgb.to_ndarray(), self._matrix)

    def _reformatter(self) -> VideoReformatter:
        if not hasattr(self._own, "reformatter"):
            self._own.reformatter = VideoReformatter()
        return self._own.reformatter


def colour_conversion(frame: av.VideoFrame) -> dict[str, int]:
    """Return how the frame's colours become BT.709's beyond what the frame itself tells.

    HDR is mapped to standard range, as phones record it; its table takes 2.3 s once and 12 ms per 720p frame.
    A large picture that doesn't name its matrix is BT.709, as players assume; a small one is BT.601.
    """
    if frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67):
        return {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
    if frame.colorspace in _UNSAID and frame.height >= 720 and not frame.format.is_rgb:
        return {"src_colorspace": Colorspace.ITU709}
    return {}


Matrix = tuple[int, int, int, int]
"""a, b, c, d: a stored pixel x, y stands at x' = a x + c y, y' = b x + d y; one of a and b is not zero."""

_IDENTITY: Matrix = (1, 0, 0, 1)


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """Return how the stored picture has to be turned and mirrored, to the nearest quarter turn.

    Asked once per file: a frame whose ``side_data`` was looked at stays alive until Python's next garbage collection.
    """
    side_data = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if side_data is None:
        return _IDENTITY
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(side_data), np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)


def upright(image: Picture, matrix: Matrix) -> Picture:
    """Return the picture turned and mirrored as the display matrix says."""
    a, b, c, d = matrix
    if _is_transposed(matrix):
        image = cv2.transpose(image)
    mirror_x, mirror_y = a + c < 0, b + d < 0
    if mirror_x or mirror_y:
        image = cv2.flip(image, -1 if mirror_x and mirror_y else int(mirror_x))
    return image


def _is_transposed(matrix: Matrix) -> bool:
    return matrix[0] == 0


def rotation_of(matrix: Matrix) -> int:
    """Return the degrees clockwise of the turn, a mirroring left out."""
    a, b, _, _ = matrix
    return round(math.degrees(math.atan2(b, a))) % 360


def shortfall(
    num_frames: int, end_s: float, declared_frames: int | None, duration_s: float | None, tally: Tally
) -> str | None:
    """Return a sentence about what was declared and did not come, or None.

    2 % and a fifth of a second are allowed; half a second where no frames are declared, for a file's duration may be
    that of its sound.
    """
    missing = declared_frames - num_frames if declared_frames else 0
    too_few = declared_frames is None or missing > max(2, declared_frames // 50)
    slack_s = 0.2 if declared_frames else 0.5
    too_short = duration_s is None or duration_s - end_s > max(slack_s, duration_s / 50)
    if declared_frames and ((missing > 0 and tally.lost) or (too_few and too_short)):
        return f"decoded {num_frames} of {declared_frames} declared frames; the file is cut short or damaged"
    if declared_frames is None and duration_s and too_short:
        return f"decoded {end_s:.1f} of {duration_s:.1f} declared seconds; the file is cut short or damaged"
    if tally.lost:
        return f"decoded {num_frames} frames and skipped {tally.lost} bad ones; the file is damaged"
    return None


def _probe(path: Path) -> tuple[VideoInfo, Matrix]:
    with opened(path) as container:
        stream = picture_stream(container, path)
        frame = next(decoded(container, stream, Tally()), None)
        if frame is None:
            limit = f"{MAX_PIXELS // 1_000_000} megapixels"
            raise InputError(
                f"{path}: not one frame of it decodes; it is cut short, damaged or larger than {limit}: record it again"
            )
        check_size(path, frame.width, frame.height)
        matrix = display_matrix(frame)
        width, height = square_pixels(frame.width, frame.height, stream.sample_aspect_ratio)
        check_size(path, width, height)
        info = VideoInfo(
            path=path,
            width=height if _is_transposed(matrix) else width,
            height=width if _is_transposed(matrix) else height,
            fps=_fps(stream),
            declared_frames=stream.frames or None,
            duration_s=_duration_s(container, stream),
            rotation=rotation_of(matrix),
            has_audio=bool(container.streams.audio),
            start_s=seconds(frame.pts, frame.time_base),
        )
        return info, matrix


def square_pixels(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size with square pixels, the smaller side enlarged; an aspect beyond 4 is taken for a fault."""
    if not aspect or not Fraction(1, 4) <= aspect <= 4:
        return width, height
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def _fps(stream: VideoStream) -> float:
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((float(rate) for rate in rates if rate and 0.01 <= rate <= 1000), _UNKNOWN_FPS)


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
