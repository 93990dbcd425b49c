"""What is kept of a run while it learns: its clock, its held-out curve, its checkpoints; and when each is due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mueca.checkpoint import Checkpoint, save_checkpoint, save_generator
from mueca.curve import Flat, find_flat
from mueca.diary import Diary
from mueca.errors import MuecaError
from mueca.gan import Losses, Trainer, falling_rate
from mueca.nets.painting import painter
from mueca.pairs import Pairs
from mueca.runs import GENERATOR
from mueca.schedule import Schedule

_SAVES_SHARE = 0.05
"""Of the time: a save takes .1 s for ``small`` and seconds for ``paper``, whose checkpoint is 700 MB."""
_LEAST_BETWEEN_SAVES_S, _MOST_BETWEEN_SAVES_S = 10.0, 60.0


class Stopwatch:
    """Seconds of training, over all processes that a run had; what is written down meanwhile doesn't count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since = time.perf_counter()

    def read(self) -> float:
        """Return the seconds until now."""
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        return self.seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let time pass that doesn't count."""
        self.read()
        try:
            yield
        finally:
            self._since = time.perf_counter()


@dataclass(frozen=True)
class Standing:
    """How far a run is after a step."""

    steps: int
    seconds: float
    """Of training."""
    share: float
    """Of the most that the run may take, used up."""
    progress: float
    """Of the run, done; 1 or more: all of it."""


class Journal:
    """The journal of a run, from where the trainer stands; of several processes, the first one keeps it.

    ``seconds`` and ``flat`` are the last checkpoint's. ``save_every`` asks for a checkpoint after each so many steps,
    beside those that come with time. Raises OutputError where the run's folder can't be written.
    """

    def __init__(
        self,
        run: Path,
        trainer: Trainer,
        schedule: Schedule,
        test: Pairs,
        seconds: float,
        flat: Flat | None,
        save_every: int | None,
    ) -> None:
        self.run, self.trainer, self.schedule, self.save_every = run, trainer, schedule, save_every
        self.flat = flat
        self.standing = self._stand(seconds)
        self.diary = Diary(run, test, first_step=trainer.steps_taken, num_measured=schedule.num_frames)
        self._saved, self._saving_took_s = self.standing, 0.0
        if trainer.steps_taken == 0:
            self._paint(with_sheet=True)
        self.clock = Stopwatch(seconds)

    def note_step(self, losses: Losses | None) -> None:
        """Read the clock after a step, and write down what is due, the step's losses too where they were read."""
        before, self.standing = self.standing, self._stand(self.clock.read())
        if any(self._due(before)):
            self._wait()
        sheet_is_due, point_is_due, save_is_due = self._due(before)
        now = self.standing
        with self.clock.paused():
            if losses:
                rate = falling_rate(before.progress, self.trainer.preset.rate_falls_from)
                self.diary.note_losses(now.steps, losses, rate=rate)
            if point_is_due:
                self._paint(with_sheet=sheet_is_due)
            if save_is_due:
                self.write_checkpoint()

    def note_end(self) -> None:
        """Save where the trainer stands, unless that was done; raises MuecaError at weights that are no numbers."""
        if self._saved.steps != self.standing.steps:
            self._wait()
            self.write_checkpoint()

    def write_checkpoint(self) -> None:
        """Write a checkpoint of where the trainer stands, and the generator to drive with."""
        start, now = time.perf_counter(), self.standing
        save_checkpoint(self.run, Checkpoint(self.trainer.state(), now.steps, now.seconds, self.flat))
        save_generator(self.run / GENERATOR, self.trainer.best)
        self._saved, self._saving_took_s = now, time.perf_counter() - start

    def close(self) -> None:
        """Finish what lies open."""
        self.diary.close()

    def _stand(self, seconds: float) -> Standing:
        steps = self.trainer.steps_taken
        share = self.schedule.share(steps, seconds)
        return Standing(steps, seconds, share, self.schedule.progress(steps, seconds, self.flat))

    def _paint(self, *, with_sheet: bool) -> None:
        paint, now = painter(self.trainer.best), self.standing
        if with_sheet:
            self.diary.note_pictures(now.steps, paint)
        self.diary.note_point(now.steps, now.seconds, paint)
        if self.flat is None and self.schedule.may_turn_flat(now.steps, now.seconds):
            self.flat = find_flat(self.diary.curve)
            self.standing = self._stand(now.seconds)

    def _save_is_due(self) -> bool:
        if self.save_every and self.standing.steps % self.save_every == 0:
            return True
        wait = min(_MOST_BETWEEN_SAVES_S, max(_LEAST_BETWEEN_SAVES_S, self._saving_took_s / _SAVES_SHARE))
        return self.standing.seconds - self._saved.seconds >= wait

    def _due(self, before: Standing) -> tuple[bool, bool, bool]:
        """Return whether a sheet, a point and a checkpoint are due since ``before``."""
        now = self.standing
        sheet = self.schedule.sheet_is_due(before.progress, now.progress)
        return sheet, sheet or self.schedule.point_is_due(before.share, now.share), self._save_is_due()

    def _wait(self) -> None:
        """Wait for the device, whose work belongs to training's time; raise MuecaError at weights that are no numbers.

        A GPU still works on what it was given when the host's clock has moved on by next to nothing.
        """
        if not self.trainer.is_finite():
            raise no_number(self.trainer.steps_taken, self.run)
        self.standing = self._stand(self.clock.read())


def no_number(steps: int, run: Path) -> MuecaError:
    """Return the error that says at which step training ran off to infinity or to no number, and the way out."""
    return MuecaError(
        f"{run}: a loss or weight was no finite number at step {steps}; the last checkpoint is kept: train on "
        "without --fresh, and if it happens at the same step, start over with --fresh and another --seed"
    )
