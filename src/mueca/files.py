"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

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
    partial = _partial_beside(path)
    try:
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
    if path.exists() and not replace:
        raise OutputError(f"{path}: exists already; name another folder or remove it")
    partial = _partial_beside(path)
    try:
        partial.mkdir()
        yield partial
        for file in partial.rglob("*") if durable else ():
            if file.is_file():
                _sync(file)
        if path.exists():
            old = _partial_beside(path)
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old)
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
    return parent / f".{path.stem[:80]}.{uuid.uuid4().hex[:8]}.partial{path.suffix}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
