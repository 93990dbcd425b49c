"""Content Credentials: the signed C2PA manifest of every written file with a generated face, and reading any file's.

The manifest says that the file was generated, by which mueca and model, with whose consent, driven by which clip, and
whether the visible badge is in it. Its signature shows that nobody changed the file since. The key is the user's own
and names nobody: a manifest proves which key signed and that the file is whole, not who made it.

Source: C2PA Technical Specification 2.4; IPTC's digital source types.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import c2pa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from mueca.errors import InputError, MuecaError, OutputError, printable
from mueca.keys import KEY_FILE, SigningKey, config_folder, user_key
from mueca.marks import NEWSCODES, Ingredient, Mark, Origin
from mueca.version import VERSION

TOOL = "mueca"
PROVENANCE = "org.mueca.provenance"
"""The label of the assertion that only mueca's manifests have."""
MIME_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
"""What is signed, by suffix."""

_DRIVER = "driver"
_GENERATED_TYPES = (
    *("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic"),
)
_UNKNOWN_SIGNER = "signingCredential.untrusted"
_UNREADABLE, _TOO_LARGE = "manifest.unreadable", "manifest.too_large"

_MAX_IN_MEMORY = 128 << 20
"""Bytes: the C2PA library holds pictures whole; the largest that mueca writes are some 10 MB."""
_MAX_BOX = 16 << 20
"""Bytes of a video's box that may be a manifest, which is held whole; mueca's take 13 kB for each generation."""
_MAX_BOXES = 100_000
_MAX_TEXT = 200
_CHUNK = 1 << 20
_OVERLAP = 200
"""More than the longest of what is looked for."""
_XMP_BY_US = re.compile(rb"CreatorTool\s*(?:>|=\s*[\"'])\s*mueca\b")
_SAYS_GENERATED = re.compile(
    re.escape(NEWSCODES.partition("://")[2].encode()) + b"(?:" + "|".join(_GENERATED_TYPES).encode() + rb")\b"
)


@dataclass(frozen=True)
class DriverRecord:
    """What a manifest tells of the driver's clip."""

    name: str
    """Without its folder."""
    sha256: str
    is_generated: bool
    has_manifest: bool


@dataclass(frozen=True)
class Provenance:
    """What a manifest of mueca's tells beyond the standard; what it doesn't is None."""

    mueca_version: str | None
    model_sha256: str | None
    consent_id: str | None
    consent_sha256: str | None
    badge: bool | None
    """False: a user turned the visible badge off."""
    driver: DriverRecord | None


@dataclass(frozen=True)
class Manifest:
    """A file's own manifest, the last one that was made; texts are printable and cut at 200 characters."""

    holds: bool
    """It is signed, and neither it nor the file was changed since."""
    problems: tuple[str, ...]
    """C2PA's words for why it doesn't hold."""
    tool: str | None
    """What made it, with its version."""
    signer: str | None
    """The names in the certificate: whoever made it chose them."""
    is_own_key: bool
    """This machine's key signed it."""
    source_type: str | None
    """Last word of IPTC's digital source type."""
    provenance: Provenance | None
    """None: another tool made it."""

    @property
    def is_readable(self) -> bool:
        """Tell whether anything could be read of it: else all is None."""
        return not {_UNREADABLE, _TOO_LARGE} & {*self.problems}


@dataclass(frozen=True)
class Traces:
    """What a file's bytes tell, whole or damaged."""

    sha256: str
    names_our_manifest: bool
    """mueca's assertion stands in it, in a manifest or in what is left of one."""
    names_us_in_xmp: bool
    is_generated: bool
    """A manifest or XMP in it says so."""


def require_key(mark: Mark) -> None:
    """Raise MuecaError where what carries this mark couldn't be signed: before hours go into it."""
    if mark.source_type is not None:
        user_key()


def sign(data: bytes, suffix: str, mark: Mark, *, title: str) -> bytes:
    """Return a .png's or .jpg's bytes with a manifest, read back; unmarked: ``data`` itself. Raises MuecaError."""
    if mark.source_type is None:
        return data
    target = io.BytesIO()
    _sign(io.BytesIO(data), target, MIME_TYPES[suffix.lower()], mark, title)
    return target.getvalue()


def sign_file(path: Path, mark: Mark, *, title: str) -> None:
    """Put a manifest into the file at ``path``, which is still being written; unmarked: leave it as it is.

    ``title`` is its name to be. It is signed into a file beside it, which takes its place once it reads back. Raises
    MuecaError, and OSError where the disk fails; ``path`` is then as it was.
    """
    if mark.source_type is None:
        return
    signed = path.with_name(f"{path.stem}.signed{path.suffix}")
    try:
        with path.open("rb") as source, _DiskFile(signed, "x+") as target:
            try:
                _sign(source, target, MIME_TYPES[path.suffix.lower()], mark, title)
            except OutputError:
                if target.failure is not None:
                    raise target.failure from None
                raise
        signed.replace(path)
    finally:
        signed.unlink(missing_ok=True)


class _DiskFile(io.FileIO):
    """A file that keeps the disk's failure, of which the C2PA library only tells that there was one."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        view = memoryview(data)
        try:
            while view:
                view = view[super().write(view) or 0 :]
        except OSError as error:
            self.failure = error
            raise
        return len(data)


def _sign(source: IO[bytes], target: IO[bytes] | io.FileIO, mime: str, mark: Mark, title: str) -> None:
    key = user_key()
    try:
        with (
            c2pa.Builder(_manifest_of(mark, title), context=_context(None)) as builder,
            c2pa.Signer.from_callback(
                lambda data: _raw(key.sign(data)), c2pa.C2paSigningAlg.ES256, key.chain_pem.decode(), None
            ) as signer,
        ):
            if mark.origin is not None and mark.origin.driver is not None:
                _add_driver(builder, mark.origin.driver)
            builder.sign(signer, mime, source, target)
        target.seek(0)
        with c2pa.Reader(mime, target, context=_context(key)) as reader:
            state, problems = reader.get_validation_state(), _problems(json.loads(reader.json()))
    except (c2pa.C2paError, ValueError) as error:
        raise OutputError(f"{title}: can't be signed ({_first_line(error)}); nothing was written") from error
    if state != "Trusted":
        raise OutputError(f"{title}: its manifest doesn't read back ({', '.join(problems)}); nothing was written")


def _manifest_of(mark: Mark, title: str) -> dict[str, Any]:
    origin = mark.origin or Origin()
    created: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": f"{NEWSCODES}{mark.source_type}"}
    driver = None
    if origin.driver is not None:
        created["parameters"] = {"ingredientIds": [_DRIVER]}
        driver = {
            "name": _as_text(origin.driver.path.name),
            "sha256": origin.driver.sha256,
            "is_generated": origin.driver.is_generated,
            "has_manifest": origin.driver.has_manifest,
        }
    provenance = {
        "mueca_version": VERSION,
        "model_sha256": origin.model_sha256,
        "consent_id": origin.consent_id,
        "consent_sha256": origin.consent_sha256,
        "badge": mark.badge,
        "driver": driver,
    }
    return {
        "claim_generator_info": [{"name": TOOL, "version": VERSION}],
        "title": _as_text(title),
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": PROVENANCE, "data": provenance},
        ],
    }


def _add_driver(builder: c2pa.Builder, driver: Ingredient) -> None:
    """Add the driver's clip, with its own manifest where it has one."""
    told = {"title": _as_text(driver.path.name), "relationship": "inputTo", "label": _DRIVER}
    mime = _mime_of(driver.path) or "application/octet-stream"
    if not driver.has_manifest:
        builder.add_ingredient(told, mime, io.BytesIO())
        return
    try:
        with driver.path.open("rb") as file:
            builder.add_ingredient(told, mime, file)
    except OSError as error:
        raise InputError(f"{driver.path}: can't be read any more ({error.strerror}); put it back") from error


def _raw(signature: bytes) -> bytes:
    """Return a DER signature as COSE wants it: r and s, 32 bytes each. Source: RFC 9053, 2.1."""
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _context(known: SigningKey | None) -> c2pa.Context:
    """Return how manifests are made and read: nothing is fetched, and what ``known`` signed is trusted."""
    settings: dict[str, Any] = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    }
    if known is not None:
        settings["trust"] = {"trust_anchors": known.chain_pem.decode()}
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def _as_text(name: str) -> str:
    """Return a file's name as UTF-8 can hold it: names are bytes."""
    return os.fsencode(name).decode("utf-8", "replace")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:_MAX_TEXT]


def ingredient_of(path: Path) -> Ingredient:
    """Return what a manifest tells of a file that something is made from; raises InputError where it can't be read."""
    traces = traces_of(path)
    manifest = read_manifest(path)
    return Ingredient(
        path=path,
        sha256=traces.sha256,
        is_generated=traces.is_generated,
        has_manifest=manifest is not None and manifest.is_readable,
    )


def traces_of(path: Path) -> Traces:
    """Return what the bytes of a file tell, in one pass; raises InputError where it can't be read."""
    digest = hashlib.sha256()
    names_our_manifest = names_us = is_generated = False
    tail = b""
    with _readable(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            seen = tail + chunk
            names_our_manifest = names_our_manifest or PROVENANCE.encode() in seen
            names_us = names_us or _XMP_BY_US.search(seen) is not None
            is_generated = is_generated or _SAYS_GENERATED.search(seen) is not None
            tail = seen[-_OVERLAP:]
    return Traces(digest.hexdigest(), names_our_manifest, names_us, is_generated)


def read_manifest(path: Path) -> Manifest | None:
    """Return the file's own manifest; None: it has none, or is of a kind in which none is looked for.

    Looked for in mp4, mov, PNG, JPEG and WebP. One that is damaged beyond reading doesn't hold and has the problem
    ``manifest.unreadable``; a file that may hold a larger one than any honest file has ``manifest.too_large``. Raises
    InputError where the file can't be read.
    """
    mime = _mime_of(path)
    if mime is None:
        return None
    with _readable(path) as file:
        if not _is_bounded(file, mime):
            return _unread(_TOO_LARGE)
        try:
            reader = c2pa.Reader.try_create(mime, file, context=_context(_known_key()))
            if reader is None:
                return None
            with reader:
                return _manifest_in(json.loads(reader.json()), reader.get_validation_state())
        except (c2pa.C2paError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return _unread(_UNREADABLE)  # JUMBF, CBOR or JSON that says something else than a manifest


def _unread(problem: str) -> Manifest:
    return Manifest(
        holds=False, problems=(problem,), tool=None, signer=None, is_own_key=False, source_type=None, provenance=None
    )


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); name a picture or video file") from error


def _known_key() -> SigningKey | None:
    """Return this user's key where there is one that can be read: reading makes none, and needs none."""
    if not (config_folder() / KEY_FILE).exists():
        return None
    try:
        return user_key()
    except MuecaError:
        return None  # who signs is told; here, whatever was signed is an unknown key's


def _mime_of(path: Path) -> str | None:
    """Return what the file's first bytes say that it is, None for what carries no manifest that is read."""
    with _readable(path) as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "image/webp"
    heads = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
    return next((mime for begin, mime in heads.items() if head.startswith(begin)), None)


def _is_bounded(file: IO[bytes], mime: str) -> bool:
    """Tell whether reading a manifest takes no more memory than any honest file needs."""
    num_bytes = file.seek(0, os.SEEK_END)
    bounded = _has_small_boxes(file, num_bytes) if mime == "video/mp4" else num_bytes <= _MAX_IN_MEMORY
    file.seek(0)
    return bounded


def _has_small_boxes(file: IO[bytes], num_bytes: int) -> bool:
    """Tell whether no ``uuid`` box is larger than a manifest may be. Source: ISO/IEC 14496-12, 4.2."""
    start = 0
    for _ in range(_MAX_BOXES):
        if start + 8 > num_bytes:
            return True
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = num_bytes - start
        if head[4:8] == b"uuid" and length > _MAX_BOX:
            return False
        start += max(length, 8)
    return False


def _manifest_in(store: dict[str, Any], state: str | None) -> Manifest:
    active = store["manifests"][store["active_manifest"]]
    signature = active.get("signature_info") or {}
    names = [name for key in ("common_name", "issuer") if (name := _text(signature.get(key)))]
    assertions = active.get("assertions") or []
    ours = next((each.get("data") for each in assertions if each.get("label") == PROVENANCE), None)
    return Manifest(
        holds=state in ("Valid", "Trusted"),
        problems=_problems(store),
        tool=_tool_in(active),
        signer=", ".join(names) or None,
        is_own_key=state == "Trusted",
        source_type=_source_type_in(assertions),
        provenance=_provenance_in(ours) if isinstance(ours, dict) else None,
    )


def _problems(store: dict[str, Any]) -> tuple[str, ...]:
    codes = (_text(status.get("code")) for status in store.get("validation_status") or [])
    return tuple(dict.fromkeys(code for code in codes if code and code != _UNKNOWN_SIGNER))


def _tool_in(active: dict[str, Any]) -> str | None:
    told = next(iter(active.get("claim_generator_info") or []), {})
    parts = [part for key in ("name", "version") if (part := _text(told.get(key)))]
    return " ".join(parts) or _text(active.get("claim_generator"))


def _source_type_in(assertions: list[dict[str, Any]]) -> str | None:
    for assertion in assertions:
        if str(assertion.get("label")).startswith("c2pa.actions"):
            for action in (assertion.get("data") or {}).get("actions") or []:
                if named := _text(action.get("digitalSourceType")):
                    return named.rpartition("/")[2]
    return None


def _provenance_in(data: dict[str, Any]) -> Provenance:
    driver = data.get("driver")
    return Provenance(
        mueca_version=_text(data.get("mueca_version")),
        model_sha256=_text(data.get("model_sha256")),
        consent_id=_text(data.get("consent_id")),
        consent_sha256=_text(data.get("consent_sha256")),
        badge=data["badge"] if isinstance(data.get("badge"), bool) else None,
        driver=_driver_in(driver) if isinstance(driver, dict) else None,
    )


def _driver_in(data: dict[str, Any]) -> DriverRecord:
    return DriverRecord(
        name=_text(data.get("name")) or "",
        sha256=_text(data.get("sha256")) or "",
        is_generated=data.get("is_generated") is True,
        has_manifest=data.get("has_manifest") is True,
    )


def _text(value: Any) -> str | None:
    """Return a text from outside, printable and no longer than it should be; None for anything else."""
    return printable(value[:_MAX_TEXT]) if isinstance(value, str) and value else None
