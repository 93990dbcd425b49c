"""What a run has ready before its first step: the pairs, the settings resolved, whom the pairs show."""

from __future__ import annotations

import dataclasses
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from mueca import ledger
from mueca.checkpoint import choose_device, choose_precision, use_threads
from mueca.config import LengthKind, TrainSettings
from mueca.consent import Consent
from mueca.distribution import Group, Place
from mueca.errors import InputError
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.nets.building import architecture_of
from mueca.pairs import Pairs
from mueca.permission import consent_to_train, sources_of
from mueca.portraits import subject_of
from mueca.presets import PRESETS, Preset
from mueca.runs import Run, is_empty, read_run
from mueca.schedule import FALL_OF_AUTO, Schedule
from mueca.subject import SUBJECT, Subject, Undrivable, fit_subject, read_known, with_charts

_PATIENCE_S, _PATIENCE_WITH_TARGETS_S = 600.0, 7200.0
"""How long processes wait for each other; the second where the first learns the subject from thousands of targets."""


@dataclass(frozen=True)
class Task:
    """What a process has ready before it meets the others: the pairs, the run's record, the end to reach."""

    training: Pairs
    test: Pairs
    record: Run
    schedule: Schedule
    device: torch.device
    consent: Consent | None
    """Under which the run is trained; None in all processes but the first."""
    subject: Subject | Undrivable | None
    """None in all processes but the first."""
    patience_s: float
    """How long the others wait for this one, and it for them."""

    @property
    def undrivable(self) -> str | None:
        """Why the run can't be driven, in words; None: it can."""
        return self.subject.undrivable if isinstance(self.subject, Undrivable) else None


def prepare(pairs: Path, run: Path, settings: TrainSettings, place: Place, *, show_progress: bool) -> Task:
    """Read the pairs, resolve the settings and, in the first process, learn who the subject is and that they agree.

    Raises ConsentError where they don't.
    """
    data = open_dataset(pairs, settings.condition)
    training, test = read_part(data, "train"), read_part(data, "test")
    device = choose_device(settings.device)
    record = _resolve(data, settings, run, device, place)
    is_first = place.rank == 0
    consent = _consent_of(data, record, run) if is_first else None
    record = dataclasses.replace(record, consent=consent and consent.reference)
    subject = _learn_subject(data, training, run, record, show_progress=show_progress) if is_first else None
    if record.preset.textures:  # the pairs are mueca's own
        atlas = (subject or fit_subject(data.folder)).atlas
        training, test = (with_charts(part, data.folder, atlas) for part in (training, test))
    return Task(
        training=training,
        test=test,
        record=record,
        schedule=Schedule(record.length_kind, record.length, len(training.targets), record.preset.batch, settings.stop),
        device=device,
        consent=consent,
        subject=subject,
        patience_s=_PATIENCE_S if data.layout == "pairs" else _PATIENCE_WITH_TARGETS_S,
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
        architecture=architecture_of(preset),
    )


def _consent_of(data: Dataset, record: Run, run: Path) -> Consent:
    sources, settings = sources_of(data, record.pairs_sha256), record.settings
    consent = consent_to_train(run, sources, consent=settings.consent, own_face=settings.own_face)
    ledger.require_writable()
    return consent


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
    """Return what the pairs tell of the subject; what was once found in targets, the run keeps."""
    settings = record.settings
    is_found = data.layout != "pairs" and not settings.fresh and (run / SUBJECT).exists()
    if is_found and read_run(run).pairs_sha256 == record.pairs_sha256:
        with suppress(InputError):  # a damaged one is made again
            return read_known(run)
    return subject_of(data, training, detector=settings.detector, models=settings.models, show_progress=show_progress)
