"""One face is followed: the same one, dropped frames counted, memory flat."""

from dataclasses import dataclass

import numpy as np

from mueca.face.detection import Detection
from mueca.face.following import follow


@dataclass
class Picture:
    index: int
    timestamp_s: float
    image: list[Detection]
    """The faces that the stand-in detector will report."""


class ScriptedDetector:
    name = "yunet"

    def detect(self, image):
        return image

    def predictor_box(self, detection):
        return detection.box


class BoxCorners:
    """A predictor whose landmarks are all the box's corner."""

    def predict(self, image, box):
        return np.tile(np.array(box[:2]), (68, 1))


def face(x: float, size: float = 100, score: float = 0.9) -> Detection:
    return Detection((x, 0, x + size, size), score)


def followed(faces: list[list[Detection]], fps: float = 25.0):
    frames = [Picture(i, i / fps, found) for i, found in enumerate(faces)]
    return follow(frames, ScriptedDetector(), BoxCorners())


def test_the_largest_face_is_taken_and_kept_when_another_grows_larger():
    track = followed([[face(0, 120), face(500, 100)]] + [[face(500, 200), face(0, 110)]] * 9)
    assert (track.landmarks[:, 0, 0] < 200).all()


def test_a_false_hit_elsewhere_is_no_face():
    track = followed([[face(0)]] * 5 + [[face(500)]] + [[face(0)]] * 5)
    assert track.dropped == {"no_face": [5]}
    assert len(track.frame_index) == 10


def test_a_face_that_was_away_for_a_second_may_come_back_anywhere():
    track = followed([[face(0)]] * 5 + [[]] * 30 + [[face(500)]] * 5)
    assert track.frame_index.tolist() == [0, 1, 2, 3, 4, 35, 36, 37, 38, 39]


def test_every_frame_is_followed_or_dropped():
    track = followed([[], [face(0)], [], [face(3)], [face(5)]])
    assert sorted([*track.frame_index, *track.dropped["no_face"]]) == [0, 1, 2, 3, 4]
    assert track.num_frames == 5


def test_a_clip_without_a_face_gives_an_empty_track():
    track = followed([[]] * 3)
    assert track.landmarks.shape == (0, 68, 2) and track.dropped == {"no_face": [0, 1, 2]}


def test_the_rate_comes_from_the_timestamps():
    assert abs(followed([[face(0)]] * 10, fps=12.5).fps - 12.5) < 1e-9
