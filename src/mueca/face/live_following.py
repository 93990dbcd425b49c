"""Following a face live: frame by frame, without looking ahead."""

from __future__ import annotations

import dataclasses

import numpy as np

from mueca.face.association import Association
from mueca.face.detection import Detector, search
from mueca.face.frames import TimedImage
from mueca.face.identity import FaceEmbedder
from mueca.face.locating import KEY_EVERY, FaceChoice
from mueca.face.prediction import TWO_SHIFTS, Box, box_of
from mueca.face.reading import FaceReader, Reading, cut_patch
from mueca.face.steadying import Steadier

Array = np.ndarray

DOUBTED = 0.05
"""From this disagreement on (see ``Reading``) the face is looked for again; clean clips have up to 0.03."""


@dataclasses.dataclass(frozen=True)
class LiveFrame:
    """A picture as it comes from a camera."""

    index: int
    timestamp_s: float
    image: Array


class LiveFollower:
    """Follows one face as frames come; call ``step`` with each of them, in order.

    The face is detected in every fifth frame, and in the next one where a reading is doubtful. Between, the box is the
    detected one, moved and scaled as the landmarks have moved since: it is anchored to a detection and can't drift.
    """

    def __init__(self, detector: Detector, *, face: str = "largest", embedder: FaceEmbedder | None = None):
        self._detector = detector
        self._choice = FaceChoice(face)
        self._who = Association(detector, embedder or FaceEmbedder())
        self._reader = FaceReader()
        self._steadier = Steadier()
        self._since_look = 0
        self._num_frames = 0
        self._anchor: Box | None = None
        """The last detection's box, as HOG would draw it; None: the face is lost."""
        self._read_at_anchor: Box | None = None
        self._read_last: Box | None = None

    def step(self, image: Array, timestamp_s: float) -> Reading | None:
        """Return the reading of an RGB uint8 picture, its landmarks steadied; None where the face is not found."""
        frame = LiveFrame(self._num_frames, timestamp_s, image)
        self._num_frames += 1
        self._since_look += 1
        if self._anchor is None or self._since_look >= KEY_EVERY:
            self._look(frame)
        if self._anchor is None:
            self._steadier.forget()
            return None
        reading = self._reader.read(cut_patch(image, self._box()), TWO_SHIFTS)
        self._read_last = box_of(reading.landmarks)
        self._read_at_anchor = self._read_at_anchor or self._read_last
        if reading.disagreement > DOUBTED:
            self._since_look = KEY_EVERY
        return dataclasses.replace(reading, landmarks=self._steadier.steady(reading.landmarks, timestamp_s))

    def _look(self, frame: TimedImage) -> None:
        height = self._who.place.height if self._anchor and self._who.place else None
        faces = search(self._detector, frame.image, height)
        if self._choice.is_made:
            face = self._who.identify(frame, faces)
        else:
            made = self._choice.make([faces])
            face = made[1] if made else None
            if face is not None:
                self._who.start(frame, faces, face)
        self._since_look = 0
        self._anchor = None if face is None else self._detector.predictor_box(face)
        self._read_at_anchor = self._read_last = None

    def _box(self) -> Box:
        """Return the anchor, moved and scaled as the landmarks' own boxes have been since."""
        if self._read_last is None:
            return self._anchor
        (x, y, side), (from_x, from_y, from_side), (to_x, to_y, to_side) = (
            ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0])
            for box in (self._anchor, self._read_at_anchor, self._read_last)
        )
        x, y, half = x + to_x - from_x, y + to_y - from_y, side * to_side / from_side / 2
        return (x - half, y - half, x + half, y + half)
