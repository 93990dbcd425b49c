"""The run folder: what it holds, what may go on in it, and who may write to it. Needs no torch.

::

    RUN/settings.json           all settings, the resolved preset, the pairs' path and hash, versions, earlier starts
    RUN/consent.json            the subject's consent to it, see mueca.consent
    RUN/subject.json            what training learned of the subject's landmarks
    RUN/generator.safetensors   the generator to drive with, renewed at each checkpoint
    RUN/checkpoints/            the newest two, see mueca.checkpoint
    RUN/samples/, samples.mp4   Condition | Ground truth | Prediction while it learned
    RUN/curve.json              how near it came to the held-out frames while it learned, see mueca.curve
    RUN/log/                    TensorBoard's
"""

from __future__ import annotations

import fcntl
import json
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path

from mueca import consent as consents
from mueca.config import LengthKind, Precision, TrainSettings, from_json, to_json
from mueca.consent import Consent, Reference
from mueca.errors import ConsentError, FieldsError, InputError, OutputError, SettingsError
from mueca.files import write_whole
from mueca.presets import Preset
from mueca.version import VERSION

SETTINGS = "settings.json"
CONSENT = consents.FILE
GENERATOR = "generator.safetensors"
CHECKPOINTS = "checkpoints"
SAMPLES = "samples"
LOG = "log"
TIME_LAPSE = "samples.mp4"

_MADE_HERE = (
    GENERATOR, CHECKPOINTS, SAMPLES, LOG, TIME_LAPSE,
    "subject.json", "curve.json", "metrics.json", "report.html", "compare.html", "fakes",
)  # fmt: skip
_LOCK = ".lock"
_KIND = "mueca run"


@dataclass(frozen=True)
class Versions:
    """What a run was last trained with."""

    mueca: str = VERSION
    python: str = field(default_factory=platform.python_version)
    numpy: str = field(default_factory=lambda: metadata.version("numpy"))
    torch: str = field(default_factory=lambda: metadata.version("torch"))
    platform: str = field(default_factory=platform.platform)


@dataclass(frozen=True)
class WeightsFile:
    """A file that an imported run's weights came from."""

    name: str
    """Without its folder."""
    sha256: str


@dataclass(frozen=True)
class Origin:
    """What an imported run began from."""

    generator: WeightsFile
    discriminator: WeightsFile | None
    """None: it was drawn from ``seed``."""
    seed: int
    """Of what isn't in the files, when they were imported."""


@dataclass(frozen=True)
class Start:
    """An earlier start of a run, until it was gone on with: what may differ from start to start; see ``Run``."""

    first_step: int
    length_kind: LengthKind
    length: float
    threads: int
    num_processes: int
    precision: Precision
    device: str
    versions: Versions


@dataclass(frozen=True)
class Run:
    """What ``settings.json`` holds: all that it takes to repeat a run."""

    kind: str = field(default=_KIND, kw_only=True)
    """First, so that a file that was cut off still says whose it is."""
    settings: TrainSettings
    preset: Preset
    length_kind: LengthKind
    length: float
    """Epochs, steps or seconds, as ``length_kind`` says."""
    pairs: Path
    """The pairs folder, absolute, where it was at the last start."""
    pairs_sha256: str
    threads: int
    """Threads that the networks ran on; the same bits come back with the same number only."""
    num_processes: int = 1
    precision: Precision = "float32"
    """What the networks computed in, as it was resolved; the batch stands in the preset."""
    device: str = ""
    """What the networks ran on last: the kind, and which one."""
    versions: Versions = field(default_factory=Versions)
    architecture: int = 0
    """Of the generator: what its weights mean, see ``mueca.nets.compact.ARCHITECTURE``."""
    origin: Origin | None = None
    """None: the weights were drawn from the seed."""
    consent: Reference | None = None
    """Which record ``RUN/consent.json`` is; None: an older mueca asked for none."""
    first_step: int = 0
    """Steps that were done when the last start went on."""
    earlier: tuple[Start, ...] = ()
    """The starts before the last one, in order; each ends where the next one goes on."""


def read_run(run: Path) -> Run:
    """Return what ``RUN/settings.json`` says; raises InputError where the folder is no run or the file is damaged."""
    path = run / SETTINGS
    if not path.is_file():
        raise InputError(f"{run}: is no run folder (it has no {SETTINGS}); make one with: mueca train PAIRS RUN")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("kind") != _KIND:
            raise InputError(
                f"{run}: is no run folder ({SETTINGS} is something else's); make one with: mueca train PAIRS RUN"
            )
        return from_json(Run, values)
    except FieldsError as error:
        raise InputError(
            f"{path}: can't be read: another version of mueca wrote it ({error}); train again with --fresh or in "
            "another folder, the pairs stay"
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: can't be read ({error}); train again with --fresh or name another run") from error


def read_consent(run: Path) -> Consent:
    """Return the consent that the run was trained under, not yet checked; raises ConsentError where it holds none."""
    record, path = read_run(run), run / CONSENT
    if record.consent is None or not path.exists():
        raise ConsentError(
            f"{run}: holds no consent record; give it one: mueca train {record.pairs} {run} --consent FILE, or --self, "
            "with the settings that it was trained with; where it is done, no step is added"
        )
    consent = consents.read(path)
    if consent.reference != record.consent:
        raise ConsentError(
            f"{path}: is another record than {SETTINGS} names; put the right one there, or name it: mueca train "
            f"{record.pairs} {run} --consent FILE"
        )
    return consent


def gone_on_with(earlier: Run, record: Run, first_step: int) -> Run:
    """Return the record of a start that goes on after ``first_step`` steps, with what ``earlier`` tells of those.

    Starts that began no earlier than that left nothing in the weights, and are forgotten.
    """
    last = Start(**{f.name: getattr(earlier, f.name) for f in fields(Start)})
    starts = tuple(start for start in (*earlier.earlier, last) if start.first_step < first_step)
    return replace(record, origin=earlier.origin, first_step=first_step, earlier=starts)


def require_architecture(run: Path, record: Run, wanted: int) -> None:
    """Raise InputError unless the run's generator is of the architecture that is built now."""
    if record.architecture != wanted:
        raise InputError(
            f"{run}: its {record.preset.generator} generator has architecture {record.architecture}, this version of "
            f"mueca builds {wanted}, and the same weights would paint something else; train again with --fresh or in "
            "another folder, the pairs stay"
        )


def write_run(run: Path, record: Run) -> None:
    """Write ``RUN/settings.json``."""
    write_whole(run / SETTINGS, json.dumps(to_json(record), indent=2) + "\n")


def require_free(run: Path) -> None:
    """Raise OutputError unless the folder is absent, empty or a run, whose settings may be damaged."""
    if run.exists() and not run.is_dir():
        raise OutputError(f"{run}: is a file; name a folder for the run")
    if not run.is_dir() or _has_settings(run):
        return
    strange = [p.name for p in run.iterdir() if p.name not in (_LOCK, CONSENT) and ".partial" not in p.suffixes]
    if strange:
        named = SETTINGS if SETTINGS in strange else min(strange)
        raise OutputError(f"{run}: holds something else ({named}); name another folder for the run")


def _has_settings(run: Path) -> bool:
    """Return whether the folder's settings are a run's; damaged ones are where a run's other files lie beside them."""
    if not (run / SETTINGS).is_file():
        return False
    text = (run / SETTINGS).read_text(encoding="utf-8", errors="replace")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return _KIND in text and any((run / name).exists() for name in (GENERATOR, CHECKPOINTS))
    return isinstance(values, dict) and values.get("kind") == _KIND


def newest_step(run: Path) -> int | None:
    """Return the step of the run's newest checkpoint, by its name; None where there is none."""
    names = [path.name.removeprefix("step_") for path in (run / CHECKPOINTS).glob("step_*")]
    return max((int(name) for name in names if name.isdecimal()), default=None)


def is_empty(run: Path) -> bool:
    """Return whether nothing that was learned lies there: a fresh start was killed before it saved anything."""
    return newest_step(run) is None and not (run / GENERATOR).exists()


def require_same(run: Path, earlier: Run, wanted: Run) -> None:
    """Raise OutputError, naming the first difference, unless ``wanted`` can go on where ``earlier`` stopped.

    Device, precision, threads, processes, the place of the pairs and a longer length may differ, and the kind of length
    where the rates don't depend on it. At step 0, as an imported run stands, only the networks and the pairs decide.
    Rates follow the share of the length: a longer one raises again those that had fallen.
    """
    is_begun = newest_step(run) != 0
    decisive = ("length_kind", "pairs_sha256") if is_begun and wanted.preset.rate_falls_from < 1 else ("pairs_sha256",)
    differences = [
        (name.replace("_", " "), getattr(earlier, name), getattr(wanted, name))
        for name in decisive
        if getattr(earlier, name) != getattr(wanted, name)
    ]
    for part in ("settings", "preset"):
        before, now = getattr(earlier, part), getattr(wanted, part)
        names = ["preset", "seed", "stop"] if part == "settings" else [f.name for f in fields(before)]
        names = names if is_begun else [n for n in names if n in ("preset", "width_generator", "width_discriminator")]
        differences += [
            (n, getattr(before, n), getattr(now, n)) for n in names if getattr(before, n) != getattr(now, n)
        ]
    for name, before, now in differences[:1]:
        raise OutputError(
            f"{run}: was trained with {name} {before}, not {now}; name another folder, or start over with --fresh"
        )


def clear(run: Path) -> None:
    """Remove an earlier run's files, and nothing that mueca didn't make; after ``remove_partials``."""
    for name in _MADE_HERE:
        path = run / name
        if path.is_dir() and not path.is_symlink():
            # Renamed first: a kill leaves no half of a checkpoint, and remove_partials takes the rest.
            shutil.rmtree(path.rename(run / f".{name}.partial"))
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep other processes out of the run folder, which is made if need be; raises OutputError if one is in it."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        file = (run / _LOCK).open("w")
    except OSError as error:
        raise OutputError(f"{run}: can't be written ({error.strerror}); name another folder") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputError(f"{run}: another process trains in it; wait for it or name another folder") from error
        yield


def remove(run: Path) -> list[str]:
    """Remove all of a run that mueca made, and the folder where nothing else is in it; return what else is.

    Raises OutputError where a process trains in it.
    """
    with locked(run):
        remove_partials(run)
        clear(run)
        for name in (CONSENT, SETTINGS, _LOCK):  # the settings last but one: until then it is known as a run
            (run / name).unlink(missing_ok=True)
    others = sorted(path.name for path in run.iterdir())
    if not others:
        run.rmdir()
    return others


def remove_partials(run: Path) -> None:
    """Remove what a killed process had half written; call it under the lock only."""
    for path in [p for folder in (run, run / CHECKPOINTS, run / SAMPLES) for p in folder.glob(".*.partial*")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
