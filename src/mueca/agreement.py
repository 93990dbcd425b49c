"""new_consent(): a signed record about the clips and pairs that a subject agreed to the use of."""

from __future__ import annotations

from pathlib import Path

from mueca.config import NewConsentSettings
from mueca.consent import Consent, Source, make, printable_name, today, write
from mueca.errors import OutputError, SettingsError
from mueca.files import cannot_write, sha256_of
from mueca.foreign import open_dataset, sha256_of_dataset
from mueca.sources import name_of, open_source, sha256_of_source


def new_consent(out: Path, settings: NewConsentSettings) -> Consent:
    """Write a signed record to ``out`` and return it.

    Raises SettingsError at what a record can't say, InputError where a clip or pairs can't be read, OutputError where
    ``out`` exists, unless ``fresh``, or can't be written.
    """
    if out.exists() and not settings.fresh:
        raise OutputError(f"{out}: exists already; name another file, or replace it with --fresh")
    now = today().isoformat()
    if settings.valid_until is not None and settings.valid_until < now:
        raise SettingsError(f"--until {settings.valid_until}: is over, today is {now} in UTC; name a day to come")
    sources = [source_of_clip(clip) for clip in settings.clips]
    for folder in settings.pairs:
        data = open_dataset(folder, settings.condition)
        sources.append(Source(printable_name(folder.resolve().name), sha256_of_dataset(data)))
    consent = make(
        subject=settings.subject or "",
        asked_by=settings.asked_by or settings.subject or "",
        purposes=settings.purposes,
        sources=sources,
        valid_from=settings.valid_from or now,
        valid_until=settings.valid_until or "",
        given=settings.given or "self",
        form=Source(printable_name(settings.form.name), sha256_of(settings.form)) if settings.form else None,
        withdrawal=settings.withdrawal,
        notes=settings.notes,
    )
    try:
        write(out, consent)
    except OSError as error:
        raise cannot_write(out, error) from error
    return consent


def source_of_clip(clip: Path) -> Source:
    """Return what a consent names of a video, or of a folder of pictures; raises InputError where it is neither."""
    open_source(clip)
    return Source(printable_name(name_of(clip)), sha256_of_source(clip))
