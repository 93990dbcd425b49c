"""Which frames are learned from and which are held out: split by time, with a gap between, both sides even."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.face.track import Track
from mueca.selection import Choice, choose


def still(num: int, fps: float = 25.0) -> Track:
    """A track of which only the times matter."""
    return Track(
        frame_index=np.arange(num),
        timestamp_s=np.arange(num) / fps,
        landmarks=np.zeros((num, 68, 2)),
        gaze=np.zeros((num, 2)),
        shot=np.zeros(num, dtype=np.int64),
        quality=np.ones(num),
        problem=np.array([""] * num, dtype="<U16"),
        lost={},
        num_frames=num,
        fps=fps,
        others=0,
    )


CLIP = still(300)


def parts(choice: Choice) -> list[np.ndarray]:
    return [choice.train, choice.gap, choice.test]


@given(
    num=st.integers(2, 400),
    fps=st.sampled_from([5.0, 24.0, 29.97, 60.0]),
    every=st.integers(1, 4),
    max_frames=st.integers(20, 120),
    share=st.floats(0.05, 0.95),
)
def test_nothing_is_chosen_twice_both_sides_have_a_frame_and_no_more_than_allowed_is_taken(
    num, fps, every, max_frames, share
):
    choice = choose(still(num, fps), every=every, max_frames=max_frames, train_share=share)
    rows = np.concatenate(parts(choice))
    assert len(set(rows)) == len(rows) and (rows % every == 0).all()
    assert len(choice.train) + len(choice.test) <= max_frames
    if num > every:
        assert len(choice.train) and len(choice.test)
        assert choice.train.max() < choice.test.min()
    for part in parts(choice):
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize("max_frames", [10_000, 200, 40])
def test_no_test_frame_lies_within_a_second_of_a_training_frame(max_frames):
    track = still(900, fps=30.0)
    choice = choose(track, every=1, max_frames=max_frames, train_share=0.8)
    assert track.timestamp_s[choice.test].min() - track.timestamp_s[choice.train].max() > 1.0
    assert len(choice.gap) == 30


def test_a_clip_shorter_than_ten_seconds_spends_a_tenth_of_itself_on_the_gap():
    choice = choose(still(100, fps=25.0), every=1, max_frames=1000, train_share=0.8)
    assert [len(part) for part in parts(choice)] == [70, 10, 20]


def test_the_held_out_part_is_the_last_of_the_time_not_of_the_frames():
    track = still(500, fps=25.0)
    lost = np.r_[0:300:3, 300:500]  # two of three frames are lost in the first twelve of twenty seconds
    track = dataclasses.replace(
        track,
        **{n: getattr(track, n)[lost] for n in ("frame_index", "timestamp_s", "landmarks", "gaze", "shot")},
        quality=np.ones(len(lost)),
        problem=np.array([""] * len(lost)),
    )
    test = choose(track, every=1, max_frames=1000, train_share=0.8).test
    assert track.timestamp_s[test].min() == pytest.approx(16.0) and len(test) == 100


def test_with_room_for_all_every_usable_frame_outside_the_gap_is_kept():
    choice = choose(CLIP, every=1, max_frames=300, train_share=0.8)
    assert np.array_equal(np.sort(np.concatenate(parts(choice))), np.arange(300))


def test_all_are_kept_where_they_fit_even_if_the_test_has_more_than_its_share():
    choice = choose(CLIP, every=1, max_frames=280, train_share=0.5)
    assert (len(choice.train), len(choice.test)) == (125, 150)


def test_room_that_the_test_has_no_frames_for_goes_to_training():
    index = CLIP.frame_index
    bad = (index >= 240) & (index < 299) & (index % 10 > 0)
    track = dataclasses.replace(CLIP, problem=np.where(bad, "blur", ""))
    choice = choose(track, every=1, max_frames=100, train_share=0.8)
    assert (len(choice.train), len(choice.test)) == (93, 7)


def test_with_less_room_each_side_gets_its_share_evenly_in_time():
    choice = choose(CLIP, every=1, max_frames=50, train_share=0.8)
    assert (len(choice.train), len(choice.test)) == (40, 10)
    for part, ends in ((choice.train, (0, 214)), (choice.test, (240, 299))):
        steps = np.diff(CLIP.timestamp_s[part])
        assert steps.max() - steps.min() <= 1.01 / CLIP.fps
        assert (part[0], part[-1]) == ends


def test_frames_with_a_problem_are_never_chosen():
    bad = np.random.default_rng(1).random(300) < 0.3
    track = dataclasses.replace(CLIP, problem=np.where(bad, "blur", ""))
    for max_frames in (40, 1000):
        rows = np.concatenate(parts(choose(track, every=1, max_frames=max_frames, train_share=0.8)))
        assert not bad[rows].any()


def test_a_track_without_a_usable_frame_gives_an_empty_choice():
    track = dataclasses.replace(CLIP, problem=np.array(["blur"] * 300))
    assert all(len(part) == 0 for part in parts(choose(track, every=1, max_frames=100, train_share=0.8)))


def test_every_third_frame_means_frame_numbers_not_rows():
    track = dataclasses.replace(CLIP, frame_index=CLIP.frame_index + 1)
    rows = np.concatenate(parts(choose(track, every=3, max_frames=1000, train_share=0.8)))
    assert (track.frame_index[rows] % 3 == 0).all() and len(rows) == 100


def test_the_same_track_gives_the_same_choice():
    first, second = (choose(CLIP, every=1, max_frames=60, train_share=0.8) for _ in range(2))
    for a, b in zip(parts(first), parts(second), strict=True):
        assert np.array_equal(a, b)
