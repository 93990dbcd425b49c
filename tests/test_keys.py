"""The user's signing key: made once, kept whole and private, tells what it signed."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from mueca.errors import InputError, OutputError
from mueca.keys import KEY_FILE, config_folder, has_signed, key_id_of, user_key


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    first = user_key(folder)
    assert user_key(folder) == first
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_processes_that_come_at_once_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: user_key(tmp_path).key_id, range(16)))
    assert len(ids) == 1


def test_a_signature_holds_for_the_same_bytes_and_key_alone(tmp_path: Path) -> None:
    key, other = user_key(tmp_path / "a"), user_key(tmp_path / "b")
    signature = key.sign(b"agreed")
    assert has_signed(key.public_pem, b"agreed", signature)
    assert not has_signed(key.public_pem, b"agreed!", signature)
    assert not has_signed(other.public_pem, b"agreed", signature)
    assert not has_signed(key.public_pem, b"agreed", b"no signature")
    assert not has_signed(b"no key", b"agreed", signature)


def test_a_key_is_known_by_its_public_half(tmp_path: Path) -> None:
    key = user_key(tmp_path)
    assert key_id_of(key.public_pem) == key.key_id
    assert len(key.key_id) == 64
    with pytest.raises(ValueError, match="PEM"):
        key_id_of(b"no key")


def test_its_certificate_is_signed_by_its_root_and_lasts(tmp_path: Path) -> None:
    leaf, root = x509.load_pem_x509_certificates(user_key(tmp_path).chain_pem)
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert leaf.not_valid_after_utc.year - leaf.not_valid_before_utc.year >= 39


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_key_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"signing\.pem: is no whole signing key .*move it away"):
        user_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    mine, other = user_key(tmp_path / "a"), user_key(tmp_path / "b")
    (tmp_path / "a" / KEY_FILE).write_bytes(mine.private_pem + other.chain_pem)
    with pytest.raises(InputError, match="another key's"):
        user_key(tmp_path / "a")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"can't be kept there"):
        user_key(tmp_path / "file")


def test_the_platforms_folder_is_taken_where_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = user_key()
    assert config_folder() == tmp_path / "mueca"
    assert user_key(tmp_path / "mueca") == key
