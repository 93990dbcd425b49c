"""extract_all(): many sources, each to a pairs folder of its own, over this machine's processes or Ray's workers."""

from __future__ import annotations

import dataclasses
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar

from tqdm import tqdm

from mueca.config import ExtractSettings
from mueca.errors import MuecaError, OutputError, SettingsError
from mueca.extraction import extract
from mueca.face.detection import make_detector
from mueca.pairs import MANIFEST, Manifest
from mueca.sources import find_sources, name_of
from mueca.spreading import Died, available_cores, over_processes, over_ray

A = TypeVar("A", bound=Any)
Spread = Literal["processes", "ray"]


@dataclass(frozen=True)
class Job:
    """A source, and the folder its pairs go to."""

    source: Path
    pairs: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a manifest, or in one line why there is none."""

    job: Job
    manifest: Manifest | None
    error: str | None


def plan(sources: Sequence[Path], pairs: Path) -> list[Job]:
    """Return the jobs that a call of ``extract`` means.

    One video or one folder of pictures goes to ``pairs`` itself; of several, or of a folder of videos, each goes to
    ``pairs/<its whole name>``, such as ``pairs/take1.mp4``. Raises InputError as ``find_sources`` does, and
    OutputError where several are to go into what is a pairs folder itself.
    """
    found = find_sources(sources)
    if found == list(sources) and len(found) == 1:
        return [Job(found[0], pairs)]
    if (pairs / MANIFEST).is_file():
        raise OutputError(f"{pairs}: is a pairs folder itself, and each video is to get one in it; name another folder")
    return [Job(source, pairs / name_of(source)) for source in found]


def extract_all(
    jobs: Sequence[Job],
    settings: ExtractSettings | None = None,
    *,
    spread: Spread | None = None,
    ray_address: str | None = None,
    show_progress: bool = False,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Extract every job's pairs, several at a time, and return the outcomes in the order of the jobs.

    ``settings.workers`` is how many work at a time on this machine (one for each core when None); a cluster decides
    for itself. Each works alone, so that the bytes are those of ``extract`` with one worker, which are those of any
    number, and remembers nothing of its video, so that many need little memory. A job that fails stops no other;
    one that is done already is left as it is. ``tell`` is called in the order in which they end. ``spread`` None: Ray
    where it is installed; ``ray_address`` is that of a running cluster, "auto" finds one, None: Ray on this machine.
    Raises ModelFileError where a detector's file can't be had, and SettingsError where Ray can't, or where processes
    are asked for and an address as well.
    """
    if spread == "processes" and ray_address is not None:
        raise SettingsError(f"ray_address {ray_address}: is Ray's, and spread is 'processes'; leave one of them out")
    settings = settings or ExtractSettings()
    make_detector(settings.detector, models=settings.models, min_score=settings.min_score)  # downloads, complains: once
    ends = _spread(jobs, dataclasses.replace(settings, workers=1), settings.workers, spread, ray_address)
    outcomes: dict[int, Outcome] = {}
    with closing(ends), tqdm(total=len(jobs), unit=" videos", disable=not show_progress, dynamic_ncols=True) as bar:
        for number, result in ends:
            outcomes[number] = _checked(jobs[number], result)
            with bar.external_write_mode():
                tell(outcomes[number])
            bar.update()
    return [outcomes[number] for number in range(len(jobs))]


def _spread(
    jobs: Sequence[Job], alone: ExtractSettings, workers: int | None, spread: Spread | None, ray_address: str | None
) -> Iterator[tuple[int, Outcome | Died]]:
    """Yield (number of the job, what came of it) as the jobs end."""
    is_asked_for = spread == "ray" or ray_address is not None
    if is_asked_for or (spread is None and find_spec("ray")):
        there = partial(_extract_there if ray_address is not None else extract_one, settings=_absolute(alone))
        try:
            return over_ray(there, [_absolute(job) for job in jobs], workers=workers, address=ray_address)
        except SettingsError as error:
            if is_asked_for:
                raise
            warnings.warn(f"{error}; going on without Ray", stacklevel=3)
    return over_processes(partial(extract_one, settings=alone), jobs, workers=workers or available_cores())


def extract_one(job: Job, settings: ExtractSettings) -> Outcome:
    """Extract one job's pairs; whatever goes wrong is the outcome's."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the detector lacks: said once, by the process that spreads
            return Outcome(job, extract(job.source, job.pairs, settings, remember_bytes=0), None)
    except MuecaError as error:
        return Outcome(job, None, str(error))
    except Exception as error:  # noqa: BLE001 - a fault in one job must not end the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        return Outcome(job, None, f"{job.source}: {what}")


def _extract_there(job: Job, settings: ExtractSettings) -> Outcome:
    """Extract on a machine of a cluster, which may lack what the caller's has."""
    if not job.source.exists():
        where = f"does not exist on {socket.gethostname()}, one of Ray's machines"
        return Outcome(job, None, f"{job.source}: {where}; {_SHARE}")
    return extract_one(job, settings)


_SHARE = "name videos and pairs in a folder that all of them share"


def _checked(job: Job, result: Outcome | Died) -> Outcome:
    """Return the outcome of this very job: a worker may have died, or written where nobody here can read."""
    if isinstance(result, Died):
        return Outcome(job, None, f"{job.source}: given up after two tries: {result.why}")
    if result.manifest is not None and not (job.pairs / MANIFEST).is_file():
        return Outcome(job, None, f"{job.pairs}: was written on another machine and can't be seen here; {_SHARE}")
    return Outcome(job, result.manifest, result.error and _in_own_paths(result.error, job))


def _in_own_paths(message: str, job: Job) -> str:
    """Return the message with the caller's paths: Ray's workers are given absolute ones."""
    for path in sorted((job.source, job.pairs), key=lambda path: -len(str(path.absolute()))):
        message = message.replace(f"{path.absolute()}", str(path))
    return message


def _absolute(record: A) -> A:
    """Return the dataclass with absolute paths: Ray's workers stand in folders of their own."""
    paths = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return dataclasses.replace(record, **{k: v.absolute() for k, v in paths.items() if isinstance(v, Path)})
