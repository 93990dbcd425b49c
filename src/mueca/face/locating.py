"""Where the followed face is in every frame of a clip, found by looking at every fifth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mueca.errors import FaceChoiceError
from mueca.face.association import Association, Bystander
from mueca.face.detection import Detection, Detector, search
from mueca.face.frames import TimedImage
from mueca.face.identity import FaceEmbedder
from mueca.face.prediction import Box
from mueca.face.shots import ShotFrame, split_shots

KEY_EVERY = 5
"""The face is looked for in every so-manieth frame, and its box lies on the line between. With ten actor a's landmarks
were as good; five find a lost face sooner, for 0.3 ms a frame."""


@dataclass(frozen=True)
class Located:
    """One frame, and where the followed face is in it."""

    frame: TimedImage
    shot: int
    box: Box | None
    """As dlib's HOG would draw it, in frame pixels; None where the face was not found."""
    score: float
    """The detector's; 0 where the face was not found."""
    company: tuple[Bystander, ...]
    """Who else was seen, then or at the look after it."""
    who: int = 0
    """Which of those followed one after the other it is; 0 is the first."""


class Locator:
    """Looks for one person's face; ``face`` says whose, as ``mueca.config.parse_face`` takes it.

    With ``largest`` whoever is seen first may be a passer-by: see ``Association`` for when somebody else is followed.
    """

    def __init__(self, detector: Detector, face: str = "largest", embedder: FaceEmbedder | None = None):
        self._detector = detector
        self._choice = FaceChoice(face)
        self._who = Association(detector, embedder or FaceEmbedder(), may_turn=face == "largest")
        self._last: tuple[float, Detection] | None = None  # when and where at the last look; None: it was lost there

        self._shot = 0

    def locate(self, frames: Iterable[TimedImage]) -> Iterator[list[Located]]:
        """Yield all frames in order, a few at a time; no more than those are held.

        Raises FaceChoiceError where faces are seen and the chosen one is not among them in any frame.
        """
        waiting: list[ShotFrame] = []
        for frame in split_shots(frames):
            is_cut = frame.shot != self._shot
            if waiting and (is_cut or len(waiting) == KEY_EVERY):
                yield self._settle(waiting)
                waiting = []
            if is_cut:
                self._shot, self._last = frame.shot, None
                self._who.forget_places()
            waiting.append(frame)
        if waiting:
            yield self._settle(waiting)
        self._choice.require_made()

    def _settle(self, framed: list[ShotFrame]) -> list[Located]:
        """Return where the face is in frames of one shot that follow the last look; the last of them is looked at."""
        waiting, shot = [each.frame for each in framed], framed[-1].shot
        *between, key = waiting
        faces = self._look(key)
        if not self._choice.is_made:
            return self._begin(waiting, faces, shot)
        if self._last is not None:
            may_be_calm = not any(each.is_flash for each in framed)
            face = self._who.calmly(key, faces) if may_be_calm else None
            if face is not None:
                return self._on_the_line(waiting, face, shot)
            stepped = [self._identify(frame, self._look(frame), shot) for frame in between]
            return [*stepped, self._identify(key, faces, shot)]
        found = self._identify(key, faces, shot)
        if self._last is None:
            return [Located(frame, shot, None, 0.0, found.company) for frame in between] + [found]
        return [*self._back_from(self._last[1], between, shot), found]

    def _begin(self, waiting: list[TimedImage], faces: list[Detection], shot: int) -> list[Located]:
        """Return the same while nobody is chosen yet."""
        *between, key = waiting
        looks = [*(self._look(frame) if faces else [] for frame in between), faces]
        made = self._choice.make(looks)
        if made is None:
            self._who.note(key, faces)
            return [Located(frame, shot, None, 0.0, self._who.company) for frame in waiting]
        place, face = made
        self._who.start(waiting[place], looks[place], face)
        here = self._located(waiting[place], face, shot)
        before = self._back_from(face, waiting[:place], shot)
        after = [self._identify(waiting[k], looks[k], shot) for k in range(place + 1, len(waiting))]
        return [*before, here, *after]

    def _look(self, frame: TimedImage) -> list[Detection]:
        return search(self._detector, frame.image, self._last[1].height if self._last else None)

    def _identify(self, frame: TimedImage, faces: list[Detection], shot: int) -> Located:
        return self._located(frame, self._who.identify(frame, faces), shot)

    def _located(self, frame: TimedImage, face: Detection | None, shot: int) -> Located:
        self._last = None if face is None else (frame.timestamp_s, face)
        if face is None:
            return Located(frame, shot, None, 0.0, self._who.company)
        return self._found(frame, face, shot)

    def _found(self, frame: TimedImage, face: Detection, shot: int) -> Located:
        return Located(frame, shot, self._detector.predictor_box(face), face.score, self._who.company, self._who.number)

    def _on_the_line(self, waiting: list[TimedImage], face: Detection, shot: int) -> list[Located]:
        """Return the boxes on the line from the last look to this one."""
        start_s, start = self._last
        end_s = waiting[-1].timestamp_s
        a, b = self._detector.predictor_box(start), self._detector.predictor_box(face)
        self._last = (end_s, face)
        located = []
        for frame in waiting:
            share = (frame.timestamp_s - start_s) / (end_s - start_s)
            box = tuple((1 - share) * u + share * v for u, v in zip(a, b, strict=True))
            located.append(Located(frame, shot, box, min(start.score, face.score), self._who.company, self._who.number))
        return located

    def _back_from(self, place: Detection, before: list[TimedImage], shot: int) -> list[Located]:
        """Return where the face was in frames before it was seen at a place, as long as it can be told by place."""
        located: list[Located] = []
        for frame in reversed(before):
            face = self._who.by_place(self._look(frame), place, frame.timestamp_s)
            if face is None:
                break
            place = face
            located.append(self._found(frame, face, shot))
        lost = before[: len(before) - len(located)]
        return [Located(frame, shot, None, 0.0, self._who.company) for frame in lost] + located[::-1]


class FaceChoice:
    """Whose face to follow: ``largest``, ``2`` (the second from the left) or ``x,y`` (a point in frame pixels)."""

    def __init__(self, face: str):
        self._face = face
        self.is_made = False
        self._most: list[Detection] = []  # the faces of the picture that showed the most of them

    def make(self, looks: list[list[Detection]]) -> tuple[int, Detection] | None:
        """Return which of the pictures, and which of its faces, is the first that fits; None where none does."""
        self._most = max([self._most, *looks], key=len)
        fitting = [(place, face) for place, faces in enumerate(looks) if (face := self._fitting(faces))]
        if not fitting:
            return None
        self.is_made = True
        return max(fitting, key=lambda pair: pair[1].area) if self._face == "largest" else fitting[0]

    def require_made(self) -> None:
        """Raise FaceChoiceError where faces were seen and none of them fitted."""
        if self.is_made or not self._most:
            return
        centres = ", ".join(f"{x:.0f},{y:.0f}" for x, y in sorted(face.centre for face in self._most))
        seen = f"{len(self._most)} face{'s' * (len(self._most) > 1)} at most, at {centres}"
        raise FaceChoiceError(f"face {self._face}: no frame fits; the picture shows {seen}; name one of them")

    def _fitting(self, faces: list[Detection]) -> Detection | None:
        if self._face == "largest":
            return max(faces, key=lambda face: face.area, default=None)
        if "," not in self._face:
            number = int(self._face)
            return sorted(faces, key=lambda face: face.centre)[number - 1] if len(faces) >= number else None
        x, y = (float(v) for v in self._face.split(","))
        holding = [f for f in faces if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]]
        return min(holding, key=lambda f: (f.centre[0] - x) ** 2 + (f.centre[1] - y) ** 2, default=None)
