"""Doing independent pieces of work side by side: in processes of this machine, or on Ray's workers.

Both ways yield ``(number of the piece, its result)`` as they end. A worker that dies takes its own piece with it at
worst: the piece is tried again, and then its result is a ``Died``.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mueca.errors import SettingsError

P, R = TypeVar("P"), TypeVar("R")

TRIES = 2
"""So often a piece is begun whose worker died."""
_STOP_WITHIN_S = 10.0
"""Workers that are told to stop remove what is half written; those that take longer are killed."""
_LOOK_EVERY_S = 0.2
_UNREADABLE = (pickle.UnpicklingError, ValueError, AttributeError, ImportError, IndexError)
"""What ``pickle.load`` raises besides the end of the pipe."""
_RAY_STORE_BYTES = 80 * 2**20
"""Little more than the least that Ray takes for objects; it would set a third of the memory aside, and none is sent."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_command(what: str) -> list[str]:
    """Return the command of a process that does ``what``, a line of Python.

    It gets the caller's ``sys.path``, so that the same mueca is found, and leaves Ctrl-C to its parent from the first
    line on.
    """
    before = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    return [sys.executable, "-c", f"{before}import sys; sys.path[:] = {sys.path!r}; {what}"]


def answers_channel() -> int:
    """Return a file descriptor for a worker's answers, which is what its standard output was.

    From then on standard output is standard error: whatever a library prints must not come between the answers.
    """
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


@dataclass(frozen=True)
class Died:
    """The result of a piece whose workers died."""

    why: str


def over_processes(do: Callable[[P], R], pieces: Sequence[P], *, workers: int) -> Iterator[tuple[int, R | Died]]:
    """Yield (number, ``do(piece)``) for all pieces as they end; ``do`` must be a function that pickle finds by name."""
    workers = max(1, min(workers, len(pieces)))
    hands: queue.SimpleQueue[_Hand] = queue.SimpleQueue()
    all_hands = [_Hand(do) for _ in range(workers)]
    for hand in all_hands:
        hands.put(hand)

    def one(piece: P) -> R | Died:
        hand = hands.get()
        try:
            return hand.work(piece)
        finally:
            hands.put(hand)

    with ThreadPoolExecutor(workers) as threads:
        numbers = {threads.submit(one, piece): number for number, piece in enumerate(pieces)}
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        finally:  # reached early where the caller was interrupted
            threads.shutdown(wait=False, cancel_futures=True)
            for hand in all_hands:
                hand.tell_to_stop()
            for hand in all_hands:
                hand.stop()


class _Hand:
    """One process that does pieces one after the other; a new one takes over where it dies.

    It is a plain command that is spoken to over pipes, for the reasons that ``mueca.face.reading`` gives.
    """

    def __init__(self, do: Callable[[Any], Any]) -> None:
        self._do = do
        self._lock = threading.Lock()  # between starting a process and being told to stop
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None

    def work(self, piece: Any) -> Any:
        """Return the piece's result, or Died."""
        died = Died("it was never begun")
        for _ in range(TRIES):
            process = self._running()
            if process is None:
                break
            try:
                pickle.dump((self._do, piece), process.stdin)
                process.stdin.flush()
                return pickle.load(process.stdout)
            except (OSError, EOFError):
                died = Died(f"worker process {process.pid} ended with exit code {process.wait()}")
            except _UNREADABLE as error:  # half of an answer, or one that means nothing here: the process may live on
                process.kill()
                process.wait()
                died = Died(f"worker process {process.pid} gave an answer that can't be read ({_first_line(error)})")
        return died

    def _running(self) -> subprocess.Popen[bytes] | None:
        """Return the process, a new one where it died; None where it is to stop."""
        with self._lock:
            if self._stopping:
                return None
            if self._process is None or self._process.poll() is not None:
                self._close()
                command = worker_command("from mueca.spreading import serve; serve()")
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return self._process

    def tell_to_stop(self) -> None:
        with self._lock:
            self._stopping = True
            if self._process is not None:
                self._process.terminate()

    def stop(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout) if self._process is not None else ():
            with contextlib.suppress(OSError):  # what it was still to be told no longer matters
                pipe.close()


def serve() -> None:
    """Do the pieces that come in on standard input, and answer on standard output, until the input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what is half written is removed
    answers = os.fdopen(answers_channel(), "wb")
    while True:
        try:
            do, piece = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result = do(piece)
        try:
            pickle.dump(result, answers)
            answers.flush()
        except BrokenPipeError:
            return  # nobody is left to read it


def over_ray(
    do: Callable[[P], R], pieces: Sequence[P], *, workers: int | None, address: str | None
) -> Iterator[tuple[int, R | Died]]:
    """Start Ray if need be, and yield (number, ``do(piece)``) for all pieces as its workers end them.

    ``address`` is that of a running cluster ("auto" finds one); None starts Ray on this machine, for as long as this
    takes, with so many ``workers`` (None: one for each core); a cluster decides for itself how many. Where the caller
    has started Ray, that one is used.
    Raises SettingsError, before any piece is begun, where Ray isn't installed or can't be started or reached.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        what = "Ray is not installed" if address is None else "--ray-address needs Ray"
        raise SettingsError(f"{what}; install it with: pip install 'mueca[cluster]'") from error
    is_ours = not ray.is_initialized()
    if is_ours:
        _start_ray(workers, address)
    return _ray_results(do, pieces, is_ours=is_ours, is_here=is_ours and address is None)


def _ray_results(
    do: Callable[[P], R], pieces: Sequence[P], *, is_ours: bool, is_here: bool
) -> Iterator[tuple[int, R | Died]]:
    import ray

    with tempfile.TemporaryDirectory(prefix="mueca_", ignore_cleanup_errors=True) as folder:
        stop = Path(folder) / "stop"
        task = ray.remote(num_cpus=1, max_retries=TRIES - 1)(_stoppable(do, stop))
        pending = {task.remote(piece): number for number, piece in enumerate(pieces)}
        try:
            while pending:
                for reference in ray.wait(list(pending), num_returns=1)[0]:
                    yield pending.pop(reference), _ray_result(reference)
        finally:
            if pending:  # the caller was interrupted: what is half written is removed
                _stop_tasks(list(pending), stop if is_here else None)
            if is_ours:
                ray.shutdown()


def _stop_tasks(references: list[Any], stop: Path | None) -> None:
    """Stop Ray's tasks, by the file ``stop`` that they watch, or without one as Ray cancels tasks.

    Ray 2.60 interrupts a cancelled task again while it ends, and ends the caller with a trace where that crosses the
    task's result: seen in one of seven tries.
    """
    import ray

    if stop is not None:
        stop.touch()
    else:
        for reference in references:
            ray.cancel(reference)
    ray.wait(references, num_returns=len(references), timeout=_STOP_WITHIN_S)


def _ray_result(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return Died(f"Ray: {_first_line(error)}")


def _stoppable(do: Callable[[P], R], stop: Path) -> Callable[[P], R | Died]:
    """Return ``do`` as a plain function, for Ray takes no ``functools.partial``, that a file ``stop`` interrupts."""

    def call(piece: P) -> R | Died:
        if stop.exists():
            return Died("it was never begun")
        is_done = threading.Event()
        threading.Thread(target=_interrupt_at, args=(stop, is_done), daemon=True).start()
        try:
            return do(piece)
        except KeyboardInterrupt:
            if not stop.exists():
                raise  # Ray's own
            return Died("it was stopped")
        finally:
            is_done.set()

    return call


def _interrupt_at(stop: Path, is_done: threading.Event) -> None:
    while not is_done.wait(_LOOK_EVERY_S):
        if stop.exists():
            _thread.interrupt_main()
            return


def _start_ray(workers: int | None, address: str | None) -> None:
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read by ray.init alone: nothing is to be told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its default warns that it will change
    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of what it does well by default
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    ours = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _RAY_STORE_BYTES}
    where = {"address": "local", **ours} if address is None else {"address": address}
    try:
        with _own_sigterm():
            try:
                ray.init(**where, **quiet)
            except BaseException:  # Ctrl-C too: what is half begun makes the end of this process a crash
                ray.shutdown()
                raise
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise SettingsError(f"Ray can't be started: {_first_line(error)}") from error
        what = f"--ray-address {address}: {_first_line(error)}"
        raise SettingsError(f"{what}; start a cluster with: ray start --head") from error


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Put back this process's handler of SIGTERM, in whose place Ray sets its own, and tell it what came meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    came = False
    try:
        yield
    except SystemExit:  # what Ray's handler raises
        came = True
        raise
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
        if came:
            signal.raise_signal(signal.SIGTERM)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
