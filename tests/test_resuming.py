"""Going on exactly: however a run was interrupted, it ends in the same weights and the same pictures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from toys import at_step, contents, narrow_presets, only_asked_saves, stop, train, write_toy_pairs

from mueca import diary, schedule, training
from mueca.checkpoint import load_newest
from mueca.config import TrainSettings
from mueca.curve import Point, read_curve
from mueca.pairs import Pairs
from mueca.runs import CHECKPOINTS, GENERATOR, SAMPLES
from mueca.training import TrainingInterrupted


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_toy_pairs(tmp_path / "pairs")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_presets(monkeypatch.setitem)
    only_asked_saves(monkeypatch.setattr)


def steps_of(number: int, preset: str = "small", **more: object) -> TrainSettings:
    return TrainSettings(preset=preset, steps=number, device="cpu", threads=1, **more)


def what_it_came_to(run: Path, steps: int) -> dict[str, object]:
    """Return the last weights, the optimizers' state, all sample pictures and the curve, its seconds left out."""
    last = f"{CHECKPOINTS}/step_{steps:08d}/"
    kept = (f"{SAMPLES}/", GENERATOR, last)
    files = {n: b for n, b in contents(run).items() if n.startswith(kept) and not n.endswith("state.json")}
    assert f"{last}adam_generator.safetensors" in files
    return files | {"curve": [(p.steps, p.l1, p.psnr, p.ssim) for p in read_curve(run)]}


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_a_run_stopped_after_six_of_twelve_steps_ends_in_the_same_bits(pairs, tmp_path, monkeypatch, preset):
    train(pairs, tmp_path / "whole", steps_of(12, preset))
    with monkeypatch.context() as patch:
        at_step(patch, 6, stop)
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "parts", steps_of(12, preset))
    assert load_newest(tmp_path / "parts").steps == 6
    with monkeypatch.context() as patch:
        # From zero it would end in the same bits too.
        at_step(patch, 1, lambda: pytest.fail("started over"))
        train(pairs, tmp_path / "parts", steps_of(12, preset))
    assert what_it_came_to(tmp_path / "parts", 12) == what_it_came_to(tmp_path / "whole", 12)


_KILLED_IN_STEP_27 = """
import os, signal, sys
from pathlib import Path
from toys import narrow_presets, only_asked_saves, train
from mueca.config import TrainSettings
from mueca.gan import Trainer
narrow_presets(dict.__setitem__)
only_asked_saves(setattr)
plain = Trainer.step
def step(self, progress):
    if self.steps_taken == 26:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, progress)
Trainer.step = step
settings = TrainSettings(preset=sys.argv[3], steps=40, device="cpu", threads=1)
train(Path(sys.argv[1]), Path(sys.argv[2]), settings, save_every=20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_forty_steps_killed_after_twenty_and_started_again_are_forty_steps(pairs, tmp_path, monkeypatch, preset):
    train(pairs, tmp_path / "whole", steps_of(40, preset))
    command = [sys.executable, "-c", _KILLED_IN_STEP_27, pairs, tmp_path / "parts", preset]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)})
    assert done.returncode == -signal.SIGKILL
    assert load_newest(tmp_path / "parts").steps == 20
    at_step(monkeypatch, 20, lambda: pytest.fail("started over"))
    train(pairs, tmp_path / "parts", steps_of(40, preset))
    assert what_it_came_to(tmp_path / "parts", 40) == what_it_came_to(tmp_path / "whole", 40)


_KILLED_IN_SAVING = """
import os, shutil, signal, sys
from pathlib import Path
from toys import narrow_presets, train
from mueca import journal
from mueca.config import TrainSettings

pairs, runs, settings = Path(sys.argv[1]), Path(sys.argv[2]), TrainSettings(steps=60, device="cpu", threads=1)
narrow_presets(dict.__setitem__)
left = None

def fatal(owner, name):
    plain = getattr(owner, name)
    def call(*args, **named):
        global left
        if left is not None:
            left -= 1
            if left < 0:
                if name == "write_bytes":
                    plain(args[0], args[1][:len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return plain(*args, **named)
    setattr(owner, name, call)

save = journal.Journal.write_checkpoint

def save_and_die(self):
    global left
    left = moment
    save(self)
    os._exit(0)  # not killed: there are no more moments

for owner, name in [(Path, "write_bytes"), (Path, "write_text"), (Path, "mkdir"), (Path, "rename"), (Path, "replace"),
                    (Path, "unlink"), (os, "fsync"), (shutil, "rmtree")]:
    fatal(owner, name)
journal.Journal.write_checkpoint = save_and_die
for moment in range(0, 100, 2):
    shutil.copytree(runs / "begun", runs / f"killed_{moment:02d}")
    child = os.fork()
    if child == 0:
        train(pairs, runs / f"killed_{moment:02d}", settings, save_every=1)
    exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if exit_code != -signal.SIGKILL:
        sys.exit(exit_code)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_of_saving_loses_nothing_older_than_the_last_checkpoint(pairs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, 1, stop)
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "begun", steps_of(60))
    command = [sys.executable, "-c", _KILLED_IN_SAVING, pairs, tmp_path]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}, check=True)
    *killed, not_killed = sorted(tmp_path.glob("killed_*"))
    found = [load_newest(run).steps for run in killed]
    assert set(found) == {1, 2}  # before and after the checkpoint came under its name
    assert found == sorted(found)
    assert load_newest(not_killed).steps == 2
    train(pairs, not_killed, steps_of(3))
    for run in killed:
        train(pairs, run, steps_of(3))
        assert (run / GENERATOR).read_bytes() == (not_killed / GENERATOR).read_bytes()
        assert not list(run.rglob(".*.partial*"))


def flat_after(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Let the held-out SSIM rise until that step, and no further, whatever is painted."""

    def measured(paint: object, pairs: Pairs, *, steps: int, seconds: float) -> Point:
        shown = min(steps, last) / 100
        return Point(steps, seconds, l1=0.1, psnr=20.0, ssim=shown, num_frames=len(pairs.targets))

    monkeypatch.setattr(diary, "measure", measured)


def test_the_bar_of_a_run_that_goes_on_tells_every_step(pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "tqdm", partial(training.tqdm, mininterval=0.0))
    with monkeypatch.context() as patch:
        at_step(patch, 9, stop)
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "run", steps_of(14))
    capsys.readouterr()
    train(pairs, tmp_path / "run", steps_of(14), show_progress=True)
    told = re.findall(r"(\d+)%\|.*step (\d+)", capsys.readouterr().err.replace("\r", "\n"))
    assert [int(step) for _, step in dict.fromkeys(told)] == [10, 11, 12, 13, 14]


def test_auto_ends_a_run_whose_curve_is_flat_and_says_since_when(pairs, tmp_path, monkeypatch):
    flat_after(monkeypatch, 10)
    rates = []
    note = diary.Diary.note_losses
    monkeypatch.setattr(
        diary.Diary, "note_losses", lambda *a, rate: (rates.append(round(rate, 3)), note(*a, rate=rate))
    )
    result = train(pairs, tmp_path / "run", steps_of(40, stop="auto"))
    # Flat at 15: two thirds of it are the ten steps that brought something. A third of it comes on top.
    assert (result.steps, result.flat.steps, result.flat.since) == (20, 15, 10)
    assert rates == [1.0, 1.0, 0.2]  # of steps 1, 10 and 20
    assert train(pairs, tmp_path / "run", steps_of(40, stop="auto")).steps == 20


def test_a_run_whose_curve_fell_says_so_also_when_it_is_called_again(pairs, tmp_path, monkeypatch):
    def falling(_paint, learned, *, steps, seconds):
        ssim = 0.8 - abs(steps - 4) / 100
        return Point(steps, seconds, l1=0.1, psnr=20.0, ssim=ssim, num_frames=len(learned.targets))

    monkeypatch.setattr(diary, "measure", falling)
    result = train(pairs, tmp_path / "run", steps_of(20))
    assert result.flat is None and result.fall.since == 3 and result.fall.amount > 0.1
    assert train(pairs, tmp_path / "run", steps_of(20)).fall == result.fall


def test_a_longer_run_is_measured_on_the_frames_that_its_curve_began_with(tmp_path, monkeypatch):
    pairs = write_toy_pairs(tmp_path / "pairs", num_test=12)
    monkeypatch.setattr(schedule, "_STEPS_PER_FRAME", 0.1)
    flat_after(monkeypatch, 40)
    train(pairs, tmp_path / "run", steps_of(20, stop="auto"))
    train(pairs, tmp_path / "run", steps_of(40, stop="auto"))
    assert {p.num_frames for p in read_curve(tmp_path / "run")} == {5}
    train(pairs, tmp_path / "other", steps_of(40, stop="auto"))
    assert {p.num_frames for p in read_curve(tmp_path / "other")} == {10}


def test_auto_takes_its_whole_length_while_the_curve_rises(pairs, tmp_path, monkeypatch):
    flat_after(monkeypatch, 40)
    result = train(pairs, tmp_path / "run", steps_of(24, stop="auto"))
    assert (result.steps, result.flat) == (24, None)


@pytest.mark.parametrize("stopped_at", [13, 15])
def test_a_run_under_auto_goes_on_exactly_before_and_at_the_fall(pairs, tmp_path, monkeypatch, stopped_at):
    flat_after(monkeypatch, 10)
    train(pairs, tmp_path / "whole", steps_of(40, stop="auto"))
    with monkeypatch.context() as patch:
        at_step(patch, stopped_at, stop)
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "parts", steps_of(40, stop="auto"))
    assert (load_newest(tmp_path / "parts").flat is not None) == (stopped_at >= 15)
    result = train(pairs, tmp_path / "parts", steps_of(40, stop="auto"))
    assert (result.steps, result.flat.steps) == (20, 15)
    assert what_it_came_to(tmp_path / "parts", 20) == what_it_came_to(tmp_path / "whole", 20)
