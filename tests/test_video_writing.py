"""Films go out in time, marked, and whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import av
import media
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import BLUE, GREEN, GREY, RED, about, corner_colours, corners, make_video, moving, read, times, tone, write

from mueca.errors import InputError, OutputError
from mueca.marks import SYNTHETIC, composite, stamp, xmp_packet
from mueca.video import Sound, VideoReader, VideoWriter
from mueca.video.sound import aligned

any_time = settings(deadline=None)


# Pictures and time


@pytest.mark.parametrize("size", [(64, 48), (256, 256), (1280, 720)])
def test_colours_come_back(tmp_path, size):
    frames = read(write(tmp_path / "out.mp4", [corners(*size)] * 2))
    assert corner_colours(frames[1].image) == about([RED, GREEN, BLUE, GREY])


def test_the_file_says_how_its_colours_are_coded(tmp_path):
    with av.open(str(write(tmp_path / "out.mp4", [corners()] * 2))) as film:
        frame = next(film.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)  # BT.709
    assert frame.format.name == "yuv420p"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0.001, 3), min_size=0, max_size=30), st.floats(0, 5))
def test_each_frame_comes_back_at_its_own_time(tmp_path, steps, start_s):
    timestamps = (start_s + np.cumsum([0, *steps])).tolist()
    reader = VideoReader(write(tmp_path / "out.mp4", [corners(32, 32)] * len(timestamps), timestamps))
    assert times(list(reader)) == pytest.approx([t - start_s for t in timestamps], abs=2 / 90_000)
    assert reader.info.start_s == pytest.approx(start_s, abs=0.001)
    assert reader.shortfall is None


def test_the_last_frame_is_shown_as_long_as_the_one_before(tmp_path):
    path = write(tmp_path / "out.mp4", moving(3), [0.0, 0.1, 0.35])
    with av.open(str(path)) as film:
        assert film.duration / av.time_base == pytest.approx(0.6, abs=0.002)


@pytest.mark.parametrize("size", [(33, 48), (64, 47), (31, 33)])
def test_odd_sides_get_their_last_row_or_column_once_more(tmp_path, size):
    width, height = size
    image = read(write(tmp_path / "out.mp4", [corners(width, height)] * 2))[0].image
    assert image.shape == (height + height % 2, width + width % 2, 3)
    assert corner_colours(image) == about([RED, GREEN, BLUE, GREY], 6)
    assert image[-1, -1].tolist() == pytest.approx(list(GREY), abs=4)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    sound = make_video(tmp_path / "in.mp4", moving(3), sound=tone(2))
    films = [write(tmp_path / f"{i}.mp4", moving(60), mark=SYNTHETIC, sound=sound) for i in range(2)]
    assert films[0].read_bytes() == films[1].read_bytes()


def test_the_bytes_do_not_depend_on_what_lies_in_memory(tmp_path):
    """x264's macroblock trees read memory that was never written; glibc fills it as MALLOC_PERTURB_ says."""
    program = (
        "import sys, hashlib, pathlib, media;"
        "path = media.write(pathlib.Path(sys.argv[1]), media.moving(60, 48, 64));"
        "print(hashlib.sha256(path.read_bytes()).hexdigest())"
    )
    digests = set()
    for fill in ("1", "85"):
        environment = os.environ | {"MALLOC_PERTURB_": fill, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", program, str(tmp_path / "out.mp4")]
        digests.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("timestamps", [[0.0, 0.0], [0.1, 0.04]])
def test_a_timestamp_that_does_not_grow_is_refused(tmp_path, timestamps):
    with pytest.raises(ValueError, match="after one at"):
        write(tmp_path / "out.mp4", moving(2), timestamps)
    assert not list(tmp_path.iterdir())


def test_a_picture_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a frame of 64 x 48 in 48 x 64"), film_of(tmp_path, size_px=(48, 64)) as film:
        film.write(corners(), 0.0)
    assert not list(tmp_path.iterdir())


# Marks


def top_level_boxes(path: Path) -> dict[bytes, bytes]:
    """Return the boxes of an mp4 by their names."""
    data, boxes, start = path.read_bytes(), {}, 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        boxes[data[start + 4 : start + 8]] = data[start + 8 : start + length]
        start += length
    return boxes


@pytest.mark.parametrize("mark", [SYNTHETIC, composite((0, 0, 128, 128))])
def test_every_frame_and_the_file_carry_the_mark(tmp_path, mark):
    images = [np.full((128, 256, 3), 20 + 4 * i, np.uint8) for i in range(20)]
    path = write(tmp_path / "out.mp4", images, mark=mark)
    for frame, image in zip(read(path), images, strict=True):
        assert np.abs(frame.image.astype(int) - stamp(image, mark)).mean() < 2
        assert frame.image.min(axis=2).max() > 200  # the letters
    box = top_level_boxes(path)[b"uuid"]
    assert box[:16].hex().upper() == "BE7ACFCB97A942E89C71999491E3AFAC"
    assert box[16:] == xmp_packet(mark)
    with av.open(str(path)) as film:
        assert "generated by a neural network" in film.metadata["comment"]


def test_an_unmarked_film_carries_nothing(tmp_path):
    path = write(tmp_path / "out.mp4", [np.full((128, 256, 3), 90, np.uint8)] * 3)
    assert b"uuid" not in top_level_boxes(path)
    assert read(path)[1].image.max() < 100
    with av.open(str(path)) as film:
        assert "comment" not in film.metadata


def test_a_film_starts_to_play_before_it_is_loaded(tmp_path):
    names = list(top_level_boxes(write(tmp_path / "out.mp4", moving(3), mark=SYNTHETIC)))
    assert names.index(b"moov") < names.index(b"mdat") < names.index(b"uuid")


# Sound


def sound_of(path: Path) -> tuple[str, int, int]:
    """Return the codec, rate and number of channels."""
    with av.open(str(path)) as film:
        track = film.streams.audio[0]
        return track.codec_context.codec.canonical_name, track.rate, track.channels


SOUNDS = [
    ("a.mp4", "aac", 44_100, "aac"),
    ("a.ts", "aac", 44_100, "aac"),
    ("a.mp4", "libmp3lame", 44_100, "mp3"),
    ("a.ts", "ac3", 48_000, "ac3"),
    ("a.mkv", "libopus", 48_000, "opus"),
    ("a.mkv", "flac", 44_100, "flac"),
    ("a.mkv", "pcm_s16le", 22_050, "aac"),
    ("a.mov", "pcm_s16le", 96_000, "aac"),
]
AVI = ("a.avi", "mp2", 44_100, "aac")  # has no timestamps: a late first frame is an early one shown longer


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "written", "first_pts"),
    [*((*sound, first_pts) for sound in SOUNDS for first_pts in (0, 10)), (*AVI, 0)],
)
def test_sound_of_a_file_is_taken_along_in_time_and_trimmed(tmp_path, name, codec, rate_hz, written, first_pts):
    source = make_video(
        tmp_path / name,
        moving(50),
        pts=range(first_pts, first_pts + 50),
        codec="mpeg4" if name.endswith("avi") else "libx264",
        sound=tone(4, rate_hz, start_s=0.7),
        sound_codec=codec,
        sound_rate_hz=rate_hz,
    )
    reader = VideoReader(source)
    frames = list(reader)
    path = write(tmp_path / "out.mp4", [frame.image for frame in frames], times(frames), sound=source)
    assert sound_of(path)[0] == written
    assert media.onset_s(path) == pytest.approx(media.onset_s(source) - reader.info.start_s, abs=0.003)
    samples, rate_hz, start_s = media.decode_sound(path)
    assert start_s + len(samples) / rate_hz == pytest.approx(2, abs=0.1)


def test_sound_that_begins_after_the_pictures_stays_in_time(tmp_path):
    source = make_video(tmp_path / "a.mp4", moving(50), sound=tone(1, start_s=0.2), sound_start_s=0.5)
    path = write(tmp_path / "out.mp4", moving(50), sound=source)
    assert media.onset_s(path) == pytest.approx(0.7, abs=0.003)


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 96_000, 11_111])
def test_sound_in_memory_is_encoded_in_time_and_trimmed(tmp_path, rate_hz):
    path = write(tmp_path / "out.mp4", moving(25), sound=Sound(tone(3, rate_hz, start_s=0.5), rate_hz))
    assert sound_of(path)[0] == "aac"
    assert media.onset_s(path) == pytest.approx(0.5, abs=0.01)
    samples, written_hz, start_s = media.decode_sound(path)
    assert start_s + len(samples) / written_hz == pytest.approx(1, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.08)


def test_a_file_without_sound_gives_a_silent_film(tmp_path):
    source = make_video(tmp_path / "mute.mp4", moving(3))
    assert not VideoReader(write(tmp_path / "out.mp4", moving(3), sound=source)).info.has_audio
    assert not VideoReader(write(tmp_path / "out.mp4", moving(3))).info.has_audio


def test_sound_shorter_than_the_pictures_does_not_shorten_them(tmp_path):
    path = write(tmp_path / "out.mp4", moving(50), sound=Sound(tone(0.3), 44_100))
    assert len(read(path)) == 50


def test_pictures_and_sound_lie_side_by_side_in_the_file(tmp_path):
    timestamps = [i / 5 for i in range(150)]
    path = write(tmp_path / "out.mp4", moving(150, 32, 32), timestamps, sound=Sound(tone(31, 8000), 8000))
    with av.open(str(path)) as film:
        packets = [(p.pos, p.stream.type, float(p.dts * p.time_base)) for p in film.demux() if p.dts is not None]
    reached = {"video": 0.0, "audio": 0.0}
    for _, kind, time_s in sorted(packets):
        reached[kind] = time_s
        assert abs(reached["video"] - reached["audio"]) < 1.5
    assert min(reached.values()) > 29


@any_time
@given(
    st.integers(-3000, 3000),
    st.lists(st.integers(1, 900), min_size=1, max_size=12),
    st.integers(0, 11),
    st.booleans(),
)
def test_samples_stand_at_their_time_wherever_zero_is(zero, lengths, gap_at, told_once):
    signal = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    gap = 5000 if 0 < gap_at < len(lengths) and not told_once else 0
    starts = np.cumsum([0, *lengths[:-1]])
    placed = [start + (gap if i >= gap_at else 0) for i, start in enumerate(starts)] if gap else list(starts)
    parts = [
        (None if told_once and i else placed[i] / 1000, signal[None, start : start + length])
        for i, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]
    out = np.concatenate([np.zeros((1, 0)), *aligned(iter(parts), 1000, zero / 1000)], axis=1)[0]
    expected = np.zeros(max(0, placed[-1] + lengths[-1] - zero))
    for place, start, length in zip(placed, starts, lengths, strict=True):
        for i in range(length):
            if place + i >= zero:
                expected[place + i - zero] = signal[start + i]
    assert np.array_equal(out, expected)


# Failures


def film_of(folder: Path, *, size_px=(64, 48)) -> VideoWriter:
    return VideoWriter(folder / "out.mp4", size_px=size_px, mark=SYNTHETIC)


def test_an_exception_within_leaves_nothing(tmp_path):
    with pytest.raises(KeyError, match="mine"), film_of(tmp_path) as film:
        for i in range(60):
            film.write(corners(), i / 25)
        raise KeyError("mine")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_older_film_as_it_was(tmp_path):
    old = write(tmp_path / "out.mp4", moving(3)).read_bytes()
    with pytest.raises(KeyError), film_of(tmp_path) as film:
        film.write(corners(), 0.0)
        raise KeyError
    assert (tmp_path / "out.mp4").read_bytes() == old


def test_a_film_of_no_frame_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match=r"out\.mp4: not one frame to write; nothing was written"), film_of(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp4.txt"])
def test_an_unknown_suffix_is_refused_with_the_known_one(tmp_path, name):
    with pytest.raises(OutputError, match=r"is not written; name a file that ends in \.mp4"):
        VideoWriter(tmp_path / name, size_px=(64, 48), mark=SYNTHETIC)


def test_a_sound_that_is_no_media_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "note.mp4").write_text("hello")
    with pytest.raises(InputError, match=r"note\.mp4: is text"):
        write(tmp_path / "out.mp4", moving(2), sound=tmp_path / "note.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["note.mp4"]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 1.0])
def test_a_full_disk_is_told_at_every_stage_and_leaves_nothing(tmp_path, share):
    noise = [np.random.default_rng(i).integers(0, 256, (96, 128, 3), np.uint8) for i in range(12)]
    film = {"mark": SYNTHETIC, "sound": Sound(tone(1), 44_100)}
    num_bytes = write(tmp_path / "out.mp4", noise, **film).stat().st_size
    # Of whole pages of 4 KiB, so that even the last disk lacks the last few bytes: the XMP packet's.
    with media.small_disk(tmp_path / "disk", num_kib=4 * max(1, int(num_bytes * share) // 4096)) as disk:
        with pytest.raises(OutputError, match=r"out\.mp4: no space left on the disk; free some and run the same"):
            write(disk / "out.mp4", noise, **film)
        assert not list(disk.iterdir())
