"""Under which consent a run may learn: the one that is named, its own, the user's about their own face, an actor's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from mueca import ledger
from mueca.config import PURPOSES, Purpose
from mueca.consent import LAST_DAY, Consent, Source, make, printable_name, read, require, today
from mueca.errors import ConsentError, InputError, SettingsError
from mueca.foreign import Dataset
from mueca.keys import user_key
from mueca.pairs import MANIFEST, read_manifest
from mueca.runs import CONSENT

SELF_DAYS = 3650
"""Of what ``--self`` attests. One's own face needs no end, and a record does; it can be withdrawn on any day."""


def sources_of(data: Dataset, pairs_sha256: str) -> tuple[Source, ...]:
    """Return what a consent to learn from these pairs may name: the clip that they come from, and they themselves.

    Only mueca's own pairs tell their clip. Raises InputError where the manifest is damaged.
    """
    pairs = Source(printable_name(data.folder.resolve().name), pairs_sha256)
    if data.layout != "pairs":
        return (pairs,)
    manifest = read_manifest(data.folder)
    try:
        return Source(printable_name(manifest.source_name), manifest.source_sha256), pairs
    except SettingsError as error:
        path = data.folder / MANIFEST
        raise InputError(f"{path}: can't be read ({error}); extract the pairs again with --fresh") from error


def consent_to_train(
    run: Path,
    sources: Sequence[Source],
    *,
    consent: Path | None,
    own_face: bool,
    purposes: Sequence[Purpose] = ("train",),
) -> Consent:
    """Return the record under which a run may learn from these sources.

    That is the one in ``consent`` where it is named, else the run's own where it holds, else with ``own_face`` a new
    one that says so, else a new one for a clip that mueca drew: the actors bring theirs. Writes nothing into the run.
    Raises ConsentError where there is none, where the one named does not hold, or where the run's own was withdrawn.
    """
    if consent is not None:
        named = read(consent)
        require(named, str(consent), purposes=purposes, sources=sources)
        return named
    failure, path = None, run / CONSENT
    if path.exists():
        try:
            kept = read(path)
        except ConsentError as error:
            failure = error
        else:
            is_withdrawn = ledger.is_withdrawn(kept.id)
            try:
                require(kept, str(path), purposes=purposes, sources=sources)
                return kept
            except ConsentError as error:
                failure = error
                if is_withdrawn:
                    raise
    if own_face:
        return _attested(sources)
    drawn = next((name for source in sources if (name := ledger.drawn_by_mueca(source.sha256))), None)
    if drawn:
        return _drawn(drawn, sources)
    raise failure or ConsentError(
        f"{sources[0].name}: there is no consent to learn from it; name the subject's record with --consent FILE "
        "(mueca consent new makes one), or --self where the face is your own"
    )


def _attested(sources: Sequence[Source]) -> Consent:
    """Return a record in which this user agrees to the use of their own face; they are known by their key alone."""
    name = f"whoever holds the key {user_key().key_id[:16]}"
    return make(
        subject=name,
        asked_by=name,
        purposes=PURPOSES,
        sources=sources,
        valid_from=today().isoformat(),
        valid_until=(today() + timedelta(days=SELF_DAYS)).isoformat(),
        given="self",
    )


def _drawn(name: str, sources: Sequence[Source]) -> Consent:
    return make(
        subject=name,
        asked_by="mueca, which drew them",
        purposes=PURPOSES,
        sources=sources,
        valid_from=today().isoformat(),
        valid_until=LAST_DAY,
        given="drawn",
        notes="Nobody's likeness.",
    )
