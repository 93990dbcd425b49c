"""Without a browser: a camera of this machine, or a video in its place, drives the puppet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from mueca.errors import InputError, MuecaError
from mueca.face.frames import TimedImage
from mueca.streaming.session import Session
from mueca.video.showing import Window

_LOOK_AGAIN_S = 0.05
"""So long the window may wait for its keys while no frame comes."""
KEYS = "c calibrates, space freezes, r records, v shows the condition, q ends"


class Newest:
    """The newest frame of a source that is read beside this thread; those that nobody took in time are dropped."""

    def __init__(self, frames: Iterable[TimedImage], *, as_filmed: bool):
        """Read ``frames`` in a ``with`` block; ``as_filmed``: not before their time, as a camera gives them."""
        self._frames = frames
        self._as_filmed = as_filmed
        self._came = threading.Condition()
        self._left = threading.Event()
        self._newest: TimedImage | None = None
        self._is_read = False
        self.num_dropped = 0
        self.failure: Exception | None = None
        """Why the frames ended early."""

    @property
    def is_over(self) -> bool:
        """Whether all frames were taken or dropped."""
        with self._came:
            return self._is_read and self._newest is None

    def get(self, *, timeout_s: float) -> TimedImage | None:
        """Return the newest frame; None where none came in time."""
        with self._came:
            self._came.wait_for(lambda: self._newest is not None or self._is_read, timeout_s)
            frame, self._newest = self._newest, None
        return frame

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._left.set()
        self._thread.join()

    def _read(self) -> None:
        start = time.monotonic()
        try:
            for frame in self._frames:
                early_s = start + frame.timestamp_s - time.monotonic() if self._as_filmed else 0.0
                if self._left.wait(max(0.0, early_s)):
                    return
                with self._came:
                    self.num_dropped += self._newest is not None
                    self._newest = frame
                    self._came.notify()
        except Exception as error:  # noqa: BLE001  (told to the thread that takes the frames)
            self.failure = error
        finally:
            with self._came:
                self._is_read = True
                self._came.notify()


def play(session: Session, newest: Newest, *, window: Window | None, until: threading.Event) -> InputError | None:
    """Let the frames drive the puppet until they end, the window is closed, ``until`` is set, or on Ctrl+C.

    Returns why the source's frames ended early, if they did: nothing that was recorded is lost by that.
    """
    if window:
        window.tell(KEYS)
    try:
        while not (until.is_set() or newest.is_over or (window and not window.is_open)):
            frame = newest.get(timeout_s=_LOOK_AGAIN_S)
            if frame is not None:
                picture, mark = session.take(frame.image, frame.timestamp_s)
                if window:
                    window.show(picture, mark)
            for key in window.keys() if window else ():
                _obey(key, session, window)
        if newest.failure is not None and not isinstance(newest.failure, InputError):
            raise newest.failure
        return newest.failure
    except KeyboardInterrupt:
        return None
    finally:
        session.counts.dropped = newest.num_dropped


def _obey(key: str, session: Session, window: Window) -> None:
    """Do what a key asks, and tell it in the window."""
    match key:
        case "q" | "Escape":
            return window.close()
        case "c":
            order = {"do": "calibrate"}
        case "space":
            order = {"do": "freeze", "on": not session.is_frozen}
        case "r":
            order = {"do": "record", "on": not session.is_recording}
        case "v":
            order = {"do": "view", "view": "result" if session.view == "condition" else "condition"}
        case _:
            return window.tell(KEYS)
    try:
        window.tell(session.do(order) or KEYS)
    except MuecaError as error:
        window.tell(str(error))
