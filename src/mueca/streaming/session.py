"""A driver's session: frames in, pictures to be marked out, and what the buttons do."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from mueca.config import SIZE_PX
from mueca.errors import InputError, MuecaError
from mueca.marks import SYNTHETIC, Mark, composite
from mueca.pictures import decode_frame, encode_picture
from mueca.reenactment import Painted
from mueca.reenactor import Reenactor
from mueca.video import VideoWriter

Array = np.ndarray

HEADER = struct.Struct("<d6fB")
"""Before each picture: the frame's own time, as the page sent it; milliseconds of decoding, following, retargeting,
painting, encoding with the marks, and all of it; whether the face is lost."""
_FRAME = struct.Struct("<d")
"""Before each frame: its time by the page's clock, in milliseconds."""
VIEWS: dict[str, tuple[tuple[str, ...], Mark]] = {
    "result": (("fake",), SYNTHETIC),
    "condition": (("condition", "fake"), composite((SIZE_PX, 0, 2 * SIZE_PX, SIZE_PX))),
}


class Output(Protocol):
    """What takes every fake and marks it: a ``VideoWriter``, a ``VirtualCamera``."""

    def write(self, image: Array, timestamp_s: float) -> None: ...


@dataclass
class Counts:
    """What became of the frames of a session."""

    painted: int = 0
    dropped: int = 0
    """Newer ones came before they were looked at."""
    unreadable: int = 0

    def __str__(self) -> str:
        return f"{self.painted} frames painted, {self.dropped} dropped for newer ones, {self.unreadable} unreadable"


@dataclass
class _Film:
    """A recording that goes on."""

    writer: VideoWriter
    first_s: float | None = None

    def write(self, image: Array, timestamp_s: float) -> None:
        self.first_s = timestamp_s if self.first_s is None else self.first_s
        self.writer.write(image, timestamp_s - self.first_s)


class Session:
    """What one driver does with the puppet. Nothing of it is kept but what is recorded."""

    def __init__(
        self,
        reenactor: Reenactor,
        *,
        record_to: Callable[[], Path],
        outputs: Sequence[Output] = (),
        mark: Mark | None = None,
    ):
        """Begin with a driver who was never seen.

        ``record_to`` names a new file for each recording; ``outputs`` get every fake, beside who asked for it. ``mark``
        is what recordings tell; when not given, the reenactor's.
        """
        self._mark = mark or reenactor.mark
        self._reenactor = reenactor
        self._record_to = record_to
        self._outputs = outputs
        self.view = "result"
        self._last: Painted | None = None
        self._film: _Film | None = None
        self.is_frozen = False
        self.counts = Counts()
        reenactor.reset()

    @property
    def is_recording(self) -> bool:
        """Whether what is painted is being recorded."""
        return self._film is not None

    def take(self, frame: Array, timestamp_s: float | None = None) -> tuple[Array, Mark]:
        """Return the picture to show for a frame, RGB uint8, and the mark that whoever shows it puts on it.

        ``timestamp_s`` grows from frame to frame; when not given, it is the clock's.
        """
        now = time.monotonic() if timestamp_s is None else timestamp_s
        if self._last is None or not self.is_frozen:
            self._last = self._reenactor.paint(frame, now)
        self.counts.painted += 1
        for output in self._outputs:
            output.write(self._last.fake, now)
        self._record(self._last.fake, now)
        tiles, mark = VIEWS[self.view]
        return np.hstack([getattr(self._last, tile) for tile in tiles]), mark

    def answer(self, message: bytes) -> bytes:
        """Return the marked JPEG, behind a HEADER, for a frame's message: its time and its JPEG.

        Raises InputError where the message is no picture.
        """
        begun = time.perf_counter()
        if len(message) <= _FRAME.size:
            self.counts.unreadable += 1
            raise InputError("frame: is empty; send its time and a JPEG")
        (sent_ms,) = _FRAME.unpack_from(message)
        try:
            frame = decode_frame(message[_FRAME.size :])
        except InputError:
            self.counts.unreadable += 1
            raise
        decoded = time.perf_counter()
        picture, mark = self.take(frame)
        taken = time.perf_counter()
        jpeg = encode_picture(picture, ".jpg", mark)
        encoded = time.perf_counter()
        stages, is_lost = self._reenactor.stages, int(self._reenactor.is_lost)
        decode, encode, total = (1000 * s for s in (decoded - begun, encoded - taken, encoded - begun))
        return HEADER.pack(sent_ms, decode, stages.follow, stages.retarget, stages.paint, encode, total, is_lost) + jpeg

    def do(self, order: dict[str, object]) -> str:
        """Carry out what a button asks; return what to tell the driver. Raises MuecaError where it can't be done."""
        match order:
            case {"do": "calibrate"}:
                self._reenactor.calibrate()
                return "calibrated: this is your neutral face"
            case {"do": "freeze", "on": bool(on)}:
                self.is_frozen = on
                return "frozen" if on else "going on"
            case {"do": "view", "view": str(view)} if view in VIEWS:
                self.view = view
                return ""
            case {"do": "record", "on": True} if self._film is None:
                return f"recording to {self._start_recording()}"
            case {"do": "record", "on": False} if self._film is not None:
                return f"recorded {self._stop_recording()}"
        raise InputError("order: is not understood; reload the page")

    def close(self) -> None:
        """End the session; a recording that runs is kept. Raises MuecaError where it can't be."""
        try:
            if self._film is not None and self._film.first_s is None:
                self._discard(InputError("record: no frame came"))
            elif self._film is not None:
                self._stop_recording()
        finally:
            self._reenactor.reset()

    def _start_recording(self) -> str:
        writer = VideoWriter(self._record_to(), size_px=(SIZE_PX, SIZE_PX), mark=self._mark)
        self._film = _Film(writer.__enter__())
        return writer.path.name

    def _record(self, fake: Array, now: float) -> None:
        if self._film is None:
            return
        try:
            self._film.write(fake, now)
        except MuecaError as error:
            self._discard(error)
            raise

    def _stop_recording(self) -> str:
        film, self._film = self._film, None
        film.writer.__exit__(None, None, None)
        return film.writer.path.name

    def _discard(self, error: MuecaError) -> None:
        film, self._film = self._film, None
        film.writer.__exit__(type(error), error, error.__traceback__)
