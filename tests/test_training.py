"""Training: the published algorithm, exact resume, and a run folder that nothing spoils."""

from __future__ import annotations

import copy
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from mueca import training
from mueca.checkpoint import load_generator, load_newest
from mueca.config import PRESETS, Preset, TrainSettings, to_json
from mueca.diary import Diary
from mueca.errors import InputError, MuecaError, OutputError
from mueca.files import space_explained
from mueca.gan import Losses, Trainer, falling_rate, pair_at_step, random_window
from mueca.pairs import LANDMARKS, Landmarks, Manifest, read_split, write_landmarks, write_manifest, write_pair
from mueca.pictures import read_picture
from mueca.runs import CHECKPOINTS, GENERATOR, SAMPLES, SETTINGS, TIME_LAPSE, locked, read_run
from mueca.subject import SUBJECT, fit_subject, read_subject
from mueca.training import TrainingInterrupted, train

NARROW = {
    # Dropout, jitter and mirroring in both, so that every kind of chance takes part in exact resume.
    "paper": dataclasses.replace(PRESETS["paper"], width_generator=2, width_discriminator=2),
    "small": dataclasses.replace(
        PRESETS["small"], width_generator=4, width_discriminator=4, jitter_size_px=264, mirror=True
    ),
}
CPU = torch.device("cpu")


def toy_pairs(number: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Conditions with a green square on black somewhere; targets with a red disc there on a blue slope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    conditions, targets = np.zeros((2, number, 256, 256, 3), np.uint8)
    targets[..., 2] = (x // 2 + 100).astype(np.uint8)
    for condition, target, (row, column) in zip(conditions, targets, rng.integers(60, 196, (number, 2)), strict=True):
        condition[row - 40 : row + 40, column - 40 : column + 40] = (0, 255, 0)
        target[np.hypot(y - row, x - column) < 40] = (220, 40, 30)
    return conditions, targets


def write_toy_pairs(folder: Path, *, num_train: int = 5, num_test: int = 2, seed: int = 0) -> Path:
    folder.mkdir()
    number = num_train + num_test
    conditions, targets = toy_pairs(number, seed=seed)
    for i in range(number):
        write_pair(folder, "train" if i < num_train else "test", i, conditions[i], targets[i])
    points = np.random.default_rng(seed).uniform(0, 256, (number, 68, 2))
    transforms = np.broadcast_to(np.eye(3), (number, 3, 3)).copy()
    index = np.arange(number)
    still = np.zeros((number, 2)), np.zeros(number, int), np.ones(number)
    write_landmarks(folder, Landmarks(index, index / 25.0, points, *still, transforms, np.ones(number, bool)))
    values: dict[str, object] = {
        "str": "toy",
        "float": 25.0,
        "int": number,
        "list[int]": [256, 256],
        "list[str]": [],
        "str | None": None,
    }
    manifest = {f.name: values.get(str(f.type), {}) for f in dataclasses.fields(Manifest)}
    manifest |= {"num_train": num_train, "num_test": num_test, "first_test_frame": num_train}
    write_manifest(folder, Manifest(**manifest))
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_toy_pairs(tmp_path / "pairs")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, preset in NARROW.items():
        monkeypatch.setitem(PRESETS, name, preset)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action) -> None:
    """Let ``action`` happen right after that step of whichever trainer takes it."""
    plain = Trainer.step

    def step_and_act(self: Trainer, progress: float) -> Losses:
        losses = plain(self, progress)
        if self.steps_taken == step:
            return action() or losses
        return losses

    monkeypatch.setattr(Trainer, "step", step_and_act)


def stop(signal_number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), signal_number)


# The algorithm


def plain_pix2pix(trainer: Trainer, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
    """The reference's order of updates, written plainly, on copies of the trainer's networks; their weights after."""
    generator, discriminator = copy.deepcopy(trainer.generator), copy.deepcopy(trainer.discriminator)
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    bce, l1 = torch.nn.BCEWithLogitsLoss(), torch.nn.L1Loss()
    for condition, target in batches:
        fake = generator(condition)
        for p in discriminator.parameters():
            p.requires_grad = True
        adam_d.zero_grad()
        said_of_fake = discriminator(condition, fake.detach())
        said_of_real = discriminator(condition, target)
        loss_d = (
            bce(said_of_fake, torch.zeros_like(said_of_fake)) + bce(said_of_real, torch.ones_like(said_of_real))
        ) / 2
        loss_d.backward()
        adam_d.step()
        for p in discriminator.parameters():
            p.requires_grad = False
        adam_g.zero_grad()
        said_of_fake = discriminator(condition, fake)
        (bce(said_of_fake, torch.ones_like(said_of_fake)) + 100.0 * l1(fake, target)).backward()
        adam_g.step()
    return [*generator.state_dict().values(), *discriminator.state_dict().values()]


def test_ten_steps_of_paper_are_the_reference_algorithms_in_float64():
    preset = dataclasses.replace(NARROW["paper"], width_generator=4, width_discriminator=4, dropout=0.0)
    trainer = Trainer(preset, *toy_pairs(2), seed=0, device=CPU)
    trainer.generator.double()
    trainer.discriminator.double()
    for adam in (trainer.adam_generator, trainer.adam_discriminator):
        adam.param_groups[0]["lr"] = 2e-4
    rng = torch.Generator().manual_seed(0)
    batches = [tuple(torch.rand(2, 1, 3, 256, 256, generator=rng, dtype=torch.float64) * 2 - 1) for _ in range(10)]
    expected = plain_pix2pix(trainer, batches)
    for condition, target in batches:
        trainer.update(condition, target)
    ours = [*trainer.generator.state_dict().values(), *trainer.discriminator.state_dict().values()]
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


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


def test_each_epoch_shows_each_pair_once_in_an_order_of_its_own():
    epochs = [[pair_at_step(3, epoch * 9 + i, 9) for i in range(9)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_rates_stay_until_their_share_of_the_run_and_then_fall_to_zero():
    assert [falling_rate(p, 0.5) for p in (0.0, 0.5, 0.75, 1.0, 1.1)] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert falling_rate(1.0, 1.0) == 1.0


def test_random_windows_reach_every_border_and_never_beyond():
    rng = np.random.default_rng(0)
    image = torch.arange(6 * 6).reshape(1, 6, 6)
    corners = [image[random_window(rng, 4, 6)] for _ in range(200)]
    assert {tuple(c.shape) for c in corners} == {(1, 4, 4)}
    assert {int(c[0, 0, 0]) for c in corners} == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_jitter_and_mirror_move_condition_and_target_together():
    conditions, targets = toy_pairs(1)
    trainer = Trainer(NARROW["paper"], conditions, targets, seed=0, device=CPU)
    places = []
    for seed in range(8):
        condition, target = trainer._next_pair(np.random.default_rng(seed))
        assert set(condition.unique().tolist()) <= {-1.0, 1.0}  # nearest: no new colours
        green, red = condition[0, 1] > 0, target[0, 0] > 0
        centre, disc = (torch.nonzero(mask).double().mean(dim=0) for mask in (green, red))
        torch.testing.assert_close(centre, disc, rtol=0, atol=1.5)
        places.append((tuple(disc.round().tolist()), bool(target[0, 2, 0, 0] > target[0, 2, 0, -1])))
    assert len({place for place, _ in places}) > 4
    assert {mirrored for _, mirrored in places} == {True, False}


def test_weights_that_are_averaged_follow_the_latest_closely_at_first():
    trainer = Trainer(NARROW["small"], *toy_pairs(2), seed=0, device=CPU)
    start = next(trainer.average.parameters()).clone()
    trainer.step(0.0)
    latest, average = next(trainer.generator.parameters()), next(trainer.average.parameters())
    torch.testing.assert_close(average, start.lerp(latest, 10 / 11))


@pytest.mark.slow
def test_small_learns_a_toy_task_much_better_than_its_mean_picture_within_300_steps():
    preset = dataclasses.replace(NARROW["small"], width_generator=16, jitter_size_px=256, mirror=False)
    conditions, targets = toy_pairs(8)
    mean_picture_l1 = np.abs(targets - targets.mean(axis=0)).mean() / 127.5
    trainer = Trainer(preset, conditions, targets, seed=0, device=CPU)
    losses = [trainer.step(step / 300).l1 for step in range(300)]
    assert np.mean(losses[-8:]) < 0.5 * mean_picture_l1


# Going on


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_a_run_stopped_after_six_of_twelve_steps_ends_in_the_same_bits(pairs, tmp_path, monkeypatch, preset):
    settings = TrainSettings(preset=preset, steps=12, device="cpu", threads=1)
    train(pairs, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        at_step(patch, 6, stop)
        with pytest.raises(TrainingInterrupted):
            train(pairs, tmp_path / "parts", settings)
    assert load_newest(tmp_path / "parts").steps == 6
    with monkeypatch.context() as patch:
        # From zero it would end in the same bits too.
        at_step(patch, 1, lambda: pytest.fail("started over"))
        train(pairs, tmp_path / "parts", settings)
    whole, parts = (
        {n: b for n, b in contents(tmp_path / r).items() if n.startswith(f"{SAMPLES}/") or n.endswith(".safetensors")}
        for r in ("whole", "parts")
    )
    assert f"{CHECKPOINTS}/step_00000012/adam_generator.safetensors" in whole
    # The stop left one checkpoint more.
    assert {n: b for n, b in parts.items() if "step_00000006/" not in n} == whole


_KILLED_AFTER_SIX = """
import dataclasses, os, signal, sys
from pathlib import Path
from mueca import training
from mueca.config import PRESETS, TrainSettings
from mueca.gan import Trainer
PRESETS["small"] = dataclasses.replace(PRESETS["small"], width_generator=4, width_discriminator=4, mirror=True)
training._SECONDS_BETWEEN_CHECKPOINTS = 0.0
plain = Trainer.step
def step(self, progress):
    if self.steps_taken == 6 and "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, progress)
Trainer.step = step
training.train(Path(sys.argv[1]), Path(sys.argv[2]), TrainSettings(steps=12, device="cpu", threads=1))
"""


@pytest.mark.slow
def test_a_process_killed_after_six_of_twelve_steps_and_started_again_ends_in_the_same_bits(pairs, tmp_path):
    def run_process(run: str, *more: str) -> int:
        return subprocess.run([sys.executable, "-c", _KILLED_AFTER_SIX, pairs, tmp_path / run, *more]).returncode

    assert run_process("whole") == 0
    assert run_process("parts", "kill") == -signal.SIGKILL
    assert load_newest(tmp_path / "parts").steps == 6
    assert run_process("parts") == 0
    assert (tmp_path / "whole" / GENERATOR).read_bytes() == (tmp_path / "parts" / GENERATOR).read_bytes()
    assert contents(tmp_path / "whole" / SAMPLES) == contents(tmp_path / "parts" / SAMPLES)


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
    assert 0.5 <= result.seconds < 5
    assert result.steps >= 1


def test_fresh_starts_over_and_removes_nothing_that_is_not_the_runs(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=4))
    (run / "notes.txt").write_text("mine")
    result = train(pairs, run, TrainSettings(steps=2, seed=1, fresh=True))
    assert result.steps == 2
    assert [p.name for p in (run / CHECKPOINTS).iterdir()] == ["step_00000002"]
    assert (run / "notes.txt").read_text() == "mine"


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(pairs, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = train(pairs, run, TrainSettings(steps=4, device="cpu", threads=1))
    bits = (run / GENERATOR).read_bytes()
    (run / CHECKPOINTS / "step_00000004" / "state.json").write_text("{")
    with pytest.warns(UserWarning, match="step_00000004: is damaged"):
        again = train(pairs, run, TrainSettings(steps=4, device="cpu", threads=1))
    assert again.steps == whole.steps
    assert (run / GENERATOR).read_bytes() == bits
    assert load_newest(run).steps == 4


# What is refused


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


def test_a_signal_while_a_run_that_is_done_is_looked_at_still_interrupts(pairs, tmp_path, monkeypatch):
    train(pairs, tmp_path / "run", TrainSettings(steps=2))
    plain = training.load_newest
    monkeypatch.setattr(training, "load_newest", lambda run: stop() or plain(run))
    with pytest.raises(TrainingInterrupted, match="after step 2"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


def test_a_loss_that_is_no_number_stops_at_its_step_and_keeps_the_last_checkpoint(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    at_step(monkeypatch, 4, lambda: Losses(float("nan"), 0.0, 0.0))
    with pytest.raises(MuecaError, match=r"at step 4.*--seed"):
        train(pairs, tmp_path / "run", TrainSettings(steps=9))
    assert load_newest(tmp_path / "run").steps == 3


def test_weights_that_are_no_numbers_are_never_saved(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(Trainer, "is_finite", lambda self: self.steps_taken < 3)
    with pytest.raises(MuecaError, match="at step 3"):
        train(pairs, tmp_path / "run", TrainSettings(steps=9))
    assert load_newest(tmp_path / "run").steps == 2


@pytest.mark.parametrize("at", ["write_run", "write_subject", "save_generator"])
def test_a_full_disk_elsewhere_is_one_line_too(pairs, tmp_path, monkeypatch, at):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/run/file")

    monkeypatch.setattr(training, at, full)
    with pytest.raises(OutputError, match=r"run/file: can't be written \(No space left on device\)"):
        train(pairs, tmp_path / "run", TrainSettings(steps=2))


@pytest.mark.parametrize("at", ["write_run", "save_checkpoint"])
def test_a_full_disk_in_a_fresh_run_says_that_it_goes_on_without_fresh(pairs, tmp_path, monkeypatch, at):
    def full(*_):
        with space_explained(tmp_path / "run" / "file") if at == "save_checkpoint" else nullcontext():
            raise OSError(errno.ENOSPC, "No space left on device", f"{tmp_path}/run/file")

    monkeypatch.setattr(training, at, full)
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
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: patch.setattr(Path, "write_bytes", full))
        with pytest.raises(OutputError, match=r"step_00000003.*(?i:no space left)"):
            train(pairs, run, TrainSettings(steps=4))
    assert load_newest(run).steps == 2
    assert train(pairs, run, TrainSettings(steps=4)).steps == 4


# What is left behind


def test_a_run_folder_holds_all_it_takes_to_drive_and_to_repeat(pairs, tmp_path):
    run = tmp_path / "run"
    train(pairs, run, TrainSettings(steps=5, seed=3, threads=1))
    assert {SETTINGS, SUBJECT, GENERATOR, CHECKPOINTS, SAMPLES, TIME_LAPSE, "log"} <= {p.name for p in run.iterdir()}
    record = read_run(run)
    assert (record.settings.seed, record.preset, record.threads) == (3, NARROW["small"], 1)
    assert record.pairs == pairs
    assert len(record.pairs_sha256) == 64
    test = read_split(pairs, "test")
    assert load_generator(run)(test.conditions).shape == test.targets.shape


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
        "import sys, mueca.gan, mueca.checkpoint, mueca.training; "
        "assert not {'av', 'dlib'} & set(sys.modules), sorted({'av', 'dlib'} & set(sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_algorithm_alone_imports_nothing_beyond_torch_and_numpy():
    code = (
        "import sys, mueca.gan; strange = {'av', 'dlib', 'cv2', 'PIL', 'skimage', 'scipy', 'tensorboard'}; "
        "assert not strange & set(sys.modules), strange & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
