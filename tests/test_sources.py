"""Videos and folders of pictures are found, read and told apart, or refused with a way out."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from media import corners, make_video, moving

import mueca.sources
from mueca.errors import InputError
from mueca.marks import UNMARKED
from mueca.pictures import read_picture, write_picture
from mueca.sources import PictureFolder, find_sources, fit_into, name_of, open_source, sha256_of_source


def make_pictures(folder: Path, names: list[str]) -> list[np.ndarray]:
    folder.mkdir()
    images = moving(len(names))
    for name, image in zip(names, images, strict=True):
        write_picture(folder / name, image, mark=UNMARKED)
    return images


def test_pictures_come_in_the_order_of_the_numbers_in_their_names(tmp_path):
    images = make_pictures(tmp_path / "p", ["take 2.png", "take 9.png", "Take 10.png", "take 100.png"])
    frames = list(PictureFolder(tmp_path / "p"))
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, images, strict=True))


def test_names_of_digits_and_of_letters_can_be_sorted_together(tmp_path):
    make_pictures(tmp_path / "p", ["7.png", "a.png", "a7.png", "07.png"])
    assert len(list(PictureFolder(tmp_path / "p"))) == 4


def test_a_picture_that_cannot_be_read_is_left_out_and_named_and_the_others_keep_their_numbers(tmp_path):
    make_pictures(tmp_path / "p", ["1.png", "2.png", "3.png"])
    (tmp_path / "p" / "2.png").write_bytes(b"no picture")
    reader = PictureFolder(tmp_path / "p")
    for _ in range(2):
        assert [frame.index for frame in reader] == [0, 2]
        assert reader.unreadable == [1]
        assert reader.shortfall == "1 of 3 pictures can't be read (2.png)"


def test_a_folder_whose_pictures_are_all_damaged_is_refused(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="not one of its 1 pictures can be read"):
        PictureFolder(tmp_path)


def test_a_second_pass_reads_only_the_pictures_that_are_asked_for(tmp_path, monkeypatch):
    make_pictures(tmp_path / "p", ["1.png", "2.png", "3.png"])
    reader = PictureFolder(tmp_path / "p")
    list(reader)
    read = []
    monkeypatch.setattr(mueca.sources, "read_picture", lambda path: read.append(path.name) or read_picture(path))
    for frame in reader:
        if frame.index == 1:
            _ = frame.image, frame.image
    assert read == ["2.png"]


def test_a_picture_of_another_size_is_fitted_into_the_firsts_unstretched(tmp_path):
    (tmp_path / "p").mkdir()
    write_picture(tmp_path / "p" / "1.png", corners(64, 48), mark=UNMARKED)
    write_picture(tmp_path / "p" / "2.png", corners(100, 100), mark=UNMARKED)
    second = list(PictureFolder(tmp_path / "p"))[1].image
    assert second.shape == (48, 64, 3)
    assert not second[:, :8].any() and not second[:, -8:].any()
    assert np.array_equal(second[:, 8:-8], fit_into(corners(100, 100), 48, 48))


def test_a_folders_hash_is_that_of_its_sorted_names_and_contents(tmp_path):
    make_pictures(tmp_path / "a", ["1.png", "2.png"])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    whole = sha256_of_source(tmp_path / "a")
    total = hashlib.sha256()
    for name in ("1.png", "2.png"):
        total.update(name.encode() + b"\0" + hashlib.sha256((tmp_path / "a" / name).read_bytes()).digest())
    assert whole == total.hexdigest() == sha256_of_source(tmp_path / "b")
    (tmp_path / "b" / ".hidden.png").touch()
    assert sha256_of_source(tmp_path / "b") == whole
    (tmp_path / "b" / "2.png").rename(tmp_path / "b" / "3.png")
    renamed = sha256_of_source(tmp_path / "b")
    shutil.copy(tmp_path / "b" / "1.png", tmp_path / "b" / "3.png")
    assert len({whole, renamed, sha256_of_source(tmp_path / "b")}) == 3


def test_a_folder_of_videos_stands_for_each_of_them(tmp_path):
    for name in ("b.mp4", "a.mkv", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert find_sources([tmp_path]) == [tmp_path / "a.mkv", tmp_path / "b.mp4"]


def test_a_folder_of_pictures_stands_for_itself(tmp_path):
    make_pictures(tmp_path / "p", ["1.png"])
    assert find_sources([tmp_path / "p", tmp_path / "v.mp4"]) == [tmp_path / "p", tmp_path / "v.mp4"]
    assert isinstance(open_source(tmp_path / "p"), PictureFolder)


def test_what_is_neither_video_nor_picture_is_named_and_left_out(tmp_path):
    for name in ("a.mp4", "notes.txt", "cut.wmv"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"left out cut.wmv, notes.txt, neither video nor picture"):
        assert find_sources([tmp_path]) == [tmp_path / "a.mp4"]


@pytest.mark.parametrize("read", [lambda folder: find_sources([folder]), open_source])
def test_an_empty_folder_is_refused(read, tmp_path):
    (tmp_path / "inner").mkdir()
    with pytest.raises(InputError, match="holds neither videos nor pictures; name a video"):
        read(tmp_path)


@pytest.mark.parametrize("read", [lambda folder: find_sources([folder]), open_source])
def test_a_folder_of_videos_and_pictures_is_refused(read, tmp_path):
    for name in ("a.mp4", "b.mp4", "c.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="2 videos and 1 picture; put them into folders of their own"):
        read(tmp_path)


def test_two_videos_of_one_name_are_refused_for_their_pairs_would_meet(tmp_path):
    with pytest.raises(InputError, match=r"b/x.mp4: has the name of .*a/x.mp4"):
        find_sources([tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4"])


def test_the_folder_one_stands_in_has_its_own_name(tmp_path, monkeypatch):
    make_pictures(tmp_path / "take", ["1.png"])
    (tmp_path / "take" / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "take" / "inner")
    assert [name_of(Path(given)) for given in ("..", "../../take", ".", "../inner/..")] == [
        "take",
        "take",
        "inner",
        "take",
    ]
    with pytest.raises(InputError, match=r"take: has the name of \.\."):
        find_sources([Path(".."), Path("../../take")])


def test_a_video_is_opened_as_one(tmp_path):
    assert open_source(make_video(tmp_path / "v.mp4", moving(3))).info.declared_frames == 3
