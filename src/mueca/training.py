"""Train a subject's generator: pairs in, a run folder out. The losses stand in ``mueca.gan.Trainer.update``."""

from __future__ import annotations

import errno
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from mueca.checkpoint import Checkpoint, choose_device, load_newest, save_checkpoint, save_generator, use_threads
from mueca.config import PRESETS, LengthKind, TrainSettings
from mueca.diary import Diary
from mueca.errors import InputError, MuecaError, OutputError
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.gan import Losses, Trainer, falling_rate
from mueca.nets.painting import painter
from mueca.pairs import Pairs
from mueca.runs import (
    GENERATOR,
    SETTINGS,
    TIME_LAPSE,
    Run,
    clear,
    locked,
    read_run,
    remove_partials,
    require_free,
    require_same,
    write_run,
)
from mueca.subject import SUBJECT, Subject, Undrivable, fit_subject, read_known, write_subject

_SECONDS_BETWEEN_CHECKPOINTS = 60.0
_SHEETS_PER_RUN = 20
_STEPS_PER_LOG_ENTRY = 10
_A_DISK_SAYS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT,
}  # fmt: skip
_BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


@dataclass(frozen=True)
class TrainResult:
    """Where a run stands when ``train`` returns."""

    run: Path
    steps: int
    seconds: float
    """Of training, over all processes; saving and painting samples don't count."""
    losses: Losses | None
    """Of the last step; None where the run was done already."""
    undrivable: str | None
    """Why the run can't be driven, in words; None: it can."""


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


@dataclass(frozen=True)
class Length:
    """How long a run is: epochs, steps, or seconds of training."""

    kind: LengthKind
    amount: float
    num_pairs: int

    def progress(self, steps: int, seconds: float) -> float:
        """Return the share of the run that is done; 1 or more: all of it."""
        if self.kind == "budget":
            return seconds / self.amount
        return steps / math.ceil(self.amount * (self.num_pairs if self.kind == "epochs" else 1))


def train(pairs: Path, run: Path, settings: TrainSettings | None = None, *, show_progress: bool = False) -> TrainResult:
    """Train on pairs, or go on from the newest checkpoint in ``run``; a run that is done returns at once.

    ``pairs`` is a folder in any layout that ``mueca.foreign`` knows. Raises TrainingInterrupted, with everything saved,
    after SIGINT or SIGTERM; OutputError where the folder holds something else, a run with other settings or pairs, or
    another process's run; MuecaError at a loss that is no number.
    """
    settings = settings or TrainSettings()
    require_free(run)
    data = open_dataset(pairs, settings.condition)
    training, test = read_part(data, "train"), read_part(data, "test")
    device = choose_device(settings.device)
    record = _resolve(data, settings, threads=use_threads(settings.threads))
    subject = _learn_subject(data, training, run, record, show_progress=show_progress)
    undrivable = subject.undrivable if isinstance(subject, Undrivable) else None
    length = Length(record.length_kind, record.length, len(training.targets))
    with locked(run), _disk_explained(run, fresh=settings.fresh), _stop_signals() as stop_signals:
        _claim(run, record)
        trainer = Trainer(record.preset, training.conditions, training.targets, seed=settings.seed, device=device)
        seconds = _go_on(trainer, run)
        if length.progress(trainer.steps_taken, seconds) >= 1 and (run / TIME_LAPSE).exists() and not stop_signals:
            return TrainResult(run, trainer.steps_taken, seconds, losses=None, undrivable=undrivable)
        write_run(run, record)
        write_subject(run / SUBJECT, subject)
        with closing(Diary(run, test, first_step=trainer.steps_taken)) as diary:
            seconds, losses = _learn(trainer, run, length, seconds, diary, stop_signals, show_progress)
            if not stop_signals:
                diary.write_time_lapse()
        if stop_signals:
            raise TrainingInterrupted(run, trainer.steps_taken, stop_signals[0], fresh=settings.fresh)
    return TrainResult(run, trainer.steps_taken, seconds, losses, undrivable)


def _learn(
    trainer: Trainer,
    run: Path,
    length: Length,
    seconds: float,
    diary: Diary,
    stop_signals: list[int],
    show_progress: bool,
) -> tuple[float, Losses | None]:
    """Step until the run is done or a signal came, saving now and then; return its seconds and the last losses."""
    losses, saved_at = None, seconds
    progress = length.progress(trainer.steps_taken, seconds)
    if trainer.steps_taken == 0:
        diary.note_pictures(0, painter(trainer.best))
    with tqdm(total=1.0, initial=min(progress, 1.0), disable=not show_progress, bar_format=_BAR) as bar:
        while progress < 1 and not stop_signals:
            rate = falling_rate(progress, trainer.preset.rate_falls_from)
            start = time.perf_counter()
            losses = trainer.step(progress)
            seconds += time.perf_counter() - start
            _require_numbers(trainer, losses, run)

            before, progress = progress, length.progress(trainer.steps_taken, seconds)
            if trainer.steps_taken % _STEPS_PER_LOG_ENTRY == 0:
                diary.note_losses(trainer.steps_taken, losses, rate=rate)
            if _sheet_is_due(before, progress):
                diary.note_pictures(trainer.steps_taken, painter(trainer.best))
            if seconds - saved_at >= _SECONDS_BETWEEN_CHECKPOINTS:
                _save(trainer, run, seconds)
                saved_at = seconds
            bar.set_postfix_str(_summary(trainer.steps_taken, losses), refresh=False)
            bar.update(min(progress, 1.0) - bar.n)
    if losses is not None:
        _save(trainer, run, seconds)
    return seconds, losses


def _resolve(data: Dataset, settings: TrainSettings, *, threads: int) -> Run:
    """Return the run's record: the settings with the preset and the length that they name."""
    preset = PRESETS[settings.preset]
    named = [(kind, getattr(settings, kind)) for kind in get_args(LengthKind) if getattr(settings, kind) is not None]
    kind, amount = named[0] if named else (preset.length_kind, preset.length)
    return Run(settings, preset, kind, float(amount), data.folder.resolve(), sha256_of_dataset(data), threads)


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


def _claim(run: Path, record: Run) -> None:
    """Make sure that what lies in the folder may go on as ``record``; with ``fresh``, remove it."""
    if record.settings.fresh:
        clear(run)
    elif (run / SETTINGS).exists():
        require_same(run, read_run(run), record)
    remove_partials(run)


def _go_on(trainer: Trainer, run: Path) -> float:
    """Bring the trainer to the newest checkpoint, if there is one, and return the seconds of training until then."""
    checkpoint = load_newest(run)
    if checkpoint is None:
        return 0.0
    try:
        trainer.restore(checkpoint.parts, checkpoint.steps)
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{run}: its checkpoints fit other networks; start over with --fresh") from error
    save_generator(run / GENERATOR, trainer.best)  # a kill may have come between the checkpoint and this
    return checkpoint.seconds


def _save(trainer: Trainer, run: Path, seconds: float) -> None:
    if not trainer.is_finite():
        raise _no_number(trainer.steps_taken, run)
    save_checkpoint(run, Checkpoint(trainer.state(), trainer.steps_taken, seconds))
    save_generator(run / GENERATOR, trainer.best)


def _require_numbers(trainer: Trainer, losses: Losses, run: Path) -> None:
    if not all(math.isfinite(loss) for loss in astuple(losses)):
        raise _no_number(trainer.steps_taken, run)


def _no_number(steps: int, run: Path) -> MuecaError:
    return MuecaError(
        f"{run}: a loss or weight was no finite number at step {steps}; the last checkpoint is kept: train on "
        "without --fresh, and if it happens at the same step, start over with --fresh and another --seed"
    )


def _summary(steps: int, losses: Losses) -> str:
    return f"step {steps}, L1 {losses.l1:.3f}, adversarial {losses.adversarial:.2f}/{losses.discriminator:.2f}"


def _sheet_is_due(before: float, now: float) -> bool:
    """Return whether a twentieth of the run ended between two states of its progress."""
    # Rounded: 3 of 60 steps are one twentieth, though 3 / 60 * 20 need not be 1.
    return math.floor(round(now * _SHEETS_PER_RUN, 6)) > math.floor(round(before * _SHEETS_PER_RUN, 6))


@contextmanager
def _disk_explained(run: Path, *, fresh: bool) -> Iterator[None]:
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
        place = Path(error.filename or run)
        if error.errno not in _A_DISK_SAYS or not place.resolve().is_relative_to(run.resolve()):
            raise
        raise OutputError(
            f"{place}: can't be written ({error.strerror}); make room and run the same command again{without}"
        ) from error


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
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
