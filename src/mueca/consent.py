"""The consent record: who the subject is, who may do what with which clips, from when to when, and who signed that.

Its fields follow ISO/IEC TS 27560 and the W3C's Data Privacy Vocabulary; ``docs/consent.md`` explains each. It is JSON,
signed over its canonical form (RFC 8785) without the signature, by an ECDSA key on P-256, whose public half it holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from mueca import ledger
from mueca.config import PURPOSES, Purpose, from_json
from mueca.errors import ConsentError, FieldsError, SettingsError
from mueca.files import write_whole
from mueca.keys import KEY_FILE, config_folder, has_signed, key_id_of, user_key
from mueca.version import VERSION

FILE = "consent.json"
"""Its name in a run's folder, and beside exports that can't hold it."""
KIND = "mueca consent"
FORMAT = 1
"""Rises when an older mueca could not check a record that a newer one wrote."""
KNOWN_KEYS = "known_keys"
LAST_DAY = "9999-12-31"
_LARGEST = 1 << 18
"""Bytes, of a record or a key."""
_LONGEST_TEXT = 2000
_MOST_SOURCES = 1000
_KEY_BEGIN, _KEY_END = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"


@dataclass(frozen=True)
class Source:
    """Something that a consent is for, or stands on: a clip, a folder of pictures, pairs, a signed form."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        _require_text("name of a source", self.name)
        if len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef"):
            raise SettingsError(f"sha256 {self.sha256!r:.80}: must be 64 hexadecimal digits")


@dataclass(frozen=True)
class Record:
    """What was agreed."""

    kind: str
    format: int
    mueca_version: str
    id: str
    """A UUID."""
    created: str
    """Date and time in UTC."""
    subject: str
    """Whose face it is (DPV: ``hasDataSubject``)."""
    asked_by: str
    """Who asked them, and answers for what is made (DPV: ``hasDataController``)."""
    purposes: tuple[Purpose, ...]
    """What may be done (DPV: ``hasPurpose``)."""
    valid_from: str
    """The first day, in UTC."""
    valid_until: str
    """The last day, in UTC (DPV: ``hasExpiryTime``)."""
    sources: tuple[Source, ...]
    """What it is for (DPV: ``hasPersonalData``)."""
    given: Literal["spoken", "form", "self", "drawn"]
    """How (DPV: ``hasIndicationMethod``): spoken in the clip; a signed form; the subject themselves ran mueca;
    drawn: by mueca, and nobody's likeness."""
    form: Source | None
    """The signed form, where there is a file of it."""
    withdrawal: str
    """How to withdraw it (DPV: ``hasWithdrawalMethod``)."""
    notes: str

    def __post_init__(self) -> None:
        for name in ("mueca_version", "created", "subject", "asked_by", "withdrawal"):
            _require_text(name, getattr(self, name))
        if self.notes:
            _require_text("notes", self.notes)
        try:
            is_id = str(uuid.UUID(self.id)) == self.id
        except ValueError:
            is_id = False
        if not is_id:
            raise SettingsError(f"id {self.id!r:.80}: must be a UUID in small letters")
        days = [read_day(getattr(self, name)) for name in ("valid_from", "valid_until")]
        if days != sorted(days):
            raise SettingsError(f"valid from {self.valid_from} until {self.valid_until}: ends before it begins")
        if not self.purposes or len(set(self.purposes)) < len(self.purposes):
            raise SettingsError(f"purposes {list(self.purposes)}: must be one or more of {', '.join(PURPOSES)}")
        if not 1 <= len(self.sources) <= _MOST_SOURCES:
            raise SettingsError(f"{len(self.sources)} sources: must be from 1 to {_MOST_SOURCES}")


@dataclass(frozen=True)
class Reference:
    """Which consent a result was made under, as results name it."""

    id: str
    sha256: str
    """Of the record's canonical form, with its signature."""


@dataclass(frozen=True)
class Consent:
    """A record with its signature."""

    record: Record
    public_key: str
    """PEM."""
    signature: str
    """DER, in base64."""

    @property
    def id(self) -> str:
        """The record's id."""
        return self.record.id

    @property
    def sha256(self) -> str:
        """The SHA-256 of the canonical form, with its signature."""
        return sha256(canonical(to_values(self))).hexdigest()

    @property
    def reference(self) -> Reference:
        """What a result tells of it."""
        return Reference(self.id, self.sha256)

    @property
    def key_id(self) -> str:
        """The SHA-256 of the public key that it holds."""
        return key_id_of(self.public_key.encode())


def make(
    *,
    subject: str,
    asked_by: str,
    purposes: Sequence[Purpose],
    sources: Sequence[Source],
    valid_from: str,
    valid_until: str,
    given: Literal["spoken", "form", "self", "drawn"],
    form: Source | None = None,
    withdrawal: str | None = None,
    notes: str = "",
) -> Consent:
    """Return a new record, signed with this user's key; raises SettingsError at what a record can't say."""
    consent_id = str(uuid.uuid4())
    how = f"tell {asked_by}, who then runs: mueca consent withdraw {consent_id}"
    record = Record(
        kind=KIND,
        format=FORMAT,
        mueca_version=VERSION,
        id=consent_id,
        created=ledger.now(),
        subject=subject,
        asked_by=asked_by,
        purposes=tuple(purposes),
        valid_from=valid_from,
        valid_until=valid_until,
        sources=tuple(sources),
        given=given,
        form=form,
        withdrawal=withdrawal or how,
        notes=notes,
    )
    key = user_key()
    public = key.public_pem.decode()
    signature = key.sign(canonical(_signed(record, public)))
    return Consent(record, public, base64.b64encode(signature).decode())


def canonical(values: dict[str, Any]) -> bytes:
    """Return JSON in the form that is signed and hashed; the values are text, whole numbers, lists and objects.

    Source: RFC 8785, JSON Canonicalization Scheme, whose order of names is ours as all of them are ASCII.
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def to_values(consent: Consent) -> dict[str, Any]:
    """Return the record as the JSON that files hold."""
    return _signed(consent.record, consent.public_key) | {"signature": consent.signature}


def from_values(values: object, where: str) -> Consent:
    """Return the record that JSON holds, its signature not yet checked; raises ConsentError, naming ``where``."""
    try:
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise ValueError("its kind is another")
        values = dict(values)
        number = values.get("format")
        if isinstance(number, int) and number > FORMAT:
            raise ConsentError(f"{where}: is in a format that a newer mueca writes; update mueca")
        public, signature = values.pop("public_key"), values.pop("signature")
        if not (isinstance(public, str) and isinstance(signature, str)):
            raise ValueError("its key or signature is no text")
        consent = Consent(from_json(Record, values), public, signature)
        canonical(to_values(consent))  # raises at what no JSON can hold
        key_id_of(public.encode())
    except KeyError as error:
        raise ConsentError(f"{where}: is no consent record (it lacks {error}); {_MAKE_ONE}") from error
    except FieldsError as error:
        raise ConsentError(f"{where}: is no consent record of this version ({error}); {_MAKE_ONE}") from error
    except (ValueError, TypeError, AttributeError, RecursionError, SettingsError) as error:
        raise ConsentError(f"{where}: is no whole consent record ({_first_line(error)}); {_MAKE_ONE}") from error
    return consent


def read(path: Path) -> Consent:
    """Return the record in a file, its signature not yet checked; raises ConsentError where it is none."""
    data = _read_bytes(path)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConsentError(f"{path}: is no whole consent record (it is no JSON); {_MAKE_ONE}") from error
    return from_values(values, str(path))


def write(path: Path, consent: Consent) -> None:
    """Write the record as a file that people can read."""
    write_whole(path, json.dumps(to_values(consent), indent=2, ensure_ascii=False) + "\n")


def require(
    consent: Consent,
    where: str,
    *,
    purposes: Iterable[Purpose] = (),
    any_of: Iterable[Purpose] = (),
    sources: Sequence[Source] | None = None,
    day: date | None = None,
) -> None:
    """Raise ConsentError, which begins with ``where``, unless the record holds and allows what is asked for.

    That is: nobody changed it since it was signed, by a key that this machine knows; it was not withdrawn here; it is
    valid on ``day``, in UTC, today when not named; it allows each of ``purposes``, and one of ``any_of``; it is for one
    of ``sources``.
    """
    record, day = consent.record, day or today()
    if not is_signed(consent):
        raise ConsentError(
            f"{where}: was edited after it was signed; get the record as {record.asked_by} signed it, or make a new "
            "one with: mueca consent new"
        )
    if not is_known(consent.key_id):
        raise ConsentError(
            f"{where}: is signed by a key that this machine does not know ({consent.key_id[:16]}...), so that nobody "
            "can tell whether it was edited; if you know whose key it is: mueca consent trust FILE"
        )
    ask = f"ask {record.subject}, and make a new one with: mueca consent new"
    if ledger.is_withdrawn(record.id):
        raise ConsentError(f"{where}: consent {record.id} was withdrawn; {ask}")
    if day < read_day(record.valid_from):
        raise ConsentError(f"{where}: is valid from {record.valid_from} on, and today is {day} in UTC; wait, or {ask}")
    if day > read_day(record.valid_until):
        raise ConsentError(f"{where}: expired: it was valid until {record.valid_until}; {ask}")
    asked, alternatives = list(purposes), list(any_of)
    lacking = [purpose for purpose in asked if purpose not in record.purposes]
    lacking += [" or ".join(alternatives)] if alternatives and not set(alternatives) & set(record.purposes) else []
    if lacking:
        raise ConsentError(f"{where}: allows {', '.join(record.purposes)}, and not {lacking[0]}; {ask}")
    if sources is not None and not {source.sha256 for source in sources} & {s.sha256 for s in record.sources}:
        named = ", ".join(source.name for source in record.sources[:3])
        raise ConsentError(
            f"{where}: is for another clip ({named}), not for {sources[0].name} (sha256 {sources[0].sha256[:16]}...); "
            f"{ask}"
        )


def is_signed(consent: Consent) -> bool:
    """Tell whether the key in the record signed it as it stands."""
    try:
        signature = base64.b64decode(consent.signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return has_signed(consent.public_key.encode(), canonical(_signed(consent.record, consent.public_key)), signature)


def is_known(key_id: str, folder: Path | None = None) -> bool:
    """Tell whether a key is this user's own or one that was imported; ``folder``: the platform's when not named."""
    folder = folder or config_folder()
    if _known_key(key_id, folder).is_file():
        return True
    return (folder / KEY_FILE).exists() and user_key(folder).key_id == key_id  # not made where it is only looked for


def trust(public_pem: bytes, folder: Path | None = None) -> None:
    """Let this user know a key: records that it signed hold here from now on. Raises ConsentError where it is none."""
    path = _known_key(_checked_id(public_pem, "the key"), folder or config_folder())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, public_pem)


def read_public_key(path: Path) -> bytes:
    """Return the public key in a file, PEM, whatever stands around it; raises ConsentError where there is none."""
    data = _read_bytes(path)
    begin, end = data.find(_KEY_BEGIN), data.find(_KEY_END)
    if not 0 <= begin < end:
        raise ConsentError(f"{path}: holds no public key; get what `mueca consent key` prints on the other machine")
    public = data[begin : end + len(_KEY_END)] + b"\n"
    _checked_id(public, str(path))
    return public


def today() -> date:
    """Return the day that it is in UTC."""
    return datetime.now(UTC).date()


def read_day(text: str) -> date:
    """Return the day that ``2027-12-31`` names; raises SettingsError."""
    try:
        if len(text) != len("2027-12-31"):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"{text!r:.40} is no day; write it as 2027-12-31") from error


def printable_name(name: str) -> str:
    """Return a file's name as a record may hold it: what is no letter, digit or sign becomes a question mark."""
    name = name.encode(errors="surrogateescape").decode(errors="replace")
    return "".join(c if c.isprintable() else "?" for c in name)[:255] or "?"


def _known_key(key_id: str, folder: Path) -> Path:
    return folder / KNOWN_KEYS / f"{key_id}.pem"


def _checked_id(public_pem: bytes, where: str) -> str:
    try:
        return key_id_of(public_pem)
    except ValueError as error:
        raise ConsentError(f"{where}: is no public key ({_first_line(error)})") from error


def _signed(record: Record, public_key: str) -> dict[str, Any]:
    """Return what the signature is over: all but itself."""
    return asdict(record) | {"public_key": public_key}


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ConsentError(f"{path}: is no file; {_MAKE_ONE}")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConsentError(f"{path}: can't be read ({error.strerror}); {_MAKE_ONE}") from error
    if len(data) > _LARGEST:
        raise ConsentError(f"{path}: has more than {_LARGEST} bytes, which no consent record has; {_MAKE_ONE}")
    return data


def _require_text(name: str, value: str) -> None:
    if not 1 <= len(value) <= _LONGEST_TEXT or not value.isprintable():
        raise SettingsError(
            f"{name} {value!r:.60}: must be text on one line, from 1 to {_LONGEST_TEXT} characters that can be shown"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_MAKE_ONE = "make one with: mueca consent new"
