"""The page in a real browser: a fake camera shows an actor, and the puppet moves."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Page, sync_playwright
from puppets import Grey

from mueca.config import ExtractSettings, LiveSettings, TrainSettings
from mueca.exporting import export
from mueca.extraction import extract
from mueca.streaming import live, starting
from mueca.training import train
from mueca.video import VideoReader

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 4.0


@pytest.fixture(scope="module")
def puppet(tmp_path_factory: pytest.TempPathFactory, models: Path, actor_clip: Path) -> Path:
    """A puppet of actor a that learned for a moment, in one file."""
    folder = tmp_path_factory.mktemp("puppet")
    extract(actor_clip, folder / "pairs", ExtractSettings(models=models))
    train(folder / "pairs", folder / "run", TrainSettings(steps=20, models=models))
    export(folder / "run", folder / "puppet.onnx")
    return folder / "puppet.onnx"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, actor_clip: Path) -> Path:
    """The actor as a camera's pictures: JPEGs one after the other."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with path.open("wb") as file:
        for frame in VideoReader(actor_clip):
            file.write(cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path


def wait_for(page: Page, question: str) -> None:
    """Ask the page until it says yes; its own policy forbids Playwright to wait inside it."""
    deadline = time.monotonic() + 60
    while not page.evaluate(question):
        assert time.monotonic() < deadline, f"never: {question}"
        time.sleep(0.1)


MESSAGE = "document.querySelector('#message').textContent"


FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream"]


@contextmanager
def served(puppet: Path, settings: LiveSettings) -> Iterator[str]:
    """Give the address of the page of a puppet."""
    said, until = [], threading.Event()
    serving = threading.Thread(target=live, args=(puppet, settings), kwargs={"say": said.append, "until": until})
    serving.start()
    while not said:
        time.sleep(0.05)
    try:
        yield said[0].split()[1]
    finally:
        until.set()
        serving.join(timeout=30)


@contextmanager
def browsing(*flags: str) -> Iterator[tuple[Page, list[str]]]:
    """Give a page of a browser, and what it complains of."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=[*FLAGS, *flags])
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        browser.close()


def fake_camera(path: Path) -> tuple[str, ...]:
    return "--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={path}"


needs_a_browser = pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")


@needs_a_browser
def test_the_puppet_moves_in_a_browser(puppet, camera, models, tmp_path, record_property):
    settings = LiveSettings(models=models, recordings=tmp_path)
    with served(puppet, settings) as address, browsing(*fake_camera(camera)) as (page, complaints):
        page.goto(address)
        wait_for(page, "window.readout().fps > 0")
        page.click("#calibrate")
        wait_for(page, f"{MESSAGE}.includes('neutral')")
        page.click("#record")
        time.sleep(SECONDS)
        page.keyboard.press("r")
        wait_for(page, f"{MESSAGE}.startsWith('recorded')")
        readout = page.evaluate("window.readout()")
        page.screenshot(path=tmp_path / "page.png")
    assert not complaints
    record_property("readout", readout)  # of busy cores: benchmarks/live.py --browser measures quiet ones
    assert readout["fps"] > 0
    assert readout["delay_ms"] > 0
    assert readout["stages_ms"]["all"] > 0
    (film,) = tmp_path.glob("mueca-live-*.mp4")
    frames = [frame.image for frame in VideoReader(film)]
    assert len(frames) > 3
    assert any(cv2.absdiff(frames[0], frame).mean() > 1 for frame in frames[1:])


@pytest.fixture
def grey_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a puppet that is grey at once."""
    monkeypatch.setattr(starting, "Reenactor", Grey)
    with served(tmp_path / "run", LiveSettings(recordings=tmp_path)) as address:
        yield address


@needs_a_browser
def test_the_page_keeps_up_with_a_camera_when_painting_is_quick(grey_page, camera):
    with browsing(*fake_camera(camera)) as (page, complaints):
        page.goto(grey_page)
        wait_for(page, "window.readout().fps > 10")
    assert not complaints


@needs_a_browser
@pytest.mark.parametrize("size", [(1200, 700), (1600, 600), (390, 844)])
@pytest.mark.parametrize("view", ["result", "condition"])
def test_the_badge_is_seen_in_a_window_of_any_shape(grey_page, camera, size, view):
    with browsing(*fake_camera(camera)) as (page, _):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.goto(grey_page)
        if view == "condition":
            page.check("#condition")
        wait_for(page, f"window.readout().fps > 0 && puppet.width === {512 if view == 'condition' else 256}")
        canvas, figure = page.locator("#puppet").bounding_box(), page.locator("figure").nth(1).bounding_box()
    for box in (canvas, figure):
        assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert box["y"] >= 0 and box["y"] + box["height"] <= size[1]
    assert canvas["height"] <= figure["height"]
    assert canvas["width"] / canvas["height"] == pytest.approx(2 if view == "condition" else 1, rel=0.02)


@needs_a_browser
def test_a_page_that_is_loaded_again_goes_on_and_a_second_one_is_refused_with_its_camera_off(grey_page, camera):
    with browsing(*fake_camera(camera)) as (page, complaints):
        page.goto(grey_page)
        wait_for(page, "window.readout().fps > 0")
        page.reload()
        wait_for(page, "window.readout().fps > 0")
        second = page.context.browser.new_page()
        second.goto(grey_page)
        wait_for(second, f"{MESSAGE}.includes('taken')")
        wait_for(second, "stream === null")
        assert second.locator("#calibrate").is_disabled()
        wait_for(page, "window.readout().fps > 0")
    assert not complaints


@needs_a_browser
def test_without_a_camera_the_page_says_so(grey_page):
    with browsing() as (page, complaints):
        page.goto(grey_page)
        wait_for(page, f"{MESSAGE}.includes('no camera was found')")
    assert not complaints


@needs_a_browser
def test_a_camera_that_is_unplugged_is_told(grey_page, camera):
    with browsing(*fake_camera(camera)) as (page, _):
        page.goto(grey_page)
        wait_for(page, "window.readout().fps > 0")
        page.evaluate("stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
        wait_for(page, f"{MESSAGE}.includes('unplugged')")


@needs_a_browser
def test_a_page_with_a_wrong_token_says_what_to_open(grey_page):
    with browsing() as (page, _):
        page.goto(grey_page + "x")
        assert "the address that mueca live printed" in page.content()


@needs_a_browser
def test_the_page_says_when_the_server_has_ended(tmp_path, monkeypatch, camera):
    monkeypatch.setattr(starting, "Reenactor", Grey)
    with browsing(*fake_camera(camera)) as (page, _):
        with served(tmp_path / "run", LiveSettings()) as address:
            page.goto(address)
            wait_for(page, "window.readout().fps > 0")
        wait_for(page, f"{MESSAGE}.includes('mueca live has ended')")
        wait_for(page, "stream === null")
