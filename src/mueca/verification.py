"""verify(): what a file tells of itself, and whether that holds: its manifest, the imperceptible mark, its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

from mueca.errors import InputError
from mueca.manifests import Manifest, Traces, read_manifest, traces_of
from mueca.marks import Picture
from mueca.pictures import read_picture
from mueca.video import VideoReader

Verdict = Literal["intact", "changed", "mark_only", "nothing"]

NUM_FRAMES = 25
"""Of a video, so many frames are looked at, evenly spread."""
_MAX_DECODED = 3_000
"""Frames: two minutes; they are spread over the first part of a longer video."""
_MAX_DECODED_PIXELS = 4_000_000_000
"""What those frames take at 720p and more; fewer of larger ones are decoded."""
_STILLS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")


class Detection(Protocol):
    """What a detector of the imperceptible mark found."""

    @property
    def score(self) -> float:
        """How strong the mark is, in standard deviations of chance."""

    @property
    def found(self) -> bool:
        """Whether that is more than chance does."""


Detector = Callable[[Iterable[Picture]], Detection]
"""Takes one picture, or frames of one video, RGB uint8 (H, W, 3)."""


@dataclass(frozen=True)
class PixelMark:
    """What was found of the imperceptible mark."""

    score: float
    found: bool


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found; its texts are printable, whatever stands in the file."""

    verdict: Verdict
    """``intact``: made by mueca and unchanged. ``changed``: made by mueca, changed since. ``mark_only``: a mark of
    mueca's, in the pixels or in XMP, but no manifest. ``nothing``: nothing of mueca's, which makes nothing authentic."""
    sentence: str
    """The verdict in words, who signed, what another tool's manifest says."""
    manifest: Manifest | None
    mark: PixelMark | None
    """None: it was not looked for, or the pixels can't be decoded."""
    names_us_in_xmp: bool
    """Its XMP says that mueca made it, which anybody can write."""


def verify(path: Path, *, detect_mark: Detector | None = None) -> Verification:
    """Tell whether mueca made the picture or video at ``path``, and whether it was changed since.

    Needs no network and no torch, and makes no key. Without ``detect_mark`` the imperceptible mark is not looked for.
    Raises InputError where the file can't be read, or is neither picture nor video.
    """
    path = Path(path)
    _require_file(path)
    traces = traces_of(path)
    manifest = read_manifest(path)
    try:
        mark = _mark_in(path, detect_mark)
    except InputError:
        if not _is_ours(manifest, traces):
            raise
        mark = None  # damaged beyond decoding: changed
    verdict = _verdict(manifest, traces, mark)
    return Verification(verdict, _sentence(verdict, manifest, mark), manifest, mark, traces.names_us_in_xmp)


def _require_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a picture or video file")
        if not path.exists():
            raise InputError(f"{path}: does not exist; name a picture or video file")
        if not path.is_file():
            raise InputError(f"{path}: is no regular file; name a picture or video file")
        if not path.stat().st_size:
            raise InputError(f"{path}: is empty; name a picture or video file")
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read ({reason}); name a picture or video file") from error


def _is_ours(manifest: Manifest | None, traces: Traces) -> bool:
    """Tell whether a manifest of mueca's is or was in the file, however damaged, or in a manifest made of it."""
    is_damaged = manifest is not None and not manifest.is_readable
    return traces.names_our_manifest or (is_damaged and traces.names_us_in_xmp)


def _verdict(manifest: Manifest | None, traces: Traces, mark: PixelMark | None) -> Verdict:
    if manifest is not None and manifest.provenance is not None and manifest.holds:
        return "intact"
    if _is_ours(manifest, traces):
        return "changed"
    return "mark_only" if traces.names_us_in_xmp or (mark is not None and mark.found) else "nothing"


def _sentence(verdict: Verdict, manifest: Manifest | None, mark: PixelMark | None) -> str:
    if verdict == "intact" and manifest is not None:
        return f"made by mueca and unchanged since; {_signer_in_words(manifest)}"
    if verdict == "changed":
        if manifest is None:
            return "made by mueca and changed since: of its manifest, remains are left"
        if manifest.provenance is None and manifest.is_readable:
            return f"made by mueca and changed since; {_other_in_words(manifest)}"
        return f"made by mueca and changed since: its manifest doesn't hold ({_problems_in_words(manifest)})"
    other = f"; {_other_in_words(manifest)}" if manifest is not None else ""
    if verdict == "mark_only":
        found = mark is not None and mark.found
        what = "its pixels carry mueca's imperceptible mark" if found else "its metadata says that mueca made it"
        return f"{what}, but there is no manifest of mueca's: it was re-encoded, or never signed{other}"
    return f"nothing of mueca's was found, which doesn't make it authentic{other}"


def _signer_in_words(manifest: Manifest) -> str:
    if manifest.is_own_key:
        return "signed with this machine's key"
    return f"signed with a key that this machine doesn't know ({manifest.signer or 'it names nobody'})"


def _other_in_words(manifest: Manifest) -> str:
    """Return what a manifest that isn't mueca's says, in a clause."""
    if not manifest.is_readable:
        return f"whether it has another tool's manifest can't be told ({_problems_in_words(manifest)})"
    tool = manifest.tool or "a tool without a name"
    kind = f", of the kind {manifest.source_type}" if manifest.source_type else ""
    if manifest.holds:
        return f"it carries a valid manifest of {tool}, signed by {manifest.signer or 'nobody named'}{kind}"
    return f"it carries a manifest of {tool} that doesn't hold ({_problems_in_words(manifest)})"


def _problems_in_words(manifest: Manifest) -> str:
    return ", ".join(manifest.problems) or "no reason is given"


def _mark_in(path: Path, detect: Detector | None) -> PixelMark | None:
    """Return what ``detect`` finds; without it, look whether the pixels can be decoded at all."""
    frames = _still(path) if _is_still(path) else _spread(VideoReader(path))
    if detect is None:
        next(frames)
        return None
    detection = detect(frames)
    return PixelMark(score=round(float(detection.score), 2), found=bool(detection.found))


def _is_still(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(_STILLS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _still(path: Path) -> Iterator[Picture]:
    yield read_picture(path)


def _spread(reader: VideoReader) -> Iterator[Picture]:
    """Yield at most NUM_FRAMES frames, evenly spread over what may be decoded of the video."""
    info = reader.info
    most = max(1, min(_MAX_DECODED, _MAX_DECODED_PIXELS // (info.width * info.height)))
    expected = info.declared_frames or round((info.duration_s or 0) * info.fps) or most
    step = max(1, min(expected, most) // NUM_FRAMES)
    for frame in islice(reader, 0, most, step):
        if frame.index >= NUM_FRAMES * step:
            return
        yield frame.image
