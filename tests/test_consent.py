"""Consent records: signed, and refused with one line wherever they don't hold or aren't for what is asked."""

from __future__ import annotations

import base64
import dataclasses
import json
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from mueca import consent as module
from mueca import ledger
from mueca.consent import Consent, Source, canonical, from_values, make, read, require, to_values, trust, write
from mueca.errors import ConsentError, SettingsError
from mueca.keys import user_key

CLIP, OTHER_CLIP = Source("ana.mp4", "a" * 64), Source("eva.mp4", "b" * 64)


def a_consent(**changes) -> Consent:
    values = {
        "subject": "Ana Núñez",
        "asked_by": "The Puppet Company",
        "purposes": ("train", "drive"),
        "sources": (CLIP,),
        "valid_from": "2020-01-01",
        "valid_until": "2999-12-31",
        "given": "spoken",
    }
    return make(**(values | changes))


def anothers(consent: Consent) -> Consent:
    """Return the record as another machine's key would have signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    values = to_values(consent) | {"public_key": public}
    del values["signature"]
    signature = key.sign(canonical(values), ec.ECDSA(hashes.SHA256()))
    return from_values(values | {"signature": base64.b64encode(signature).decode()}, "record")


def test_a_record_says_what_was_agreed_and_holds(tmp_path):
    consent = a_consent(notes="No politics.")
    write(tmp_path / "consent.json", consent)
    assert read(tmp_path / "consent.json") == consent
    require(consent, "record", purposes=["train", "drive"], sources=[OTHER_CLIP, CLIP])
    record = json.loads((tmp_path / "consent.json").read_text())
    assert record["subject"] == "Ana Núñez" and record["sources"] == [{"name": "ana.mp4", "sha256": "a" * 64}]
    assert consent.id in record["withdrawal"]


def test_its_hash_is_that_of_its_words_however_the_file_is_laid_out(tmp_path):
    consent = a_consent()
    write(tmp_path / "a.json", consent)
    values = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "b.json").write_text(json.dumps(dict(reversed(values.items())), indent=7))
    again = read(tmp_path / "b.json")
    require(again, "record")
    assert again.sha256 == consent.sha256 != a_consent().sha256


EDITS = {
    "subject": "Eva",
    "asked_by": "Somebody",
    "purposes": ["train", "drive", "live"],
    "valid_from": "2019-01-01",
    "valid_until": "3999-12-31",
    "sources": [{"name": "ana.mp4", "sha256": "b" * 64}],
    "given": "self",
    "withdrawal": "never",
    "notes": "Anything goes.",
    "id": "0b5a3f6e-1111-4222-8333-444455556666",
    "created": "2020",
    "mueca_version": "0",
    "form": {"name": "form.pdf", "sha256": "b" * 64},
    "signature": base64.b64encode(b"no signature").decode(),
}


@pytest.mark.parametrize("field", EDITS)
def test_an_edit_of_any_field_is_told(field):
    edited = from_values(to_values(a_consent()) | {field: EDITS[field]}, "record")
    with pytest.raises(ConsentError, match=r"^record: was edited after it was signed; get the record"):
        require(edited, "record")


def test_every_field_that_can_differ_is_among_the_edits():
    assert set(EDITS) | {"kind", "format", "public_key"} == set(to_values(a_consent()))


def test_another_key_in_the_record_doesnt_make_an_edit_hold():
    edited = to_values(anothers(a_consent())) | {"subject": "Eva"}
    with pytest.raises(ConsentError, match="was edited"):
        require(from_values(edited, "record"), "record")


def test_a_record_of_a_key_that_isnt_known_is_refused_until_the_key_is(tmp_path):
    consent = anothers(a_consent())
    with pytest.raises(ConsentError, match=rf"does not know \({consent.key_id[:16]}.*mueca consent trust FILE"):
        require(consent, "record")
    trust(consent.public_key.encode())
    require(consent, "record")


def test_looking_for_a_key_makes_none(tmp_path):
    assert not module.is_known("a" * 64, tmp_path / "config")
    assert not (tmp_path / "config").exists()


def test_a_withdrawn_record_holds_no_longer():
    consent = a_consent()
    ledger.note_withdrawal(consent.id)
    with pytest.raises(ConsentError, match=rf"^record: consent {consent.id} was withdrawn; ask Ana Núñez"):
        require(consent, "record")


@pytest.mark.parametrize(
    ("today", "complaint"),
    [
        ("2026-11-26", "is valid from 2026-11-27 on, and today is 2026-11-26 in UTC"),
        ("2026-11-27", None),
        ("2026-12-01", None),
        ("2026-12-02", "expired: it was valid until 2026-12-01"),
    ],
)
def test_it_holds_on_its_first_day_and_on_its_last_and_on_no_other(today, complaint):
    consent = a_consent(valid_from="2026-11-27", valid_until="2026-12-01")
    if complaint is None:
        require(consent, "record", day=date.fromisoformat(today))
    else:
        with pytest.raises(ConsentError, match=complaint):
            require(consent, "record", day=date.fromisoformat(today))


def test_it_holds_for_its_purposes_and_clips_alone():
    consent = a_consent()
    with pytest.raises(ConsentError, match="allows train, drive, and not live; ask Ana"):
        require(consent, "record", purposes=["train", "live"])
    with pytest.raises(ConsentError, match="allows train, and not drive or live"):
        require(a_consent(purposes=["train"]), "record", any_of=["drive", "live"])
    require(consent, "record", any_of=["live", "drive"])
    with pytest.raises(ConsentError, match=r"is for another clip \(ana.mp4\), not for eva.mp4 \(sha256 bbbb"):
        require(consent, "record", sources=[OTHER_CLIP])


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": "two\nlines"},
        {"subject": "\x1b[31mred"},
        {"subject": "x" * 5000},
        {"subject": "\ud800"},
        {"asked_by": ""},
        {"purposes": ()},
        {"purposes": ("train", "train")},
        {"sources": ()},
        {"valid_from": "2027-01-01", "valid_until": "2026-01-01"},
        {"valid_until": "31.12.2027"},
        {"valid_until": "20271231"},
        {"valid_until": "2027-02-30"},
        {"notes": "a\x00b"},
    ],
    ids=str,
)
def test_what_a_record_cant_say_is_refused_when_it_is_made(changes):
    with pytest.raises(SettingsError):
        a_consent(**changes)


def test_a_sources_hash_is_one():
    for wrong in ("", "A" * 64, "a" * 63, "g" * 64):
        with pytest.raises(SettingsError, match="64 hexadecimal digits"):
            Source("a.mp4", wrong)


DAMAGE = {
    "no object": [],
    "another kind": {"kind": "mueca run"},
    "no subject": {"subject": None},
    "a purpose that is none": {"purposes": ["sell"]},
    "a number for a name": {"subject": 5},
    "a field too many": {"extra": 1},
    "a key that is none": {"public_key": "x"},
    "a key that is no text": {"public_key": 1},
    "an escape in a clip's name": {"sources": [{"name": "\x1b]0;x\x07", "sha256": "a" * 64}]},
    "a lone surrogate in the signature": {"signature": "\ud800"},
    "an id that is a path": {"id": "../../etc"},
    "a day that is none": {"valid_until": "soon"},
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_record_is_told_in_one_line(tmp_path, change):
    path = tmp_path / "consent.json"
    path.write_text(json.dumps(to_values(a_consent()) | change if isinstance(change, dict) else change))
    with pytest.raises(ConsentError, match=r"is no (whole )?consent record.*mueca consent new") as error:
        read(path)
    assert str(error.value).startswith(str(path)) and str(error.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{}" * 200_000, b"null"])
def test_a_file_that_is_none_is_told_in_one_line(tmp_path, data):
    (tmp_path / "consent.json").write_bytes(data)
    with pytest.raises(ConsentError, match=r"consent.json: "):
        read(tmp_path / "consent.json")


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ConsentError, match="is no file; make one with: mueca consent new"):
            read(path)


def test_a_newer_format_asks_for_a_newer_mueca(tmp_path):
    with pytest.raises(ConsentError, match="newer mueca writes; update mueca"):
        from_values(to_values(a_consent()) | {"format": 2, "more": 1}, "record")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4))
def test_no_value_in_any_field_makes_anything_but_a_consent_error(value):
    whole = to_values(_WHOLE)
    for name in whole:
        try:
            module.is_signed(from_values(whole | {name: value}, "record"))
        except ConsentError as error:
            assert str(error).startswith("record: ")


_WHOLE = anothers(
    dataclasses.replace(
        Consent(
            module.Record(
                kind=module.KIND, format=1, mueca_version="0", id="0b5a3f6e-1111-4222-8333-444455556666",
                created="2026-11-27", subject="Ana", asked_by="Ana", purposes=("train",), valid_from="2026-11-27",
                valid_until="2026-11-27", sources=(CLIP,), given="self", form=None, withdrawal="ask", notes="",
            ),
            "",
            "",
        )
    )
)  # fmt: skip


def test_a_key_that_is_of_another_kind_signs_nothing():
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ConsentError, match="was edited"):
        require(from_values(to_values(a_consent()) | {"public_key": pem}, "record"), "record")


def test_a_public_key_is_found_in_what_consent_key_prints(tmp_path):
    path = tmp_path / "key.txt"
    path.write_bytes(b"the key of this machine\n" + user_key().public_pem + b"bye\n")
    assert module.read_public_key(path) == user_key().public_pem
    for data in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", user_key().private_pem):
        path.write_bytes(data)
        with pytest.raises(ConsentError, match=r"key.txt: (holds|is) no public key"):
            module.read_public_key(path)


def test_the_canonical_form_is_the_standards_own():
    values = {"b": ["ñ", 1, None], "a": {"d": '\n"', "c": "€"}}
    assert canonical(values).decode() == '{"a":{"c":"€","d":"\\n\\""},"b":["ñ",1,null]}'


def test_a_files_name_becomes_text_that_can_be_shown():
    assert module.printable_name("a\n\x1b[31m.mp4") == "a??[31m.mp4"
    assert module.printable_name("\udcff") == "\N{REPLACEMENT CHARACTER}"
    assert Source(module.printable_name("x" * 999), "a" * 64)


def test_writing_needs_no_more_than_the_file(tmp_path: Path):
    write(tmp_path / "deeper" / "consent.json", a_consent())
    assert [p.name for p in (tmp_path / "deeper").iterdir()] == ["consent.json"]
