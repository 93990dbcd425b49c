"""Reenactor: a camera's frame in, the subject's badged picture out, one by one, without looking ahead."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from mueca.config import SIZE_PX, DetectorName, DeviceName, RuntimeName
from mueca.errors import InputError
from mueca.face.charts import borrowed_views, charts_of
from mueca.face.condition import draw_condition
from mueca.face.crop import CropFollower, apply_transform, cut_crop
from mueca.face.detection import make_detector
from mueca.face.gaze import GazeRange, fit_gaze
from mueca.face.live_following import LiveFollower
from mueca.face.retarget import Retargeter, carry_gaze
from mueca.face.shape import FaceModel, fit_face
from mueca.marks import SYNTHETIC, Mark, stamp
from mueca.reenactment import Painted, open_puppet

Array = np.ndarray

EASE_S = 0.25
"""In so many seconds two thirds of a jump are made up for: where the face is lost or found, or known better."""
_LEARN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Until somebody calibrates, the driver's face is learned anew so long after it was first seen."""
_REMEMBERED_S = 30.0
_EVERY_S = 0.1
"""So far apart are the readings that are remembered: neighbours tell the same."""
_CALIBRATION_FRAMES = 5


@dataclass(frozen=True)
class Stages:
    """Milliseconds that the parts of one step took."""

    follow: float = 0.0
    retarget: float = 0.0
    paint: float = 0.0


class Reenactor:
    """Paints the subject of a run or an exported file as the face in a camera's pictures moves.

    Every picture that leaves carries the badge "AI GENERATED". The driver's face is learned while they move, or by
    ``calibrate`` from their neutral face. While the face is lost the puppet eases to rest.
    """

    def __init__(
        self,
        run: Path,
        *,
        face: str = "largest",
        detector: DetectorName | None = None,
        min_score: float | None = None,
        models: Path | None = None,
        device: DeviceName = "auto",
        threads: int | None = None,
        runtime: RuntimeName = "auto",
    ):
        """Open the run's folder or the exported file; the rest as ``drive`` has it.

        Raises InputError where it can't be used.
        """
        puppet = open_puppet(run, device=device, threads=threads, runtime=runtime)
        self.subject, self._generator = puppet.subject, puppet.paint
        self.mark: Mark = replace(SYNTHETIC, origin=puppet.origin)
        """Of what it paints, for whoever writes it to a file."""
        self._make_follower = lambda: LiveFollower(
            make_detector(detector, models=models, min_score=min_score), face=face
        )
        self._follower = self._make_follower()
        self._rest = _Pose(self.subject.typical_shape, np.array(self.subject.gaze.usual), np.array([0.0, 0.0, 1.0]))
        self.reset()

    def reset(self) -> None:
        """Forget the driver: the next face is another person's."""
        self._follower = self._make_follower()
        self._crops = CropFollower(self.subject.rule)
        self._learned: _Driver | None = None
        self._memory: deque[_Seen] = deque(maxlen=round(_REMEMBERED_S / _EVERY_S))
        self._first_s: float | None = None
        self._num_learned = 0
        self._easing = _Easing(self._rest)
        self.is_lost = True
        self.stages = Stages()
        self._driver_crop = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)

    def step(self, frame: Array, timestamp_s: float | None = None) -> Array:
        """Return the subject's picture for a frame, both RGB uint8: (H, W, 3) to (SIZE_PX, SIZE_PX, 3), badged.

        ``timestamp_s`` rises from step to step; when not given, it is the clock's.
        """
        return stamp(self.paint(frame, timestamp_s).fake, SYNTHETIC)

    def paint(self, frame: Array, timestamp_s: float | None = None) -> Painted:
        """Return what ``step`` badges, for the package's own writers, which badge what they write."""
        now = time.monotonic() if timestamp_s is None else timestamp_s
        marks = [time.perf_counter()]
        pose = self._pose_of(frame, now, marks)
        shown = self._easing.towards(pose or self._rest, now)
        condition, charts = draw_condition(shown.landmarks, shown.gaze), self._charts(shown)
        marks.append(time.perf_counter())
        fake = self._generator(condition[None], charts)[0]
        marks.append(time.perf_counter())
        self.stages = Stages(*(1000.0 * (after - before) for before, after in pairwise(marks)))
        return Painted(driver=self._driver_crop, condition=condition, fake=fake)

    def warm_up(self) -> None:
        """Paint the subject at rest once: a network's first picture takes longer."""
        self._generator(draw_condition(self._rest.landmarks, self._rest.gaze)[None], self._charts(self._rest))

    def calibrate(self, frame: Array | None = None, timestamp_s: float | None = None) -> None:
        """Take the driver's face in this frame, or as it was seen last, for their neutral one.

        Raises InputError where no face is seen.
        """
        if frame is not None:
            self.step(frame, timestamp_s)
        if self.is_lost or not self._memory:
            raise InputError("calibrate: no face is seen; look into the camera, in even light")
        latest = list(self._memory)[-_CALIBRATION_FRAMES:]
        neutral = fit_face(np.mean([seen.in_crop for seen in latest], axis=0, keepdims=True))
        usual = np.mean([seen.gaze for seen in latest], axis=0).tolist()
        self._learn(neutral=neutral, usual_gaze=usual)

    def _pose_of(self, frame: Array, now: float, marks: list[float]) -> _Pose | None:
        """Return how the subject shall stand and look, None while the driver's face is lost."""
        reading = self._follower.step(frame, now)
        marks.append(time.perf_counter())
        if reading is None:
            self._crops.forget()
            if not self.is_lost:
                self._easing.jump()
            self.is_lost = True
            return None
        frame_from_crop = self._crops.follow(reading.landmarks, now)
        seen = _Seen(
            now, apply_transform(np.linalg.inv(frame_from_crop), reading.landmarks), reading.gaze, frame_from_crop
        )
        self._remember(seen)
        if self.is_lost:
            self._easing.jump()
        self.is_lost = False
        self._driver_crop = cut_crop(frame, frame_from_crop)
        return self._carried(seen, self._learned or self._learn())

    def _remember(self, seen: _Seen) -> None:
        if self._memory and seen.timestamp_s - self._memory[-1].timestamp_s < _EVERY_S:
            self._memory[-1] = replace(seen, timestamp_s=self._memory[-1].timestamp_s)
        else:
            self._memory.append(seen)
        self._first_s = seen.timestamp_s if self._first_s is None else self._first_s
        due = self._num_learned < len(_LEARN_AFTER_S) and (
            seen.timestamp_s - self._first_s >= _LEARN_AFTER_S[self._num_learned]
        )
        if due and self._learned and not self._learned.is_calibrated:
            self._num_learned += 1
            self._learn()

    def _learn(self, *, neutral: FaceModel | None = None, usual_gaze: list[float] | None = None) -> _Driver:
        """Fit the driver's face to what is remembered, its neutral face the one given, if any."""
        face = fit_face(np.array([seen.in_crop for seen in self._memory]))
        gaze = fit_gaze(np.array([seen.gaze for seen in self._memory]))
        if neutral is not None and usual_gaze is not None:
            # What is seen of a neutral face is where it is and how large; how far it goes is learned from the rest.
            face = replace(face, neutral=neutral.neutral, size_px=neutral.size_px, centre_px=neutral.centre_px)
            gaze = replace(gaze, usual=usual_gaze)
        self._learned = _Driver(Retargeter(self.subject.face, face), gaze, neutral is not None)
        self._easing.jump()
        return self._learned

    def _carried(self, seen: _Seen, driver: _Driver) -> _Pose:
        landmarks = driver.retargeter.carry_over(seen.in_crop[None])[0]
        gaze = carry_gaze(seen.gaze[None], self.subject.gaze, driver.gaze)[0]
        if self.subject.atlas is None:
            return _Pose(landmarks, gaze, self._rest.view)
        crops = np.array([*(other.frame_from_crop for other in self._memory), seen.frame_from_crop])
        return _Pose(landmarks, gaze, borrowed_views(crops, self.subject.atlas)[-1])

    def _charts(self, pose: _Pose) -> Array | None:
        if self.subject.atlas is None:
            return None
        return charts_of(pose.landmarks[None], pose.view[None], self.subject.atlas)


@dataclass(frozen=True)
class _Seen:
    """What was read off one frame."""

    timestamp_s: float
    in_crop: Array
    """(68, 2) landmarks in pixels of the driver's crop."""
    gaze: Array
    frame_from_crop: Array


@dataclass(frozen=True)
class _Driver:
    """What is known of the driver."""

    retargeter: Retargeter
    gaze: GazeRange
    is_calibrated: bool


@dataclass(frozen=True)
class _Pose:
    """What a fake is painted from."""

    landmarks: Array
    """(68, 2) in pixels of the subject's crop."""
    gaze: Array
    """(2,)"""
    view: Array
    """(3,): see ``mueca.face.charts.views_of``."""


class _Easing:
    """Lets a pose that jumps come in gradually, and every other one at once."""

    def __init__(self, start: _Pose) -> None:
        self._last = start
        self._last_s: float | None = None
        self._off: _Pose | None = None
        self._has_jumped = False

    def jump(self) -> None:
        """Take note that the next pose departs from the last for another reason than the driver's moving."""
        self._has_jumped = True

    def towards(self, pose: _Pose, now: float) -> _Pose:
        """Return the pose to show now."""
        if self._has_jumped:
            self._off = _combined(self._last, pose, 1.0, -1.0)
            self._has_jumped = False
        elif self._off is not None and self._last_s is not None:
            self._off = _combined(self._off, self._off, float(np.exp(-max(now - self._last_s, 0.0) / EASE_S)), 0.0)
        shown = pose if self._off is None else _combined(pose, self._off, 1.0, 1.0)
        self._last, self._last_s = shown, now
        return shown


def _combined(a: _Pose, b: _Pose, of_a: float, of_b: float) -> _Pose:
    return _Pose(of_a * a.landmarks + of_b * b.landmarks, of_a * a.gaze + of_b * b.gaze, of_a * a.view + of_b * b.view)
