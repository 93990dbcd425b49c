"""A visitor's session: frames in, marked pictures out, and what the buttons do."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mueca.config import SIZE_PX
from mueca.errors import InputError, MuecaError
from mueca.marks import SYNTHETIC, Mark, composite
from mueca.pictures import decode_frame, encode_picture
from mueca.reenactor import Reenactor
from mueca.video import VideoWriter

Array = np.ndarray

HEADER = struct.Struct("<d4fB")
"""Before each picture: the frame's own time, as the page sent it; milliseconds of following, retargeting, painting and
all of it; whether the face is lost."""
_FRAME = struct.Struct("<d")
"""Before each frame: its time by the page's clock, in milliseconds."""
_VIEWS: dict[str, tuple[tuple[str, ...], Mark]] = {
    "result": (("fake",), SYNTHETIC),
    "condition": (("condition", "fake"), composite((SIZE_PX, 0, 2 * SIZE_PX, SIZE_PX))),
}


@dataclass
class Counts:
    """What became of the frames of a session."""

    painted: int = 0
    dropped: int = 0
    """Newer ones came before they were looked at."""
    unreadable: int = 0


class Session:
    """What one visitor does with the puppet. Nothing of it is kept but what is recorded."""

    def __init__(self, reenactor: Reenactor, *, record_to: Callable[[], Path]):
        """Begin with a driver who was never seen; ``record_to`` names a new file for each recording."""
        self._reenactor = reenactor
        self._record_to = record_to
        self._view = "result"
        self._frozen: bytes | None = None
        self._last: bytes = b""
        self._is_frozen = False
        self._film: tuple[VideoWriter, ExitStack, float] | None = None
        self.counts = Counts()
        reenactor.reset()

    def answer(self, message: bytes) -> bytes:
        """Return the marked JPEG, behind a HEADER, for a frame's message: its time and its JPEG.

        Raises InputError where the message is no picture.
        """
        start = time.perf_counter()
        if len(message) <= _FRAME.size:
            raise InputError("frame: is empty; send its time and a JPEG")
        (sent_ms,) = _FRAME.unpack_from(message)
        try:
            frame = decode_frame(message[_FRAME.size :])
        except InputError:
            self.counts.unreadable += 1
            raise
        if not (self._is_frozen and self._last):
            self._last = self._painted(frame)
        self.counts.painted += 1
        stages = self._reenactor.stages
        taken_ms = 1000.0 * (time.perf_counter() - start)
        head = HEADER.pack(
            sent_ms, stages.follow, stages.retarget, stages.paint, taken_ms, int(self._reenactor.is_lost)
        )
        return head + self._last

    def _painted(self, frame: Array) -> bytes:
        painted = self._reenactor.paint(frame)
        if self._film:
            writer, _, since_s = self._film
            writer.write(painted.fake, time.monotonic() - since_s)
        tiles, mark = _VIEWS[self._view]
        return encode_picture(np.hstack([getattr(painted, tile) for tile in tiles]), ".jpg", mark)

    def do(self, order: dict[str, object]) -> str:
        """Carry out what a button asks; return what to tell the visitor. Raises MuecaError where it can't be done."""
        match order:
            case {"do": "calibrate"}:
                self._reenactor.calibrate()
                return "calibrated: this is your neutral face"
            case {"do": "freeze", "on": bool(on)}:
                self._is_frozen = on
                return "frozen" if on else "going on"
            case {"do": "view", "view": str(view)} if view in _VIEWS:
                self._view = view
                return ""
            case {"do": "record", "on": True} if self._film is None:
                return f"recording to {self._start_recording()}"
            case {"do": "record", "on": False} if self._film is not None:
                return f"recorded {self._stop_recording()}"
        raise InputError("order: is not understood; reload the page")

    def close(self) -> None:
        """End the session; a recording that runs is kept."""
        if self._film is not None:
            self._stop_recording()
        self._reenactor.reset()

    def _start_recording(self) -> str:
        writer = VideoWriter(self._record_to(), size_px=(SIZE_PX, SIZE_PX), mark=SYNTHETIC)
        stack = ExitStack()
        stack.enter_context(writer)
        self._film = writer, stack, time.monotonic()
        return writer.path.name

    def _stop_recording(self) -> str:
        writer, stack, _ = self._film or (None, None, None)
        self._film = None
        if writer is None or stack is None:
            raise MuecaError("record: nothing is being recorded")
        stack.close()
        return writer.path.name
