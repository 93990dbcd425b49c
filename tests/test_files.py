"""A file's or folder's bytes appear under its final name only when they are whole."""

import pytest

from mueca.errors import OutputError
from mueca.files import sha256_of, whole_file, whole_folder, write_whole


def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "settings.json"
    write_whole(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("ne")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_final_name_does_not_exist_until_all_is_written(tmp_path):
    path = tmp_path / "folder" / "video.mp4"
    with whole_file(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists() and partial.suffix == ".mp4"
    assert path.read_bytes() == b"half"


def test_a_failure_in_the_middle_leaves_no_folder(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "pairs") as partial:
        (partial / "one").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_when_asked_for_and_only_by_a_whole_one(tmp_path):
    path = tmp_path / "pairs"
    with whole_folder(path) as partial:
        (partial / "old").write_text("1")
    with pytest.raises(OutputError, match="exists already"), whole_folder(path):
        pass
    with pytest.raises(RuntimeError), whole_folder(path, replace=True):
        raise RuntimeError
    assert (path / "old").exists()
    with whole_folder(path, replace=True) as partial:
        (partial / "new").write_text("2")
    assert [p.name for p in path.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_whole(tmp_path / "file" / "x.json", "")


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c14")
