"""Film a performance: frames rendered side by side, written in order, with a voice that follows the jaw."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mueca.actors.acting import performance
from mueca.actors.drawing import render
from mueca.actors.head import FRAME_PX
from mueca.actors.people import ACTORS, Expression, Identity
from mueca.errors import InputError, SettingsError
from mueca.files import sha256_of
from mueca.ledger import drawn_by_mueca, note_drawn
from mueca.marks import UNMARKED
from mueca.video import Sound, VideoReader, VideoWriter

RENDER_VERSION = 1
"""Raise it when the drawing changes: standard clips made by an older one are then made anew."""
CLIP_FRAMES, CLIP_FPS = 250, 25.0
"""Of a standard clip; read here alone, and when it is asked for."""
_PERFORMANCE_SEEDS = {"a": 101, "b": 206}
"""B's is the best of seven tried (201 to 207), every fifth frame: from boxes by dlib's HOG the 68-point predictor is
3.6 % of the eye distance off on it and 3.8 to 5.0 % on the others, which it misreads outright on a few frames with
the mouth wide open. From YuNet's boxes, fitted to HOG's, it does not: 3.7 % on 202, at most 6.8 % in a frame."""
_SOUND_RATE_HZ = 22050
_FRAMES_COMPARED = 5
_LARGEST_DIFFERENCE = 6.0
"""Of 255 levels, in the mean: compression costs the standard clips 1.7 to 2.2; the same actor in another pose is 13 to
29 away."""
_FRAMES_AHEAD = 4
"""Per worker: how far rendering may run ahead of writing, so that memory stays flat."""


def write_clip(
    path: Path,
    identity: Identity,
    expressions: list[Expression],
    *,
    fps: float = 25.0,
    workers: int = 2,
    show_progress: bool = False,
) -> None:
    """Write an mp4 of the actor going through ``expressions``, with a synthetic voice; raises OutputError.

    The clip is noted as drawn: whoever learns from it need ask nobody.

    Two workers or more are spawned: a script that calls this needs an ``if __name__ == "__main__":`` guard, or each
    of them runs the script again.
    """
    sound = Sound(voice(expressions, fps, pitch_hz=196.0 if identity.hair_style == "bob" else 118.0), _SOUND_RATE_HZ)
    with VideoWriter(path, size_px=(FRAME_PX, FRAME_PX), mark=UNMARKED, sound=sound) as film:
        frames = _rendered(identity, expressions, workers)
        for k, image in enumerate(tqdm(frames, path.name, len(expressions), unit="frame", disable=not show_progress)):
            film.write(image, k / fps)
    note_drawn(path, _who(identity))


def actor_clip(name: str, folder: Path, *, act: str | None = None, show_progress: bool = False) -> Path:
    """Return the standard clip of actor "a" or "b" in ``folder``: 10 s, made on first use, found again after.

    ``act`` names the actor whose performance it is, when not named their own: with the other's it is the true answer
    to being driven by them. The file's name holds a hash of all that defines its pictures; a clip that was cut short
    never got the name. As ``write_clip`` says, a script that calls this needs an ``if __name__ == "__main__":`` guard.
    """
    act = act or name
    for each in (name, act):
        if each not in ACTORS:
            raise SettingsError(f"actor {each!r}: there are {' and '.join(ACTORS)}")
    identity, seed = ACTORS[name], _PERFORMANCE_SEEDS[act]
    path = folder / f"actor-{name}{'' if act == name else f'-as-{act}'}-{_fingerprint(identity, seed)}.mp4"
    expressions = standard_performance(act)
    if not path.exists():
        write_clip(path, identity, expressions, fps=CLIP_FPS, show_progress=show_progress)
    elif drawn_by_mueca(sha256_of(path)) is None and _shows(path, identity, expressions):
        note_drawn(path, _who(identity))  # another user's mueca drew it, or one before consents were asked for
    return path


def _who(identity: Identity) -> str:
    return next((f"drawn actor {name}" for name, actor in ACTORS.items() if actor == identity), "a drawn person")


def _shows(path: Path, identity: Identity, expressions: list[Expression]) -> bool:
    """Tell whether a clip shows the actor, by drawing some of its frames again: a name is soon given to another."""
    wanted = {int(k) for k in np.linspace(0, len(expressions) - 1, _FRAMES_COMPARED)}
    try:
        shown = {frame.index: frame.image for frame in VideoReader(path) if frame.index in wanted}
    except InputError:
        return False
    return shown.keys() == wanted and all(
        image.shape == (FRAME_PX, FRAME_PX, 3)
        and np.abs(image.astype(int) - _frame(identity, expressions[k], k)).mean() < _LARGEST_DIFFERENCE
        for k, image in shown.items()
    )


def voice(expressions: list[Expression], fps: float, *, pitch_hz: float) -> np.ndarray:
    """Return a buzz (N,) float32, -1 to 1, as loud as the jaw is open and brighter with it."""
    num_samples = max(1, round(len(expressions) / fps * _SOUND_RATE_HZ))
    time_s = np.arange(num_samples) / _SOUND_RATE_HZ
    frame_s = np.arange(len(expressions)) / fps
    jaw = np.interp(time_s, frame_s, [e.jaw for e in expressions])
    tone = np.interp(time_s, frame_s, [e.smile - e.pucker for e in expressions])
    phase = (
        2 * np.pi * np.cumsum(pitch_hz * (1 + 0.12 * tone + 0.02 * np.sin(2 * np.pi * 5.2 * time_s))) / _SOUND_RATE_HZ
    )
    buzz = sum(np.sin(k * phase) * (0.45 + 0.4 * jaw) ** (k - 1) / k for k in range(1, 8))
    return (0.35 * np.sqrt(np.clip(jaw, 0, 1)) * buzz / 2.0).astype(np.float32)


def _fingerprint(identity: Identity, seed: int) -> str:
    told = f"{RENDER_VERSION} {identity} {seed} {CLIP_FRAMES} {CLIP_FPS}"
    return hashlib.sha256(told.encode()).hexdigest()[:10]


def _rendered(identity: Identity, expressions: list[Expression], workers: int) -> Iterator[np.ndarray]:
    jobs = ((identity, expression, k) for k, expression in enumerate(expressions))
    if workers <= 1:
        yield from (_frame(*job) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_prepare_worker) as pool:
        yield from _in_order(pool, jobs, _FRAMES_AHEAD * workers)


def _prepare_worker() -> None:
    """Take one core, and leave Ctrl-C to the parent, which stops the pool: a worker would only print its traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _in_order(pool: ProcessPoolExecutor, jobs: Iterable[tuple], ahead: int) -> Iterator[np.ndarray]:
    waiting: deque[Future[np.ndarray]] = deque()
    for job in jobs:
        waiting.append(pool.submit(_frame, *job))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _frame(identity: Identity, expression: Expression, frame_index: int) -> np.ndarray:
    return render(identity, expression, frame_index=frame_index)[0]


def standard_performance(name: str) -> list[Expression]:
    """Return what actor "a" or "b" does in their standard clip: rendered on the other, it is the true answer."""
    return performance(_PERFORMANCE_SEEDS[name], CLIP_FRAMES, CLIP_FPS)
