"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mueca.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; on a clean exit it becomes ``path``, else it is removed.

    The partial file keeps ``path``'s suffix, for writers that choose the format by it.
    Raises OutputError when the folder is missing or can't be written.
    """
    path = path.resolve()
    partial = _partial_beside(path)
    try:
        with space_explained(path):
            yield partial
            _sync(partial)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False, durable: bool = True) -> Iterator[Path]:
    """Give an empty folder beside ``path``; on a clean exit it becomes ``path``, else it is removed.

    ``durable`` waits until the disk holds every file, which a killed process doesn't need and a power cut does: not
    worth its milliseconds for thousands of pictures that can be made again.
    Raises OutputError when ``path`` exists, unless ``replace``: then the old folder goes as the new one comes.
    """
    path = path.resolve()
    if path.exists() and not replace:
        raise OutputError(f"{path}: exists already; name another folder or remove it")
    partial = _partial_beside(path)
    _remove_leftovers(path)
    try:
        with space_explained(path):
            partial.mkdir()
            yield partial
        for file in partial.rglob("*") if durable else ():
            if file.is_file():
                _sync(file)
        if path.exists():
            _swap(path, partial)
        else:
            partial.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_whole(path: Path, data: bytes | str) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old bytes or all of the new, never a part."""
    with whole_file(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _partial_beside(path: Path) -> Path:
    parent = path.parent
    if not parent.is_dir():
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: its folder can't be made ({error.strerror}); name another place") from error
    return parent / f".{_tag(path)}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial{path.suffix}"


def _tag(path: Path) -> str:
    """Return what the names of partial files share that are to become ``path``."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]


def _remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of earlier tries at the same folder."""
    for leftover in path.parent.glob(f".{_tag(path)}.*.partial"):
        owner = leftover.name.split(".")[2]
        if owner.isdecimal() and not Path("/proc", owner).exists() and Path("/proc/self").exists():
            shutil.rmtree(leftover, ignore_errors=True)


def _swap(path: Path, new: Path) -> None:
    """Put ``new`` in the place of the folder ``path``, which goes; on a failure it comes back."""
    old = _partial_beside(path)
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old)


@contextmanager
def space_explained(path: Path) -> Iterator[None]:
    """Turn a full disk's OSError into an OutputError that names ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the OutputError that says why ``path`` can't be written, and the way out."""
    if error.errno in _DISK_FULL:
        return OutputError(f"{path}: no space left on the disk; free some and run the same command again")
    return OutputError(f"{path}: can't be written ({error.strerror}); name another place")


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
