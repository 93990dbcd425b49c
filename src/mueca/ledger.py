"""What this machine made under which consent, and which consents were withdrawn, in the platform's data folder.

::

    ledger.jsonl       a line for each run, video, recording and export: when, what, where, under which consent
    withdrawn.jsonl    a line for each consent that was withdrawn here
    drawn.jsonl        the clips that mueca drew itself: nobody's likeness, and nobody to ask

Lines are only ever appended, each at once and under a lock, so that several processes may write.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Literal, TypeVar

from mueca.config import from_json
from mueca.errors import ConsentError, InputError, OutputError, SettingsError
from mueca.files import sha256_of
from mueca.keys import data_folder

E = TypeVar("E")
Kind = Literal["run", "video", "report", "recording", "export"]

LEDGER, WITHDRAWN, DRAWN = "ledger.jsonl", "withdrawn.jsonl", "drawn.jsonl"
_LONGEST_LINE = 1 << 16
"""Bytes; a path takes 4096 at most."""
_LARGEST_FILE = 1 << 28
"""Bytes: a million results."""


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Entry:
    """Something that was made under a consent."""

    kind: Kind
    path: str
    """Absolute, with the links resolved."""
    consent_id: str
    sha256: str | None
    """Of the file; None of a run, whose settings name the consent."""
    time: str = field(default_factory=now)


@dataclass(frozen=True)
class Drawn:
    """A clip that mueca drew."""

    name: str
    """Who was drawn."""
    sha256: str
    time: str = field(default_factory=now)


def require_writable(folder: Path | None = None) -> None:
    """Raise OutputError where the ledger can't be written: before long work, not after it."""
    with _locked(LEDGER, folder):
        pass


def note(kind: Kind, path: Path, consent_id: str, *, folder: Path | None = None) -> None:
    """Append what was made to the ledger in ``folder``, the platform's when not named; raises OutputError."""
    sha256 = None if kind == "run" else sha256_of(path)
    _append(LEDGER, Entry(kind, _told(path), consent_id, sha256), folder)


def entries(consent_id: str, folder: Path | None = None) -> tuple[Entry, ...]:
    """Return what was made under a consent: of each path and hash the last line, in the order of time."""
    found = {
        (entry.path, entry.sha256): entry for entry in _read(LEDGER, Entry, folder) if entry.consent_id == consent_id
    }
    return tuple(sorted(found.values(), key=lambda entry: entry.time))


def note_withdrawal(consent_id: str, folder: Path | None = None) -> None:
    """Append a consent's id to the list of those that were withdrawn; raises OutputError."""
    _append(WITHDRAWN, _Withdrawal(consent_id), folder)


def is_withdrawn(consent_id: str, folder: Path | None = None) -> bool:
    """Tell whether a consent was withdrawn on this machine.

    The id is looked for in the file's text, so that no damaged line lets a consent come back to life. Raises
    ConsentError where the list can't be read.
    """
    path = (folder or data_folder()) / WITHDRAWN
    wanted = str(uuid.UUID(consent_id)).encode()
    try:
        return path.exists() and re.search(re.escape(wanted), path.read_bytes(), re.IGNORECASE) is not None
    except OSError as error:
        raise ConsentError(
            f"{path}: the list of withdrawn consents can't be read ({error.strerror}), and without it nothing is made; "
            "mend that"
        ) from error


def note_drawn(clip: Path, name: str, folder: Path | None = None) -> None:
    """Append a clip that mueca drew, of ``name``, unless it is there; raises OutputError."""
    sha256 = sha256_of(clip)
    if drawn_by_mueca(sha256, folder) is None:
        _append(DRAWN, Drawn(name, sha256), folder)


def drawn_by_mueca(sha256: str, folder: Path | None = None) -> str | None:
    """Return who was drawn in the clip of that hash; None: mueca drew no such clip on this machine."""
    return next((clip.name for clip in _read(DRAWN, Drawn, folder) if clip.sha256 == sha256), None)


@dataclass(frozen=True)
class _Withdrawal:
    consent_id: str
    time: str = field(default_factory=now)


def _told(path: Path) -> str:
    """Return the path as JSON can hold it: bytes that are no UTF-8 stay what they are, as escapes."""
    return str(path.resolve())


def _append(name: str, entry: Entry | Drawn | _Withdrawal, folder: Path | None) -> None:
    line = json.dumps(asdict(entry)).encode() + b"\n"
    with _locked(name, folder) as file:
        if not _ends_whole(file):
            line = b"\n" + line  # what was torn before stays a line of its own
        before = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


@contextmanager
def _locked(name: str, folder: Path | None) -> Iterator[FileIO]:
    """Give the file, open for appending, to this process alone; raises OutputError where it can't be written."""
    path = (folder or data_folder()) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with FileIO(handle, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
    except OSError as error:
        raise OutputError(
            f"{path}: what was made, and what was withdrawn, is noted there, and can't be ({error.strerror}); make it "
            "writable and run the same command again"
        ) from error


def _ends_whole(file: FileIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _read(name: str, kind: type[E], folder: Path | None) -> Iterator[E]:
    """Yield the file's whole lines; one that a full disk or a power cut left torn is passed over."""
    path = (folder or data_folder()) / name
    try:
        if not path.exists():
            return
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path}: has more than {_LARGEST_FILE} bytes; move it away, and a new one is begun")
        with path.open("rb") as file:
            while line := file.readline(_LONGEST_LINE):
                try:
                    yield from_json(kind, json.loads(line))
                except (ValueError, TypeError, RecursionError, SettingsError):
                    continue
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); mend that") from error
