"""SIGKILL at random moments of `mueca run`, and the same command again. By hand: python tests/killing.py --kills 100

Every process is forked from one that has imported everything, and otherwise runs the command line as it is; but it
saves once a second, where a run of this length would save twice. A share of the kills waits for a file or folder that
is half written, and counts as one inside a save only where the kill left it there. Each time the same command must
finish, and with what an unkilled run comes to: the same weights, optimizers, pairs and metrics to the bit, the same
pictures in the driven video, and nothing half-written left behind.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
from toys import narrow_presets

from mueca import journal
from mueca.actors import ACTORS, performance, write_clip
from mueca.cli import main as command_line
from mueca.evaluation import evaluate
from mueca.pipeline import DRIVEN, PAIRS, RUN
from mueca.reenactment import drive
from mueca.training import train
from mueca.video import VideoReader

STEPS, FRAMES = 60, 60
SHARE_IN_SAVES = 0.4
SHARE_WITH_PAIRS = 0.7
"""So many begin with the pairs made, as an earlier call of the command leaves them: most saves come after that."""
_POLL_S = 0.0005
_LONGEST_S = 600.0
_FORK = multiprocessing.get_context("fork")
_STAGES = (train, drive, evaluate, torch._dynamo)  # imported before anything is forked, the last for Adam


@dataclass(frozen=True)
class Kill:
    """What a kill hit, and what came of the run."""

    number: int
    seconds: float
    """After the start of the command."""
    half_written: list[str]
    """What the kill left, by its final kind: ``checkpoint``, ``.mp4`` ..."""
    failure: str | None
    """How the run that was finished differs from the unkilled one; None: in nothing."""


class Workshop:
    """The clips, the folder with the unkilled run, and how a command is started."""

    def __init__(self, folder: Path, *, steps: int, frames: int, models: Path | None) -> None:
        self.folder = folder
        self.clips = [folder / f"{name}.mp4" for name in ACTORS]
        self._options = ["--steps", str(steps), "--threads", "1", "--workers", "1", "--device", "cpu"]
        self._options += ["--models", str(models)] if models else []
        for seed, (clip, actor) in enumerate(zip(self.clips, ACTORS.values(), strict=True)):
            write_clip(clip, actor, performance(seed=seed, num_frames=frames), workers=1)

    def start(self, out: Path) -> Any:
        """Return a process that runs the command into ``out``."""
        process = _FORK.Process(target=self._run, args=(out,))
        process.start()
        return process

    def finish(self, out: Path) -> float:
        """Run the command to its end and return the seconds it took; raises RuntimeError where it fails."""
        start = time.perf_counter()
        process = self.start(out)
        process.join(_LONGEST_S)
        if process.exitcode != 0:
            process.kill()
            said = self.log_of(out).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the command ended with {process.exitcode}: {said}")
        return time.perf_counter() - start

    def log_of(self, out: Path) -> Path:
        """Return the file that holds what the command said."""
        return self.folder / f"{out.name}.log"

    def _run(self, out: Path) -> None:
        with self.log_of(out).open("a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        # Not multiprocessing's way out, which waits for what the killed one never started.
        os._exit(command_line(["run", *map(str, self.clips), str(out), *self._options]))


def outcome_of(out: Path) -> dict[str, str]:
    """Return what a finished run came to: hashes by name, of all that must not depend on when it was killed."""
    steps = max((out / RUN / "checkpoints").iterdir())
    files = [out / RUN / "generator.safetensors", *sorted(steps.glob("*.safetensors"))]
    files += [out / RUN / "metrics.json", *sorted((out / PAIRS).rglob("*.png")), out / PAIRS / "landmarks.npz"]
    found = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    pictures = hashlib.sha256()
    for frame in VideoReader(out / DRIVEN):
        pictures.update(f"{frame.timestamp_s:.4f}".encode() + frame.image.tobytes())
    found |= {DRIVEN: pictures.hexdigest(), "left half-written": ", ".join(half_written_in(out))}
    return found


def half_written_in(out: Path) -> list[str]:
    """Return the partial files and folders in a run's folder, by what they were to become."""
    partials = [path for path in out.rglob(".*.partial*") if not any(".partial" in p.name for p in path.parents)]
    kinds = [path.name.partition(".partial")[2] or path.parent.name for path in partials]
    return sorted("pairs" if kind == out.name else kind for kind in kinds)


def kill_one(shop: Workshop, number: int, *, seed: int, takes_s: float, wanted: dict[str, str]) -> Kill:
    """Kill a run at a random moment, run the same command again, and compare what comes of it."""
    random = np.random.default_rng([seed, number])
    out = shop.folder / f"killed_{number}"
    in_save = random.random() < SHARE_IN_SAVES
    while True:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        if random.random() < SHARE_WITH_PAIRS or in_save:
            shutil.copytree(shop.folder / "unkilled" / PAIRS, out / PAIRS)
        process, start = shop.start(out), time.perf_counter()
        if in_save:
            _wait_for_a_save(out, process, random)
        else:
            time.sleep(takes_s * random.random())
        seconds = time.perf_counter() - start
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            break
    left = half_written_in(out)
    try:
        shop.finish(out)
        found = outcome_of(out)
        differing = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
        failure = f"differs in {', '.join(sorted(differing))}" if differing else None
    except (OSError, RuntimeError, ValueError) as error:
        failure = f"{type(error).__name__}: {error}"
    if failure is None:
        shutil.rmtree(out)
    return Kill(number, seconds, left, failure)


def _wait_for_a_save(out: Path, process: Any, random: np.random.Generator) -> None:
    """Return some milliseconds after one of the partial files or folders came, mostly a checkpoint's."""
    only_checkpoints = random.random() < 0.6
    places = [out / RUN / "checkpoints"] if only_checkpoints else [out, out / RUN, out / RUN / "checkpoints"]
    which, seen = int(random.integers(1, 4 if only_checkpoints else 12)), set()
    while process.exitcode is None and len(seen) < which:
        for place in places:
            if place.is_dir():
                seen |= {entry.name for entry in os.scandir(place) if ".partial" in entry.name}
        time.sleep(_POLL_S)
    time.sleep(float(random.choice([0, 0.001, 0.003, 0.01])) * random.random())


def kill_all(
    folder: Path, kills: int, *, seed: int, steps: int, frames: int, models: Path | None, workers: int, until_s: float
) -> tuple[list[Kill], float]:
    """Return what came of each kill, and the seconds of the unkilled run; after ``until_s`` seconds none is begun."""
    shop = Workshop(folder, steps=steps, frames=frames, models=models)
    end_s = time.monotonic() + until_s
    takes_s = shop.finish(folder / "unkilled")
    wanted = outcome_of(folder / "unkilled")

    def work(place: int) -> None:
        with (folder / f"kills_{place}").open("w") as file:
            for number in range(place, kills, workers):
                if time.monotonic() > end_s:
                    return
                kill = kill_one(shop, number, seed=seed, takes_s=takes_s, wanted=wanted)
                file.write(json.dumps(asdict(kill)) + "\n")
                file.flush()

    processes = [_FORK.Process(target=work, args=(place,)) for place in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"a worker ended with {[process.exitcode for process in processes]}")
    lines = [line for place in range(workers) for line in (folder / f"kills_{place}").read_text().splitlines()]
    return sorted((Kill(**json.loads(line)) for line in lines), key=lambda kill: kill.number), takes_s


def prepare(*, narrow: bool) -> None:
    """Let this process, and what it forks, save once a second; with ``narrow``, train networks of a few channels."""
    torch.set_num_threads(1)
    journal._LEAST_BETWEEN_SAVES_S, journal._SAVES_SHARE = (0.2 if narrow else 1.0), 1.0
    if narrow:
        narrow_presets(dict.__setitem__)


def told(kills: Sequence[Kill], takes_s: float) -> str:
    """Return the totals in words."""
    inside = [kill for kill in kills if kill.half_written]
    kinds = Counter(kind for kill in inside for kind in kill.half_written)
    counted = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
    failed = [kill for kill in kills if kill.failure]
    return (
        f"{len(kills)} kills of a run of {takes_s:.1f} s, {min(k.seconds for k in kills):.1f} to "
        f"{max(k.seconds for k in kills):.1f} s after its start; {len(inside)} inside a save ({counted}); "
        f"{len(kills) - len(failed)} runs finished as the unkilled one did, {len(failed)} did not"
    )


def main() -> int:
    """Kill as the command line says; exit with 1 where a run didn't come to what the unkilled one did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of the run (default: {STEPS})")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each clip (default: {FRAMES})")
    parser.add_argument("--workers", type=int, default=2, help="runs side by side (default: 2)")
    parser.add_argument("--until", type=float, default=float("inf"), metavar="SECONDS", help="begin none after that")
    parser.add_argument("--models", type=Path, default=os.environ.get("MUECA_MODELS"), help="the detectors' files")
    parser.add_argument("--narrow", action="store_true", help="networks of a few channels, as the tests have them")
    given = parser.parse_args()
    platform.platform()
    prepare(narrow=given.narrow)
    with tempfile.TemporaryDirectory(prefix="mueca-kill-") as folder:
        kills, takes_s = kill_all(
            Path(folder), given.kills, seed=given.seed, steps=given.steps, frames=given.frames, models=given.models,
            workers=given.workers, until_s=given.until,
        )  # fmt: skip
    for kill in kills:
        if kill.failure:
            print(f"kill {kill.number} at {kill.seconds:.2f} s ({', '.join(kill.half_written)}): {kill.failure}")
    print(told(kills, takes_s))
    return int(any(kill.failure for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
