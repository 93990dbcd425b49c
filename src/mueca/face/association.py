"""Which of the faces in a picture is the followed one: by place where that is sure, by looks where it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mueca.face.detection import Detection, Detector
from mueca.face.frames import TimedImage
from mueca.face.identity import FaceEmbedder, Gallery, is_same_person

CALM = 0.3
"""Farthest, as ``apart`` tells it, that a face may move between two looks to be on the line between them."""
NEAR = 0.6
"""Farthest at which two sightings may be of the same face; heads cheek to cheek are 0.9 apart."""
CLEAR = 1.0
"""At least so far from everybody else a face's picture is surely its own, and may be kept as a reference."""

PLACE_HOLDS_S = 0.4
"""A face that was lost for longer is known again by its looks only."""
BYSTANDER_STAYS_S = 1.0
"""So long a bystander may have been hidden, by the followed face for one, and still be there."""
RECHECK_S = 1.0
"""While the followed face is lost, so often the faces that were found not to be it are looked at again: 120 ms."""
PATIENCE_S = 1.0
"""With ``may_turn``: so long at least somebody must stay, while the followed face is lost, to be followed instead."""

_MOST_FOLLOWED = 4  # persons, one after the other, who are known again: the longest found

_MOST_COMPARED = 4  # faces in one picture whose looks are compared, the largest first


@dataclass(eq=False)
class Bystander:
    """Another face, from where it was first seen until it was lost."""

    place: Detection
    seen_s: float
    gallery: Gallery
    looks: int = 0
    checked_s: float = -math.inf
    """When its looks were last compared with the followed person's."""
    number: int | None = None
    """That under which it came to be followed itself."""

    @property
    def is_person(self) -> bool:
        """Seen more than once: detectors' false hits come and go."""
        return self.looks >= 2


class Association:
    """Knows the followed face again, and keeps an eye on the others.

    With ``may_turn``, somebody else is followed once the followed face is lost and others have stayed for longer than
    it was ever found, ``PATIENCE_S`` at least. Whoever was followed before is known again when nobody is followed.
    """

    def __init__(self, detector: Detector, embedder: FaceEmbedder, *, may_turn: bool = False):
        self._detector, self._embedder, self._may_turn = detector, embedder, may_turn
        self.number = 0
        """Which of those followed one after the other the followed person is."""
        self._galleries = {0: Gallery(embedder)}
        self._found_s = {0: 0.0}
        self._num_followed = 1
        self._waited_s = 0.0  # that others were there since the followed face was lost
        self._looked_s: float | None = None
        self._bystanders: list[Bystander] = []
        self.place: Detection | None = None
        """Where the followed face was last seen; None in a new shot."""
        self.seen_s = -math.inf
        self.company: tuple[Bystander, ...] = ()
        """The others in the picture that was last looked at."""

    def forget_places(self) -> None:
        """Begin a new shot: everybody may be anywhere."""
        self.place, self.company = None, ()
        self._dismiss(self._bystanders)

    def start(self, frame: TimedImage, faces: list[Detection], chosen: Detection) -> None:
        """Follow the chosen one of the picture's faces from now on."""
        self._dismiss([b for b in self._bystanders if apart(b.place, chosen) < NEAR])
        self._galleries[self.number].keep(frame.timestamp_s, frame.image, self._detector.predictor_box(chosen))
        self._take(frame, faces, chosen, is_sure=True)

    def calmly(self, frame: TimedImage, faces: list[Detection]) -> Detection | None:
        """Return the followed face, and take it, where it is surely the one just seen and hardly moved; else None."""
        if self.place is None:
            return None
        face = self.by_place(faces, self.place, frame.timestamp_s)
        if face is None or apart(face, self.place) > CALM:
            return None
        self._take(frame, faces, face, is_sure=True)
        return face

    def identify(self, frame: TimedImage, faces: list[Detection]) -> Detection | None:
        """Return the followed face and take it, None where it is not among the picture's faces."""
        face, recognised = None, {}
        if self.place is not None and frame.timestamp_s - self.seen_s <= PLACE_HOLDS_S:
            face = self.by_place(faces, self.place, frame.timestamp_s)
        is_sure = face is not None
        if face is None:
            face, recognised = self._by_looks(frame, faces)
        if face is None and (stayed := self._stayed(frame, faces)) is not None:
            self._turn_to(*stayed)
            self.start(frame, faces, stayed[0])
            return stayed[0]
        self._take(frame, faces, face, is_sure=is_sure, recognised=recognised)
        return face

    def note(self, frame: TimedImage, faces: list[Detection]) -> None:
        """Remember the picture's faces as others."""
        self._take(frame, faces, None, is_sure=False)

    def by_place(self, faces: list[Detection], place: Detection, timestamp_s: float) -> Detection | None:
        """Return the face at a place where no other could be meant, None where one could or there is none."""
        face = min(faces, key=lambda f: apart(f, place), default=None)
        if face is None or apart(face, place) > NEAR:
            return None
        others = [f for f in faces if f is not face]
        if any(apart(f, place) < max(CALM, 3 * apart(face, place)) for f in others):
            return None
        for bystander in self._bystanders:
            is_recent = abs(timestamp_s - bystander.seen_s) <= BYSTANDER_STAYS_S
            is_seen_elsewhere = any(apart(f, bystander.place) < CALM for f in others)
            if is_recent and not is_seen_elsewhere and apart(face, bystander.place) < NEAR:
                return None
        return face

    def _stayed(self, frame: TimedImage, faces: list[Detection]) -> tuple[Detection, Bystander] | None:
        """Return the largest of those who stayed for longer than the followed face did, None while it is waited for."""
        waited_s = self._waited_s + frame.timestamp_s - (self._looked_s or 0.0)
        if not self._may_turn or waited_s <= max(PATIENCE_S, self._found_s[self.number]):
            return None
        known = [(face, self._bystander_at(face, frame.timestamp_s)) for face in faces]
        people = [(face, bystander) for face, bystander in known if bystander is not None and bystander.is_person]
        return max(people, key=lambda pair: pair[0].area, default=None)

    def _turn_to(self, face: Detection, bystander: Bystander) -> None:
        """Follow a bystander under a new number; of those followed before, forget who was found least."""
        while len(self._galleries) >= _MOST_FOLLOWED:
            del self._galleries[min(self._galleries, key=lambda number: self._found_s[number])]
        self._num_followed += 1
        self.number = bystander.number = self._num_followed - 1
        self._galleries[self.number] = Gallery(self._embedder)
        self._found_s = {number: self._found_s.get(number, 0.0) for number in self._galleries}
        self._dismiss([bystander])

    def _by_looks(
        self, frame: TimedImage, faces: list[Detection]
    ) -> tuple[Detection | None, dict[Detection, Bystander]]:
        """Return the face that looks like the followed one, and those that look like bystanders of before.

        Where nobody looks like the followed one, somebody who was followed before becomes it again.
        """
        known = [self._bystander_at(face, frame.timestamp_s) for face in faces]
        if all(b is not None and frame.timestamp_s - b.checked_s < RECHECK_S for b in known):
            return None, {}
        best, number, least, recognised = None, self.number, (True, math.inf), {}
        for face in sorted(faces, key=lambda f: f.area, reverse=True)[:_MOST_COMPARED]:
            numbers = self._embedder.embed(frame.image, self._detector.predictor_box(face))
            to_followed = {k: gallery.distance(numbers) for k, gallery in self._galleries.items()}
            closest = min(to_followed, key=to_followed.get)
            rank = (closest != self.number, to_followed[closest])
            to_others = [bystander.gallery.distance(numbers) for bystander in self._bystanders]
            nearest = min(to_others, default=math.inf)
            if rank < least and is_same_person(to_followed[closest], nearest):
                best, number, least = face, closest, rank
            elif is_same_person(nearest, to_followed[closest]):
                recognised[face] = self._bystanders[to_others.index(nearest)]
        self.number = number
        return best, recognised

    def _bystander_at(self, face: Detection, timestamp_s: float) -> Bystander | None:
        nearest = min(self._bystanders, key=lambda b: apart(b.place, face), default=None)
        is_there = nearest is not None and apart(nearest.place, face) < CALM
        return nearest if is_there and timestamp_s - nearest.seen_s <= BYSTANDER_STAYS_S else None

    def _take(
        self,
        frame: TimedImage,
        faces: list[Detection],
        face: Detection | None,
        *,
        is_sure: bool,
        recognised: Mapping[Detection, Bystander] = MappingProxyType({}),
    ) -> None:
        """Write down who is where; what ``is_sure`` and clear of others goes into the galleries."""
        now = frame.timestamp_s
        others = [f for f in faces if f is not face]
        self._dismiss([b for b in self._bystanders if now - b.seen_s > BYSTANDER_STAYS_S])
        self.company = tuple(self._meet(frame, f, recognised.get(f), compared=face is None) for f in others)
        self._count(now, is_found=face is not None)
        if face is None:
            return
        self.place, self.seen_s = face, now
        self._clear_up(face, now)
        if not is_sure:
            return
        clear = [(b, f) for b, f in zip(self.company, others, strict=True) if apart(face, f) > CLEAR]
        if len(clear) == len(others):
            self._galleries[self.number].keep(now, frame.image, self._detector.predictor_box(face))
        for bystander, other in clear:
            bystander.gallery.keep(now, frame.image, self._detector.predictor_box(other))

    def _count(self, now: float, *, is_found: bool) -> None:
        """Add the time since the last look to that for which the face was found, or others stayed while it was lost."""
        elapsed_s = 0.0 if self._looked_s is None else now - self._looked_s
        self._looked_s = now
        if is_found:
            self._found_s[self.number] += elapsed_s
            self._waited_s = 0.0
        elif any(bystander.is_person for bystander in self.company):
            self._waited_s += elapsed_s

    def _clear_up(self, face: Detection, now: float) -> None:
        """Forget bystanders that were the followed face itself, while it was lost: nobody was ever seen beside them."""
        mistaken = [
            bystander
            for bystander in self._bystanders
            if bystander.seen_s != now and bystander.gallery.is_empty and apart(bystander.place, face) < NEAR
        ]
        for bystander in mistaken:
            bystander.looks = 0
        self._dismiss(mistaken)

    def _meet(self, frame: TimedImage, face: Detection, known: Bystander | None, *, compared: bool) -> Bystander:
        """Return the bystander whose face this is, a new one where nobody was near, with the sighting noted."""
        now = frame.timestamp_s
        near = [b for b in self._bystanders if b.seen_s != now and apart(b.place, face) < NEAR]
        bystander = known or min(near, key=lambda b: apart(b.place, face), default=None)
        if bystander is None:
            bystander = Bystander(face, now, Gallery(self._embedder))
            self._bystanders.append(bystander)
        elif compared and now - bystander.checked_s >= RECHECK_S:
            bystander.checked_s = now
        bystander.place, bystander.seen_s, bystander.looks = face, now, bystander.looks + 1
        return bystander

    def _dismiss(self, bystanders: list[Bystander]) -> None:
        """Forget bystanders' places and pictures; who was in a frame's company stays there."""
        gone = {id(bystander) for bystander in bystanders}
        for bystander in bystanders:
            bystander.gallery = Gallery(self._embedder)
        self._bystanders = [b for b in self._bystanders if id(b) not in gone]


def apart(a: Detection, b: Detection) -> float:
    """Return how far apart two boxes are: their centres' distance in mean heights, and half the log of their sizes."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.box, b.box
    high, low = max(ay1 - ay0, 1.0), max(by1 - by0, 1.0)
    centres = math.hypot(ax0 + ax1 - bx0 - bx1, ay0 + ay1 - by0 - by1) / 2
    return centres / ((high + low) / 2) + 0.5 * abs(math.log(high / low))
