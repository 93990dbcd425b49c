"""The ledger: lines that several processes append, none lost and none torn; and a withdrawal list that fails closed."""

from __future__ import annotations

import json
import multiprocessing
import os
import uuid
from pathlib import Path

import media
import pytest

from mueca import ledger
from mueca.errors import ConsentError, OutputError
from mueca.files import sha256_of

ID, OTHER = "0b5a3f6e-1111-4222-8333-444455556666", "0b5a3f6e-1111-4222-8333-444455556667"


def a_file(folder: Path, name: str = "out.mp4", data: bytes = b"film") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_what_was_noted_is_read_back_with_its_hash_and_under_its_consent_alone(tmp_path):
    video, run = a_file(tmp_path), tmp_path / "run"
    run.mkdir()
    ledger.note("run", run, ID, folder=tmp_path)
    ledger.note("video", video, ID, folder=tmp_path)
    ledger.note("video", a_file(tmp_path, "other.mp4"), OTHER, folder=tmp_path)
    found = ledger.entries(ID, tmp_path)
    assert [(entry.kind, entry.path, entry.sha256) for entry in found] == [
        ("run", str(run), None),
        ("video", str(video), sha256_of(video)),
    ]


def test_a_path_is_kept_absolute_and_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9 \xc3\xb1\n.mp4")
    ledger.note("video", a_file(Path(), name), ID, folder=tmp_path)
    (entry,) = ledger.entries(ID, tmp_path)
    assert os.fsencode(entry.path) == os.fsencode(tmp_path / name)


def test_the_same_file_noted_twice_counts_once(tmp_path):
    for _ in range(2):
        ledger.note("video", a_file(tmp_path), ID, folder=tmp_path)
    assert len(ledger.entries(ID, tmp_path)) == 1


def _note_many(folder: Path, name: str, number: int) -> None:
    for i in range(number):
        ledger.note("video", folder / name, ID, folder=folder)
        ledger.note_withdrawal(str(uuid.UUID(int=i)), folder)


def test_lines_that_six_processes_append_at_once_are_all_whole(tmp_path):
    fork = multiprocessing.get_context("fork")
    names = [a_file(tmp_path, f"{i}{'x' * 200}.mp4", bytes([i])).name for i in range(6)]
    processes = [fork.Process(target=_note_many, args=(tmp_path, name, 25)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = (tmp_path / ledger.LEDGER).read_text().splitlines()
    assert len(lines) == 150 and all(json.loads(line)["consent_id"] == ID for line in lines)
    assert len(ledger.entries(ID, tmp_path)) == 6


def test_a_line_that_was_torn_costs_itself_alone(tmp_path):
    ledger.note("video", a_file(tmp_path, "a.mp4", b"a"), ID, folder=tmp_path)
    path = tmp_path / ledger.LEDGER
    path.write_bytes(path.read_bytes() + b'{"kind": "vid')
    ledger.note("video", a_file(tmp_path, "b.mp4", b"b"), ID, folder=tmp_path)
    assert [Path(entry.path).name for entry in ledger.entries(ID, tmp_path)] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b'{"kind": "video"}', b"[" * 100_000, b'{"kind": 5, "x": NaN}'])
def test_lines_that_are_no_entries_are_passed_over(tmp_path, line):
    (tmp_path / ledger.LEDGER).write_bytes(line + b"\n")
    ledger.note("video", a_file(tmp_path), ID, folder=tmp_path)
    assert len(ledger.entries(ID, tmp_path)) == 1


def test_its_files_are_their_owners_alone(tmp_path):
    ledger.note_withdrawal(ID, tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / ledger.WITHDRAWN).stat().st_mode & 0o777 == 0o600


def test_a_withdrawn_consent_is_withdrawn_and_no_other(tmp_path):
    assert not ledger.is_withdrawn(ID, tmp_path)
    ledger.note_withdrawal(ID, tmp_path)
    assert ledger.is_withdrawn(ID, tmp_path) and not ledger.is_withdrawn(OTHER, tmp_path)


def test_a_damaged_line_lets_no_withdrawn_consent_back(tmp_path):
    ledger.note_withdrawal(ID, tmp_path)
    path = tmp_path / ledger.WITHDRAWN
    path.write_bytes(b"\xff" + path.read_bytes()[:-4])
    assert ledger.is_withdrawn(ID, tmp_path)


def test_a_withdrawal_list_that_cant_be_read_lets_nothing_be_made(tmp_path):
    (tmp_path / ledger.WITHDRAWN).mkdir()
    with pytest.raises(ConsentError, match=r"withdrawn.jsonl: the list of withdrawn consents can't be read"):
        ledger.is_withdrawn(ID, tmp_path)


def test_a_ledger_that_cant_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"ledger.jsonl: .* make it writable"):
        ledger.require_writable(tmp_path / "data")


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path):
    with media.small_disk(tmp_path / "disk", num_kib=8) as disk:
        ledger.note_withdrawal(ID, disk)
        before = (disk / ledger.WITHDRAWN).read_bytes()
        with pytest.raises(OutputError, match="No space left"):
            for _ in range(1000):
                ledger.note_withdrawal(OTHER, disk)
        data = (disk / ledger.WITHDRAWN).read_bytes()
        assert data.startswith(before) and all(json.loads(line) for line in data.splitlines())


def test_a_clip_that_mueca_drew_is_known_by_its_bytes_and_not_by_its_name(tmp_path):
    clip = a_file(tmp_path, "actor-a.mp4", b"drawn")
    ledger.note_drawn(clip, "drawn actor a", tmp_path)
    ledger.note_drawn(clip, "drawn actor a", tmp_path)
    assert ledger.drawn_by_mueca(sha256_of(clip), tmp_path) == "drawn actor a"
    assert len((tmp_path / ledger.DRAWN).read_text().splitlines()) == 1
    clip.write_bytes(b"somebody")
    assert ledger.drawn_by_mueca(sha256_of(clip), tmp_path) is None
