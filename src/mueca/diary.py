"""What training writes down for people: losses and pictures for TensorBoard, the curve, sample sheets, a time-lapse."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from mueca import manifests, metrics
from mueca.curve import Point, curve_until, write_curve
from mueca.gan import Losses
from mueca.marks import SYNTHETIC, Mark, Picture, composite, stamp
from mueca.painter import Painter
from mueca.pairs import Pairs
from mueca.pictures import contact_sheet, read_picture, write_picture
from mueca.runs import LOG, SAMPLES, TIME_LAPSE

_TITLES = ("Condition", "Ground truth", "Prediction")
_NUM_SAMPLES = 4
_SHEETS_PER_SECOND = 4
_LAST_SHEET_STAYS_S = 1


class Diary:
    """The diary of a run from ``first_step`` on; what a killed process wrote of later steps goes.

    A curve that is gone on with keeps its held-out frames, however many ``num_measured`` says: its points would not
    compare. Raises MuecaError where its pictures couldn't be signed.
    """

    def __init__(self, run: Path, test: Pairs, *, first_step: int, num_measured: int) -> None:
        manifests.require_key(SYNTHETIC)
        self.run = run
        self.samples = _evenly(test, _NUM_SAMPLES)
        self.curve = curve_until(run, first_step)
        num_before = self.curve[-1].num_frames if self.curve else 0
        self.measured = _evenly(test, min(num_before or num_measured, len(test.targets)))
        for sheet in _sheets(run):
            if sheet.stem > _stem(first_step):
                sheet.unlink()
        self.log = SummaryWriter(run / LOG, purge_step=first_step + 1 if first_step else 0)

    def note_losses(self, step: int, losses: Losses, *, rate: float) -> None:
        """Write a step's losses, and the factor of the learning rates, for TensorBoard."""
        for name, value in asdict(losses).items():
            self.log.add_scalar(f"loss/{name}", value, step)
        self.log.add_scalar("rate", rate, step)

    def note_pictures(self, step: int, paint: Painter) -> None:
        """Paint the same test frames as ever: a sheet in ``RUN/samples``, and the fakes for TensorBoard."""
        fakes = paint(self.samples.conditions, self.samples.charts)
        sheet, mark = self._sheet(fakes)
        write_picture(self.run / SAMPLES / f"{_stem(step)}.jpg", sheet, mark=mark)
        # An event file has no place for XMP: the badge in the picture is the mark that these carry.
        for i, fake in enumerate(fakes):
            self.log.add_image(f"fake/{i}", stamp(fake, SYNTHETIC), step, dataformats="HWC")
        self.log.flush()

    def note_point(self, step: int, seconds: float, paint: Painter) -> None:
        """Add to ``RUN/curve.json`` how near the painter comes to the same held-out frames as ever."""
        point = measure(paint, self.measured, steps=step, seconds=seconds)
        self.curve = (*(earlier for earlier in self.curve if earlier.steps < step), point)
        write_curve(self.run, self.curve)
        for name in ("l1", "psnr", "ssim"):
            self.log.add_scalar(f"held_out/{name}", getattr(point, name), step)
        self.log.flush()

    def write_time_lapse(self) -> None:
        """Make ``RUN/samples.mp4`` of all sheets; the last one stays for a while. Without PyAV, warn of it."""
        sheets = _sheets(self.run)
        if not sheets:
            return
        if not _has_pyav():
            warnings.warn(f"no {self.run / TIME_LAPSE}: PyAV is not installed", stacklevel=2)
            return
        from mueca.video import VideoWriter  # a machine that only trains may lack PyAV

        blank, mark = self._sheet(self.samples.targets)
        with VideoWriter(self.run / TIME_LAPSE, size_px=(blank.shape[1], blank.shape[0]), mark=mark) as film:
            for i, path in enumerate(sheets):
                film.write(read_picture(path), i / _SHEETS_PER_SECOND)
            film.write(read_picture(sheets[-1]), (len(sheets) - 1) / _SHEETS_PER_SECOND + _LAST_SHEET_STAYS_S)

    def close(self) -> None:
        """Finish the TensorBoard log."""
        self.log.close()

    def _sheet(self, fakes: np.ndarray) -> tuple[Picture, Mark]:
        sheet, boxes = contact_sheet(
            list(zip(self.samples.conditions, self.samples.targets, fakes, strict=True)), titles=_TITLES
        )
        return sheet, composite(*(row[-1] for row in boxes))


def measure(paint: Painter, pairs: Pairs, *, steps: int, seconds: float) -> Point:
    """Return the point that the painter reaches on these pairs."""
    both = list(zip(paint(pairs.conditions, pairs.charts), pairs.targets, strict=True))
    decibels = (min(metrics.psnr(fake, real), metrics.PSNR_OF_EQUALS_DB) for fake, real in both)
    l1, ssim = (fmean(of(fake, real) for fake, real in both) for of in (metrics.l1, metrics.ssim))
    return Point(steps, seconds, l1=l1, psnr=fmean(decibels), ssim=ssim, num_frames=len(pairs.targets))


def is_time_lapse_due(run: Path) -> bool:
    """Return whether ``RUN/samples.mp4`` could be made and is missing, or older than the newest sheet."""
    film, sheets = run / TIME_LAPSE, _sheets(run)
    if not sheets or not _has_pyav():
        return False
    return not film.exists() or film.stat().st_mtime_ns < sheets[-1].stat().st_mtime_ns


def _has_pyav() -> bool:
    return importlib.util.find_spec("av") is not None


def _sheets(run: Path) -> list[Path]:
    return sorted((run / SAMPLES).glob("step_????????.jpg"))


def _evenly(test: Pairs, number: int) -> Pairs:
    """Return so many of the pairs, spread evenly over all."""
    chosen = np.linspace(0, len(test.targets) - 1, number).round().astype(int)
    return Pairs(
        conditions=test.conditions[chosen],
        targets=test.targets[chosen],
        frame_index=test.frame_index[chosen],
        names=tuple(test.names[row] for row in chosen),
        charts=None if test.charts is None else test.charts[chosen],
    )


def _stem(step: int) -> str:
    return f"step_{step:08d}"
