"""Train a subject's generator: pairs in, a run folder out. The losses stand in ``mueca.gan.Trainer.update``."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import platform
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import get_args

import torch
from tqdm import tqdm

from mueca.checkpoint import choose_device, choose_precision, load_newest, save_generator, use_threads
from mueca.config import LengthKind, TrainSettings
from mueca.curve import Flat
from mueca.diary import is_time_lapse_due
from mueca.distribution import ALONE, Group, Place, joined
from mueca.errors import InputError, MuecaError, SettingsError
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.gan import Losses, Trainer
from mueca.interruptions import disk_explained, peers_explained, stop_signals
from mueca.journal import Journal, no_number
from mueca.pairs import Pairs
from mueca.presets import PRESETS, Preset
from mueca.runs import (
    GENERATOR,
    SETTINGS,
    Run,
    clear,
    is_empty,
    locked,
    read_run,
    remove_partials,
    require_free,
    require_same,
    write_run,
)
from mueca.schedule import FALL_OF_AUTO, Schedule
from mueca.subject import SUBJECT, Subject, Undrivable, fit_subject, read_known, with_charts, write_subject

_STEPS_PER_READING = 10
"""Of the losses: to read them, a GPU must be waited for."""
_PATIENCE_S, _PATIENCE_WITH_TARGETS_S = 600.0, 7200.0
"""How long processes wait for each other; the second where the first learns the subject from thousands of targets."""
_BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True)
class TrainResult:
    """Where a run stands when ``train`` returns."""

    run: Path
    steps: int
    seconds: float
    """Of training, however often it was interrupted; measuring, painting samples and saving don't count."""
    losses: Losses | None
    """Of the last step; None where the run was done already."""
    undrivable: str | None
    """Why the run can't be driven, in words; None: it can."""
    flat: Flat | None
    """Where the held-out curve was found flat, so that the run ended before its length was used up."""
    setup_seconds: float
    """What it took to make the device ready for the first step."""


class TrainingInterrupted(KeyboardInterrupt):
    """A signal stopped training, which was saved first: whoever called ``train`` must not go on as if it were done."""

    def __init__(self, run: Path, steps: int, signal_number: int, *, fresh: bool = False) -> None:
        command = "the same command, without --fresh," if fresh else "the same command"
        super().__init__(
            f"{run}: stopped after step {steps} and saved; {command} goes on from there"
            if steps
            else f"{run}: stopped before the first step; the same command starts again"
        )
        self.signal_number = signal_number


def train(
    pairs: Path,
    run: Path,
    settings: TrainSettings | None = None,
    *,
    show_progress: bool = False,
    place: Place = ALONE,
    save_every: int | None = None,
) -> TrainResult:
    """Train on pairs, or go on from the newest checkpoint in ``run``; a run that is done returns at once.

    ``pairs`` is a folder in any layout that ``mueca.foreign`` knows. ``place`` says which of several processes this
    is: all call this alike, and the first alone writes. ``save_every`` asks for a checkpoint after each so many steps,
    beside those that come with time; it is for programs, and no setting of the run. Raises TrainingInterrupted, with
    everything saved, after SIGINT or SIGTERM; OutputError where the folder holds something else, a run with other
    settings or pairs, or another process's run; MuecaError at a loss that is no number, or where a GPU's memory is too
    small.
    """
    settings = settings or TrainSettings()
    is_first = place.rank == 0
    if is_first:
        require_free(run)
    data = open_dataset(pairs, settings.condition)
    training, test = read_part(data, "train"), read_part(data, "test")
    device = choose_device(settings.device)
    record = _resolve(data, settings, run, device, place)
    subject = _learn_subject(data, training, run, record, show_progress=show_progress) if is_first else None
    if record.preset.textures:  # the pairs are mueca's own
        atlas = (subject or fit_subject(data.folder)).atlas
        training, test = (with_charts(part, data.folder, atlas) for part in (training, test))
    undrivable = subject.undrivable if isinstance(subject, Undrivable) else None
    schedule = Schedule(record.length_kind, record.length, len(training.targets), record.preset.batch, settings.stop)
    claimed = _claimed(run, record) if is_first else nullcontext()
    patience_s = _PATIENCE_S if data.layout == "pairs" else _PATIENCE_WITH_TARGETS_S
    with (
        _memory_explained(),
        peers_explained(place),
        joined(place, device, patience_s=patience_s) as group,
        claimed,
        stop_signals() as received,
    ):
        _require_alike(group, record)
        trainer = Trainer(
            record.preset, training.conditions, training.targets, training.charts,
            seed=settings.seed, device=device, precision=record.precision, group=group,
        )  # fmt: skip
        seconds, flat = _go_on(trainer, run) if is_first else (0.0, None)
        is_done = schedule.progress(trainer.steps_taken, seconds, flat) >= 1 and not is_time_lapse_due(run)
        if group.agree([is_done and not received])[0]:
            return TrainResult(run, trainer.steps_taken, seconds, None, undrivable, flat, setup_seconds=0.0)
        if subject:
            write_run(run, record)
            write_subject(run / SUBJECT, subject)
        setup_seconds = trainer.setup()
        journal = Journal(run, trainer, schedule, test, seconds, flat, save_every) if is_first else None
        losses = _learn_and_film(trainer, journal, group, run, received, show_progress=show_progress)
        stopped_by = _signal_of(received, group)
        if stopped_by:
            raise TrainingInterrupted(run, trainer.steps_taken, stopped_by, fresh=settings.fresh)
    if journal:
        seconds, flat = journal.standing.seconds, journal.flat
    return TrainResult(run, trainer.steps_taken, seconds, losses, undrivable, flat, setup_seconds)


def _learn_and_film(
    trainer: Trainer, journal: Journal | None, group: Group, run: Path, received: list[int], *, show_progress: bool
) -> Losses | None:
    """Step and save as ``_learn`` does; then make the time-lapse, unless a signal came to any process."""
    with closing(journal) if journal else nullcontext():
        losses = _learn(trainer, journal, group, run, received, show_progress=show_progress)
        if not _signal_of(received, group) and journal:
            journal.diary.write_time_lapse()
    return losses


def _signal_of(received: list[int], group: Group) -> int:
    """Return the signal that came to any of the processes, 0: none."""
    return int(group.highest(received[0] if received else 0))


def _learn(
    trainer: Trainer, journal: Journal | None, group: Group, run: Path, received: list[int], *, show_progress: bool
) -> Losses | None:
    """Step until the run is done or a signal came, and save; return the last losses, None where nothing was to do.

    Only the first process has a journal, and so knows the time: what it says of progress holds for all.
    """
    losses = None
    reached = min(journal.standing.progress, 1.0) if journal else 0.0
    # Left to itself the bar waits for strides as long as its first, and a run that goes on begins with a long one.
    options = {"bar_format": _BAR, "miniters": 0, "disable": not (show_progress and journal)}
    with tqdm(total=1.0, initial=reached, **options) as bar:
        while True:
            (progress,) = group.agree([journal.standing.progress if journal else 0.0])
            bar.update(min(progress, 1.0) - bar.n)
            if _signal_of(received, group) or progress >= 1:
                break
            trainer.step(progress)
            is_read = trainer.steps_taken % _STEPS_PER_READING == 0 or losses is None
            if is_read:
                losses = _read_losses(trainer, run)
            if journal:
                journal.note_step(losses if is_read else None)
                bar.set_postfix_str(_summary(trainer.steps_taken, losses), refresh=False)
    if losses is not None:
        losses = trainer.losses()
        if journal:
            journal.note_end()
    return losses


@contextmanager
def _memory_explained() -> Iterator[None]:
    """Turn what PyTorch says of a GPU whose memory is too small into a MuecaError with the ways out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MuecaError(
            "training needs more memory than the GPU has free; end what else uses it, name a smaller --batch, or use "
            "--device cpu"
        ) from error


def _require_alike(group: Group, record: Run) -> None:
    """Raise SettingsError in a process that would learn something else than the first one does."""
    decisive = f"{record.pairs_sha256} {record.settings.seed} {record.preset}"
    number = float(int(hashlib.sha256(decisive.encode()).hexdigest()[:12], 16))  # 48 bits: exact as a float
    if group.agree([number])[0] != number:
        raise SettingsError(
            f"process {group.place.rank} has other pairs, another seed or another preset than the first one; start "
            "all alike, with the same pairs and the same run's folder"
        )


def _resolve(data: Dataset, settings: TrainSettings, run: Path, device: torch.device, place: Place) -> Run:
    """Return the run's record: the settings with the preset, the length and the precision that they name."""
    preset = _with_widths_of(run, settings, _preset_of(settings))
    if data.layout != "pairs":
        preset = dataclasses.replace(preset, textures=0)
    Group(place).share(preset.batch)  # raises where there are no equal shares
    named = [(kind, getattr(settings, kind)) for kind in get_args(LengthKind) if getattr(settings, kind) is not None]
    kind, amount = named[0] if named else (preset.length_kind, preset.length)
    return Run(
        settings=settings,
        preset=preset,
        length_kind=kind,
        length=float(amount),
        pairs=data.folder.resolve(),
        pairs_sha256=sha256_of_dataset(data),
        threads=use_threads(settings.threads),
        num_processes=place.num_processes,
        precision=choose_precision(settings.precision, device, bfloat16_on_cpu=preset.bfloat16_on_cpu),
        device=_name_of(device),
    )


def _name_of(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{device.type}: {name}"


def _preset_of(settings: TrainSettings) -> Preset:
    """Return the preset that the settings name, with what they change in it."""
    preset = PRESETS[settings.preset]
    if settings.batch is not None:
        preset = dataclasses.replace(preset, batch=settings.batch)
    if settings.stop == "auto":
        preset = dataclasses.replace(preset, rate_falls_from=FALL_OF_AUTO)
    return preset


def _with_widths_of(run: Path, settings: TrainSettings, preset: Preset) -> Preset:
    """Return the preset with the widths of the run that is gone on with: one that was imported has its own."""
    with suppress(InputError):  # none there, or damaged: whoever claims the folder will say so
        earlier = None if settings.fresh or is_empty(run) else read_run(run)
        if earlier and earlier.settings.preset == settings.preset:
            widths = {name: getattr(earlier.preset, name) for name in ("width_generator", "width_discriminator")}
            return dataclasses.replace(preset, **widths)
    return preset


def _learn_subject(
    data: Dataset, training: Pairs, run: Path, record: Run, *, show_progress: bool
) -> Subject | Undrivable:
    """Return what the pairs' own landmarks tell, or those found in the targets; once found, the run keeps them."""
    if data.layout == "pairs":
        return fit_subject(data.folder)
    settings = record.settings
    if not settings.fresh and (run / SUBJECT).exists() and read_run(run).pairs_sha256 == record.pairs_sha256:
        with suppress(InputError):  # a damaged one is made again
            return read_known(run)
    from mueca.portraits import make_ruler, subject_from_targets  # dlib: a machine that only trains may lack it

    ruler = make_ruler(settings.detector, models=settings.models)
    return subject_from_targets(training, ruler.find, source_name=data.folder.name, show_progress=show_progress)


@contextmanager
def _claimed(run: Path, record: Run) -> Iterator[None]:
    """Keep other processes out of the run's folder, and make sure that what lies in it may go on as ``record``."""
    with locked(run), disk_explained(run, fresh=record.settings.fresh):
        remove_partials(run)
        earlier = read_run(run) if (run / SETTINGS).exists() and not record.settings.fresh else None
        if record.settings.fresh or (earlier and is_empty(run)):
            clear(run)  # the second: an earlier --fresh was killed amid this
        elif earlier:
            require_same(run, earlier, record)
        yield


def _go_on(trainer: Trainer, run: Path) -> tuple[float, Flat | None]:
    """Bring the trainer to the newest checkpoint, if there is one; return the seconds until it, and its flat."""
    checkpoint = load_newest(run)
    if checkpoint is None:
        return 0.0, None
    try:
        trainer.restore(checkpoint.parts, checkpoint.steps)
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{run}: its checkpoints fit other networks; start over with --fresh") from error
    save_generator(run / GENERATOR, trainer.best)  # a kill may have come between the checkpoint and this
    return checkpoint.seconds, checkpoint.flat


def _read_losses(trainer: Trainer, run: Path) -> Losses:
    """Wait for the device and return the last step's losses; raises MuecaError where one is no number."""
    losses = trainer.losses()
    if not all(math.isfinite(loss) for loss in astuple(losses)):
        raise no_number(trainer.steps_taken, run)
    return losses


def _summary(steps: int, losses: Losses) -> str:
    return f"step {steps}, L1 {losses.l1:.3f}, adversarial {losses.adversarial:.2f}/{losses.discriminator:.2f}"
