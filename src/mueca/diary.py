"""What training writes down for people: losses and pictures for TensorBoard, sample sheets, a time-lapse."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from mueca.gan import Losses
from mueca.marks import SYNTHETIC, Mark, Picture, composite, stamp
from mueca.nets.painting import Painter
from mueca.pairs import Pairs
from mueca.pictures import contact_sheet, read_picture, write_picture
from mueca.runs import LOG, SAMPLES, TIME_LAPSE

_TITLES = ("Condition", "Ground truth", "Prediction")
_NUM_SAMPLES = 4
_SHEETS_PER_SECOND = 4
_LAST_SHEET_STAYS_S = 1


class Diary:
    """The diary of a run from ``first_step`` on; what a killed process wrote of later steps goes."""

    def __init__(self, run: Path, test: Pairs, *, first_step: int) -> None:
        chosen = np.linspace(0, len(test.targets) - 1, _NUM_SAMPLES).round().astype(int)
        self.run = run
        self.conditions, self.targets = test.conditions[chosen], test.targets[chosen]
        for sheet in self._sheets():
            if sheet.stem > _stem(first_step):
                sheet.unlink()
        self.log = SummaryWriter(run / LOG, purge_step=first_step)

    def note_losses(self, step: int, losses: Losses, *, rate: float) -> None:
        """Write a step's losses, and the factor of the learning rates, for TensorBoard."""
        for name, value in asdict(losses).items():
            self.log.add_scalar(f"loss/{name}", value, step)
        self.log.add_scalar("rate", rate, step)

    def note_pictures(self, step: int, paint: Painter) -> None:
        """Paint the same test frames as ever: a sheet in ``RUN/samples``, and the fakes for TensorBoard."""
        fakes = paint(self.conditions)
        sheet, mark = self._sheet(fakes)
        write_picture(self.run / SAMPLES / f"{_stem(step)}.jpg", sheet, mark=mark)
        # An event file has no place for XMP: the badge in the picture is the mark that these carry.
        for i, fake in enumerate(fakes):
            self.log.add_image(f"fake/{i}", stamp(fake, SYNTHETIC), step, dataformats="HWC")
        self.log.flush()

    def write_time_lapse(self) -> None:
        """Make ``RUN/samples.mp4`` of all sheets; the last one stays for a while."""
        from mueca.video import VideoWriter  # PyAV: a machine that only trains may lack it

        blank, mark = self._sheet(self.targets)
        sheets = self._sheets()
        with VideoWriter(self.run / TIME_LAPSE, size_px=(blank.shape[1], blank.shape[0]), mark=mark) as film:
            for i, path in enumerate(sheets):
                film.write(read_picture(path), i / _SHEETS_PER_SECOND)
            film.write(read_picture(sheets[-1]), (len(sheets) - 1) / _SHEETS_PER_SECOND + _LAST_SHEET_STAYS_S)

    def close(self) -> None:
        """Finish the TensorBoard log."""
        self.log.close()

    def _sheets(self) -> list[Path]:
        return sorted((self.run / SAMPLES).glob("step_????????.jpg"))

    def _sheet(self, fakes: np.ndarray) -> tuple[Picture, Mark]:
        sheet, boxes = contact_sheet(list(zip(self.conditions, self.targets, fakes, strict=True)), titles=_TITLES)
        return sheet, composite(*(row[-1] for row in boxes))


def _stem(step: int) -> str:
    return f"step_{step:08d}"
