"""Pictures shown as they are made: in a window, or by a camera that other programs can choose. Both demand a mark."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from mueca.errors import MuecaError
from mueca.marks import Mark, Picture, stamp

_LEAST_SIDE_PX = 512
"""Smaller pictures are shown this high."""
CAMERA_SIZE_PX = (640, 360)
"""The shape that meetings show: of a square picture that fills another one they would cut the badge off."""
CAMERA_FPS = 30


class Window:
    """A window of this machine's desktop; made, used and closed by one thread."""

    def __init__(self, title: str) -> None:
        """Open it. Raises MuecaError where there is no desktop, or Python lacks Tk."""
        try:
            import tkinter
        except ModuleNotFoundError as error:
            raise MuecaError(
                "--window: this Python lacks Tk; install it (Debian: apt install python3-tk), or leave --window out"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise MuecaError(f"--window: there is no desktop to show it on ({error}); leave --window out") from error
        self.is_open = True
        self._tkinter = tkinter
        self._keys: list[str] = []
        self._root.title(title)
        self._root.configure(background="black")
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        self._root.bind("<Key>", lambda event: self._keys.append(event.keysym))
        self._label = tkinter.Label(self._root, borderwidth=0, background="black")
        self._label.pack(expand=True)
        self._told = tkinter.Label(self._root, foreground="#ddd", background="black")
        self._told.pack(fill="x", pady=6)
        self._shown: Any = None

    def show(self, image: Picture, mark: Mark) -> None:
        """Show a picture, RGB uint8, with its badge, in place of the last one."""
        stamped = stamp(image, mark)
        scale = -(-_LEAST_SIDE_PX // stamped.shape[0])
        large = cv2.resize(stamped, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        ppm = b"P6 %d %d 255 " % (large.shape[1], large.shape[0]) + large.tobytes()
        self._shown = self._tkinter.PhotoImage(data=ppm, format="PPM", master=self._root)  # Tk keeps no reference
        self._label.configure(image=self._shown)

    def tell(self, text: str) -> None:
        """Write a line under the picture."""
        if self.is_open:
            self._told.configure(text=text)

    def keys(self) -> list[str]:
        """Return the names of the keys that were pressed since the last call, as Tk names them."""
        if self.is_open:
            self._root.update()
        keys, self._keys = self._keys, []
        return keys

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self.is_open:
            self.is_open = False
            self._root.destroy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()


class VirtualCamera:
    """A camera of this machine whose pictures are the ones written to it; needs the package pyvirtualcam."""

    def __init__(self, *, mark: Mark) -> None:
        """Open it. Raises MuecaError where the package or the system's part of it is missing."""
        try:
            import pyvirtualcam
        except ModuleNotFoundError as error:
            raise MuecaError(
                "--virtual-camera: needs pyvirtualcam; install it with: pip install pyvirtualcam"
            ) from error
        try:
            self._camera = pyvirtualcam.Camera(*CAMERA_SIZE_PX, CAMERA_FPS)
        except RuntimeError as error:
            raise MuecaError(
                f"--virtual-camera: the system has none to write to ({' '.join(str(error).split())}); on Linux: "
                "modprobe v4l2loopback; on Windows and macOS: install OBS Studio"
            ) from error
        self._mark = mark
        self._canvas = np.zeros((CAMERA_SIZE_PX[1], CAMERA_SIZE_PX[0], 3), np.uint8)
        self.name = str(self._camera.device)

    def write(self, image: Picture, timestamp_s: float) -> None:
        """Show a picture, RGB uint8, with its badge, on black; ``timestamp_s`` is taken for the moment it is."""
        stamped = stamp(image, self._mark)
        width, height = CAMERA_SIZE_PX
        scale = min(width / stamped.shape[1], height / stamped.shape[0])
        fitted = cv2.resize(stamped, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        top, left = (height - fitted.shape[0]) // 2, (width - fitted.shape[1]) // 2
        self._canvas[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
        self._camera.send(self._canvas)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._camera.close()
