"""Broken and odd media, made when they are asked for: python tests/corpus.py FOLDER writes all of them.

Each entry of CORPUS says how a file is made, and what is expected of it: so many frames, or words of the one line with
which it is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import media
import numpy as np
from av.stream import Disposition
from media import corners, make_video, moving

NUM_FRAMES = 12


@dataclass(frozen=True)
class Odd:
    """A file that is broken, hostile or rare."""

    make: Callable[[Path], object]
    expected: int | str
    """The frames that it gives, the fewest where there is a shortfall; or words of the line that refuses it."""
    shortfall: str = ""
    """Words of what is told of the frames that are missing; empty: none are."""


def _bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _video(**options: object) -> Callable[[Path], object]:
    return lambda path: make_video(path, moving(NUM_FRAMES), **options)  # type: ignore[arg-type]


def _cut(share: float, **options: object) -> Callable[[Path], object]:
    return lambda path: media.cut(make_video(path, moving(120), **options), share)  # type: ignore[arg-type]


def _scratched(path: Path) -> None:
    media.damage(make_video(path, moving(120), options={"g": "12"}), first_share=0.7)


def _cover_beside_the_film(path: Path) -> None:
    with av.open(str(path), "w") as out:
        cover = out.add_stream("png", rate=25, width=64, height=48, pix_fmt="rgb24")
        cover.disposition = Disposition.attached_pic
        film = out.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        for stream, images in ((cover, [corners()]), (film, moving(NUM_FRAMES))):
            for number, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts = number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


def _subtitles_beside_the_film(path: Path) -> None:
    text = path.with_name("subtitles.srt")
    text.write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
    with av.open(str(path), "w") as out, av.open(str(text)) as given:
        film = out.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        words = out.add_stream_from_template(given.streams.subtitles[0])
        for number, image in enumerate(moving(NUM_FRAMES)):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts = number
            out.mux(film.encode(frame))
        out.mux(film.encode(None))
        for packet in given.demux(given.streams.subtitles[0]):
            if packet.dts is not None:
                packet.stream = words
                out.mux(packet)
    text.unlink()


def _bomb_in_the_header(path: Path) -> None:
    make_video(path, [np.zeros((256, 8192, 3), np.uint8)], codec="ffv1", pix_fmt="bgr0")
    path.write_bytes(path.read_bytes().replace(b"\xba\x82\x01\x00", b"\xba\x82\x20\x00"))  # Matroska's PixelHeight


def _bomb_behind_the_header(path: Path) -> None:
    make_video(path, [corners()] * 4, codec="mjpeg", pix_fmt="yuvj420p")
    size, huge = (48).to_bytes(2, "big") + (64).to_bytes(2, "big"), (9000).to_bytes(2, "big") * 2
    path.write_bytes(path.read_bytes().replace(size, huge))


_TEXT, _DAMAGED = "is text or a playlist, not a video", "is no video that can be read, or is damaged"
_NOT_ONE = "not one frame of it decodes"
_HOURS = 12 * 3600

CORPUS: dict[str, Odd] = {
    # No videos
    "empty.mp4": Odd(_bytes(b""), "is empty"),
    "noise.mp4": Odd(_bytes(np.random.default_rng(0).bytes(9999)), _DAMAGED),
    "zeros.mp4": Odd(_bytes(bytes(9999)), _DAMAGED),
    "text.mp4": Odd(_bytes(b"just a note\n" * 50), _TEXT),
    "page.mp4": Odd(_bytes(b"<!DOCTYPE html><title>Not found</title>" * 9), _TEXT),
    "picture.mp4": Odd(_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "is a picture, not a video"),
    "archive.mp4": Odd(_bytes(b"PK\x03\x04" + bytes(999)), _DAMAGED),
    "ffconcat.mp4": Odd(_bytes(b"ffconcat version 1.0\nfile /etc/passwd\n"), _TEXT),
    "playlist.mp4": Odd(_bytes(b"#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1/a.ts\n#EXT-X-ENDLIST\n"), _TEXT),
    "session.mp4": Odd(_bytes(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nm=video 5004 RTP/AVP 96\n"), _TEXT),
    "address.mp4": Odd(_bytes(b"http://127.0.0.1:1/film.mp4"), _TEXT),
    # Broken ones
    "no index.mp4": Odd(_cut(0.9, movflags=""), "its index (moov) can't be read"),
    "cut.mp4": Odd(_cut(0.8), 20, "of 120 declared frames"),
    "cut.mkv": Odd(_cut(0.8), 20, "declared seconds"),
    "scratched.mp4": Odd(_scratched, 60, "of 120 declared frames"),
    "head alone.mp4": Odd(_cut(0.02), "holds no moving picture"),
    # Hostile ones
    "bomb.mkv": Odd(_bomb_in_the_header, _NOT_ONE),
    "hidden bomb.avi": Odd(_bomb_behind_the_header, _NOT_ONE),
    "rare codec.avi": Odd(_video(codec="zmbv", pix_fmt="bgr0"), "is coded with zmbv, which is not read"),
    # Odd ones, which are good all the same
    "sound alone.mp4": Odd(media.make_sound_only, "holds sound but no moving picture"),
    "cover alone.mp4": Odd(lambda path: media.make_sound_only(path, cover=True), "holds sound but no moving picture"),
    "cover beside.mp4": Odd(_cover_beside_the_film, NUM_FRAMES),
    "subtitles.mkv": Odd(_subtitles_beside_the_film, NUM_FRAMES),
    "one frame.mp4": Odd(lambda path: make_video(path, moving(1)), 1),
    "one a second.mp4": Odd(_video(time_base=Fraction(1, 1)), NUM_FRAMES),
    "240 a second.mp4": Odd(_video(time_base=Fraction(1, 240)), NUM_FRAMES),
    "twelve hours.mkv": Odd(_video(pts=[i * _HOURS * 25 // 11 for i in range(NUM_FRAMES)]), NUM_FRAMES),
    "interlaced.mp4": Odd(_video(options={"x264-params": "interlaced=1"}), NUM_FRAMES),
    "full range.mp4": Odd(_video(pix_fmt="yuvj420p"), NUM_FRAMES),
    "ten bits.mp4": Odd(_video(pix_fmt="yuv420p10le"), NUM_FRAMES),
    "alpha.mov": Odd(_video(codec="qtrle", pix_fmt="argb"), NUM_FRAMES),
    "grey.mkv": Odd(_video(codec="ffv1", pix_fmt="gray"), NUM_FRAMES),
    "palette.gif": Odd(_video(codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 100)), NUM_FRAMES),
    "odd.mkv": Odd(lambda path: make_video(path, moving(NUM_FRAMES, 63, 47), codec="ffv1", pix_fmt="bgr0"), NUM_FRAMES),
    "on its side.mp4": Odd(_video(rotation_ccw=90), NUM_FRAMES),
}


def write_corpus(folder: Path) -> dict[str, Path]:
    """Write all of the corpus into a folder, and return where each file lies."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, odd in CORPUS.items():
        odd.make(folder / name)
    return {name: folder / name for name in CORPUS}


if __name__ == "__main__":
    print(f"{len(write_corpus(Path(sys.argv[1])))} files in {sys.argv[1]}")
