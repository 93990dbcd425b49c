"""withdraw(): a consent ends; what this machine made under it is found by the ledger, and deleted on demand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mueca import ledger
from mueca import runs as run_folders
from mueca.consent import Consent, is_signed, read, read_public_key
from mueca.errors import ConsentError, MuecaError, OutputError
from mueca.exported import consent_of, is_exported
from mueca.files import sha256_of
from mueca.runs import CONSENT, read_run

State = Literal["there", "gone", "changed"]


@dataclass(frozen=True)
class Made:
    """Something that was made under a consent, and what has become of it."""

    kind: ledger.Kind
    path: Path
    state: State
    """changed: something else lies there now, or the run no longer names the consent: it is not mueca's to delete."""
    pairs: Path | None = None
    """Of a run that is there: what it learned from, which shows the subject."""


@dataclass(frozen=True)
class Deleted:
    """What ``delete`` did."""

    paths: tuple[Path, ...]
    left: tuple[str, ...]
    """What stays and why, one line each."""


def withdraw(consent_id: str) -> tuple[Made, ...]:
    """End a consent on this machine, and return what was made under it here; nothing is deleted.

    Raises OutputError where the list of withdrawn consents can't be written.
    """
    ledger.note_withdrawal(str(uuid.UUID(consent_id)))
    return find_made(consent_id)


def find_made(consent_id: str) -> tuple[Made, ...]:
    """Return what the ledger says was made under a consent, in the order of time, each path once."""
    hashes: dict[tuple[ledger.Kind, str], set[str]] = {}
    for entry in ledger.entries(consent_id):
        hashes.setdefault((entry.kind, entry.path), set()).add(entry.sha256 or "")
    return tuple(_found(kind, Path(path), known, consent_id) for (kind, path), known in hashes.items())


def delete(made: Iterable[Made], consent_id: str) -> Deleted:
    """Delete those that are there, each looked at once more: of a run's folder, what mueca made in it."""
    paths, left = [], []
    for each in made:
        if each.state != "there" or each not in find_made(consent_id):
            continue
        try:
            others = run_folders.remove(each.path) if each.kind == "run" else _unlink(each.path)
        except (MuecaError, OSError) as error:
            left.append(str(error) if isinstance(error, OutputError) else f"{each.path}: can't be deleted ({error})")
            continue
        paths.append(each.path)
        if others:
            left.append(f"{each.path}: the folder stays, for it holds something else ({others[0]})")
    return Deleted(tuple(paths), tuple(left))


def consent_at(path: Path) -> Consent:
    """Return the record in a file, in a run's folder or in an exported file, as it stands there and not yet checked."""
    if is_exported(path):
        return consent_of(path)
    return read(path / CONSENT if path.is_dir() else path)


def id_of(text: str) -> str:
    """Return the consent's id that is meant: the id itself, or where its record lies; raises ConsentError."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        if not Path(text).exists():
            raise ConsentError(f"{text}: is neither a consent's id nor a file or folder that holds one") from None
        return consent_at(Path(text)).id


def public_key_at(path: Path) -> tuple[bytes, Consent | None]:
    """Return the public key in a file as ``mueca consent key`` prints it, or that of a record, and then the record.

    Raises ConsentError where there is neither, or where the record is not as its key signed it.
    """
    if path.is_dir() or is_exported(path) or path.suffix.lower() == ".json":
        consent = consent_at(path)
        if not is_signed(consent):
            raise ConsentError(f"{path}: was edited after it was signed; there is nothing in it to trust")
        return consent.public_key.encode(), consent
    return read_public_key(path), None


def _found(kind: ledger.Kind, path: Path, known: set[str], consent_id: str) -> Made:
    if not path.exists() and not path.is_symlink():
        return Made(kind, path, "gone")
    try:
        if path.resolve() != path:  # a link stands there now, or on the way
            return Made(kind, path, "changed")
        if kind != "run":
            return Made(kind, path, "there" if path.is_file() and sha256_of(path) in known else "changed")
        record = read_run(path)
    except (MuecaError, OSError):
        return Made(kind, path, "changed")
    if record.consent is None or record.consent.id != consent_id:
        return Made(kind, path, "changed")
    return Made(kind, path, "there", record.pairs)


def _unlink(path: Path) -> list[str]:
    path.unlink()
    return []
