"""Videos from outside come in upright, in time and whole, or with a reason."""

import gc
import os
import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain, pairwise, repeat
from pathlib import Path
from types import SimpleNamespace

import av
import media
import numpy as np
import pytest
from av.video.reformatter import ColorTrc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import BLUE, GREEN, GREY, RED, about, corner_colours, corners, make_video, moving, read, times, tone, write

import mueca.video.reading
from mueca.errors import InputError
from mueca.video import Frame, VideoReader
from mueca.video.opening import MAX_PIXELS, check_size
from mueca.video.reading import Clock, Painter, Tally, colour_conversion, decoded, square_pixels, upright

any_time = settings(deadline=None)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


# Time


def test_every_frame_keeps_its_own_timestamp(tmp_path):
    pts = [0, 1, 2, 7, 8, 20]
    frames = read(make_video(tmp_path / "vfr.mp4", moving(6), pts=pts))
    assert times(frames) == pytest.approx([p / 25 for p in pts], abs=1e-4)
    assert [frame.index for frame in frames] == list(range(6))


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.ts"])
def test_the_first_frame_is_the_clips_zero_whatever_the_files_clock_says(tmp_path, name):
    reader = VideoReader(make_video(tmp_path / name, moving(4), pts=[100, 101, 102, 103], sound=tone(5)))
    assert times(list(reader)) == pytest.approx([0, 0.04, 0.08, 0.12], abs=1e-3)
    assert reader.info.start_s == pytest.approx(4, abs=0.1)


@any_time
@given(st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=1, max_size=60))
def test_timestamps_grow_strictly_from_zero_whatever_the_file_says(pts):
    clock = Clock(0.04)
    told = [clock.tell(p, Fraction(1, 1000)) for p in pts]
    assert told[0] == 0
    assert all(before < after for before, after in pairwise(told))


@any_time
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60, unique=True))
def test_timestamps_that_grow_are_told_as_they_are(pts):
    pts.sort()
    clock = Clock(0.04)
    assert [clock.tell(p, Fraction(1, 1000)) for p in pts] == pytest.approx([(p - pts[0]) / 1000 for p in pts])


def test_a_missing_timestamp_lies_one_step_after_the_last():
    clock = Clock(0.04)
    assert [clock.tell(p, Fraction(1, 100)) for p in (7, None, None)] == pytest.approx([0, 0.04, 0.08])


def test_a_clock_that_starts_again_goes_on_where_it_was():
    clock = Clock(0.04)
    told = [clock.tell(p, Fraction(1, 100)) for p in (500, 504, 508, 0, 4, 20)]
    assert told == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.32])


def test_one_timestamp_that_steps_back_does_not_shift_the_rest():
    clock = Clock(0.04)
    told = [clock.tell(p, Fraction(1, 100)) for p in (0, 4, 8, 8, 16, 20)]
    assert told == pytest.approx([0, 0.04, 0.08, 0.09, 0.16, 0.2])


# Pictures


@pytest.mark.parametrize(
    ("counterclockwise", "rotation", "expected"),
    [
        (0, 0, [RED, GREEN, BLUE, GREY]),
        (90, 270, [GREEN, GREY, RED, BLUE]),
        (180, 180, [GREY, BLUE, GREEN, RED]),
        (270, 90, [BLUE, RED, GREY, GREEN]),
    ],
)
def test_a_turned_video_comes_upright(tmp_path, counterclockwise, rotation, expected):
    reader = VideoReader(make_video(tmp_path / "phone.mp4", [corners(64, 48)] * 2, rotation_ccw=counterclockwise))
    image = next(iter(reader)).image
    assert corner_colours(image) == about(expected)
    assert reader.info.rotation == rotation
    assert (reader.info.height, reader.info.width) == image.shape[:2]
    assert image.shape[:2] == ((64, 48) if rotation in (90, 270) else (48, 64))


def test_a_mirrored_video_is_mirrored_back(tmp_path):
    path = make_video(tmp_path / "selfie.mp4", [corners()] * 2, rotation_ccw=0, mirrored=True)
    assert corner_colours(read(path)[0].image) == about([GREEN, RED, GREY, BLUE])


@any_time
@given(
    st.sampled_from(
        [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]
    ),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_each_stored_pixel_stands_where_the_display_matrix_puts_it(matrix, width, height):
    a, b, c, d = matrix
    y, x = np.mgrid[:height, :width]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    shown_x, shown_y = shown_x - shown_x.min(), shown_y - shown_y.min()
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(upright(image, matrix)[shown_y, shown_x], image)


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(1, 2), (64, 96))])
def test_pixels_that_are_not_square_become_square(tmp_path, aspect, size):
    reader = VideoReader(make_video(tmp_path / "dv.mp4", [corners()] * 2, aspect=aspect))
    assert (reader.info.width, reader.info.height) == size
    assert next(iter(reader)).image.shape == (size[1], size[0], 3)


@any_time
@given(st.integers(2, 4000), st.integers(2, 4000), st.fractions(Fraction(1, 4), 4, max_denominator=99))
def test_square_pixels_never_shrink_a_side(width, height, aspect):
    wide, high = square_pixels(width, height, aspect)
    assert wide >= width
    assert high >= height
    assert wide * height == pytest.approx(high * width * aspect, rel=0.5 / min(wide, high) + 1e-9, abs=4000)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "prores_ks", "yuv444p10le"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
    ],
)
def test_common_files_are_read_in_their_colours(tmp_path, name, codec, pix_fmt):
    base = Fraction(1, 100) if codec == "gif" else Fraction(1, 25)
    path = make_video(tmp_path / name, [corners()] * 5, codec=codec, pix_fmt=pix_fmt, time_base=base)
    frames = read(path)
    assert len(frames) == 5
    assert corner_colours(frames[2].image) == about([RED, GREEN, BLUE, GREY], 50 if codec == "gif" else 6)


def test_a_large_picture_that_does_not_name_its_matrix_is_bt709():
    small, large = av.VideoFrame(64, 48, "yuv420p"), av.VideoFrame(1280, 720, "yuv420p")
    assert "src_colorspace" not in colour_conversion(small)
    assert colour_conversion(large)["src_colorspace"] == av.video.reformatter.Colorspace.ITU709
    assert colour_conversion(av.VideoFrame(1280, 720, "rgb24")) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("transfer", "white"), [(ColorTrc.SMPTE2084, 0.58), (ColorTrc.ARIB_STD_B67, 0.75)])
def test_hdr_white_becomes_white(tmp_path, transfer, white):
    """Diffuse white stands at 58 % of PQ's signal and 75 % of HLG's: ITU-R BT.2408."""
    image = np.full((48, 64, 3), round(255 * white), np.uint8)
    image[:24] = 0
    path = make_video(tmp_path / "hdr.mkv", [image], codec="ffv1", pix_fmt="yuv420p10le", transfer=transfer)
    shown = read(path)[0].image
    assert shown[40].mean() > 235
    assert shown[8].mean() < 5


def test_a_size_that_changes_within_the_stream_is_scaled_to_the_first(tmp_path):
    parts = [make_video(tmp_path / f"{side}.ts", [corners(side, side)] * 10) for side in (48, 96)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read(path)
    assert {frame.image.shape for frame in frames} == {(48, 48, 3)}
    assert len(frames) >= 18
    assert corner_colours(frames[-1].image) == about([RED, GREEN, BLUE, GREY], 8)


def test_a_second_pass_gives_the_same_frames(tmp_path):
    reader = VideoReader(make_video(tmp_path / "a.mp4", moving(10)))
    first, second = list(reader), list(reader)
    assert times(first) == times(second)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


def test_a_frame_is_converted_once_and_only_if_its_pixels_are_asked_for(tmp_path, monkeypatch):
    painted = []
    paint = Painter.paint
    monkeypatch.setattr(Painter, "paint", lambda self, frame: painted.append(frame) or paint(self, frame))
    frames = list(VideoReader(make_video(tmp_path / "a.mp4", moving(5))))
    assert painted == []
    assert frames[3].image is frames[3].image
    assert len(painted) == 1


@pytest.mark.parametrize(
    ("remember_bytes", "pix_fmt", "num_decoded"),
    [
        (10**6, "yuv420p", 10),
        (10 * 64 * 48, "yuv420p", 20),  # as it declares, it won't fit
        (2 * 10 * 64 * 48, "yuv444p", 20),  # as it turns out, it doesn't
        (0, "yuv420p", 20),
    ],
)
def test_a_clip_that_fits_is_decoded_once_and_comes_the_same_again(
    remember_bytes, pix_fmt, num_decoded, tmp_path, monkeypatch
):
    passed = []
    monkeypatch.setattr(mueca.video.reading, "decoded", lambda *a: (passed.append(f) or f for f in decoded(*a)))
    path = make_video(tmp_path / "a.mp4", moving(10), pix_fmt=pix_fmt)
    reader = VideoReader(path, remember_bytes=remember_bytes)
    passed.clear()
    first, second = list(reader), list(reader)
    assert len(passed) == num_decoded
    assert times(first) == times(second) and [frame.index for frame in second] == list(range(10))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


def test_threads_may_convert_frames_side_by_side(tmp_path):
    path = make_video(tmp_path / "a.mp4", moving(60, 640, 480), aspect=Fraction(4, 3))  # which takes scaling
    with ThreadPoolExecutor(4) as threads:
        side_by_side = list(threads.map(lambda frame: frame.image, VideoReader(path)))
    assert all(np.array_equal(a, b.image) for a, b in zip(side_by_side, VideoReader(path), strict=True))


def test_the_reader_holds_no_frame_back(tmp_path):
    """A cycle between PyAV's frames and their side data once held every frame until the next garbage collection."""
    reader = VideoReader(make_video(tmp_path / "a.mp4", moving(60), rotation_ccw=90))
    gc.collect()
    gc.disable()
    try:
        for frame in reader:
            del frame
        alive = [held for held in gc.get_objects() if type(held) in (Frame, av.VideoFrame)]
    finally:
        gc.enable()
    assert len(alive) < 3


def test_the_info_says_what_the_file_is(tmp_path):
    path = make_video(tmp_path / "a.mp4", moving(50), sound=tone(2))
    info = VideoReader(path).info
    assert (info.path, info.width, info.height, info.declared_frames) == (path, 64, 48, 50)
    assert (info.fps, info.duration_s) == (pytest.approx(25), pytest.approx(2, abs=0.05))
    assert info.has_audio
    assert not VideoReader(make_video(tmp_path / "b.mp4", moving(1))).info.has_audio


def test_of_two_video_tracks_the_first_is_read(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as out:
        tracks = [out.add_stream("ffv1", rate=25, width=64, height=48, pix_fmt="bgr0") for _ in range(2)]
        for track, shade in zip(tracks, (40, 200), strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), "rgb24")
            frame.pts = 0
            out.mux([*track.encode(frame), *track.encode(None)])
    assert read(path)[0].image.mean() == 40


# Damage and disguise


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_of_a_video_cut_short_the_rest_is_used_and_the_shortfall_told(tmp_path, name):
    reader = VideoReader(media.cut(make_video(tmp_path / name, moving(120)), 0.8))
    assert reader.shortfall is None
    frames = list(reader)
    assert 20 < len(frames) < 115
    amount = f"{len(frames)} of 120 declared frames" if name == "cut.mp4" else r"\d\.\d of 4\.8 declared seconds"
    assert re.fullmatch(f"decoded {amount}; the file is cut short or damaged", reader.shortfall)


def test_bad_places_in_the_middle_are_skipped_and_told(tmp_path):
    path = media.damage(make_video(tmp_path / "scratched.mp4", moving(120), options={"g": "12"}), first_share=0.7)
    reader = VideoReader(path)
    frames = list(reader)
    assert 60 < len(frames) < 120
    assert frames[-1].timestamp_s == pytest.approx(119 / 25, abs=1e-3)  # it went on after the bad place
    assert reader.shortfall == f"decoded {len(frames)} of 120 declared frames; the file is cut short or damaged"


class Tape:
    """A container whose packets give the frames named; "!" is a packet that the decoder refuses, "|" a break."""

    def __init__(self, packets) -> None:
        self.packets = iter(packets)

    def demux(self, _):
        for packet in self.packets:
            if packet == "|":
                raise av.InvalidDataError(0, "break")
            yield SimpleNamespace(decode=lambda packet=packet: self.decode(packet))

    def decode(self, packet):
        if packet == "!":
            raise av.InvalidDataError(0, "bad packet")
        return [] if packet is None else [SimpleNamespace(name=packet, is_corrupt=packet == "corrupt")]


@pytest.mark.parametrize(
    ("packets", "names", "lost"),
    [
        (["a", "b"], ["a", "b"], 0),
        (["a", "corrupt", "b"], ["a", "b"], 1),
        (["a", "!", "!", "b"], ["a", "b"], 2),
        (["a", "|", "b", "|"], ["a", "b"], 2),
        (["!", "a"], ["a"], 1),
    ],
)
def test_what_is_damaged_is_skipped_and_counted(packets, names, lost):
    tape, tally = Tape(packets), Tally()
    assert [frame.name for frame in decoded(tape, tape, tally)] == names
    assert tally.lost == lost


@pytest.mark.parametrize("packet", ["!", "|", "corrupt"])
def test_a_file_that_stays_damaged_is_given_up(packet):
    tape, tally = Tape(chain("a", repeat(packet))), Tally()
    assert [frame.name for frame in decoded(tape, tape, tally)] == ["a"]
    assert 100 < tally.lost < 1000


@pytest.mark.parametrize("name", ["whole.mp4", "whole.mkv", "whole.ts", "whole.avi"])
def test_a_whole_video_has_no_shortfall(tmp_path, name):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    reader = VideoReader(make_video(tmp_path / name, moving(50), codec=codec, sound=tone(2.3)))
    assert len(list(reader)) == 50
    assert reader.shortfall is None


def refused(path: Path) -> str:
    """Return the one line with which the file is refused."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "Errno" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; give a video such as mp4, mov, mkv, webm or avi"),
        (b"just a note\n" * 50, "is text or a playlist, not a video; give a video"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture, not a video; give a video"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "is a picture, not a video; give a video"),
        (np.random.default_rng(0).bytes(9999), "is no video that can be read, or is damaged; give a video"),
    ],
)
def test_what_is_no_video_is_named_for_what_it_is(tmp_path, content, reason):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert refused(path).startswith(reason)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile second.mkv\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecond.mkv\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>second.mkv</BaseURL></Period></MPD>',
    ],
)
def test_a_playlist_in_disguise_opens_no_second_file(tmp_path, text):
    make_video(tmp_path / "second.mkv", moving(3))
    path = tmp_path / "clip.mp4"
    path.write_text(text)
    assert refused(path).startswith("is text or a playlist, not a video; give")


def test_a_path_that_looks_like_an_address_is_a_file_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "real.mkv", moving(3))
    assert refused(Path("concat:real.mkv|real.mkv")) == "does not exist; name a video file"
    (tmp_path / "real.mkv").rename(tmp_path / "concat:real.mkv")
    assert len(read(Path("concat:real.mkv"))) == 3


def test_a_video_without_its_index_is_told(tmp_path):
    path = media.cut(make_video(tmp_path / "killed.mp4", moving(60), movflags=""), 0.9)
    assert refused(path) == "is cut short or damaged: its index (moov) can't be read; copy or record it again"


def test_a_video_of_which_nothing_decodes_is_told(tmp_path):
    path = make_video(tmp_path / "head.mp4", moving(60))
    path = media.cut(path, (path.read_bytes().index(b"mdat") + 30) / path.stat().st_size)
    assert refused(path).startswith("not one frame of it decodes; it is cut short, damaged or larger than")


@pytest.mark.parametrize("cover", [False, True])
def test_sound_without_moving_pictures_is_told(tmp_path, cover):
    path = media.make_sound_only(tmp_path / "song.mp4", cover=cover)
    assert refused(path).startswith("holds sound but no moving picture; give a video")


def test_a_missing_file_is_told(tmp_path):
    assert refused(tmp_path / "gone.mp4") == "does not exist; name a video file"
    assert refused(tmp_path / ("long" * 99)) == "can't be read (File name too long); name a video file"


def test_a_folder_is_told_with_a_way_out(tmp_path):
    assert refused(tmp_path) == "is a folder that holds neither videos nor pictures; name one video file"
    (tmp_path / "face.png").touch()
    assert refused(tmp_path) == "is a folder of pictures; name one video file"
    (tmp_path / "b.mov").touch()
    (tmp_path / "a.MP4").touch()
    assert refused(tmp_path) == f"is a folder; name one video file, such as {tmp_path / 'a.MP4'}"


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refused(tmp_path / "pipe.mp4") == "is no regular file; name a video file"


def test_a_rare_codec_is_refused_by_name(tmp_path):
    path = make_video(tmp_path / "rare.avi", moving(3), codec="zmbv", pix_fmt="bgr0")
    assert refused(path) == "its video is coded with zmbv, which is not read; convert it to H.264 first"


def test_a_bomb_in_the_header_is_not_decoded(tmp_path):
    path = make_video(tmp_path / "bomb.mkv", [np.zeros((256, 8192, 3), np.uint8)], codec="ffv1", pix_fmt="bgr0")
    height = b"\xba\x82\x01\x00"  # Matroska's PixelHeight, two bytes
    assert height in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(height, b"\xba\x82\x20\x00"))
    assert refused(path).startswith("not one frame of it decodes; it is cut short, damaged or larger than 50 megapix")


def test_a_picture_too_large_is_refused_with_its_size():
    with pytest.raises(InputError, match=r"a\.mp4: its picture is 8192 x 8192, more than 50 megapixels; scale it down"):
        check_size(Path("a.mp4"), 8192, 8192)
    check_size(Path("a.mp4"), 7680, 4320)


def test_a_bomb_behind_a_small_header_is_not_decoded(tmp_path):
    path = make_video(tmp_path / "bomb.avi", [corners()] * 4, codec="mjpeg", pix_fmt="yuvj420p")
    size = (48).to_bytes(2, "big") + (64).to_bytes(2, "big")
    assert size in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(size, (9000).to_bytes(2, "big") * 2))
    assert MAX_PIXELS < 9000 * 9000
    assert refused(path).startswith("not one frame of it decodes; it is cut short, damaged or larger than 50 megapix")


@pytest.fixture(scope="module")
def some_video(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("some") / "a.mp4", moving(12), sound=tone(0.5))


@shared_folder
@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_video_is_read_or_refused_and_nothing_else(tmp_path, some_video, seed):
    random = np.random.default_rng(seed)
    broken = bytearray(some_video.read_bytes())
    for position in random.integers(0, len(broken), random.integers(1, 40)):
        broken[position] = random.integers(256)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(broken)
    try:
        frames = read(path)
        write(tmp_path / "out.mp4", [corners()] * 2, sound=path)
    except InputError as error:
        assert str(error).startswith(str(path))
    else:
        assert len({frame.image.shape for frame in frames}) == 1
