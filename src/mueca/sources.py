"""What pairs are made from: a video, or a folder of pictures that counts as one."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mueca.errors import InputError
from mueca.files import sha256_of
from mueca.marks import Picture
from mueca.pictures import read_picture
from mueca.video import Frame, VideoInfo, VideoReader
from mueca.video.opening import PICTURE_SUFFIXES, VIDEO_SUFFIXES

FOLDER_FPS = 25.0
"""Pictures in a folder count as one take at this rate: they carry no times, and most videos have it or nearly so."""
REMEMBER_BYTES = 256 * 2**20
"""Of a decoded video: half a minute at 512 x 512. A second pass then costs 0.7 ms less a frame."""
_NAMED = 3
"""So many files are named where more are meant."""


class PictureFolder:
    """The frames of one take, in the natural order of their names: 2.png comes before 10.png.

    They are taken for what a camera saw one after the other at FOLDER_FPS: a face is looked for in some of them and
    followed through those between, and its landmarks are smoothed over neighbours. Photographs taken one by one are
    no such take: their landmarks would be smoothed over pictures that have nothing to do with each other.
    It is read as a VideoReader is. A picture of another size than the first is scaled to fit into it, the rest black.
    A frame's number is its picture's place in the order; those that can't be read are left out and remembered.
    Raises InputError when not one picture can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pictures = sorted(pictures_in(path), key=_natural)
        self.unreadable: list[int] = []
        """The places of the pictures that can't be read, after a full pass."""
        self._passed = False
        height, width = self._first_picture().shape[:2]
        self.info = VideoInfo(
            path=path,
            width=width,
            height=height,
            fps=FOLDER_FPS,
            declared_frames=len(self._pictures),
            duration_s=len(self._pictures) / FOLDER_FPS,
            rotation=0,
            has_audio=False,
            start_s=0.0,
        )

    @property
    def shortfall(self) -> str | None:
        """After a full pass: which pictures can't be read, in one sentence."""
        if not self.unreadable:
            return None
        names = some([self._pictures[i].name for i in self.unreadable])
        return f"{len(self.unreadable)} of {len(self._pictures)} pictures can't be read ({names})"

    def __iter__(self) -> Iterator[Frame]:
        unreadable: list[int] = []
        for index, path in enumerate(self._pictures):
            if self._passed and index in self.unreadable:
                continue
            frame = Frame(index, index / FOLDER_FPS, partial(self._fitted, path))
            if not self._passed:  # later passes read only those pictures that are asked for
                try:
                    _ = frame.image
                except InputError:
                    unreadable.append(index)
                    continue
            yield frame
        if not self._passed:
            self.unreadable, self._passed = unreadable, True

    def _first_picture(self) -> Picture:
        for path in self._pictures:
            try:
                return read_picture(path)
            except InputError:
                continue
        raise InputError(f"{self.path}: not one of its {len(self._pictures)} pictures can be read; give PNG or JPEG")

    def _fitted(self, path: Path) -> Picture:
        return fit_into(read_picture(path), self.info.width, self.info.height)


Source = VideoReader | PictureFolder


def open_source(path: Path, *, remember_bytes: int = REMEMBER_BYTES) -> Source:
    """Return a reader of the video, or of the folder of pictures; raises InputError where it is neither.

    So much of a decoded video stays in memory for a second pass.
    """
    if path.is_dir() and pictures_in(path):
        return PictureFolder(path)
    return VideoReader(path, remember_bytes=remember_bytes)


def sha256_of_source(path: Path) -> str:
    """Return the SHA-256 of a video's bytes, or that of a folder's pictures' sorted names and contents."""
    if not path.is_dir():
        return sha256_of(path)
    total = hashlib.sha256()
    for picture in sorted(pictures_in(path)):
        total.update(picture.name.encode(errors="surrogateescape") + b"\0" + bytes.fromhex(sha256_of(picture)))
    return total.hexdigest()


def pictures_in(folder: Path) -> list[Path]:
    """Return the folder's pictures, in no order; none where it holds videos. Raises InputError at both, or neither."""
    return _media_in(folder)[1]


def videos_in(folder: Path) -> list[Path]:
    """Return the folder's videos in the order of their names; raises as ``pictures_in``."""
    return sorted(_media_in(folder)[0])


def find_sources(given: Iterable[Path]) -> list[Path]:
    """Return the sources that are meant: a folder of videos stands for each of them, all else for itself.

    Raises InputError at a folder without videos or pictures, at one with both, and at two sources of one name. Files
    in a folder that are neither are named in a warning.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            _warn_of_strangers(path)
        found += (videos_in(path) or [path]) if path.is_dir() else [path]
    by_name: dict[str, Path] = {}
    for path in found:
        name = name_of(path)
        if name in by_name:
            raise InputError(f"{path}: has the name of {by_name[name]}, and so would its pairs; rename one of them")
        by_name[name] = path
    return found


def name_of(source: Path) -> str:
    """Return the source's whole name, such as ``take1.mp4``; that of the folder meant where it is ``.`` or ``..``."""
    return source.name if source.name not in ("", "..") else source.resolve().name or "root"


def fit_into(image: Picture, width: int, height: int) -> Picture:
    """Return the picture scaled to fit into ``width`` x ``height``, in the middle of black; itself where it fits."""
    if image.shape[:2] == (height, width):
        return image
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    scaled = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    fitted = np.zeros((height, width, 3), np.uint8)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted[y : y + inner[1], x : x + inner[0]] = scaled
    return fitted


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _media_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return (videos, pictures) of a folder, hidden files left out."""
    files = _visible_files(folder)
    videos = [p for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [p for p in files if p.suffix.lower() in PICTURE_SUFFIXES]
    if videos and pictures:
        raise InputError(
            f"{folder}: holds {_count(videos, 'video')} and {_count(pictures, 'picture')}; "
            "put them into folders of their own"
        )
    if not videos and not pictures:
        raise InputError(
            f"{folder}: is a folder that holds neither videos nor pictures; name a video, or a folder of either"
        )
    return videos, pictures


def _count(files: Sequence[Path], what: str) -> str:
    return f"{len(files)} {what}{'' if len(files) == 1 else 's'}"


def _visible_files(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: can't be read ({error.strerror}); check its permissions") from error


def _warn_of_strangers(folder: Path) -> None:
    known = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES)
    other = sorted(p.name for p in _visible_files(folder) if p.suffix.lower() not in known)
    if other:
        warnings.warn(f"{folder}: left out {some(other)}, neither video nor picture", stacklevel=3)


def _natural(path: Path) -> tuple[list[int | str], str]:
    """Return a key by which numbers in names are in the order of their values."""
    parts = re.split(r"(\d+)", path.name)  # text and digits take turns: always comparable
    return [int(part) if part.isdecimal() else part.casefold() for part in parts], path.name
