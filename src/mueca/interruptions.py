"""What may come between a run and its end: a signal, a full disk, too little memory, a lost process.

The last checkpoint stays.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mueca.distribution import Place
from mueca.errors import MuecaError, OutputError

_A_DISK_SAYS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT,
}  # fmt: skip
_PEER_IS_GONE = re.compile("closed by peer|reset by peer|broken pipe|remote process exited|timed out waiting", re.I)
"""In gloo's words and NCCL's; both raise RuntimeErrors and no kind of their own."""


@contextmanager
def disk_explained(run: Path, *, fresh: bool) -> Iterator[None]:
    """Turn what the system says of the run's disk into an OutputError; the run stays as its last checkpoint left it.

    A ``fresh`` run goes on without ``--fresh``, which the error says, and adds to one that came from further down.
    """
    without = ", without --fresh" if fresh else ""
    try:
        yield
    except OutputError as error:
        if not (fresh and isinstance(error.__cause__, OSError)):
            raise
        raise OutputError(f"{error}{without}") from error.__cause__
    except OSError as error:
        place = _place_of(error) or run
        if error.errno not in _A_DISK_SAYS or not place.resolve().is_relative_to(run.resolve()):
            raise
        raise OutputError(
            f"{place}: can't be written ({error.strerror}); make room and run the same command again{without}"
        ) from error


def _place_of(error: OSError) -> Path | None:
    """Return what the error is about; the system names it by text, by bytes, or by the number of an open file."""
    return None if error.filename is None or isinstance(error.filename, int) else Path(os.fsdecode(error.filename))


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn what PyTorch says of a memory that is too small, a GPU's or this machine's, into a MuecaError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MuecaError(
            "training needs more memory than the GPU has free; end what else uses it, name a smaller --batch, or use "
            "--device cpu"
        ) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise MuecaError(
            "training needs more memory than this machine has free; the last checkpoint is kept: end what else uses "
            "it, or name a smaller --batch"
        ) from error


@contextmanager
def peers_explained(place: Place) -> Iterator[None]:
    """Turn what PyTorch says when another process went away into a MuecaError: the other one told why."""
    try:
        yield
    except RuntimeError as error:
        if place.num_processes == 1 or not _PEER_IS_GONE.search(str(error)):
            raise
        raise MuecaError(
            f"process {place.rank}: another one went away, so this one stops too; see what that one said, and start "
            "them all again"
        ) from error


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Give a list onto which the first SIGINT or SIGTERM goes; a second one acts as if there were no list.

    In a thread other than the main one, where Python takes no signals, the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def receive(number: int, _frame: object) -> None:
        received.append(number)
        restore()

    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        restore()
