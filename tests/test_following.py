"""One person is followed: the same one, other people's frames never taken, lost frames told apart, memory flat."""

import gc
import weakref

import numpy as np
import pytest
from scenes import Face, Picture, Script, acted, clip_of, crossing

from mueca.errors import InputError
from mueca.face import following
from mueca.face.detection import make_detector
from mueca.face.following import follow
from mueca.face.landmarks import eye_distance
from mueca.face.locating import KEY_EVERY
from mueca.face.prediction import LandmarkPredictor
from mueca.face.reading import Readers

BLANK = np.full((480, 480, 3), 100, np.uint8)


def followed(faces: list[list[Face]], which: str = "largest"):
    script = Script(faces)
    return follow(script.frames(), script, face=which, workers=1, embedder=script)


def places(track) -> np.ndarray:
    """Return the faces' middles, in pixels from the left."""
    return track.landmarks[:, :, 0].mean(axis=1)


@pytest.fixture(scope="module")
def detector(models):
    return make_detector("yunet", models=models)


def test_the_largest_face_is_taken_and_kept_when_another_grows_larger():
    track = followed([[Face(1, 0, 120), Face(2, 500, 100)]] * 6 + [[Face(2, 500, 180), Face(1, 0, 110)]] * 9)
    assert (places(track) < 200).all() and len(track.frame_index) == 15


def test_the_largest_face_of_the_first_frames_counts_though_a_smaller_one_was_seen_before():
    track = followed([[Face(1, 500, 40)]] * 2 + [[Face(1, 500, 40), Face(2, 100, 150)]] * 13)
    assert (places(track) < 300).all() and track.frame_index[0] == 2


def test_a_false_hit_is_neither_the_face_nor_anybody():
    one, hit = Face(1, 0), Face(2, 500, score=0.7)
    track = followed([[one]] * 9 + [[one, hit]] + [[one]] * 5 + [[]] * 4 + [[Face(3, 700, score=0.7)]] + [[]] * 5)
    assert (places(track) < 200).all() and len(track.frame_index) == 15
    assert track.others == 0 and set(track.lost) == {"no_face"}


def test_a_passer_by_who_was_there_first_is_not_the_one():
    track = followed([[Face(1, 0)]] * 10 + [[Face(2, 500)]] * 90)
    assert (places(track) > 450).all() and len(track.frame_index) >= 60
    assert track.frame_index[-1] == 99 and track.others == 1 and set(track.lost) == {"other_face"}


def test_a_large_false_hit_before_the_face_does_not_cost_the_clip():
    track = followed([[]] * 3 + [[Face(2, 500, 180)]] * 2 + [[Face(1, 0)]] * 95)
    assert (places(track) < 200).all() and len(track.frame_index) >= 65
    assert track.others == 0 and track.lost["no_face"][:5] == [0, 1, 2, 3, 4]


def test_of_two_who_are_seen_in_turn_the_one_with_the_larger_face_over_the_clip_is_kept_throughout():
    turns = [[[Face(1, 0)]] * 30, [[Face(2, 500)]] * 50, [[Face(1, 20)]] * 60, [[Face(2, 500)]] * 30]
    track = followed([frame for turn in turns for frame in turn])
    assert track.frame_index.tolist() == [*range(30), *range(80, 140)]
    assert (places(track) < 200).all() and track.others == 1


def test_somebody_who_stays_takes_no_frame_from_one_that_was_asked_for():
    track = followed([[Face(1, 0), Face(2, 500)]] * 10 + [[Face(2, 500)]] * 90, "1")
    assert track.frame_index.tolist() == list(range(10))


def test_one_who_is_away_for_a_second_beside_somebody_larger_is_found_again():
    beside = Face(2, 500, 110)
    track = followed([[Face(1, 0, 120), beside]] * 40 + [[beside]] * 25 + [[Face(1, 0, 120), beside]] * 20)
    assert track.frame_index.tolist() == [*range(40), *range(65, 85)] and (places(track) < 200).all()


@pytest.mark.parametrize("away", [3, 8, 30])
def test_a_face_that_was_away_is_found_again_in_the_very_frame_in_which_it_is_back(away):
    track = followed([[Face(1, 0)]] * 7 + [[]] * away + [[Face(1, 20)]] * 9)
    assert track.frame_index.tolist() == [*range(7), *range(7 + away, 16 + away)]
    assert track.lost == {"no_face": list(range(7, 7 + away))}


def test_a_face_that_was_away_for_a_second_may_come_back_anywhere():
    track = followed([[Face(1, 0)]] * 5 + [[]] * 30 + [[Face(1, 500)]] * 5)
    assert track.frame_index.tolist() == [0, 1, 2, 3, 4, 35, 36, 37, 38, 39]


def test_somebody_else_in_the_same_place_after_a_loss_is_not_taken():
    track = followed([[Face(1, 0)]] * 10 + [[]] * 25 + [[Face(2, 0)]] * 20 + [[Face(1, 300)]] * 10)
    assert track.frame_index.tolist() == [*range(10), *range(55, 65)]
    assert track.lost == {"no_face": list(range(10, 35)), "other_face": list(range(35, 55))}


def test_two_who_pass_each_other_stay_who_they_are():
    def at(frame: int) -> list[Face]:
        one, two = Face(1, 10.0 * frame), Face(2, 600 - 10.0 * frame)
        return [two] if abs(one.x - two.x) < 90 else [one, two]  # the second hides the first

    track = followed([at(frame) for frame in range(60)], "1")
    assert np.abs(places(track) - (10 * track.frame_index + 50)).max() < 30
    hidden = [frame for frame in range(60) if len(at(frame)) == 1]
    assert track.lost == {"other_face": hidden} and track.others == 1


def test_whoever_sits_still_beside_the_followed_face_costs_no_look_at_their_features():
    script = Script([[Face(1, 0), Face(2, 110)]] * 50)
    assert follow(script.frames(), script, workers=1, embedder=script).others == 1
    assert script.num_embedded == 0


def test_a_calm_face_is_looked_for_in_every_fifth_frame_only():
    script = Script([[Face(1, 2.0 * frame)] for frame in range(100)])
    track = follow(script.frames(), script, workers=1, embedder=script)
    assert len(track.frame_index) == 100
    assert len(script.looked_at) <= 100 / KEY_EVERY + KEY_EVERY
    assert np.abs(np.diff(places(track)) - 2.0).max() < 1.0  # on the line between the looks


def test_every_frame_is_followed_or_lost():
    track = followed([[], [Face(1, 0)], [], [Face(1, 3)], [Face(1, 5)], [Face(1, 6)], []])
    assert sorted([*track.frame_index, *track.lost["no_face"]]) == list(range(7))
    assert track.num_frames == 7


def test_a_clip_without_a_face_gives_an_empty_track():
    track = followed([[]] * 3)
    assert track.landmarks.shape == (0, 68, 2) and track.gaze.shape == (0, 2)
    assert track.lost == {"no_face": [0, 1, 2]} and len(track.problem) == len(track.quality) == 0


def test_a_clip_without_a_frame_gives_an_empty_track():
    assert followed([]).num_frames == 0


def test_the_rate_comes_from_the_timestamps():
    assert followed([[Face(1, 0)]] * 10).fps == pytest.approx(25)


def test_a_number_chooses_from_the_left_in_the_first_frame_that_shows_so_many():
    faces = [[Face(1, 0, 150)]] * 5 + [[Face(1, 0, 150), Face(2, 300), Face(3, 600)]] * 10
    assert np.abs(places(followed(faces, "2")) - 350).max() < 30
    assert np.abs(places(followed(faces, "1")) - 75).max() < 40


def test_a_point_chooses_the_face_that_holds_it():
    track = followed([[Face(1, 0, 150), Face(2, 300)]] * 10, "340,100")
    assert np.abs(places(track) - 350).max() < 30


def test_a_number_that_no_frame_shows_is_refused_with_how_many_there_were():
    with pytest.raises(InputError, match=r"^face 3: .*2 faces at most, at 50,110, 350,110"):
        followed([[Face(1, 0)]] * 5 + [[Face(2, 300), Face(1, 0)]] * 5, "3")


def test_a_point_that_no_face_holds_is_refused_with_where_the_faces_are():
    with pytest.raises(InputError, match=r"^face 800,10: .*1 face at most, at 50,110"):
        followed([[Face(1, 0)]] * 5, "800,10")


@pytest.mark.parametrize(("behind", "before"), [("a", "b"), pytest.param("b", "a", marks=pytest.mark.slow)])
def test_drawn_actors_that_cross_are_never_taken_for_each_other(behind, before, detector):
    images, truth = crossing(behind, before, 40)
    for number, name in enumerate((behind, before), start=1):
        track = follow(clip_of(images), detector, face=str(number), workers=1)
        off = np.linalg.norm(track.landmarks.mean(1) - truth[name][track.frame_index].mean(1), axis=-1)
        assert off.max() < 0.25 * eye_distance(truth[name]).mean()
        assert track.others == 1
        assert len(track.frame_index) >= (40 if name == before else 28)


def test_after_a_cut_to_somebody_else_and_back_only_the_first_was_followed(detector):
    (a, _), (b, _) = acted("a", 40), acted("b", 40)
    track = follow(clip_of([*a[:15], *b[:15], *a[15:30]]), detector, workers=1)
    assert track.frame_index.tolist() == [*range(15), *range(30, 45)]
    assert track.lost == {"other_face": list(range(15, 30))}
    assert len(np.unique(track.shot[:15])) == 1 and track.shot[15] > track.shot[14]


def test_lost_for_a_second_and_somebody_else_there_when_it_ends(detector):
    (a, _), (b, _) = acted("a", 40), acted("b", 40)
    track = follow(clip_of([*a[:10], *[BLANK] * 25, *b[:10], *a[10:20]]), detector, workers=1)
    assert track.frame_index.tolist() == [*range(10), *range(45, 55)]
    assert track.lost == {"no_face": list(range(10, 35)), "other_face": list(range(35, 45))}


def test_a_flash_is_lost_and_no_landmark_is_made_up_for_it(detector):
    a, _ = acted("a", 40)
    track = follow(clip_of([*a[:12], *[np.full_like(BLANK, 250)] * 2, *a[12:25]]), detector, workers=1)
    assert track.lost == {"no_face": [12, 13]} and track.shot.max() == 0


def test_landmarks_from_boxes_between_looks_are_as_true_as_from_a_look_at_every_frame(detector):
    images, truth = acted("a", 40)
    track = follow(clip_of(images), detector, workers=1)
    predictor = LandmarkPredictor()
    each = np.array([predictor.predict(i, detector.predictor_box(detector.detect(i)[0])) for i in images])

    def errors(found: np.ndarray) -> np.ndarray:
        return np.linalg.norm(found - truth, axis=-1).mean(-1) / eye_distance(truth)

    assert len(track.frame_index) == 40
    assert errors(track.landmarks).mean() < 1.05 * errors(each).mean()
    assert errors(track.landmarks).max() < max(0.05, 1.2 * errors(each).max())


def test_the_number_of_workers_changes_no_byte(detector):
    frames = clip_of(acted("a", 40)[0])
    one, three = (follow(frames, detector, workers=workers) for workers in (1, 3))
    for name in ("frame_index", "timestamp_s", "landmarks", "gaze", "shot", "quality", "problem"):
        assert getattr(one, name).tobytes() == getattr(three, name).tobytes(), name
    assert one.lost == three.lost


def test_patches_that_wait_for_slow_workers_are_bounded(detector, monkeypatch):
    waiting, most = 0, 0

    class SlowReaders:
        def __init__(self, workers):
            self._here = Readers(1)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, patches):
            nonlocal waiting, most
            num_bytes = sum(patch.grey.nbytes for patch in patches)
            waiting += num_bytes
            most = max(most, waiting)
            here = self._here

            class Answer:
                def result(self):
                    nonlocal waiting
                    waiting -= num_bytes
                    return here.submit(patches).result()

            return Answer()

    monkeypatch.setattr(following, "Readers", SlowReaders)
    monkeypatch.setattr(following, "_MOST_WAITING_BYTES", 1_000_000)
    track = follow(clip_of(acted("a", 40)[0]), detector, workers=2)
    assert len(track.frame_index) == 40 and waiting == 0
    assert most < 2_000_000


def test_only_a_few_frames_are_held_at_a_time(detector):
    image = acted("a", 40)[0][0]
    alive: list[weakref.ref] = []
    most = 0

    def frames():
        nonlocal most
        for i in range(60):
            copy = image.copy()
            alive.append(weakref.ref(copy))
            if i % 10 == 0:
                gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            yield Picture(i, i / 25, copy)

    follow(frames(), detector, workers=1)
    assert most <= 3 * KEY_EVERY
