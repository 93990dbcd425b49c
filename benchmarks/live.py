"""How fast is live: a server paints a puppet for a driver who sends a camera's pictures from a second process.

    python benchmarks/live.py [PUPPET] --out benchmarks/results/live.json [--seconds 60] [--browser] [--quick]

PUPPET is a run's folder or a file that export wrote; without one, a puppet of a drawn actor is made that learned for a
moment, which paints badly but as fast. The server is `mueca live` itself, and this process is its visitor: it has JPEGs
of 640 x 480 ready and sends them through the server's own socket as the page does, `--fps` a second, no more than three
under way; where there is no room a picture is left out. `fps` are the pictures that came back in a second, `delay_ms`
is the median from sending a picture to having its answer decoded, `stages_ms` are the medians that the server tells,
and `memory_mb` is what the server held, second by second, all after a few seconds that don't count.

With `--browser` the visitor is the page itself in Chromium, with the pictures as its camera: `fps` and `delay_ms` are
the medians of what the page reads out, from the camera's picture to the puppet's on its canvas.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measuring import actor_clips, make_parser, print_table, write_result
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from mueca.actors import ACTORS, performance, write_clip
from mueca.config import ExtractSettings, TrainSettings
from mueca.extraction import extract
from mueca.streaming.session import HEADER
from mueca.video import VideoReader

SIZE_PX = (640, 480)
MOST_UNDER_WAY = 3
"""As the page. Two runs of 15 s each, on two cores that others used as well, where a frame took 60 to 70 ms: one came
back after 63 and 69 ms, 10.2 and 9.5 a second; two after 131 and 145 ms, 11.5 and 10.3; three, of which the server
leaves out the one that waited when a newer one comes, after 93 and 119 ms, 14.6 and 11.6. More were not tried."""
WARM_UP_S = 5.0
READOUT_S = 2.0
"""So much time the page's readout looks back."""
STAGES = ("decode", "follow", "retarget", "paint", "encode", "all")
_QUALITY = 80
"""Of the JPEGs; the page's."""


@dataclass
class Seen:
    """What the visitor saw."""

    times_s: list[float] = field(default_factory=list)
    """When each picture was there."""
    delays_ms: list[float] = field(default_factory=list)
    stages_ms: list[tuple[float, ...]] = field(default_factory=list)
    num_lost: int = 0
    """Pictures in which the server found no face."""
    num_left_out: int = 0


def make_puppet(folder: Path, models: Path | None) -> Path:
    """Return an exported puppet of actor a that learned for a moment."""
    from mueca.exporting import export
    from mueca.training import train

    write_clip(folder / "a.mp4", ACTORS["a"], performance(seed=7, num_frames=40), workers=1)
    extract(folder / "a.mp4", folder / "pairs", ExtractSettings(models=models))
    train(folder / "pairs", folder / "run", TrainSettings(steps=10, models=models))
    return export(folder / "run", folder / "puppet.onnx").path


def camera_pictures(clip: Path, num_frames: int) -> list[bytes]:
    """Return frames of a clip as a camera's JPEGs, there and back again, so that they join when they are repeated."""
    jpegs = []
    for frame in VideoReader(clip):
        if frame.index == num_frames:
            break
        bgr = cv2.cvtColor(filling(frame.image, SIZE_PX), cv2.COLOR_RGB2BGR)
        jpegs.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
    return jpegs + jpegs[-2:0:-1]


def filling(image: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Return the picture scaled to fill that width and height, its middle."""
    width, height = size_px
    scale = max(width / image.shape[1], height / image.shape[0])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


@contextlib.contextmanager
def served(puppet: Path, options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Give the address of a server of its own process, and that process's number."""
    command = [sys.executable, "-u", "-m", "mueca", "live", str(puppet), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = next((line for line in server.stdout or () if line.startswith("open ")), None)
            if said is None:
                raise SystemExit(f"error: {puppet}: mueca live did not start; what it said stands above")
            yield said.split()[1], server.pid
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)


def visit(address: str, jpegs: Sequence[bytes], *, fps: float, seconds: float) -> Seen:
    """Send the pictures as the page does, and take the answers, for so long."""
    host = address.split("/")[2]
    token = address.partition("token=")[2]
    seen, under_way, until = Seen(), deque[float](), time.perf_counter() + seconds
    with connect(f"ws://{host}/frames?token={token}", origin=f"http://{host}", max_size=None) as socket:
        sender = threading.Thread(target=_send, args=(socket, jpegs, under_way, seen, fps, until), daemon=True)
        sender.start()
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            while time.perf_counter() < until:
                _take(socket.recv(timeout=10), under_way, seen)
        sender.join()
    return seen


def _send(
    socket: ClientConnection, jpegs: Sequence[bytes], under_way: deque[float], seen: Seen, fps: float, until: float
) -> None:
    start = time.perf_counter()
    for number in range(10**9):
        time.sleep(max(0.0, start + number / fps - time.perf_counter()))
        if time.perf_counter() >= until:
            return
        if len(under_way) >= MOST_UNDER_WAY:
            seen.num_left_out += 1
            continue
        now = time.perf_counter()
        under_way.append(now)
        socket.send(struct.pack("<d", 1000 * now) + jpegs[number % len(jpegs)])


def _take(answer: bytes | str, under_way: deque[float], seen: Seen) -> None:
    if isinstance(answer, str):
        raise SystemExit(f"error: the server answered a picture by {answer}")
    sent_ms, *stages, is_lost = HEADER.unpack_from(answer)
    cv2.imdecode(np.frombuffer(answer, np.uint8, offset=HEADER.size), cv2.IMREAD_COLOR)
    now = time.perf_counter()
    while under_way and 1000 * under_way[0] <= sent_ms:
        under_way.popleft()
    seen.times_s.append(now)
    seen.delays_ms.append(1000 * now - sent_ms)
    seen.stages_ms.append(tuple(stages))
    seen.num_lost += bool(is_lost)


def browse(
    address: str, jpegs: Sequence[bytes], folder: Path, *, seconds: float, picture: Path | None
) -> dict[str, Any]:
    """Open the page in Chromium for so long, the pictures as its camera, and return what it reads out.

    ``picture`` is a new PNG of the page as it was seen at the end.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("error: --browser: there is no chromium; install it with: apt-get install chromium")
    camera = folder / "camera.mjpeg"
    camera.write_bytes(b"".join(jpegs))
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    readouts: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*flags, f"--use-file-for-fake-video-capture={camera}"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(address)
        page.wait_for_timeout(1000 * WARM_UP_S)
        for _ in range(max(1, round(seconds / READOUT_S))):
            page.wait_for_timeout(1000 * READOUT_S)
            readouts.append(page.evaluate("window.readout()"))
        if picture:
            page.screenshot(path=picture)
        browser.close()
    if any(readout["delay_ms"] is None for readout in readouts):
        raise SystemExit("error: the page got no pictures; what it says is in its --screenshot")
    median = {name: statistics.median(readout[name] for readout in readouts) for name in ("fps", "delay_ms")}
    stages = {name: statistics.median(readout["stages_ms"][name] for readout in readouts) for name in STAGES}
    return {"seconds": seconds} | median | {"stages_ms": stages}


class Scales:
    """Weighs a process once a second, in a ``with`` block; where the system does not tell, nothing is noted."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._is_over = threading.Event()
        self.memory_mb: list[float] = []

    def __enter__(self) -> Scales:
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _weigh(self) -> None:
        while self._status.exists() and not self._is_over.wait(1.0):
            lines = self._status.read_text().splitlines()
            self.memory_mb += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]


def summarized(seen: Seen, memory_mb: list[float], *, seconds: float) -> dict[str, Any]:
    """Return the numbers to keep; ``seen`` and ``memory_mb`` without the warm-up."""
    if not seen.times_s:
        raise SystemExit("error: not one picture came back; give it more --seconds")
    stages = {
        name: statistics.median(values) for name, values in zip(STAGES, zip(*seen.stages_ms, strict=True), strict=True)
    }
    minutes = np.arange(len(memory_mb)) / 60
    grows = float(np.polyfit(minutes, memory_mb, 1)[0]) if len(memory_mb) > 1 else 0.0
    return {
        "seconds": seconds,
        "fps": len(seen.times_s) / seconds,
        "delay_ms": statistics.median(seen.delays_ms),
        "delay_ms_95_percent": float(np.percentile(seen.delays_ms, 95)),
        "stages_ms": stages,
        "lost_share": seen.num_lost / len(seen.times_s),
        "left_out": seen.num_left_out,
        "memory_mb": [round(value, 1) for value in memory_mb],
        "memory_mb_per_minute": grows,
    }


def main() -> None:
    parser = make_parser(__doc__ or "", clips=False, models=True)
    parser.add_argument("puppet", type=Path, nargs="?", metavar="PUPPET", help="a run's folder or an exported file")
    parser.add_argument("--driver", type=Path, metavar="VIDEO", help="what the camera sees; default: actor b")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="so long it is measured (default: 60)")
    parser.add_argument(
        "--fps", type=float, default=30.0, metavar="X", help="the camera's (default: 30); not --browser's"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="as of mueca live")
    parser.add_argument("--runtime", help="as of mueca live")
    parser.add_argument("--browser", action="store_true", help="the visitor is the page in Chromium")
    parser.add_argument("--screenshot", type=Path, metavar="PNG", help="with --browser: the page as it was seen")
    arguments = parser.parse_args()
    if arguments.screenshot and not arguments.browser:
        parser.error("--screenshot: there is a page with --browser alone")
    seconds = min(arguments.seconds, 10.0) if arguments.quick else arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(arguments, Path(folder), seconds)
    rows = [{"stage": name, "ms": value} for name, value in measured["stages_ms"].items()]
    print_table([*rows, {"stage": "from sending to the picture", "ms": measured["delay_ms"]}])
    print(f"{measured['fps']:.1f} frames a second")
    if len(measured.get("memory_mb", ())) > 1:
        first, last = measured["memory_mb"][0], measured["memory_mb"][-1]
        print(
            f"memory: {first:.0f} MB at first, {last:.0f} MB at last, {measured['memory_mb_per_minute']:+.1f} a minute"
        )
    write_result(arguments.out, measured, quick=arguments.quick)


def measure(arguments: argparse.Namespace, folder: Path, seconds: float) -> dict[str, Any]:
    """Serve the puppet, visit it for the warm-up and for ``seconds``, and return the numbers."""
    driver = arguments.driver
    if driver is None and arguments.quick:
        driver = folder / "b.mp4"
        write_clip(driver, ACTORS["b"], performance(seed=8, num_frames=40), workers=1)
    driver = driver or actor_clips()["b"]
    puppet = arguments.puppet or make_puppet(folder, arguments.models)
    jpegs = camera_pictures(driver, 250)
    given = {"--models": arguments.models, "--threads": arguments.threads, "--runtime": arguments.runtime}
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    facts = {
        "puppet": puppet.name,
        "driver": driver.name,
        "jpeg_bytes": round(statistics.mean(map(len, jpegs))),
        "camera_fps": arguments.fps,
        "threads": arguments.threads,
    }
    if arguments.browser:
        with served(puppet, options) as (address, _):
            seen = browse(address, jpegs, folder, seconds=seconds, picture=arguments.screenshot)
        return facts | {"camera_fps": None} | seen  # Chromium's own
    with served(puppet, options) as (address, pid), Scales(pid) as scales:
        visit(address, jpegs, fps=arguments.fps, seconds=WARM_UP_S)
        weighed = len(scales.memory_mb)
        visited = visit(address, jpegs, fps=arguments.fps, seconds=seconds)
        memory_mb = scales.memory_mb[weighed:]
    return facts | summarized(visited, memory_mb, seconds=seconds)


if __name__ == "__main__":
    main()
