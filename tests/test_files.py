"""A file's or folder's bytes appear under its final name only when they are whole."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mueca.errors import OutputError
from mueca.files import open_regular, sha256_of, whole_file, whole_folder, write_whole


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


def test_what_a_killed_process_left_of_a_folder_is_removed_by_the_next_try(tmp_path):
    code = (
        "import os, pathlib, sys; from mueca.files import whole_folder\n"
        "with whole_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'x').write_text('1')\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "pairs"], check=False)
    assert len(list(tmp_path.iterdir())) == 1 and not (tmp_path / "pairs").exists()
    with whole_folder(tmp_path / "other"):
        pass
    assert len(list(tmp_path.iterdir())) == 2
    with whole_folder(tmp_path / "pairs"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "pairs"]


def test_what_a_killed_process_left_of_a_file_is_removed_by_the_next_try_and_what_a_living_one_writes_stays(tmp_path):
    code = (
        "import os, pathlib, sys; from mueca.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('1')\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "film.mp4"], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with whole_file(tmp_path / "film.mp4") as ours:
        ours.write_text("2")
        with whole_file(tmp_path / "film.mp4") as other:
            other.write_text("3")
            assert sorted(p.name for p in tmp_path.iterdir()) == sorted([ours.name, other.name])
    assert [p.name for p in tmp_path.iterdir()] == ["film.mp4"]


def test_what_a_killed_process_left_of_a_folder_with_a_suffix_is_removed_too(tmp_path):
    leftover = next(iter(leftovers_of(tmp_path / "take1.mp4")))
    with whole_folder(tmp_path / "take1.mp4"):
        assert not leftover.exists()


def leftovers_of(path: Path) -> list[Path]:
    code = (
        "import os, pathlib, sys; from mueca.files import whole_folder\n"
        "with whole_folder(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    return list(path.parent.iterdir())


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_a_device_in_a_files_place_is_refused_at_once(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="is no regular file"):
        open_regular(tmp_path / "odd")


def test_a_folder_behind_a_link_is_replaced_where_it_is(tmp_path):
    (tmp_path / "disk" / "big").mkdir(parents=True)
    (tmp_path / "pairs").symlink_to(tmp_path / "disk" / "big")
    with whole_folder(tmp_path / "pairs", replace=True) as partial:
        (partial / "new").write_text("2")
    assert (tmp_path / "pairs").is_symlink() and (tmp_path / "disk" / "big" / "new").exists()
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["big"]


def test_an_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "pairs"
    with whole_folder(path) as partial:
        (partial / "old").write_text("1")
    rename = Path.rename

    def fail_for_the_new(self, target):
        if (self / "new").exists():
            raise OSError(errno.EIO, "broken")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(OSError, match="broken"), whole_folder(path, replace=True) as partial:
        (partial / "new").write_text("2")
    assert (path / "old").exists() and list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_whole(tmp_path / "file" / "x.json", "")


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c14")
