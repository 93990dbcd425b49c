"""Reading a face: landmarks, gaze and how far to trust them, from a patch of one frame; in processes beside this one.

dlib does not release Python's lock, so that only processes read side by side. They are started as plain commands
that speak over pipes, not through ``multiprocessing``: its ``spawn`` and ``forkserver`` import the caller's main
module anew, so that a script without a ``__main__`` guard would run once more in each of them, and ``fork`` copies
the locks of threads (OpenCV's, PyAV's) that don't exist in the copy.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import cv2
import numpy as np

from mueca.errors import MuecaError
from mueca.face.gaze import measure_gaze
from mueca.face.landmarks import eye_distance
from mueca.face.prediction import BOX_SIDE_PX, CHIP_BOX, ONE_SHIFT, Box, LandmarkPredictor, box_of, cut_chip, to_image
from mueca.spreading import answers_channel, available_cores, worker_command

Array = np.ndarray


@dataclass(frozen=True)
class Patch:
    """The part of a frame that a reader needs."""

    grey: Array
    """(H, W) uint8."""
    box: Box
    """Of the face, in the patch's pixels."""
    origin: tuple[float, float]
    """Frame pixels of the patch's first pixel's centre."""
    scale: float
    """Frame pixels in a pixel of the patch."""


@dataclass(frozen=True)
class Reading:
    """What was read off one face."""

    landmarks: Array
    """(68, 2) float64, in frame pixels."""
    gaze: Array
    """(2,) float64, as ``measure_gaze`` tells it."""
    disagreement: float
    """How far the answers for shifted boxes lie apart: RMS over the landmarks, over the eye distance."""
    sharpness: float
    """RMS of the second difference of grey over that of grey, in the face at 150 px."""


class FaceReader:
    """Reads patches, one after the other."""

    def __init__(self) -> None:
        self._predictor = LandmarkPredictor()

    def read(self, patch: Patch, shifts: tuple[tuple[float, float], ...] = ONE_SHIFT) -> Reading:
        """Return what the patch's face shows; ``shifts`` are those of the boxes whose answers are averaged.

        The box may have been interpolated between detections. So one answer is asked for it, and the others for the
        box that HOG would have drawn around the first: on actor a, with a detection in every tenth frame, the largest
        error falls from 11 % of the eye distance to 4.3 % (detecting in every frame: 5.0 %). Where the two boxes
        hardly differ, the first answer counts as well. The box starts from a detection every time: nothing can drift.
        Two shifts, a third more time, leave a twentieth less tremble in a file.
        """
        chip, chip_from_patch = cut_chip(patch.grey, patch.box)
        first = self._predictor.guesses(chip, CHIP_BOX, ONE_SHIFT)
        box = box_of(first[0])
        guesses = self._predictor.guesses(chip, box, shifts)
        is_near = max(abs(u - v) for u, v in zip(box, CHIP_BOX, strict=True)) < _NEAR * BOX_SIDE_PX
        in_chip = (np.concatenate([first, guesses]) if is_near else guesses).mean(axis=0)
        apart = np.sqrt(((np.concatenate([first, guesses]) - in_chip) ** 2).sum(-1).mean())
        return Reading(
            landmarks=patch.scale * to_image(in_chip, chip_from_patch) + patch.origin,
            gaze=np.asarray(measure_gaze(chip, in_chip), dtype=np.float64),
            disagreement=float(apart / max(float(eye_distance(in_chip)), 1.0)),
            sharpness=_sharpness(chip),
        )


_NEAR = 0.06  # of the box's side


def cut_patch(image: Array, box: Box) -> Patch:
    """Return the patch of an RGB uint8 picture around a face's box, in pixels of the picture, halved if it is large."""
    height, width = image.shape[:2]
    rim = _RIM * (box[2] - box[0])
    left, top = (min(max(int(low - rim), 0), end - 1) for low, end in ((box[0], width), (box[1], height)))
    right, bottom = (min(max(int(high + rim) + 2, 1), end) for high, end in ((box[2], width), (box[3], height)))
    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    halvings = 0
    while (box[2] - box[0]) / 2**halvings > 2 * BOX_SIDE_PX and min(part.shape[:2]) >= 2:
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        halvings += 1
    scale = float(2**halvings)
    origin = (left + (scale - 1) / 2, top + (scale - 1) / 2)
    x0, y0, x1, y1 = ((v - o) / scale for v, o in zip(box, origin * 2, strict=True))
    return Patch(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), (x0, y0, x1, y1), origin, scale)


_RIM = 0.45  # of the box's side: what the chip shows around it


def _sharpness(chip: Array) -> float:
    low, high = (int(v) for v in CHIP_BOX[1:3])
    face = cv2.resize(chip[low:high, low:high], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(face, cv2.CV_32F).std() / max(float(face.std()), 1.0))


class Readers:
    """Reads batches of patches: with one worker here and at once, with more in processes beside this one.

    A context manager. The same patches give the same readings, whatever the number of workers.
    """

    def __init__(self, workers: int | None = None):
        workers = workers or available_cores()
        self._here = FaceReader() if workers == 1 else None
        self._processes = [] if workers == 1 else _start(min(workers, _MOST_PROCESSES))
        self._threads = ThreadPoolExecutor(max_workers=max(len(self._processes), 1))
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)

    def submit(self, patches: list[Patch]) -> Future[list[Reading]]:
        """Return the future readings; its ``result`` raises MuecaError where a process ended too soon."""
        if self._here is None:
            return self._threads.submit(self._ask, patches)
        done: Future[list[Reading]] = Future()
        done.set_result([self._here.read(patch) for patch in patches])
        return done

    def _ask(self, patches: list[Patch]) -> list[Reading]:
        process = self._idle.get()
        try:
            return process.ask(patches)
        finally:
            self._idle.put(process)

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.stop()
        self._threads.shutdown(cancel_futures=True)


_MOST_PROCESSES = 4
"""This process, which decodes and locates the face in 2 to 3 ms a frame, keeps no more of them busy."""


class _Process:
    """One process that reads patches, asked by one thread at a time."""

    def __init__(self, starter: subprocess.Popen[bytes], questions: IO[bytes], answers: IO[bytes]) -> None:
        self._starter, self._questions, self._answers = starter, questions, answers

    def ask(self, patches: list[Patch]) -> list[Reading]:
        try:
            pickle.dump(patches, self._questions, protocol=pickle.HIGHEST_PROTOCOL)
            self._questions.flush()
            return pickle.load(self._answers)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            raise MuecaError(
                "landmarks: a worker process ended before its work was done, as one does that is killed or finds no "
                "memory; run it again with --workers 1, which needs no further process"
            ) from error

    def stop(self) -> None:
        self._starter.kill()  # it holds nothing worth keeping, and takes half a second to clear up
        for pipe in (self._questions, self._answers):
            with contextlib.suppress(OSError):  # what it was still to be told no longer matters
                pipe.close()  # the end of its questions ends the process
        if self._starter.stdin is self._questions:
            self._starter.wait()


def _start(num_processes: int) -> list[_Process]:
    """Start processes that read.

    Where there is ``fork``, the first one loads everything, once, and then makes the others of itself: it has no
    other thread, its memory is shared, and 0.7 s of loading each are saved.
    """
    if not hasattr(os, "fork"):
        return [_started([], [])[0] for _ in range(num_processes)]
    questions = [os.pipe() for _ in range(num_processes - 1)]
    answers = [os.pipe() for _ in range(num_processes - 1)]
    return _started(questions, answers)


def _started(questions: list[tuple[int, int]], answers: list[tuple[int, int]]) -> list[_Process]:
    theirs = [(asked[0], told[1]) for asked, told in zip(questions, answers, strict=True)]
    starter = subprocess.Popen(
        worker_command(f"from mueca.face.reading import serve; serve({theirs!r})"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[end for pair in theirs for end in pair],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # numpy's own threads would not survive the fork
    )
    for end in (end for pair in theirs for end in pair):
        os.close(end)
    further = [
        _Process(starter, os.fdopen(asked[1], "wb"), os.fdopen(told[0], "rb"))
        for asked, told in zip(questions, answers, strict=True)
    ]
    return [*further, _Process(starter, starter.stdin, starter.stdout)]


def serve(further_pairs: list[tuple[int, int]]) -> None:
    """Answer batches on standard input with readings on standard output until the input ends.

    For each further pair of file descriptors, questions and answers, a copy of this process does the same.
    """
    own = (0, answers_channel())
    cv2.setNumThreads(1)
    reader = FaceReader()
    pairs = [*further_pairs, own]
    for pair in further_pairs:
        if os.fork() == 0:
            own = pair
            break
    for end in (end for pair in pairs if pair != own for end in pair):
        os.close(end)  # a pipe ends when nobody holds it any more
    _answer_all(reader, os.fdopen(own[0], "rb"), os.fdopen(own[1], "wb"))


def _answer_all(reader: FaceReader, asked: IO[bytes], answers: IO[bytes]) -> None:
    while True:
        try:
            patches = pickle.load(asked)
        except EOFError:
            return
        try:
            pickle.dump([reader.read(patch) for patch in patches], answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            return  # nobody is left to read it
