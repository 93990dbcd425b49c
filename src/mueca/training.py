"""Train a subject's generator: pairs in, a run folder out. The losses stand in ``mueca.gan.Trainer.update``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from mueca import consent as consents
from mueca import ledger
from mueca.checkpoint import load_newest, save_generator
from mueca.config import TrainSettings
from mueca.curve import Fall, Flat, curve_until, find_fall
from mueca.diary import is_time_lapse_due
from mueca.distribution import ALONE, Group, Place, joined
from mueca.errors import InputError, SettingsError
from mueca.gan import Losses, Trainer
from mueca.interruptions import disk_explained, memory_explained, peers_explained, stop_signals
from mueca.journal import Journal, no_number
from mueca.preparation import Task, prepare
from mueca.runs import (
    CONSENT,
    GENERATOR,
    SETTINGS,
    Run,
    clear,
    gone_on_with,
    is_empty,
    locked,
    read_run,
    remove_partials,
    require_architecture,
    require_free,
    require_same,
    write_run,
)
from mueca.subject import SUBJECT, write_subject

_STEPS_PER_READING = 10
"""Of the losses: to read them, a GPU must be waited for."""
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
    fall: Fall | None
    """How far the held-out curve has come down at the end; None: it has not."""
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
    beside those that come with time; it is for programs, and no setting of the run. The subject's consent is named by
    the settings, or held by a run that goes on; clips that mueca drew need none. Raises TrainingInterrupted, with
    everything saved, after SIGINT or SIGTERM; ConsentError where the consent is missing or does not hold; OutputError
    where the folder holds something else, a run with other settings or pairs, or another process's run; MuecaError at a
    loss that is no number, or where a GPU's memory is too small.
    """
    settings = settings or TrainSettings()
    is_first = place.rank == 0
    if is_first:
        require_free(run)
    task = prepare(pairs, run, settings, place, show_progress=show_progress)
    record, schedule = task.record, task.schedule
    with (
        memory_explained(),
        peers_explained(place),
        joined(place, task.device, patience_s=task.patience_s) as group,
        _claimed(run, record) if is_first else nullcontext() as earlier,
        stop_signals() as received,
    ):
        _require_alike(group, record)
        trainer = Trainer(
            record.preset, task.training.conditions, task.training.targets, task.training.charts,
            seed=settings.seed, device=task.device, precision=record.precision, group=group,
        )  # fmt: skip
        seconds, flat = _go_on(trainer, run) if is_first else (0.0, None)
        _keep_consent(run, task, earlier)
        is_learned = schedule.progress(trainer.steps_taken, seconds, flat) >= 1
        if group.agree([is_learned and not is_time_lapse_due(run) and not received])[0]:
            fall = _fall_of(run, trainer)
            return TrainResult(run, trainer.steps_taken, seconds, None, task.undrivable, flat, fall, setup_seconds=0.0)
        if is_first and not is_learned:
            _write_down(run, task, earlier, trainer.steps_taken)
        setup_seconds = trainer.setup()
        journal = Journal(run, trainer, schedule, task.test, seconds, flat, save_every) if is_first else None
        losses = _learn_and_film(trainer, journal, group, run, received, show_progress=show_progress)
        stopped_by = _signal_of(received, group)
        if stopped_by:
            raise TrainingInterrupted(run, trainer.steps_taken, stopped_by, fresh=settings.fresh)
    if journal:
        seconds, flat = journal.standing.seconds, journal.flat
    fall = _fall_of(run, trainer)
    return TrainResult(run, trainer.steps_taken, seconds, losses, task.undrivable, flat, fall, setup_seconds)


def _fall_of(run: Path, trainer: Trainer) -> Fall | None:
    return find_fall(curve_until(run, trainer.steps_taken))


def _keep_consent(run: Path, task: Task, earlier: Run | None) -> None:
    """Let the run hold the consent that it is trained under, in the place of an earlier one; note it in the ledger."""
    if task.consent is None:  # not the first process
        return
    if earlier is None or earlier.consent != task.record.consent:
        ledger.note("run", run, task.consent.id)
        consents.write(run / CONSENT, task.consent)
    if earlier and earlier.consent != task.record.consent:
        write_run(run, replace(earlier, consent=task.record.consent))


def _write_down(run: Path, task: Task, earlier: Run | None, first_step: int) -> None:
    """Write what this start is, what is known of the starts before it, and who the subject is."""
    write_run(run, gone_on_with(earlier, task.record, first_step) if earlier else task.record)
    if task.subject:
        write_subject(run / SUBJECT, task.subject)


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


def _require_alike(group: Group, record: Run) -> None:
    """Raise SettingsError in a process that would learn something else, or otherwise, than the first one does."""
    decisive = {
        "pairs": record.pairs_sha256,
        "seed": record.settings.seed,
        "preset": record.preset,
        "architecture": record.architecture,
        "precision": record.precision,
        "kind of device": record.device.partition(":")[0],
    }
    digests = [hashlib.sha256(str(value).encode()).hexdigest() for value in decisive.values()]
    numbers = [float(int(digest[:12], 16)) for digest in digests]  # 48 bits: exact as a float
    others = [name for name, own, first in zip(decisive, numbers, group.agree(numbers), strict=True) if own != first]
    if others:
        raise SettingsError(
            f"process {group.place.rank} differs from the first one in {', '.join(others)}; start all alike, with the "
            "same pairs and settings, and name --device and --precision where the machines differ"
        )


@contextmanager
def _claimed(run: Path, record: Run) -> Iterator[Run | None]:
    """Keep other processes out of the run's folder, and make sure that what lies in it may go on as ``record``.

    Gives the record of what is gone on with; None: nothing is.
    """
    with locked(run), disk_explained(run, fresh=record.settings.fresh):
        remove_partials(run)
        earlier = read_run(run) if (run / SETTINGS).exists() and not record.settings.fresh else None
        if record.settings.fresh or (earlier and is_empty(run)):
            clear(run)  # the second: an earlier --fresh was killed amid this
            earlier = None
        elif earlier:
            require_architecture(run, earlier, record.architecture)
            require_same(run, earlier, record)
        yield earlier


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
