"""Live without a browser: a camera or a video drives, and a window, a file or another camera takes the pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import ImageGrab
from puppets import Grey

from mueca.config import SIZE_PX, LiveSettings
from mueca.errors import InputError, MuecaError, OutputError, SettingsError
from mueca.marks import SYNTHETIC, UNMARKED, composite
from mueca.streaming import live, playing, starting
from mueca.streaming.playing import Newest, play
from mueca.streaming.session import Session
from mueca.video import VideoReader, VideoWriter, camera, showing
from mueca.video.camera import Camera
from mueca.video.showing import CAMERA_SIZE_PX, VirtualCamera, Window

FRAMES = 12


@pytest.fixture
def grey(monkeypatch: pytest.MonkeyPatch) -> Grey:
    reenactor = Grey()
    monkeypatch.setattr(starting, "Reenactor", lambda *_, **__: reenactor)
    return reenactor


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twelve greys, ever lighter, twenty a second."""
    path = tmp_path / "driver.mp4"
    with VideoWriter(path, size_px=(64, 48), mark=UNMARKED) as writer:
        for number in range(FRAMES):
            writer.write(np.full((48, 64, 3), 20 * number, np.uint8), number / 20)
    return path


def still(level: int, timestamp_s: float) -> SimpleNamespace:
    return SimpleNamespace(index=0, timestamp_s=timestamp_s, image=np.full((48, 64, 3), level, np.uint8))


class Shown:
    """Stands for a window: what it was told, and keys that are pressed when a frame is shown."""

    def __init__(self, keys: dict[int, str]) -> None:
        self.is_open = True
        self.pictures: list[np.ndarray] = []
        self.marks: list[object] = []
        self.told: list[str] = []
        self._keys = keys
        self._num_asked = 0

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, image: np.ndarray, mark: object) -> None:
        self.pictures.append(image)
        self.marks.append(mark)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def keys(self) -> list[str]:
        key = self._keys.pop(len(self.pictures), None)
        return [key] if key else []

    def close(self) -> None:
        self.is_open = False


def test_a_video_drives_as_fast_as_it_was_filmed_into_a_marked_file(grey, film, tmp_path):
    out, said = tmp_path / "out.mp4", []
    start = time.monotonic()
    live(tmp_path / "run", LiveSettings(input=film, record=out), say=said.append)
    assert time.monotonic() - start >= (FRAMES - 1) / 20
    frames = list(VideoReader(out))
    assert 1 < len(frames) <= FRAMES
    assert b"trainedAlgorithmicMedia" in out.read_bytes()
    assert (np.abs(frames[-1].image[-20:, :90].astype(int) - 20 * (FRAMES - 1)) > 40).mean() > 0.3  # the badge
    assert [round(20 * frame.timestamp_s) for frame in frames] == sorted({round(level / 20) for level in grey.painted})
    assert re.search(r"\d+ frames painted, \d+ dropped", said[-1])


def test_when_painting_is_slow_frames_are_dropped_and_the_last_one_is_not(grey, film, tmp_path):
    grey.takes_s = 0.2
    said: list[str] = []
    start = time.monotonic()
    live(tmp_path / "run", LiveSettings(input=film, record=tmp_path / "out.mp4"), say=said.append)
    assert time.monotonic() - start < (FRAMES - 1) / 20 + 1.0
    assert len(grey.painted) < FRAMES - 3
    assert abs(grey.painted[-1] - 20 * (FRAMES - 1)) < 5
    assert int(re.search(r"(\d+) dropped", said[-1])[1]) == FRAMES - len(grey.painted)


def test_the_drivers_own_video_is_not_recorded_over(grey, film, tmp_path):
    before = film.read_bytes()
    with pytest.raises(OutputError, match="driver's own video"):
        live(tmp_path / "run", LiveSettings(input=film, record=film))
    assert film.read_bytes() == before


def test_without_another_output_a_window_shows_it(grey, film, tmp_path, monkeypatch):
    window = Shown({})
    monkeypatch.setattr(starting, "Window", lambda title: window)
    live(tmp_path / "run", LiveSettings(input=film), say=lambda text: None)
    assert len(window.pictures) == len(grey.painted) > 0
    assert set(window.marks) == {SYNTHETIC}
    assert not window.is_open


def test_the_keys_of_the_window_do_what_the_pages_buttons_do(grey, film, tmp_path, monkeypatch):
    window = Shown({1: "c", 2: "space", 4: "space", 5: "v", 6: "r", 8: "r", 9: "x", 10: "q"})
    monkeypatch.setattr(starting, "Window", lambda title: window)
    live(tmp_path / "run", LiveSettings(input=film, recordings=tmp_path), say=lambda text: None)
    assert grey.calibrations == 1
    assert len(window.pictures) == 10  # q
    assert np.array_equal(window.pictures[1], window.pictures[2])  # frozen
    assert window.pictures[5].shape == (SIZE_PX, 2 * SIZE_PX, 3)
    assert window.marks[5] == composite((SIZE_PX, 0, 2 * SIZE_PX, SIZE_PX))
    (recorded,) = tmp_path.glob("mueca-live-*.mp4")
    assert len(list(VideoReader(recorded))) == 2
    assert window.told[0] == window.told[-1] == playing.KEYS


def test_a_key_that_fails_is_told_in_the_window_and_it_goes_on(grey, film, tmp_path, monkeypatch):
    grey.is_lost = True
    window = Shown({1: "c"})
    monkeypatch.setattr(starting, "Window", lambda title: window)
    live(tmp_path / "run", LiveSettings(input=film), say=lambda text: None)
    assert "calibrate: no face is seen" in window.told
    assert len(window.pictures) > 2


def test_ctrl_c_ends_and_keeps_what_was_recorded(grey, film, tmp_path, monkeypatch):
    grey.interrupts_at = 3
    live(tmp_path / "run", LiveSettings(input=film, record=tmp_path / "out.mp4"), say=lambda text: None)
    assert len(list(VideoReader(tmp_path / "out.mp4"))) == 2


def test_it_ends_when_it_is_told_to(tmp_path):
    until = threading.Event()
    forever = iter(lambda: still(7, 0.0), None)
    session = Session(Grey(), record_to=lambda: tmp_path / "film.mp4")
    with Newest(forever, as_filmed=True) as newest:
        threading.Timer(0.2, until.set).start()
        assert play(session, newest, window=None, until=until) is None


def test_a_bug_in_reading_is_not_taken_for_an_end(tmp_path):
    def broken() -> Iterator[SimpleNamespace]:
        yield still(7, 0.0)
        raise ZeroDivisionError

    session = Session(Grey(), record_to=lambda: tmp_path / "film.mp4")
    with Newest(broken(), as_filmed=False) as newest, pytest.raises(ZeroDivisionError):
        play(session, newest, window=None, until=threading.Event())


class Capture:
    """Stands for OpenCV's camera: some pictures, then it is unplugged."""

    num_pictures = 5

    def __init__(self, number: int) -> None:
        self.number, self.left, self.asked = number, self.num_pictures, []

    def isOpened(self) -> bool:  # noqa: N802  (OpenCV's name)
        return self.number == 0

    def set(self, name: int, value: float) -> None:
        self.asked.append(name)

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.02)
        self.left -= 1
        return (True, np.full((48, 64, 3), (0, 0, 200), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.left = 0


def test_without_a_camera_it_says_what_to_do(grey, tmp_path, capfd):
    with pytest.raises(InputError, match=r"--camera 99: there is no such camera.*name another number"):
        live(tmp_path / "run", LiveSettings(camera=99))
    assert capfd.readouterr() == ("", "")  # OpenCV's own warnings


def test_a_camera_gives_rgb_at_the_clocks_time(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(camera, "_PATIENCE_S", 0.05)
    frames = []
    with Camera(0) as source, pytest.raises(InputError, match="gives no pictures any more"):
        for frame in source:
            frames.append((frame.index, frame.timestamp_s, frame.image[0, 0].tolist()))
    indices, times, colours = zip(*frames, strict=True)
    assert indices == tuple(range(Capture.num_pictures))
    assert times[0] == 0
    assert all(0.01 < later - earlier < 1 for earlier, later in pairwise(times))
    assert set(map(tuple, colours)) == {(200, 0, 0)}


def test_an_unplugged_camera_ends_it_in_words_and_what_was_recorded_stays(grey, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(camera, "_PATIENCE_S", 0.1)
    out = tmp_path / "out.mp4"
    with pytest.raises(InputError, match="--camera 0: gives no pictures any more; plug it in"):
        live(tmp_path / "run", LiveSettings(camera=0, record=out), say=lambda text: None)
    assert len(list(VideoReader(out))) == Capture.num_pictures
    assert set(grey.painted) == {200}  # red, not blue, is an RGB picture's first


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": Path("a.mp4"), "camera": 0},
        {"record": Path("out.mp4")},
        {"camera": 0, "open_browser": True},
        {"window": True, "port": 8000},
        {"camera": -1},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(SettingsError, match="--" + next(iter(wrong))):
        LiveSettings(**wrong)


def test_where_there_is_no_desktop_the_window_says_what_to_do(monkeypatch):
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(MuecaError, match=r"--window: there is no desktop.*leave --window out"):
        Window("title")


def test_where_python_lacks_tk_the_window_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(MuecaError, match=r"--window: .*python3-tk"):
        Window("title")


class Device:
    """Stands for pyvirtualcam's camera."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.size, self.sent, self.device = (width, height), [], "/dev/video7"

    def send(self, frame: np.ndarray) -> None:
        self.sent.append(frame.copy())

    def close(self) -> None:
        self.sent.append(None)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    made: list[Device] = []
    module = ModuleType("pyvirtualcam")
    module.Camera = lambda *given: made.append(Device(*given)) or made[-1]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return made


def test_the_virtual_camera_gets_every_fake_badged_whole_and_in_the_middle(grey, film, device, tmp_path):
    said: list[str] = []
    live(tmp_path / "run", LiveSettings(input=film, virtual_camera=True), say=said.append)
    assert "/dev/video7" in said[0]
    (camera,) = device
    *sent, closed = camera.sent
    assert closed is None
    assert camera.size == CAMERA_SIZE_PX
    assert len(sent) == len(grey.painted)
    width, height = CAMERA_SIZE_PX
    left = (width - height) // 2
    last = sent[-1]
    assert last.shape == (height, width, 3)
    assert not last[:, :left].any() and not last[:, -left:].any()
    assert abs(int(last[5, left + 5, 0]) - grey.painted[-1]) < 3
    corner = last[-30:, left : left + 126].astype(int)
    assert (np.abs(corner - grey.painted[-1]) > 40).mean() > 0.3  # the badge


def test_without_pyvirtualcam_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MuecaError, match=r"--virtual-camera: .*pip install pyvirtualcam"):
        VirtualCamera(mark=SYNTHETIC)


def test_without_the_systems_part_it_says_how_to_get_that(device, monkeypatch):
    def fail(*_: object) -> Device:
        raise RuntimeError("'v4l2loopback' backend:\nNo v4l2 loopback device found")

    monkeypatch.setattr(sys.modules["pyvirtualcam"], "Camera", fail)
    with pytest.raises(MuecaError, match=r"--virtual-camera: .*modprobe v4l2loopback") as caught:
        VirtualCamera(mark=SYNTHETIC)
    assert "\n" not in str(caught.value)


def test_a_window_shows_the_badge(monkeypatch):
    """With a desktop's stand-in: what would be shown is a picture with its badge, twice as large."""
    made: list[bytes] = []
    tkinter = ModuleType("tkinter")
    tkinter.TclError = RuntimeError
    tkinter.PhotoImage = lambda data, **_: made.append(data) or object()
    for name in ("Tk", "Label"):
        methods = {m: lambda self, *_, **__: None for m in ("title", "configure", "protocol", "bind", "pack", "update")}
        kind = type(name, (), methods | {"__init__": lambda self, *_, **__: None, "destroy": lambda self: None})
        setattr(tkinter, name, kind)
    monkeypatch.setitem(sys.modules, "tkinter", tkinter)
    with showing.Window("title") as window:
        window.show(np.full((SIZE_PX, SIZE_PX, 3), 200, np.uint8), SYNTHETIC)
        assert window.keys() == []
    header = b"P6 512 512 255 "
    assert made[0].startswith(header)
    shown = np.frombuffer(made[0][len(header) :], np.uint8).reshape(512, 512, 3)
    assert (shown[-40:, :180].astype(int) < 160).mean() > 0.3
    assert (shown[:400] == 200).all()


XVFB = shutil.which("Xvfb")


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A desktop that nobody sees."""
    read, write = os.pipe()
    command = [XVFB, "-displayfd", str(write), "-screen", "0", "800x700x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as told:
        name = f":{told.readline().strip()}"
    monkeypatch.setenv("DISPLAY", name)
    yield name
    server.terminate()
    server.wait(timeout=20)


@pytest.mark.skipif(XVFB is None, reason="needs Xvfb: apt-get install xvfb")
def test_on_a_real_desktop_the_picture_and_its_badge_are_seen(desktop):
    pytest.importorskip("tkinter")
    with Window("title") as window:
        window.show(np.full((SIZE_PX, SIZE_PX, 3), (200, 60, 20), np.uint8), SYNTHETIC)
        window.tell("hello")
        window.keys()
        seen = np.asarray(ImageGrab.grab(xdisplay=desktop).convert("RGB")).astype(int)
    plain = np.abs(seen - (200, 60, 20)).max(axis=2) < 3
    rows, columns = np.nonzero(plain)
    shown = plain[rows.min() : rows.min() + 512, columns.min() : columns.min() + 512]
    assert shown[:400].all()
    assert (~shown[-40:, :180]).mean() > 0.3
