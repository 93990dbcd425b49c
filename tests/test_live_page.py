"""The page in a real browser: a fake camera shows an actor, and the puppet moves."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import cv2
import pytest
from playwright.sync_api import Page, sync_playwright

from mueca.config import ExtractSettings, LiveSettings, TrainSettings
from mueca.exporting import export
from mueca.extraction import extract
from mueca.streaming import live
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


@pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")
def test_the_puppet_moves_in_a_browser(puppet, camera, models, tmp_path):
    said, until = [], threading.Event()
    settings = LiveSettings(models=models, recordings=tmp_path)
    serving = threading.Thread(target=live, args=(puppet, settings), kwargs={"say": said.append, "until": until})
    serving.start()
    while not said:
        time.sleep(0.1)
    address = said[0].split()[1]
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=BROWSER, args=[*flags, f"--use-file-for-fake-video-capture={camera}"]
            )
            page = browser.new_page(viewport={"width": 1200, "height": 700})
            complaints: list[str] = []
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(address)
            wait_for(page, "window.readout().fps > 0")
            page.click("#calibrate")
            wait_for(page, f"{MESSAGE}.includes('neutral')")
            page.click("#record")
            time.sleep(SECONDS)
            page.click("#record")
            wait_for(page, f"{MESSAGE}.startsWith('recorded')")
            readout = page.evaluate("window.readout()")
            second = browser.new_page()
            second.goto(address)
            wait_for(second, f"{MESSAGE}.includes('taken')")
            browser.close()
    finally:
        until.set()
        serving.join(timeout=30)
    assert not complaints
    assert readout["fps"] > 0
    assert readout["delay_ms"] > 0
    (film,) = tmp_path.glob("mueca-live-*.mp4")
    frames = [frame.image for frame in VideoReader(film)]
    assert len(frames) > 3
    assert any(cv2.absdiff(frames[0], frame).mean() > 1 for frame in frames[1:])
