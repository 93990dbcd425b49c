"""Training: the published algorithm, exact resume, and a run folder that nothing spoils."""

from __future__ import annotations

import copy
import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import NARROW, at_step, contents, narrow_presets, only_asked_saves, stop, toy_pairs, train, write_toy_pairs

from mueca import diary, journal, preparation, training
from mueca.checkpoint import load_generator, load_newest, save_checkpoint
from mueca.config import TrainSettings, to_json
from mueca.curve import CURVE, Fall, Flat, Point, read_curve
from mueca.diary import Diary
from mueca.distribution import Group, Place
from mueca.errors import InputError, MuecaError, OutputError, SettingsError
from mueca.files import space_explained
from mueca.gan import Losses, Trainer, falling_rate
from mueca.nets import compact, unet
from mueca.pairs import LANDMARKS, read_split
from mueca.pictures import read_picture
from mueca.presets import PRESETS, Preset
from mueca.runs import (
    CHECKPOINTS,
    GENERATOR,
    SAMPLES,
    SETTINGS,
    TIME_LAPSE,
    Run,
    clear,
    gone_on_with,
    locked,
    read_run,
)
from mueca.subject import SUBJECT, fit_subject, read_atlas, read_subject, with_charts
from mueca.summaries import of_training
from mueca.training import TrainingInterrupted, TrainResult
from mueca.video import VideoReader

CPU = torch.device("cpu")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_toy_pairs(tmp_path / "pairs")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_presets(monkeypatch.setitem)
    only_asked_saves(monkeypatch.setattr)


# The algorithm


def test_paper_is_the_papers_recipe():
    assert {f.name: getattr(PAPER, f.name) for f in dataclasses.fields(Preset)} | {
        "generator": "unet",
        "width_generator": 64,
        "width_discriminator": 64,
        "norm_discriminator": "batch",
        "learning_rate_generator": 2e-4,
        "learning_rate_discriminator": 2e-4,
        "rate_falls_from": 1.0,
        "average_decay": 0.0,
        "lambda_l1": 100.0,
        "dropout": 0.5,
        "jitter_size_px": 286,
        "mirror": True,
        "discriminator_window_px": 256,
    } == dataclasses.asdict(PAPER)


PAPER = copy.deepcopy(PRESETS["paper"])


def test_rates_stay_until_their_share_of_the_run_and_then_fall_to_zero():
    assert [falling_rate(p, 0.5) for p in (0.0, 0.5, 0.75, 1.0, 1.1)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert falling_rate(1.0, 1.0) == falling_rate(1.1, 1.0) == 1.0


def test_weights_that_are_averaged_follow_the_latest_closely_at_first():
    trainer = Trainer(NARROW["small"], *toy_pairs(2), seed=0, device=CPU)
    start = next(trainer.average.parameters()).clone()
    trainer.step(0.0)
    latest, average = next(trainer.generator.parameters()), next(trainer.average.parameters())
    torch.testing.assert_close(average, start.lerp(latest, 10 / 11))


@pytest.mark.slow
def test_small_learns_a_toy_task_much_better_than_its_mean_picture_within_300_steps():
    preset = dataclasses.replace(NARROW["small"], width_generator=16, jitter_size_px=256, mirror=False)
    conditions, targets, charts = toy_pairs(8)
    mean_picture_l1 = np.abs(targets - targets.mean(axis=0)).mean() / 127.5
    trainer = Trainer(preset, conditions, targets, charts, seed=0, device=CPU)
    losses = []
    for step in range(300):
        trainer.step(step / 300)
        losses.append(trainer.losses().l1)
    assert np.mean(losses[-8:]) < 0.5 * mean_picture_l1


# Going on; bit by bit: test_resuming.py


def test_a_run_that_is_done_is_left_as_it_is(pairs, tmp_path):
    first = train(pairs, tmp_path / "run", TrainSettings(steps=3))
    before = contents(tmp_path / "run")
    again = train(pairs, tmp_path / "run", TrainSettings(steps=3))
    assert (again.steps, again.seconds, again.losses) == (3, first.seconds, None)
    assert contents(tmp_path / "run") == before


def test_a_longer_length_goes_on(pairs, tmp_path):
    short = train(pairs, tmp_path / "run", TrainSettings(epochs=1))
    longer = train(pairs, tmp_path / "run", TrainSettings(epochs=2))
    assert (short.steps, longer.steps) == (5, 10)
    assert longer.seconds > short.seconds
    assert read_run(tmp_path / "run").length == 2


def test_a_budget_ends_the_run_after_that_much_training(pairs, tmp_path):
    result = train(pairs, tmp_path / "run", TrainSettings(budget=0.5))
    assert 0.5 <= result.seconds < 60  # a busy machine takes seconds for a step
    assert result.steps >= 1


def test_fresh_starts_over_and_removes_nothing_that_is_not_the_runs(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=4))
    (run / "notes.txt").write_text("mine")
    result = train(pairs, run, TrainSettings(steps=2, seed=1, fresh=True))
    assert result.steps == 2
    assert [p.name for p in (run / CHECKPOINTS).iterdir()] == ["step_00000002"]
    assert (run / "notes.txt").read_text() == "mine"


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(pairs, tmp_path):
    run = tmp_path / "run"
    whole = train(pairs, run, TrainSettings(steps=4, device="cpu", threads=1), save_every=1)
    bits = (run / GENERATOR).read_bytes()
    (run / CHECKPOINTS / "step_00000004" / "state.json").write_text("{")
    with pytest.warns(UserWarning, match="step_00000004: is damaged"):
        again = train(pairs, run, TrainSettings(steps=4, device="cpu", threads=1))
    assert again.steps == whole.steps
    assert (run / GENERATOR).read_bytes() == bits
    assert load_newest(run).steps == 4


def a_record(**changed: object) -> Run:
    return Run(**({"settings": TrainSettings(), "preset": NARROW["small"], "length_kind": "steps", "length": 2.0,
                   "pairs": Path("/pairs"), "pairs_sha256": "0" * 64, "threads": 1} | changed))  # fmt: skip


def test_a_run_that_was_gone_on_with_tells_how_it_began(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2, threads=1, device="cpu", precision="float32"))
    first = read_run(run)
    assert (first.first_step, first.earlier) == (0, ())
    train(pairs, run, TrainSettings(steps=3, threads=2, device="cpu", precision="float32"))
    train(pairs, run, TrainSettings(steps=5, threads=1, device="cpu", precision="float32"))
    record = read_run(run)
    assert [(start.first_step, start.length, start.threads) for start in record.earlier] == [(0, 2.0, 1), (2, 3.0, 2)]
    assert (record.first_step, record.length) == (3, 5.0)
    begun = record.earlier[0]
    assert (begun.precision, begun.num_processes, begun.device) == ("float32", 1, first.device)
    assert begun.versions == first.versions
    train(pairs, run, TrainSettings(steps=1, fresh=True))
    assert read_run(run).earlier == ()


def test_starts_that_left_nothing_in_the_weights_are_forgotten():
    begun = a_record()
    second = gone_on_with(begun, a_record(length=8.0), 5)
    assert [start.first_step for start in second.earlier] == [0]
    # Its own checkpoints were damaged, or it was killed before the first one: the next goes on where it did.
    assert gone_on_with(second, a_record(length=9.0), 5).earlier == second.earlier
    assert [s.length for s in gone_on_with(second, a_record(length=9.0), 6).earlier] == [2.0, 8.0]
    assert gone_on_with(second, a_record(), 0).earlier == ()


def test_a_start_that_has_nothing_to_learn_but_a_film_to_make_is_none(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2, threads=1))
    before = (run / SETTINGS).read_bytes()
    (run / TIME_LAPSE).unlink()
    train(pairs, run, TrainSettings(steps=2, threads=2))
    assert (run / TIME_LAPSE).exists() and (run / SETTINGS).read_bytes() == before


# What is refused


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_a_run_whose_weights_meant_something_else_is_not_gone_on_with(pairs, tmp_path, monkeypatch, preset):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2, preset=preset))
    before = contents(run)
    monkeypatch.setattr(unet if preset == "paper" else compact, "ARCHITECTURE", 7)
    for steps in (2, 3):  # one that is done is no better
        with pytest.raises(InputError, match=r"run: its \w+ generator has architecture 1, .* builds 7, .*--fresh"):
            train(pairs, run, TrainSettings(steps=steps, preset=preset))
    assert contents(run) == before
    train(pairs, run, TrainSettings(steps=1, preset=preset, fresh=True))
    assert read_run(run).architecture == 7


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (TrainSettings(steps=3, seed=1), "seed 0, not 1"),
        (TrainSettings(steps=3, preset="paper"), "preset small, not paper"),
        (TrainSettings(epochs=3), "length kind steps, not epochs"),
    ],
)
def test_a_run_with_other_settings_is_refused_by_name_and_left_as_it_was(pairs, tmp_path, other, named):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2))
    before = contents(run)
    with pytest.raises(OutputError, match=named):
        train(pairs, run, other)
    assert contents(run) == before


def test_a_run_on_other_pairs_is_refused(pairs, tmp_path):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    others = write_toy_pairs(tmp_path / "others", seed=1)
    with pytest.raises(OutputError, match="pairs"):
        train(others, tmp_path / "run", TrainSettings(steps=3))


def test_the_same_pairs_in_another_place_go_on(pairs, tmp_path):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    moved = pairs.rename(tmp_path / "moved")
    assert train(moved, tmp_path / "run", TrainSettings(steps=3)).steps == 3
    assert read_run(tmp_path / "run").pairs == moved


@pytest.mark.parametrize("fresh", [True, False])
def test_a_folder_that_holds_something_else_is_refused_by_name_and_left_as_it_was(pairs, tmp_path, fresh):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"photos: holds something else \(holiday\.jpg\)"):
        train(pairs, tmp_path / "photos", TrainSettings(steps=2, fresh=fresh))
    assert contents(tmp_path / "photos") == {"holiday.jpg": b"x"}


FOREIGN = ['{"editor": "vim"}', '{"kind": "another"}', "[]", "{", "[" * 200_000, '{"kind": "mueca run"']


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_settings_of_something_else_make_no_run(pairs, tmp_path, text, fresh):
    project = tmp_path / "project"
    (project / SAMPLES).mkdir(parents=True)
    (project / SETTINGS).write_text(text)
    (project / SAMPLES / "holiday.jpg").write_bytes(b"x")
    before = contents(project)
    with pytest.raises(OutputError, match=r"project: holds something else \(settings\.json\)"):
        train(pairs, project, TrainSettings(steps=2, fresh=fresh))
    assert contents(project) == before


def test_a_run_whose_settings_are_cut_off_starts_over_with_fresh_only(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2))
    os.truncate(run / SETTINGS, 100)
    with pytest.raises(InputError, match="--fresh"):
        train(pairs, run, TrainSettings(steps=2))
    assert train(pairs, run, TrainSettings(steps=1, fresh=True)).steps == 1
    assert read_run(run).length == 1


def test_a_file_in_the_place_of_the_run_is_refused(pairs, tmp_path):
    (tmp_path / "run").write_bytes(b"x")
    with pytest.raises(OutputError, match="is a file"):
        train(pairs, tmp_path / "run")


def test_no_pairs_folder_leaves_no_run_folder(tmp_path):
    with pytest.raises(InputError):
        train(tmp_path / "nothing", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pairs_without_landmarks_leave_no_run_folder(pairs, tmp_path):
    (pairs / LANDMARKS).write_bytes(b"x")
    with pytest.raises(InputError, match=LANDMARKS):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *[{"crop_rule": {"side": side}} for side in (0.0, -1.0, float("nan"), float("inf"), "5", None)],
        pytest.param({"crop_rule": {"side": 10**400}}, id="huge side"),
        {"crop_rule": {"sigma_size_s": 0.0}},
        {"crop_rule": {"up": float("nan")}},
        {"crop_rule": {"tilt": 1.0}},
        {"face": {"num_frames": 1}},
    ],
    ids=str,
)
def test_a_subject_that_makes_no_sense_is_refused(pairs, tmp_path, wrong):
    (tmp_path / SUBJECT).write_text(json.dumps(to_json(fit_subject(pairs)) | wrong))
    with pytest.raises(InputError, match=r"subject\.json: can't be read"):
        read_subject(tmp_path)


@pytest.mark.parametrize("text", ["[]", "[" * 200_000], ids=["list", "deep"])
def test_a_subject_of_another_shape_is_refused(tmp_path, text):
    (tmp_path / SUBJECT).write_text(text)
    with pytest.raises(InputError, match=r"subject\.json: can't be read"):
        read_subject(tmp_path)


def test_a_second_process_in_the_same_run_is_refused(pairs, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(OutputError, match="another process"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


# How long, how often, by how many


def test_a_checkpoint_comes_after_each_so_many_steps_where_that_is_asked_for(pairs, tmp_path, monkeypatch):
    saved = []
    save = journal.save_checkpoint
    monkeypatch.setattr(journal, "save_checkpoint", lambda run, it: (saved.append(it.steps), save(run, it)))
    train(pairs, tmp_path / "run", TrainSettings(steps=8), save_every=3)
    assert saved == [3, 6, 8]


def test_a_short_run_saves_every_ten_seconds_and_a_slow_disk_less_often(pairs, tmp_path, monkeypatch):
    monkeypatch.undo()  # for the seconds that hold outside of tests
    narrow_presets(monkeypatch.setitem)
    now, saved = [0.0], []
    monkeypatch.setattr(journal, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    took = {1: 0.125}

    def save(_run, it):
        now[0] += took.get(len(saved), 2.0)
        saved.append(round(it.seconds))

    def step(trainer, _progress):
        now[0] += 2.0
        trainer.steps_taken += 1

    monkeypatch.setattr(journal, "save_checkpoint", save)
    monkeypatch.setattr(Trainer, "losses", lambda _: Losses(0.0, 0.0, 0.0))
    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(journal.Journal, "_paint", lambda *_, **__: None)
    monkeypatch.setattr(Diary, "write_time_lapse", lambda _: None)
    train(pairs, tmp_path / "run", TrainSettings(steps=80))
    # The first at 10 s took 2 s and may be a twentieth: 40 s later. The second took an eighth: 10 s later.
    assert saved[:4] == [10, 50, 60, 100]


@pytest.fixture
def lagging(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of a device that works a second at a step, while the host goes on after a tenth until it waits."""
    now, ahead = [0.0], [0.0]

    def step(trainer, _progress):
        now[0] += 0.1
        ahead[0] += 0.9
        trainer.steps_taken += 1

    def wait(answer):
        now[0], ahead[0] = now[0] + ahead[0], 0.0
        return answer

    monkeypatch.setattr(journal, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr(Trainer, "losses", lambda _: wait(Losses(0.0, 0.0, 0.0)))
    monkeypatch.setattr(Trainer, "is_finite", lambda _: wait(True))
    return now


@pytest.mark.parametrize("stopped_at", [None, 7])
def test_a_budget_counts_what_the_device_still_works_on_when_the_host_is_done(
    pairs, tmp_path, monkeypatch, lagging, stopped_at
):
    run = tmp_path / "run"
    if stopped_at:
        at_step(monkeypatch, stopped_at, stop)
    with pytest.raises(TrainingInterrupted) if stopped_at else nullcontext():
        train(pairs, run, TrainSettings(budget=60.0))
    checkpoint = load_newest(run)
    assert checkpoint.seconds == pytest.approx(checkpoint.steps) == pytest.approx(lagging[0])
    assert checkpoint.steps in ([stopped_at] if stopped_at else [60, 61])  # sixty times a second is no minute in floats


def test_auto_by_the_clock_ends_a_budget_whose_curve_is_flat(pairs, tmp_path, monkeypatch, lagging):
    def measured(_paint, learned, *, steps, seconds):
        return Point(steps, seconds, l1=0.1, psnr=20.0, ssim=min(seconds, 60.0) / 100, num_frames=len(learned.targets))

    monkeypatch.setattr(diary, "measure", measured)
    result = train(pairs, tmp_path / "run", TrainSettings(budget=400.0, stop="auto"))
    assert result.flat.seconds == pytest.approx(1.5 * result.flat.since, abs=15)
    assert result.seconds == pytest.approx(result.flat.seconds * 4 / 3, abs=11)
    assert result.seconds == pytest.approx(lagging[0])
    assert result.seconds < 200


def test_a_machine_without_pyav_trains_warns_and_is_done(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.warns(UserWarning, match="PyAV is not installed"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))
    assert train(pairs, tmp_path / "run", TrainSettings(steps=2)).losses is None
    monkeypatch.undo()
    narrow_presets(monkeypatch.setitem)
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    assert (tmp_path / "run" / TIME_LAPSE).exists()


def test_a_gpu_with_too_little_memory_is_one_line_with_the_ways_out(pairs, tmp_path, monkeypatch):
    def full(_trainer):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "setup", full)
    with pytest.raises(MuecaError, match=r"more memory than the GPU has.*--batch.*--device cpu"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


def test_a_run_at_step_0_goes_on_with_any_settings_of_its_preset_and_pairs(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=1), save_every=1)
    checkpoint = load_newest(run)
    clear(run)
    save_checkpoint(run, dataclasses.replace(checkpoint, steps=0, seconds=0.0))  # as import leaves it
    with pytest.raises(OutputError, match="preset small, not paper"):
        train(pairs, run, TrainSettings(steps=2, preset="paper"))
    other = TrainSettings(epochs=1, seed=5, stop="auto", batch=2)
    assert train(pairs, run, other).steps == 3
    with pytest.raises(OutputError, match="batch 2, not 1"):
        train(pairs, run, dataclasses.replace(other, batch=1))


@pytest.mark.parametrize("moment", range(8))
def test_a_fresh_start_that_was_killed_amid_clearing_is_no_run_that_forbids_others(
    pairs, tmp_path, monkeypatch, moment
):
    run, left = tmp_path / "run", [moment]
    train(pairs, run, TrainSettings(steps=2))

    def fatal(plain):
        def call(*args, **named):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return plain(*args, **named)

        return call

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        for owner, name in [(Path, "unlink"), (Path, "rename"), (shutil, "rmtree")]:
            patch.setattr(owner, name, fatal(getattr(owner, name)))
        clear(run)
    other = TrainSettings(steps=1, seed=1)
    if moment < 2:  # the old checkpoints are still whole
        with pytest.raises(OutputError, match="seed 0, not 1"):
            train(pairs, run, other)
    else:
        assert train(pairs, run, other).steps == 1
        assert sorted(p.name for p in (run / SAMPLES).iterdir()) == ["step_00000000.jpg", "step_00000001.jpg"]


def test_processes_wait_for_hours_where_the_first_must_learn_the_subject_from_targets(pairs, tmp_path, monkeypatch):
    patience = []

    def meet(_place, _device, *, patience_s):
        patience.append(patience_s)
        raise MuecaError("nobody came")

    monkeypatch.setattr(training, "joined", meet)
    monkeypatch.setattr(preparation, "_learn_subject", lambda *_, **__: None)
    opened = preparation.open_dataset
    for layout in ("pairs", "side by side"):
        monkeypatch.setattr(preparation, "open_dataset", lambda *a, n=layout: dataclasses.replace(opened(*a), layout=n))
        monkeypatch.setattr(preparation, "sha256_of_dataset", lambda _: "0" * 64)
        monkeypatch.setattr(preparation, "read_part", lambda _data, part: read_split(pairs, part))
        with pytest.raises(MuecaError, match="nobody came"):
            train(pairs, tmp_path / "run")
    assert patience == [600.0, 7200.0]


def test_an_epoch_of_batches_has_fewer_steps_and_the_batch_is_the_runs(pairs, tmp_path):
    run = tmp_path / "run"
    assert train(pairs, run, TrainSettings(epochs=2, batch=2)).steps == 5
    assert read_run(run).preset.batch == 2
    with pytest.raises(OutputError, match="was trained with batch 2, not 1"):
        train(pairs, run, TrainSettings(epochs=2))


def test_a_run_goes_on_with_the_widths_it_was_begun_with(pairs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=2))
    monkeypatch.setitem(PRESETS, "small", dataclasses.replace(NARROW["small"], width_generator=6))
    assert train(pairs, run, TrainSettings(steps=3)).steps == 3
    assert read_run(run).preset.width_generator == 4


def test_a_run_whose_rates_never_fall_goes_on_by_another_kind_of_length(pairs, tmp_path):
    steps = train(pairs, tmp_path / "run", TrainSettings(preset="paper", epochs=1)).steps
    assert train(pairs, tmp_path / "run", TrainSettings(preset="paper", steps=steps + 1)).steps == steps + 1


def test_going_on_under_another_rule_for_the_end_is_refused(pairs, tmp_path):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    with pytest.raises(OutputError, match="was trained with stop length, not auto"):
        train(pairs, tmp_path / "run", TrainSettings(steps=4, stop="auto"))


def test_a_run_that_stopped_of_itself_says_since_when_it_had_not_risen():
    result = TrainResult(Path("run"), 800, 60.0, None, None, Flat(600, 45.0, since=400), None, setup_seconds=0.0)
    assert "stopped at step 800: the held-out SSIM had not risen by more than 0.002 since step 400" in of_training(
        result, Path("run")
    )
    assert len(of_training(dataclasses.replace(result, flat=None), Path("run"))) == 1
    fallen = of_training(dataclasses.replace(result, fall=Fall(since=400, highest=0.777, last=0.753)), Path("run"))
    assert "stopped at step 800" in fallen[1] and "highest at step 400" in fallen[2] and "by 0.024" in fallen[2]


def test_only_a_long_wait_for_the_device_is_told():
    result = TrainResult(Path("run"), 8, 60.0, None, None, None, None, setup_seconds=1.0)
    assert not any("ready" in line for line in of_training(result, Path("run")))
    slow = dataclasses.replace(result, setup_seconds=7.0)
    assert any("made the device ready in 7 s" in line for line in of_training(slow, Path("run")))


def test_a_batch_that_processes_cannot_share_equally_leaves_no_run_folder(pairs, tmp_path):
    with pytest.raises(SettingsError, match="--batch 3"):
        train(pairs, tmp_path / "run", TrainSettings(batch=3), place=Place(0, 2, 0, "localhost:1"))
    assert not (tmp_path / "run").exists()


_TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
_NARROW_MUECA = """
import sys
from toys import narrow_presets
from mueca.cli import main
narrow_presets(dict.__setitem__)
sys.exit(main())
"""


def run_by_two(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Let torchrun start ``mueca`` with these arguments, its networks narrow, in two processes."""
    (folder / "narrow_mueca.py").write_text(_NARROW_MUECA)
    return start_two(folder / "narrow_mueca.py", *arguments)


def start_two(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Let torchrun start the Python program with these arguments in two processes."""
    command = [*_TORCHRUN, program, *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    return subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_torchrun_trains_one_run_in_two_processes_of_which_one_speaks(pairs, tmp_path):
    options = ["--batch", "2", "--device", "cpu"]
    first = run_by_two(tmp_path, "train", pairs, tmp_path / "run", "--steps", "3", *options)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("3 steps in") == 1
    further = run_by_two(tmp_path, "train", pairs, tmp_path / "run", "--steps", "5", *options)
    assert further.returncode == 0, further.stderr
    assert load_newest(tmp_path / "run").steps == 5
    record = read_run(tmp_path / "run")
    assert (record.num_processes, record.preset.batch) == (2, 2)
    assert [point.steps for point in read_curve(tmp_path / "run")] == [0, 1, 2, 3, 4, 5]


_SECOND_IS_STOPPED = """
import os, signal, sys
from pathlib import Path
from toys import narrow_presets, train
from mueca.config import TrainSettings
from mueca.distribution import read_place
from mueca.errors import SettingsError
from mueca.gan import Trainer
from mueca.training import TrainingInterrupted
narrow_presets(dict.__setitem__)
place = read_place(os.environ)
plain = Trainer.step
def step(self, progress):
    plain(self, progress)
    if self.steps_taken == 4 and place.rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
Trainer.step = step
seed = place.rank if sys.argv[3] == "seeds" else 0
try:
    train(Path(sys.argv[1]), Path(sys.argv[2]), TrainSettings(steps=40, batch=2, seed=seed, device="cpu"), place=place)
except TrainingInterrupted as interrupt:
    print(f"rank {place.rank} saved and stopped by {int(interrupt.signal_number)}", flush=True)
except SettingsError as error:
    print(error, flush=True)
    sys.exit(2)
"""


@pytest.mark.slow
def test_a_signal_to_the_second_of_two_processes_stops_and_saves_both(pairs, tmp_path):
    (tmp_path / "stopped.py").write_text(_SECOND_IS_STOPPED)
    done = start_two(tmp_path / "stopped.py", pairs, tmp_path / "run", "same")
    assert all(f"rank {rank} saved and stopped by 15" in done.stdout for rank in (0, 1)), done.stderr
    assert load_newest(tmp_path / "run").steps == 4
    assert not (tmp_path / "run" / TIME_LAPSE).exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"precision": "bfloat16"}, "precision"),
        ({"device": "cuda: NVIDIA H200"}, "kind of device"),
        ({"pairs_sha256": "1" * 64, "architecture": 7}, "pairs, architecture"),
    ],
    ids=str,
)
def test_a_process_that_would_learn_otherwise_than_the_first_is_told_in_what(changed, named):
    record = a_record(device="cpu: one")
    told = []

    class First(Group):
        def agree(self, values):
            told[:] = values
            return tuple(values)

    class Second(Group):
        def agree(self, values):
            return tuple(told)

    place = Place(1, 2, 1, "localhost:1")
    training._require_alike(First(), record)
    training._require_alike(Second(place), dataclasses.replace(record, device="cpu: another, as fast"))
    with pytest.raises(SettingsError, match=f"process 1 differs from the first one in {named};"):
        training._require_alike(Second(place), dataclasses.replace(record, **changed))


@pytest.mark.slow
def test_two_processes_with_different_seeds_are_refused(pairs, tmp_path):
    (tmp_path / "stopped.py").write_text(_SECOND_IS_STOPPED)
    done = start_two(tmp_path / "stopped.py", pairs, tmp_path / "run", "seeds")
    assert done.returncode != 0
    assert "process 1 differs from the first one in seed" in done.stdout


@pytest.mark.slow
def test_when_the_first_of_two_processes_fails_the_other_stops_in_a_line(pairs, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / SETTINGS).write_text(json.dumps({"kind": "mueca run"}))
    failed = run_by_two(tmp_path, "train", pairs, tmp_path / "photos", "--steps", "3", "--batch", "2")
    assert failed.returncode != 0
    assert failed.stderr.count("error: ") >= 1
    assert "can't be read" in failed.stderr
    assert "RuntimeError" not in failed.stderr


# What goes wrong


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_so(pairs, tmp_path, monkeypatch, number):
    before = signal.getsignal(number)
    at_step(monkeypatch, 2, lambda: stop(number))
    with pytest.raises(TrainingInterrupted, match="stopped after step 2 and saved") as caught:
        train(pairs, tmp_path / "run", TrainSettings(steps=9))
    assert caught.value.signal_number == number
    assert load_newest(tmp_path / "run").steps == 2
    assert (tmp_path / "run" / GENERATOR).exists()
    assert signal.getsignal(number) is before


def test_a_fresh_run_that_was_stopped_says_that_it_goes_on_without_fresh(pairs, tmp_path, monkeypatch):
    at_step(monkeypatch, 2, stop)
    with pytest.raises(TrainingInterrupted, match="the same command, without --fresh, goes on from there"):
        train(pairs, tmp_path / "run", TrainSettings(steps=9, fresh=True))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", lambda *_: pytest.fail("was wiped"))
        assert train(pairs, tmp_path / "run", TrainSettings(steps=2)).steps == 2


def test_a_signal_before_the_first_step_does_not_say_saved(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Diary, "note_pictures", lambda *_: stop())
    with pytest.raises(TrainingInterrupted, match=r"stopped before the first step; the same command starts again$"):
        train(pairs, tmp_path / "run", TrainSettings(steps=9, fresh=True))


@pytest.mark.parametrize("during", ["write_time_lapse", "close"])
def test_a_signal_after_the_last_step_still_interrupts(pairs, tmp_path, monkeypatch, during):
    plain = getattr(Diary, during)
    monkeypatch.setattr(Diary, during, lambda diary: stop() or plain(diary))
    with pytest.raises(TrainingInterrupted, match="after step 2"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))
    assert (tmp_path / "run" / TIME_LAPSE).exists()


def test_a_longer_run_that_was_stopped_before_its_film_makes_it_when_called_again(pairs, tmp_path, monkeypatch):
    film = tmp_path / "run" / TIME_LAPSE
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    with monkeypatch.context() as patch:
        patch.setattr(Diary, "write_time_lapse", lambda _: stop())
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "run", TrainSettings(steps=4))
    num_sheets = len(list((tmp_path / "run" / SAMPLES).glob("step_*.jpg")))
    train(pairs, tmp_path / "run", TrainSettings(steps=4))
    assert len(list(VideoReader(film))) == num_sheets + 1  # the last one stays
    made = film.stat().st_mtime_ns
    train(pairs, tmp_path / "run", TrainSettings(steps=4))
    assert film.stat().st_mtime_ns == made


def test_a_signal_while_a_run_that_is_done_is_looked_at_still_interrupts(pairs, tmp_path, monkeypatch):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    plain = training.load_newest
    monkeypatch.setattr(training, "load_newest", lambda run: stop() or plain(run))
    with pytest.raises(TrainingInterrupted, match="after step 2"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


def test_a_loss_that_is_no_number_stops_within_ten_steps_and_keeps_the_last_checkpoint(pairs, tmp_path, monkeypatch):
    at_step(monkeypatch, 4, lambda: monkeypatch.setattr(Trainer, "losses", lambda _: Losses(float("nan"), 0.0, 0.0)))
    with pytest.raises(MuecaError, match=r"at step 10.*--seed"):
        train(pairs, tmp_path / "run", TrainSettings(steps=12), save_every=3)
    assert load_newest(tmp_path / "run").steps == 9


def test_weights_that_are_no_numbers_are_never_saved(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "is_finite", lambda self: self.steps_taken < 3)
    with pytest.raises(MuecaError, match="at step 3"):
        train(pairs, tmp_path / "run", TrainSettings(steps=9), save_every=1)
    assert load_newest(tmp_path / "run").steps == 2


@pytest.mark.parametrize("at", [(training, "write_run"), (training, "write_subject"), (journal, "save_generator")])
def test_a_full_disk_elsewhere_is_one_line_too(pairs, tmp_path, monkeypatch, at):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/run/file")

    monkeypatch.setattr(*at, full)
    with pytest.raises(OutputError, match=r"run/file: can't be written \(No space left on device\)"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


@pytest.mark.parametrize("name", [lambda run: os.fsencode(run / "file"), lambda run: None, lambda run: 5])
def test_a_disk_that_names_a_file_by_bytes_or_by_number_is_one_line_too(pairs, tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", name(tmp_path / "run"))

    monkeypatch.setattr(training, "write_run", full)
    with pytest.raises(OutputError, match=r"/run(/file)?: can't be written \(No space left on device\)"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


@pytest.mark.parametrize("at", [(training, "write_run"), (journal, "save_checkpoint")])
def test_a_full_disk_in_a_fresh_run_says_that_it_goes_on_without_fresh(pairs, tmp_path, monkeypatch, at):
    def full(*_):
        with space_explained(tmp_path / "run" / "file") if at[0] is journal else nullcontext():
            raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/run/file")

    monkeypatch.setattr(*at, full)
    with pytest.raises(OutputError, match=r"run/file.*run the same command again, without --fresh$"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2, fresh=True))


@pytest.mark.parametrize(
    ("number", "place"), [(errno.ENOENT, "/elsewhere/file"), (errno.EACCES, "/elsewhere/file"), (errno.EBADF, None)]
)
def test_what_is_not_the_run_folders_disk_is_not_explained_as_such(pairs, tmp_path, monkeypatch, number, place):
    def fail(*_):
        raise OSError(number, "no disk", place)

    monkeypatch.setattr(training, "write_subject", fail)
    with pytest.raises(OSError, match="no disk"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


def test_what_a_kill_left_half_written_is_removed(pairs, tmp_path):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    left = [
        tmp_path / "run" / name for name in (".a.partial", f"{CHECKPOINTS}/.b.partial", f"{SAMPLES}/.c.partial.jpg")
    ]
    for path in left:
        path.write_bytes(b"x")
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    assert not any(path.exists() for path in left)


def test_a_full_disk_names_the_path_and_the_run_goes_on_later(pairs, tmp_path, monkeypatch):
    run = tmp_path / "run"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: patch.setattr(Path, "write_bytes", full))
        with pytest.raises(OutputError, match=r"step_00000003.*(?i:no space left)"):
            train(pairs, run, TrainSettings(steps=4), save_every=1)
    assert load_newest(run).steps == 2
    assert train(pairs, run, TrainSettings(steps=4)).steps == 4


# What is left behind


def test_a_run_folder_holds_all_it_takes_to_drive_and_to_repeat(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=5, seed=3, threads=1, precision="float32"))
    assert {SETTINGS, SUBJECT, GENERATOR, CHECKPOINTS, SAMPLES, TIME_LAPSE, CURVE, "log"} <= {
        p.name for p in run.iterdir()
    }
    record = read_run(run)
    assert (record.settings.seed, record.preset, record.threads) == (3, NARROW["small"], 1)
    assert record.pairs == pairs
    assert len(record.pairs_sha256) == 64
    assert record.device.startswith(("cpu: ", "cuda: "))
    assert (record.precision, record.preset.batch, record.num_processes) == ("float32", 1, 1)
    assert (record.settings.stop, record.versions.torch) == ("length", torch.__version__)
    assert [point.steps for point in read_curve(run)] == [0, 1, 2, 3, 4, 5]
    test = read_split(pairs, "test")
    test = with_charts(test, pairs, read_atlas(run))
    assert load_generator(run)(test.conditions, test.charts).shape == test.targets.shape


def test_sample_sheets_show_start_and_end_and_carry_the_mark(pairs, tmp_path):
    train(pairs, tmp_path / "run", TrainSettings(steps=40))
    sheets = sorted((tmp_path / "run" / SAMPLES).iterdir())
    assert [p.name for p in sheets] == [f"step_{step:08d}.jpg" for step in range(0, 41, 2)]
    assert all(b"compositeWithTrainedAlgorithmicMedia" in p.read_bytes() for p in sheets)
    height, width = read_picture(sheets[0]).shape[:2]
    assert width > 3 * 256
    assert height > 4 * 256


def test_training_imports_neither_pyav_nor_dlib():
    code = (
        "import sys, mueca.gan, mueca.checkpoint, mueca.interchange, mueca.training; "
        "assert not {'av', 'dlib'} & set(sys.modules), sorted({'av', 'dlib'} & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_algorithm_alone_imports_nothing_beyond_torch_and_numpy():
    code = (
        "import sys, mueca.gan; strange = {'av', 'dlib', 'cv2', 'PIL', 'skimage', 'scipy', 'tensorboard'}; "
        "assert not strange & set(sys.modules), strange & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
