"""A camera of this machine: pictures as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from mueca.errors import InputError
from mueca.video.reading import Frame

SIZE_PX = (640, 480)
"""Asked of the camera; it gives what it can."""
FPS = 30
_PATIENCE_S = 2.0
"""A camera that gives nothing for so long was unplugged, or somebody else took it."""
_AGAIN_S = 0.02


class Camera:
    """The camera of that number; iterate once, in a ``with`` block. A frame's time is the clock's since the first.

    Raises InputError where there is none, and in the iteration where it was unplugged.
    """

    def __init__(self, number: int) -> None:
        self.name = f"--camera {number}"
        with _hushed():
            self._capture = cv2.VideoCapture(number)  # noqa: TID251  (VideoReader reads files)
        if not self._capture.isOpened():
            raise InputError(
                f"{self.name}: there is no such camera, or another program has it; plug one in, close what uses it, "
                "or name another number"
            )
        for name, value in (
            (cv2.CAP_PROP_FOURCC, int.from_bytes(b"MJPG", "little")),  # raw pictures are slow over USB
            (cv2.CAP_PROP_FRAME_WIDTH, SIZE_PX[0]),
            (cv2.CAP_PROP_FRAME_HEIGHT, SIZE_PX[1]),
            (cv2.CAP_PROP_FPS, FPS),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ):
            self._capture.set(name, value)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        index, first_s, last_s = 0, None, time.monotonic()
        while True:
            ok, bgr = self._capture.read()
            now = time.monotonic()
            if ok:
                first_s = now if first_s is None else first_s
                yield Frame(index, now - first_s, lambda bgr=bgr: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
                index, last_s = index + 1, time.monotonic()
            elif now - last_s > _PATIENCE_S:
                raise InputError(f"{self.name}: gives no pictures any more; plug it in and run the same command again")
            else:
                time.sleep(_AGAIN_S)


@contextmanager
def _hushed() -> Iterator[None]:
    """Let OpenCV try its ways of opening a camera without a word about those that fail."""
    level = cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
