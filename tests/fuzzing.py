"""A seeded fuzzer over everything that mueca reads. By hand: python tests/fuzzing.py --mutations 2000 --seed 0

Each target is one entry of TARGETS. A worker that was forked with everything imported reads many mutants, each in a box
of its own; half of the mutants keep a valid header. A mutant fails when reading it takes longer than TIMEOUT_S or more
than MAX_BYTES, when anything but a MuecaError comes out, when its message is none a person would read, or when anything
was written outside of the box's ``out``, or run. Its box is kept, and the command that repeats it is printed.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import fuzz_targets
import numpy as np
from mutations import BLIND, BODY, Mutation, disturb

from mueca.errors import MuecaError

TIMEOUT_S = 10.0
MAX_BYTES = 1 << 30
"""Of memory that a worker holds at any moment, libraries included; it may ask for as much beyond what they take."""
LONGEST_MESSAGE = 1000
"""Characters: what is longer is no line that anybody reads."""
_SHARE_DISTURBED = 0.15
"""Of a folder's mutants: a file of it is lost, linked, renamed ... instead of changed."""
_MUTANTS_PER_WORKER = 500
_FORK = multiprocessing.get_context("fork")


@dataclass
class Tally:
    """What came of a target's mutants."""

    read: int = 0
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    """A line for each mutant that failed, its number first."""
    seconds: float = 0.0
    slowest_s: float = 0.0
    most_bytes: int = 0

    def note(self, number: int, answer: dict[str, Any]) -> None:
        """Count an answer of a worker."""
        self.slowest_s = max(self.slowest_s, answer["seconds"])
        self.most_bytes = max(self.most_bytes, answer.get("bytes", 0))
        match answer["outcome"]:
            case "read":
                self.read += 1
            case "refused":
                self.refused += 1
            case _:
                self.failed.append(f"{number}: {answer['outcome']}")


def mutate(given: Path, target: fuzz_targets.Target, number: int, seed: int) -> None:
    """Change the files in ``given`` as the target's mutant of this number is changed; even numbers keep headers."""
    random = np.random.default_rng([seed, zlib.crc32(target.name.encode()), number])
    files = sorted(path for path in given.rglob("*") if path.is_file())
    if len(files) > 1 and random.random() < _SHARE_DISTURBED:
        disturb(random, given)
        return
    keeps_header = number % 2 == 0
    for _ in range(1 if random.random() < 0.8 else 2):
        path = files[random.integers(len(files))]
        choices: Sequence[Mutation] = target.structured.get(path.suffix, BODY) if keeps_header else BLIND
        path.write_bytes(choices[random.integers(len(choices))](random, path.read_bytes()))
        files.remove(path)
        if not files:
            return


# The worker


class Watch:
    """Tells what Python was asked to write outside of a folder, to run or to connect to, while it is armed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._allowed: Path | None = None
        sys.addaudithook(self._hook)

    def arm(self, allowed: Path | None) -> None:
        """Watch from now on, or with None no longer; ``allowed`` is the folder that may be written to."""
        self.seen, self._allowed = ([], allowed) if allowed else (self.seen, None)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event in _RUNS_OR_CONNECTS:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, _, flags = arguments
            if flags & _WRITING and not isinstance(path, int):
                self._require_inside(event, path)
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                self._require_inside(event, path)

    def _require_inside(self, event: str, path: Any) -> None:
        place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - a link is what is changed, not its end
        if self._allowed not in (place, *place.parents) and place != Path(os.devnull):
            self.seen.append(f"{event} {place}")


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_RUNS_OR_CONNECTS = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo"),
}
_CHANGES = {
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.utime": 1,
    "os.rename": 2,
    "os.link": 2,
}
"""How many of the event's first arguments are paths that change."""


def _serve(connection: Connection, seeds: Path, box: Path, seed: int) -> None:
    """Read mutants, as the connection asks for them by target and number, until it is closed."""
    box.mkdir()
    log = (box.parent / f"{box.name}.log").open("w")
    for number in (1, 2):
        os.dup2(log.fileno(), number)
    faulthandler.enable(log)  # where it hangs is told when the parent sends SIGABRT
    os.environ |= {name: str(box / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    os.environ["TMPDIR"] = tempfile.tempdir = str(box / "tmp")
    own_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (own_bytes + MAX_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch = Watch()
    while True:
        try:
            name, number = connection.recv()
        except EOFError:
            return
        target = fuzz_targets.TARGETS[name]
        choices = sorted((seeds / name).iterdir())
        _fill(box, choices[number // 2 % len(choices)])
        try:
            mutate(box / "in", target, number, seed)
        except Exception as error:  # noqa: BLE001 - a mutation that fails is a failure that is told
            connection.send({"outcome": f"couldn't be made: {error!r:.200} {_place_of(error)}", "seconds": 0.0})
        else:
            connection.send(_answer(target, box, watch))


def _fill(box: Path, seed: Path) -> None:
    """Put a fresh copy of the seed into the box, beside what must not change."""
    os.chdir(box.parent)
    shutil.rmtree(box)
    for name in ("out", "home", "tmp", "canary", "cwd"):
        (box / name).mkdir(parents=True)
    (box / "canary" / "file").write_text("alive")
    shutil.copytree(seed, box / "in", symlinks=True)
    os.chdir(box / "cwd")


def _answer(target: fuzz_targets.Target, box: Path, watch: Watch) -> dict[str, Any]:
    before = _listing(box)
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory counts from here
    start = time.perf_counter()
    watch.arm(box / "out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(box / "in", box / "out")
        outcome = "read"
    except MuecaError as error:
        message = " ".join(str(error).split())
        is_readable = 0 < len(message) <= LONGEST_MESSAGE
        outcome = "refused" if is_readable else f"an error of {len(message)} characters: {message:.150}"
    except BaseException as error:  # noqa: BLE001 - whatever else comes out is what is looked for
        outcome = f"{type(error).__name__}: {' '.join(str(error).split()):.150} {_place_of(error)}"
    watch.arm(None)
    seconds = time.perf_counter() - start
    if watch.seen:
        outcome = f"did what reading never should: {watch.seen[0]}"
    elif changed := set(_listing(box)) ^ set(before):
        outcome = f"changed outside of its output folder: {', '.join(sorted({entry[1] for entry in changed}))}"
    most = _most_bytes()
    if most > MAX_BYTES:
        outcome = f"took {most >> 20} MiB"
    return {"outcome": outcome, "seconds": seconds, "bytes": most}


def _place_of(error: BaseException) -> str:
    """Return where in mueca it came from, innermost first, so that a bug is known by its place."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "mueca" in f.filename and "tests" not in f.filename]
    return f"({', '.join(own[::-1][:4])})"


def _listing(box: Path) -> list[tuple[Any, ...]]:
    """Return what lies in the box but for its ``out``: names, kinds, sizes and times."""
    found = []
    for folder, folders, files in os.walk(box):
        if Path(folder) == box:
            folders.remove("out")
        for name in (*folders, *files):
            told = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - thousands of times
            found.append((folder, name, told.st_mode, told.st_size, told.st_mtime_ns, told.st_ino))
    return sorted(found)


def _most_bytes() -> int:
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) * 1024


# The parent


class Worker:
    """A forked process that reads mutants; it is ended and forked anew when one kills it or takes too long."""

    def __init__(self, work: Path, seeds: Path, seed: int) -> None:
        self._work, self._seeds, self._seed = work, seeds, seed
        self._process: Any = None
        self._num_served = self._num_forked = 0

    @property
    def box(self) -> Path:
        """Where the mutant lies that was asked for last."""
        return self._work / f"box_{self._num_forked}"

    def ask(self, target: str, number: int) -> dict[str, Any]:
        """Return what came of a mutant."""
        if self._process is None or self._num_served == _MUTANTS_PER_WORKER:
            self.end()
            self._fork()
        self._num_served += 1
        start = time.perf_counter()
        try:
            self._connection.send((target, number))
            if self._connection.poll(TIMEOUT_S):
                return self._connection.recv()
            outcome = f"no answer within {TIMEOUT_S:.0f} s"
            os.kill(self._process.pid, signal.SIGABRT)
        except (EOFError, ConnectionError):
            self._process.join()
            outcome = f"ended the process with {self._process.exitcode}"
        self.end()
        return {"outcome": outcome, "seconds": time.perf_counter() - start}

    def end(self) -> None:
        """End the process, which lies idle or hangs."""
        if self._process is not None:
            self._connection.close()
            self._process.join(1)
            self._process.kill()
            self._process.join()
        self._process = None

    def _fork(self) -> None:
        self._num_forked, self._num_served = self._num_forked + 1, 0
        self._connection, other = _FORK.Pipe()
        self._process = _FORK.Process(target=_serve, args=(other, self._seeds, self.box, self._seed), daemon=True)
        self._process.start()
        other.close()


def fuzz(
    names: Sequence[str], numbers: Sequence[int], *, seed: int, work: Path, kept: Path, tell: Callable[[str], object]
) -> dict[str, Tally]:
    """Read the mutants of these numbers of each target, and return what came of them.

    Failing mutants are copied into ``kept``, each with how to repeat it.
    """
    seeds = work / "seeds"
    maker = _FORK.Process(
        target=fuzz_targets.make_seeds, args=(seeds, names)
    )  # what it starts stays out of the workers
    maker.start()
    maker.join()
    if maker.exitcode:
        raise RuntimeError(f"no seeds: their maker ended with {maker.exitcode}")
    tallies: dict[str, Tally] = {}
    worker = Worker(work, seeds, seed)
    for name in names:
        tally = tallies[name] = Tally()
        start = time.perf_counter()
        for number in numbers:
            answer = worker.ask(name, number)
            num_failed = len(tally.failed)
            tally.note(number, answer)
            if len(tally.failed) > num_failed:
                tell(f"{name} {tally.failed[-1]}\n  again: {_keep(worker, kept, name, number, seed, answer)}")
        tally.seconds = time.perf_counter() - start
    worker.end()
    return tallies


def _keep(worker: Worker, kept: Path, name: str, number: int, seed: int, answer: dict[str, Any]) -> str:
    again = f"python tests/fuzzing.py --targets {name} --only {number} --seed {seed}"
    folder = kept / f"{name}_{seed}_{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if (worker.box / "in").is_dir():
        shutil.copytree(worker.box / "in", folder / "in", symlinks=True, ignore=_no_pipes)
    log = worker.box.parent / f"{worker.box.name}.log"
    said = log.read_text(errors="replace")[-20_000:] if log.exists() else ""
    (folder / "why.txt").write_text(f"{answer['outcome']}\n{again}\n\n{said}")
    return again


def _no_pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_fifo()]


def table_of(tallies: dict[str, Tally]) -> str:
    """Return the totals as a table in Markdown."""
    lines = ["| target | mutants | read | refused | failed | seconds | slowest | most memory |", "|---" * 8 + "|"]
    for name, tally in tallies.items():
        total = tally.read + tally.refused + len(tally.failed)
        lines.append(
            f"| {name} | {total} | {tally.read} | {tally.refused} | {len(tally.failed)} | {tally.seconds:.0f} "
            f"| {tally.slowest_s:.2f} s | {tally.most_bytes >> 20} MiB |"
        )
    return "\n".join(lines)


def main() -> int:
    """Fuzz as the command line says; exit with 1 where a mutant failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=200, metavar="N", help="mutants of each target (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--targets", nargs="+", choices=fuzz_targets.TARGETS, default=list(fuzz_targets.TARGETS))
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="these mutants alone, to repeat them")
    parser.add_argument("--kept", type=Path, default=Path("fuzz_failures"), help="folder for the mutants that fail")
    given = parser.parse_args()
    # What these ask the system they remember: a worker must not start a program for it.
    platform.platform(), platform.processor()
    with tempfile.TemporaryDirectory(prefix="mueca-fuzz-") as work:
        tallies = fuzz(
            given.targets,
            given.only or range(given.mutations),
            seed=given.seed,
            work=Path(work),
            kept=given.kept,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
    print(f"Seed {given.seed}, Python {platform.python_version()}:\n\n{table_of(tallies)}")
    print(json.dumps({name: tally.failed for name, tally in tallies.items() if tally.failed}, indent=1))
    return int(any(tally.failed for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
