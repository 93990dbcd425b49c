"""Networks of the reference PyTorch implementation come in as runs, and runs go out as its files.

Its ``latest_net_G.pth`` and ``latest_net_D.pth`` are pickles of a plain state dict. They are read as tensors alone: of
the code that a stranger's pickle may hold nothing runs.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mueca import consent as consents
from mueca import ledger
from mueca.checkpoint import Checkpoint, load_newest, save_checkpoint, save_generator
from mueca.config import ExportSettings, ImportSettings, TrainSettings
from mueca.consent import Consent
from mueca.errors import InputError, OutputError, SettingsError
from mueca.files import cannot_write, sha256_of, whole_folder, write_whole
from mueca.foreign import Dataset, open_dataset, read_part, sha256_of_dataset
from mueca.gan import Trainer
from mueca.nets.building import architecture_of
from mueca.nets.reference import (
    discriminator_from_reference,
    discriminator_to_reference,
    generator_from_reference,
    generator_to_reference,
    width_of,
)
from mueca.pairs import Pairs
from mueca.permission import consent_to_train, sources_of
from mueca.portraits import subject_of
from mueca.presets import PRESETS, Preset
from mueca.runs import (
    CHECKPOINTS,
    CONSENT,
    GENERATOR,
    Origin,
    Run,
    WeightsFile,
    read_run,
    require_architecture,
    write_run,
)
from mueca.subject import SUBJECT, Subject, Undrivable, write_subject

State = dict[str, Tensor]

PRESET = "paper"
"""The preset whose networks and losses are the reference's."""
GENERATOR_FILE, DISCRIMINATOR_FILE = "latest_net_G.pth", "latest_net_D.pth"
_LARGEST_FILE = 2 << 30
"""Bytes; the U-Net's at width 64 takes 218 million."""


@dataclass(frozen=True)
class Imported:
    """What ``import_reference`` made."""

    run: Path
    width_generator: int
    width_discriminator: int
    discriminator: Path | None
    """The file that the discriminator came from; None: it was drawn from the seed."""
    undrivable: str | None
    """Why the run can't be driven, in words; None: it can."""


@dataclass(frozen=True)
class ReferenceFiles:
    """What ``export_reference`` wrote, and of which step."""

    generator: Path
    discriminator: Path
    steps: int


def import_reference(
    generator: Path, run: Path, settings: ImportSettings | None = None, *, show_progress: bool = False
) -> Imported:
    """Make a run folder, at step 0 of preset ``paper``, from the reference's generator and, if named, discriminator.

    ``run`` appears whole or not at all. Raises InputError where a file is not the reference's or the pairs can't be
    used, ConsentError where the subject's consent to learn from the pairs is missing or does not hold, OutputError
    where ``run`` exists and isn't empty, SettingsError where no pairs are named.
    """
    settings = settings or ImportSettings()
    if settings.pairs is None:
        raise SettingsError("--pairs: name the folder of pairs that the network learned from, or shall go on with")
    if run.exists() and not (run.is_dir() and not any(run.iterdir())):
        raise OutputError(f"{run}: exists already; name another folder for the run, or remove it")
    data = open_dataset(settings.pairs, settings.condition)
    training = read_part(data, "train")
    record, trainer = _prepare(generator, data, training, settings)
    consent = consent_to_train(
        run, sources_of(data, record.pairs_sha256), consent=settings.consent, own_face=settings.own_face
    )
    record = replace(record, consent=consent.reference)
    ledger.require_writable()
    subject = subject_of(
        data, training, detector=settings.detector, models=settings.models, show_progress=show_progress
    )
    _write_run(run, record, trainer, subject, consent)
    return Imported(
        run=run,
        width_generator=record.preset.width_generator,
        width_discriminator=record.preset.width_discriminator,
        discriminator=settings.discriminator,
        undrivable=subject.undrivable if isinstance(subject, Undrivable) else None,
    )


def export_reference(run: Path, out: Path, settings: ExportSettings | None = None) -> ReferenceFiles:
    """Write the run's newest checkpoint as ``OUT/latest_net_G.pth`` and ``latest_net_D.pth`` for the reference.

    Raises InputError where the run has no checkpoint, or its networks are not the reference's or not as they are built
    now, OutputError where the files exist, unless ``fresh``, or can't be written.
    """
    settings = settings or ExportSettings()
    generator, discriminator = out / GENERATOR_FILE, out / DISCRIMINATOR_FILE
    for path in (generator, discriminator):
        if path.exists() and not settings.fresh:
            raise OutputError(f"{path}: exists already; name another folder, or replace it with --fresh")
    record = read_run(run)
    require_architecture(run, record, architecture_of(record.preset))
    checkpoint = load_newest(run)
    if checkpoint is None:
        raise InputError(f"{run / CHECKPOINTS}: holds no checkpoint yet; train on with: mueca train PAIRS {run}")
    parts = checkpoint.parts
    painting, judging = parts.get("average", parts.get("generator", {})), parts.get("discriminator", {})
    states = {
        generator: _renamed(f"{run}: its generator", generator_to_reference, painting),
        discriminator: _renamed(f"{run}: its discriminator", discriminator_to_reference, judging),
    }
    for path, state in states.items():
        _write_state(path, state)
    return ReferenceFiles(generator, discriminator, checkpoint.steps)


def read_state(path: Path) -> State:
    """Return the tensors of a plain state dict, by name, in float32 and int64, on the CPU.

    Whatever else the file is or holds makes an InputError, and nothing in it runs.
    """
    if not path.is_file():
        raise InputError(f"{path}: is no file; name the reference's {GENERATOR_FILE} or its like")
    _require_modest(path)
    try:
        # With weights_only no code runs, and the reference writes no other format
        loaded = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except Exception as error:  # a stranger's pickle may fail in any way there is
        raise InputError(
            f"{path}: can't be read as tensors alone ({type(error).__name__}); ask for the plain state dict, as the "
            f"reference saves it in {GENERATOR_FILE}"
        ) from error
    return _plain_tensors(path, loaded)


def _require_modest(path: Path) -> None:
    """Raise InputError at a file too big, or one that would unpack to more than its size."""
    size = path.stat().st_size
    if size > _LARGEST_FILE:
        raise InputError(f"{path}: has {size / 2**30:.1f} GB; a network of the reference has 0.2")
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: is damaged ({error}); get the file again") from error
    if unpacked > size:
        raise InputError(
            f"{path}: would unpack to {unpacked} bytes from {size}; PyTorch packs nothing: ask for its own"
        )


def _plain_tensors(path: Path, loaded: object) -> State:
    if not isinstance(loaded, Mapping) or not loaded:
        raise InputError(f"{path}: holds {type(loaded).__name__}, no tensors by name; ask for the plain state dict")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: {name!r:.80} is {type(value).__name__}, no tensor; ask for the plain state dict")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise InputError(f"{path}: {name:.80} is no plain tensor; ask for the plain state dict")
    # Tensors that are spread over a single number, or share their numbers, would fill the memory once copied.
    needed, size = sum(value.nbytes for value in loaded.values()), path.stat().st_size
    if needed > size:
        raise InputError(f"{path}: its tensors stand for {needed} bytes in a file of {size}; ask for the plain ones")
    for name, value in loaded.items():
        if not bool(value.isfinite().all()):
            raise InputError(f"{path}: {name:.80} holds a number that is not finite; ask for an earlier epoch's file")
    return {name: value.float() if value.is_floating_point() else value for name, value in loaded.items()}


def _renamed(what: str, change: Callable[[Mapping[str, Tensor]], State], state: Mapping[str, Tensor]) -> State:
    """Return ``change(state)``; an InputError of it says first what the state is."""
    try:
        return change(state)
    except InputError as error:
        raise InputError(f"{what} {error}") from error


def _prepare(generator: Path, data: Dataset, training: Pairs, settings: ImportSettings) -> tuple[Run, Trainer]:
    """Return the run's record, its widths those of the files, and a trainer that holds the files' weights."""
    painting = _renamed(f"{generator}:", generator_from_reference, read_state(generator))
    preset = replace(PRESETS[PRESET], width_generator=width_of(painting))
    judging = None
    if settings.discriminator is not None:
        path = settings.discriminator
        judging = _renamed(f"{path}:", discriminator_from_reference, read_state(path))
        preset = replace(preset, width_discriminator=width_of(judging))
    pair = training.conditions[:1], training.targets[:1]  # nothing is learned here
    trainer = Trainer(preset, *pair, seed=settings.seed, device=torch.device("cpu"))
    trainer.generator.load_state_dict(painting)
    if judging is not None:
        trainer.discriminator.load_state_dict(judging)
    return _record(generator, data, preset, settings), trainer


def _record(generator: Path, data: Dataset, preset: Preset, settings: ImportSettings) -> Run:
    """Return the record that ``train --preset paper`` writes, and goes on with; it tells the files by their hashes."""
    discriminator = settings.discriminator and _told(settings.discriminator)
    given = {name: getattr(settings, name) for name in ("seed", "condition", "detector", "models")}
    return Run(
        settings=TrainSettings(preset=PRESET, **given),
        preset=preset,
        length_kind=preset.length_kind,
        length=preset.length,
        pairs=data.folder.resolve(),
        pairs_sha256=sha256_of_dataset(data),
        threads=torch.get_num_threads(),
        architecture=architecture_of(preset),
        origin=Origin(_told(generator), discriminator, settings.seed),
    )


def _told(path: Path) -> WeightsFile:
    return WeightsFile(path.name, sha256_of(path))


def _write_run(run: Path, record: Run, trainer: Trainer, subject: Subject | Undrivable, consent: Consent) -> None:
    ledger.note("run", run, consent.id)
    try:
        with whole_folder(run, replace=True) as partial:
            write_run(partial, record)
            consents.write(partial / CONSENT, consent)
            write_subject(partial / SUBJECT, subject)
            save_checkpoint(partial, Checkpoint(trainer.state(), steps=0, seconds=0.0))
            save_generator(partial / GENERATOR, trainer.best)
    except OutputError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise cannot_write(run, error.__cause__) from error  # not by its passing name
    except OSError as error:
        raise cannot_write(run, error) from error


def _write_state(path: Path, state: State) -> None:
    data = io.BytesIO()
    torch.save(state, data)  # noqa: TID251 - the reference reads no other format
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise cannot_write(path, error) from error
