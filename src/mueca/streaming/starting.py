"""live(): opens the puppet, where its driver comes from and where its pictures go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from mueca.config import SIZE_PX, LiveSettings
from mueca.errors import InputError, OutputError
from mueca.face.frames import TimedImage
from mueca.manifests import ingredient_of
from mueca.marks import SYNTHETIC, Mark, Origin
from mueca.reenactor import Reenactor
from mueca.streaming.playing import KEYS, Newest, play
from mueca.streaming.serving import new_recording, require, serve
from mueca.streaming.session import Output, Session
from mueca.video import VideoReader, VideoWriter
from mueca.video.camera import Camera
from mueca.video.showing import VirtualCamera, Window


def live(
    run: Path,
    settings: LiveSettings | None = None,
    *,
    say: Callable[[str], object] = print,
    until: threading.Event | None = None,
) -> None:
    """Let a face drive the puppet of a run or an exported file until interrupted, or until ``until`` is set.

    The driver comes by a page that is served to this machine's browser, or, as the settings say, by a camera or a video
    without one. ``say`` gets what a user must know, the page's address above all. Raises InputError where the run, the
    camera or the video can't be used, OutputError where the recording can't be written, and MuecaError where the port
    is taken, or a package, the desktop or the system's virtual camera is missing.
    """
    settings = settings or LiveSettings()
    until = until or threading.Event()
    if settings.has_page:
        require("uvicorn")  # before the puppet is opened, which takes seconds
    with ExitStack() as stack:
        outputs: list[Output] = []
        if settings.virtual_camera:
            camera = stack.enter_context(VirtualCamera(mark=SYNTHETIC))
            say(f"other programs find the puppet as the camera {camera.name}")
            outputs.append(camera)
        if settings.has_page:
            serve(_open(run, settings), settings, outputs=outputs, say=say, until=until)
            return
        failure = _play(run, settings, stack, outputs, say=say, until=until)
    if failure is not None:  # what was recorded until then is whole
        raise failure


def _play(
    run: Path,
    settings: LiveSettings,
    stack: ExitStack,
    outputs: list[Output],
    *,
    say: Callable[[str], object],
    until: threading.Event,
) -> InputError | None:
    """Let a camera or a video drive without a page; return why its pictures ended early, if they did."""
    frames: Iterable[TimedImage] = (
        VideoReader(settings.input) if settings.input else stack.enter_context(Camera(settings.camera or 0))
    )
    if settings.record:
        _require_another(settings.record, settings.input)
    reenactor = _open(run, settings)
    mark = _driven(reenactor.mark, settings.input, say)
    if settings.record:
        writer = VideoWriter(settings.record, size_px=(SIZE_PX, SIZE_PX), mark=mark)
        outputs.append(stack.enter_context(writer))
    window = stack.enter_context(Window("mueca live")) if settings.window or not outputs else None
    session = Session(reenactor, mark=mark, record_to=lambda: new_recording(settings.recordings), outputs=outputs)
    say(KEYS if window else "Ctrl+C ends")
    try:
        with Newest(frames, as_filmed=settings.input is not None) as newest:
            failure = play(session, newest, window=window, until=until)
    finally:
        session.close()
    say(str(session.counts))
    return failure


def _driven(mark: Mark, video: Path | None, say: Callable[[str], object]) -> Mark:
    """Return the mark of what a video drives; say where the video is itself generated."""
    if video is None:
        return mark
    driver = ingredient_of(video)
    if driver.is_generated:
        say("warning: the driver's clip is itself generated, as it says; recordings tell so")
    return replace(mark, origin=replace(mark.origin or Origin(), driver=driver))


def _open(run: Path, settings: LiveSettings) -> Reenactor:
    reenactor = Reenactor(
        run,
        face=settings.driver_face,
        detector=settings.detector,
        min_score=settings.min_score,
        models=settings.models,
        device=settings.device,
        threads=settings.threads,
        runtime=settings.runtime,
    )
    reenactor.warm_up()
    return reenactor


def _require_another(record: Path, video: Path | None) -> None:
    if video is not None and record.exists() and record.samefile(video):
        raise OutputError(f"--record {record}: is the driver's own video; name another file")
