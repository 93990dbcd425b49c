"""Other people's pairs: read as they are, converted, trained on, and driven where that makes sense."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from toys import train

from mueca.config import ConvertSettings, DriveSettings, EvaluateSettings, TrainSettings
from mueca.conversion import convert
from mueca.errors import InputError, OutputError, SettingsError
from mueca.evaluation import evaluate
from mueca.face.crop import CropRule, crop_transforms
from mueca.face.drawn import LEAST_AGREEMENT, agreement, is_drawn
from mueca.foreign import in_natural_order, layout_of, open_dataset, read_part, sha256_of_dataset
from mueca.marks import UNMARKED
from mueca.pairs import read_landmarks, read_split
from mueca.pictures import encode_picture, read_picture, write_picture
from mueca.portraits import rule_of, subject_from_targets
from mueca.presets import PRESETS
from mueca.reenactment import drive
from mueca.runs import GENERATOR, read_run
from mueca.subject import SUBJECT, Undrivable, fit_subject, read_known, read_subject
from mueca.video import VideoReader

STEPS = TrainSettings(steps=3, device="cpu", threads=1)


def picture(seed: int, *, size_px: int = 256) -> np.ndarray:
    """Colours on a slope: no two seeds alike, and no condition."""
    y, x = np.mgrid[:size_px, :size_px] * 256 // size_px
    return np.stack([(x + 31 * seed) % 256, y, (x + y) // 2], axis=-1).astype(np.uint8)


def write_side_by_side(folder: Path, split: str, names: list[str], *, size_px: int = 256, first: int = 0) -> None:
    """Write pictures A|B: A is ``picture(i)``, B ``picture(100 + i)``."""
    for i, name in enumerate(names, start=first):
        image = np.hstack([picture(i, size_px=size_px), picture(100 + i, size_px=size_px)])
        write_at(folder / split / name, image)


def write_four_folders(folder: Path, split: str, names: list[str], *, first: int = 0) -> None:
    for i, name in enumerate(names, start=first):
        write_at(folder / f"tagged_{split}" / name, picture(i))
        write_at(folder / f"input_{split}" / name, picture(100 + i))


def write_at(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_picture(image, path.suffix, UNMARKED))


def report_layout(pairs: Path, folder: Path, *, suffix: str = ".png") -> Path:
    """Write the pairs as the report has them."""
    for split in ("train", "test"):
        part = read_split(pairs, split)
        for name, condition, target in zip(part.names, part.conditions, part.targets, strict=True):
            write_at(folder / f"tagged_{split}" / f"{name}{suffix}", condition)
            write_at(folder / f"input_{split}" / f"{name}{suffix}", target)
    return folder


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = dataclasses.replace(PRESETS["small"], width_generator=4, width_discriminator=4)
    monkeypatch.setitem(PRESETS, "small", preset)


@pytest.fixture(scope="module")
def converted(actor_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The actor's pairs as pictures A|B."""
    out = tmp_path_factory.mktemp("converted") / "ab"
    convert(actor_pairs, out)
    return out


@pytest.fixture(scope="module")
def swapped(actor_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, conditions on the right."""
    out = tmp_path_factory.mktemp("converted") / "ba"
    convert(actor_pairs, out, ConvertSettings(condition="right"))
    return out


# The layouts


@pytest.mark.parametrize(("condition", "of_condition", "of_target"), [("left", 0, 100), ("right", 100, 0)])
def test_pictures_side_by_side_are_parted_in_the_middle_either_way(tmp_path, condition, of_condition, of_target):
    write_side_by_side(tmp_path, "train", ["a.png", "B.PNG", "c.jpg"])
    write_side_by_side(tmp_path, "test", ["d.png"], first=3)
    data = open_dataset(tmp_path, condition)
    part = read_part(data, "train")
    assert data.layout == layout_of(tmp_path) == "side_by_side"
    assert part.names == ("B", "a", "c")
    assert (part.conditions[1] == picture(of_condition)).all() and (part.targets[1] == picture(of_target)).all()
    assert read_part(data, "test").names == ("d",)


@pytest.mark.parametrize(("condition", "of_condition", "of_target"), [("tagged", 0, 100), ("input", 100, 0)])
def test_the_reports_four_folders_are_paired_by_name_either_way(tmp_path, condition, of_condition, of_target):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_four_folders(tmp_path, "test", ["1.png"], first=5)
    data = open_dataset(tmp_path, condition)
    part = read_part(data, "test")
    assert data.layout == "four_folders"
    assert (part.conditions == picture(5 + of_condition)).all() and (part.targets == picture(5 + of_target)).all()
    assert len(data.files["train"]) == 2


def test_halves_of_one_name_and_two_formats_belong_together(tmp_path):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_four_folders(tmp_path, "test", ["3.png"])
    (tmp_path / "input_train" / "1.png").unlink()
    write_at(tmp_path / "input_train" / "1.JPG", picture(7))
    assert [p.target.name for p in open_dataset(tmp_path).files["train"]] == ["1.JPG", "2.png"]


def test_nothing_said_means_left_and_tagged_and_that_is_noted(tmp_path):
    write_side_by_side(tmp_path / "ab", "train", ["a.png"])
    write_side_by_side(tmp_path / "ab", "test", ["a.png"])
    write_four_folders(tmp_path / "four", "train", ["a.png"])
    write_four_folders(tmp_path / "four", "test", ["a.png"])
    side_by_side, four = open_dataset(tmp_path / "ab"), open_dataset(tmp_path / "four")
    assert (side_by_side.condition, four.condition) == ("left", "tagged")
    assert "left halves are the conditions" in side_by_side.notes[0]
    assert open_dataset(tmp_path / "ab", "left").notes == four.notes == ()


def test_drawn_conditions_on_the_side_that_nobody_named_are_asked_about_and_taken_when_named(swapped, actor_pairs):
    with pytest.raises(InputError, match="say which: --condition right, or --condition left"):
        open_dataset(swapped)
    assert (read_part(open_dataset(swapped, "right"), "test").targets == read_split(actor_pairs, "test").targets).all()
    assert open_dataset(swapped, "left").condition == "left"


def test_halves_of_another_size_are_averaged_down_or_interpolated_up(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (512, 1024, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        write_at(tmp_path / "train" / name, large)
    blocks = large[:, :512].astype(int).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(read_part(open_dataset(tmp_path), "train").conditions[0] - blocks).max() <= 0.5
    write_side_by_side(tmp_path / "tiny", "train", ["a.png", "b.png"], size_px=64)
    assert read_part(open_dataset(tmp_path / "tiny"), "train").targets.shape == (1, 256, 256, 3)


def test_val_stands_in_for_test_and_a_held_out_fifth_for_both_and_each_is_noted(tmp_path):
    write_side_by_side(tmp_path, "train", [f"frame {i}.png" for i in range(1, 13)])
    held_out = open_dataset(tmp_path, "left")
    assert [p.name for p in held_out.files["test"]] == ["frame 11", "frame 12"]
    assert len(held_out.files["train"]) == 10
    assert "the last 2 of 12 are held out, from frame 11 on" in held_out.notes[0]
    write_side_by_side(tmp_path, "val", ["v.png"])
    with_val = open_dataset(tmp_path, "left")
    assert ([p.name for p in with_val.files["test"]], len(with_val.files["train"])) == (["v"], 12)
    assert "val/ stands in" in with_val.notes[0]
    write_side_by_side(tmp_path, "test", ["t.png"])
    assert ([p.name for p in open_dataset(tmp_path).files["test"]]) == ["t"]


def test_the_report_without_its_test_folders_holds_out_a_fifth_too(tmp_path):
    write_four_folders(tmp_path, "train", [f"{i}.png" for i in range(10)])
    data = open_dataset(tmp_path)
    assert [p.name for p in data.files["test"]] == ["8", "9"]
    assert "held out" in data.notes[0]


def test_numbers_in_names_order_the_pictures_and_number_the_frames(tmp_path):
    assert in_natural_order(["f10", "f2", "f02", "b", "10", "9"]) == ["9", "10", "b", "f02", "f2", "f10"]
    write_side_by_side(tmp_path, "train", ["9.png", "10.png", "300.png", "301.png"])
    assert read_part(open_dataset(tmp_path), "train").frame_index.tolist() == [9, 10, 300]
    write_side_by_side(tmp_path / "b", "train", ["b.png", "c 7.png", "d.png"])
    assert read_part(open_dataset(tmp_path / "b"), "train").frame_index.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["señora ñ.png", "two  words.png", "line\nbreak.png", "x" * 250 + ".png", "٣.png"])
def test_odd_names_are_read_and_hashed(tmp_path, name):
    write_side_by_side(tmp_path, "train", [name, "b.png"])
    write_side_by_side(tmp_path, "test", [name])
    data = open_dataset(tmp_path)
    assert name.removesuffix(".png") in read_part(data, "train").names
    assert len(sha256_of_dataset(data)) == 64


def test_a_name_that_is_no_unicode_is_read_and_hashed(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    (tmp_path / "train" / "a.png").rename(tmp_path / "train" / "\udcff.png")
    assert len(sha256_of_dataset(open_dataset(tmp_path))) == 64


def test_two_formats_of_one_name_side_by_side_are_two_pairs_with_two_names(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "a.jpg"])
    write_side_by_side(tmp_path, "test", ["a.png"])
    assert read_part(open_dataset(tmp_path), "train").names == ("a.jpg", "a.png")


def test_hidden_files_and_other_kinds_of_files_are_passed_over(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    for stray in ("Thumbs.db", "._a.png", "notes.txt"):
        (tmp_path / "train" / stray).write_bytes(b"x")
    assert [p.name for p in open_dataset(tmp_path).files["train"]] == ["a"]


# The hash


def test_the_hash_of_mueca_s_own_pairs_is_what_it_was_and_foreign_ones_change_with_what_is_learned(
    actor_pairs, tmp_path
):
    from mueca.pairs import sha256_of_pairs

    assert sha256_of_dataset(open_dataset(actor_pairs)) == sha256_of_pairs(actor_pairs)
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    write_side_by_side(tmp_path, "val", ["c.png"])
    plain = sha256_of_dataset(open_dataset(tmp_path))
    assert sha256_of_dataset(open_dataset(tmp_path, "left")) == plain
    others = [sha256_of_dataset(open_dataset(tmp_path, "right"))]
    (tmp_path / "train" / "b.png").rename(tmp_path / "train" / "d.png")
    others.append(sha256_of_dataset(open_dataset(tmp_path)))
    (tmp_path / "train" / "d.png").rename(tmp_path / "train" / "b.png")
    assert sha256_of_dataset(open_dataset(tmp_path)) == plain
    write_side_by_side(tmp_path, "train", ["b.png"], first=9)
    others.append(sha256_of_dataset(open_dataset(tmp_path)))
    assert len({plain, *others}) == 4


# What is refused


def complaint_about(folder: Path, condition=None) -> str:
    with pytest.raises(InputError) as caught:
        data = open_dataset(folder, condition)
        for split in ("train", "test"):
            read_part(data, split)
    return str(caught.value)


def spoil_side_by_side(folder: Path, name: str, image: np.ndarray | bytes) -> Path:
    write_side_by_side(folder, "train", ["a.png", "b.png"])
    write_side_by_side(folder, "test", ["t.png"])
    path = folder / "train" / name
    path.write_bytes(image if isinstance(image, bytes) else encode_picture(image, path.suffix, UNMARKED))
    return path


@pytest.mark.parametrize(
    ("name", "image", "said"),
    [
        ("a.png", np.zeros((256, 500, 3), np.uint8), "a.png: is 500x256, not twice as wide as high"),
        ("a.png", np.zeros((256, 256, 3), np.uint8), "a.png: is 256x256, not twice as wide as high"),
        ("b.png", np.zeros((64, 128, 3), np.uint8), r"b.png: is 128x64, and a.png is 512x256; bring all to one size"),
        ("b.png", b"", "b.png: is empty"),
        ("b.png", b"text", "b.png: is no picture that can be read, or is damaged"),
    ],
)
def test_a_picture_that_can_t_be_two_halves_is_named_with_its_fault(tmp_path, name, image, said):
    spoil_side_by_side(tmp_path, name, image)
    assert said in complaint_about(tmp_path)


def test_a_half_that_is_missing_is_named_either_way(tmp_path):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_four_folders(tmp_path, "test", ["3.png"])
    (tmp_path / "input_train" / "2.png").rename(tmp_path / "moved.png")
    assert "tagged_train/2.png: has no other half in" in complaint_about(tmp_path)
    (tmp_path / "moved.png").rename(tmp_path / "input_train" / "2.png")
    (tmp_path / "tagged_test" / "3.png").rename(tmp_path / "tagged_test" / "4.png")
    assert "input_test/3.png: has no other half in" in complaint_about(tmp_path)


@pytest.mark.parametrize("gone", ["input_train", "tagged_train", "input_test", "tagged_test"])
def test_a_folder_of_the_report_s_that_is_missing_is_named(tmp_path, gone):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_four_folders(tmp_path, "test", ["3.png"])
    shutil.rmtree(tmp_path / gone)
    assert f"{gone}: can't be read (No such file or directory); put the pictures there" in complaint_about(tmp_path)


def test_halves_of_unequal_size_or_shape_are_refused(tmp_path):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_at(tmp_path / "input_train" / "1.png", picture(0, size_px=128))
    assert "input_train/1.png: is 128x128, and 1.png is 256x256" in complaint_about(tmp_path)
    write_at(tmp_path / "tagged_train" / "1.png", np.zeros((256, 200, 3), np.uint8))
    assert "tagged_train/1.png: is 200x256, not square" in complaint_about(tmp_path)


def test_one_half_in_two_formats_is_ambiguous(tmp_path):
    write_four_folders(tmp_path, "train", ["1.png", "2.png"])
    write_at(tmp_path / "input_train" / "1.jpg", picture(0))
    assert "lies beside it; keep one of the two" in complaint_about(tmp_path)


def test_empty_splits_and_pictures_further_down_are_named(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    (tmp_path / "test").mkdir()
    assert "test: holds no pictures" in complaint_about(tmp_path)
    write_side_by_side(tmp_path / "test", "deeper", ["a.png"])
    assert "test: holds no pictures (.png" in complaint_about(tmp_path)
    assert "move those of deeper/ up" in complaint_about(tmp_path)


def test_one_pair_alone_can_t_hold_out_any(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png"])
    assert "one more at least must be held out" in complaint_about(tmp_path)


@pytest.mark.parametrize("loop", ["train", "train/b.png"])
def test_links_in_a_circle_are_an_error_and_no_endless_walk(tmp_path, loop):
    if loop != "train":
        write_side_by_side(tmp_path, "train", ["a.png"])
        write_side_by_side(tmp_path, "test", ["a.png"])
    (tmp_path / loop).symlink_to(tmp_path / loop)
    assert f"{tmp_path / loop}: can't be read (Too many levels of symbolic links)" in complaint_about(tmp_path)


def test_a_folder_linked_into_itself_is_passed_over(tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    (tmp_path / "train" / "again").symlink_to(tmp_path / "train")
    assert len(open_dataset(tmp_path).files["train"]) == 1


@pytest.mark.parametrize("kind", ["absent", "file", "empty", "test only"])
def test_a_folder_in_no_known_layout_is_told_which_there_are(tmp_path, kind):
    folder = tmp_path / "pairs"
    if kind == "file":
        folder.write_bytes(b"x")
    elif kind != "absent":
        folder.mkdir()
    if kind == "test only":
        write_side_by_side(folder, "test", ["a.png"])
    said = complaint_about(folder)
    assert "is no pairs folder" in said and "pairs.json" in said and "train/" in said and "tagged_train/" in said


def test_own_pairs_without_their_manifest_are_not_taken_for_others(actor_pairs, tmp_path):
    shutil.copytree(actor_pairs, tmp_path / "pairs")
    (tmp_path / "pairs" / "pairs.json").unlink()
    assert "it has no pairs.json" in complaint_about(tmp_path / "pairs")


def test_a_half_that_the_layout_lacks_is_a_wrong_setting(actor_pairs, tmp_path):
    write_side_by_side(tmp_path, "train", ["a.png", "b.png"])
    with pytest.raises(SettingsError, match=r"--condition tagged: .* name left or right"):
        open_dataset(tmp_path, "tagged")
    with pytest.raises(SettingsError, match=r"--condition left: .* leave --condition out"):
        open_dataset(actor_pairs, "left")


# Converting


def test_converted_pairs_are_the_same_pixels_names_and_numbers(actor_pairs, converted):
    data = open_dataset(converted)
    for split in ("train", "test"):
        ours, theirs = read_split(actor_pairs, split), read_part(data, split)
        assert (ours.conditions == theirs.conditions).all() and (ours.targets == theirs.targets).all()
        assert ours.names == theirs.names and (ours.frame_index == theirs.frame_index).all()
    assert {read_picture(p).shape for p in converted.rglob("*.png")} == {(256, 512, 3)}


def test_converting_says_what_it_wrote_and_what_the_reference_needs_to_be_told(actor_pairs, tmp_path):
    result = convert(actor_pairs, tmp_path / "out", ConvertSettings(condition="right"))
    train_part, test_part = (read_split(actor_pairs, split) for split in ("train", "test"))
    assert (result.num_train, result.num_test) == (len(train_part.names), len(test_part.names))
    assert result.direction == "BtoA"
    written = read_picture(tmp_path / "out" / "train" / f"{train_part.names[0]}.png")
    assert (written[:, 256:] == train_part.conditions[0]).all() and (written[:, :256] == train_part.targets[0]).all()


def test_the_report_s_layout_converts_too_and_its_held_out_fifth_becomes_test(tmp_path):
    write_four_folders(tmp_path / "four", "train", [f"ñ {i}.png" for i in range(10)])
    result = convert(tmp_path / "four", tmp_path / "ab")
    assert sorted(p.name for p in (tmp_path / "ab" / "test").iterdir()) == ["ñ 8.png", "ñ 9.png"]
    assert "held out" in result.notes[0]
    assert (read_picture(tmp_path / "ab" / "train" / "ñ 3.png") == np.hstack([picture(3), picture(103)])).all()


def test_what_is_converted_appears_whole_or_not_at_all(tmp_path):
    write_side_by_side(tmp_path / "ab", "train", ["a.png", "b.png"])
    write_side_by_side(tmp_path / "ab", "test", ["t.png"])
    (tmp_path / "ab" / "test" / "t.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"t\.png"):
        convert(tmp_path / "ab", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["ab"]


def test_fresh_replaces_what_convert_wrote_and_nothing_else(tmp_path):
    write_side_by_side(tmp_path / "ab", "train", ["a.png", "b.png"])
    out, fresh = tmp_path / "out", ConvertSettings(condition="right", fresh=True)
    with pytest.raises(OutputError, match="nothing that convert wrote"):
        convert(tmp_path / "ab", tmp_path / "ab", fresh)
    convert(tmp_path / "ab", out)
    with pytest.raises(OutputError, match=r"exists already.*--fresh"):
        convert(tmp_path / "ab", out)
    (out / "checkpoints").mkdir()
    with pytest.raises(OutputError, match="holds checkpoints beside"):
        convert(tmp_path / "ab", out, fresh)
    (out / "checkpoints").rmdir()
    assert convert(tmp_path / "ab", out, fresh).direction == "BtoA"
    assert (read_picture(out / "train" / "a.png")[:, 256:] == picture(0)).all()


def test_pictures_the_other_way_round_are_turned_by_converting(tmp_path):
    write_side_by_side(tmp_path / "ba", "train", ["a.png", "b.png"])
    convert(tmp_path / "ba", tmp_path / "ab", ConvertSettings(from_condition="right"))
    assert (read_picture(tmp_path / "ab" / "train" / "a.png") == np.hstack([picture(100), picture(0)])).all()


# Whose conditions they are


def test_conditions_of_our_kind_are_told_from_faces_outlines_and_edges(actor_pairs):
    part, track = read_split(actor_pairs, "train"), read_landmarks(actor_pairs)
    row = int(np.flatnonzero(track.frame_index == part.frame_index[0])[0])
    inverse = np.linalg.inv(track.frame_from_crop[row])
    landmarks = track.landmarks[row] @ inverse[:2, :2].T + inverse[:2, 2]
    condition, target = part.conditions[0], part.targets[0]
    edges = cv2.cvtColor(cv2.Canny(target, 60, 150), cv2.COLOR_GRAY2RGB)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", condition, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    noise = np.random.default_rng(0).integers(0, 256, target.shape, dtype=np.uint8)  # of all colours
    assert [is_drawn(i) for i in (condition, jpeg, target, edges, noise)] == [True, True, False, False, False]
    assert agreement(condition, landmarks) > 0.99
    assert agreement(jpeg, landmarks) > 0.8
    assert max(agreement(edges, landmarks), agreement(target, landmarks)) < 0.3
    assert agreement(condition[:, :, ::-1], landmarks) < LEAST_AGREEMENT  # red and blue exchanged


def test_the_rule_found_in_the_pictures_places_faces_as_the_crops_did():
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 100, (68, 2))
    in_frame = np.stack([face + 300, face * 1.3 + 200])
    rule = CropRule(side=4.2, up=0.3)
    transforms = crop_transforms(in_frame, np.array([0, 1000]), np.zeros(2, int), 25.0, rule)
    in_crop = (in_frame - transforms[:, None, :2, 2]) / transforms[:, :1, :1]
    found = rule_of(in_crop)
    assert (found.side, found.up) == pytest.approx((4.2, 0.3), abs=1e-3)


def test_a_subject_without_faces_says_so_and_one_with_too_few_too(actor_pairs):
    part = read_split(actor_pairs, "train")
    face = np.random.default_rng(0).uniform(60, 200, (68, 2))
    seen = iter([face] * 19 + [None] * 1000)
    few = subject_from_targets(part, lambda image: next(seen), source_name="x")
    none = subject_from_targets(part, lambda image: None, source_name="x")
    assert isinstance(few, Undrivable) and few.typical_shape is None
    assert f"found in 19 of its {len(part.targets)} targets" in few.undrivable
    assert "found in 0 of" in none.undrivable


# Training, evaluating, driving


@pytest.mark.slow
def test_training_on_converted_pairs_gives_the_same_weights(
    actor_pairs, converted, narrow, models, tmp_path, monkeypatch
):
    monkeypatch.setitem(PRESETS, "small", dataclasses.replace(PRESETS["small"], textures=0))  # as on foreign pictures
    train(actor_pairs, tmp_path / "ours", STEPS)
    train(converted, tmp_path / "theirs", dataclasses.replace(STEPS, models=models))
    # Digests: of two files that differ, pytest would work out every byte.
    ours, theirs = (sha256((tmp_path / run / GENERATOR).read_bytes()).hexdigest() for run in ("ours", "theirs"))
    assert ours == theirs


def a_run(of: str, actor_pairs: Path, converted: Path, swapped: Path, tmp_path: Path, models: Path) -> Path:
    made: dict[str, Callable[[], tuple[Path, str | None]]] = {
        "left": lambda: (converted, None),
        "right": lambda: (swapped, "right"),
        "report": lambda: (report_layout(actor_pairs, tmp_path / "report", suffix=".jpg"), None),
    }
    folder, condition = made[of]()
    train(folder, tmp_path / "run", dataclasses.replace(STEPS, models=models, condition=condition))
    return tmp_path / "run"


@pytest.mark.slow
@pytest.mark.parametrize("of", ["left", "right", "report"])
def test_a_run_on_foreign_pictures_of_a_face_is_evaluated_and_driven(
    of, actor_pairs, converted, swapped, actor_clip, narrow, models, tmp_path
):
    run = a_run(of, actor_pairs, converted, swapped, tmp_path, models)
    subject = read_subject(run)
    assert np.abs(subject.typical_shape - fit_subject(actor_pairs).typical_shape).mean() < 2  # px of 256
    metrics = evaluate(run, EvaluateSettings(models=models, save_fakes=True))
    test = read_split(actor_pairs, "test")
    assert metrics.num_frames == len(test.names) and metrics.akd.value > 0
    assert sorted(p.stem for p in (run / "fakes").iterdir()) == sorted(test.names)
    drive(run, actor_clip, tmp_path / "out.mp4", DriveSettings(models=models, view="compare"))
    assert len(list(VideoReader(tmp_path / "out.mp4"))) == 40


@pytest.mark.slow
def test_a_run_on_pictures_of_no_face_trains_and_is_evaluated_and_is_refused_by_drive_with_the_reason(
    actor_clip, narrow, models, tmp_path
):
    write_side_by_side(tmp_path / "ab", "train", [f"{i}.jpg" for i in range(25)])
    write_side_by_side(tmp_path / "ab", "test", ["one.jpg", "two.jpg"])
    result = train(tmp_path / "ab", tmp_path / "run", dataclasses.replace(STEPS, models=models))
    assert result.steps == 3
    metrics = evaluate(tmp_path / "run", EvaluateSettings(models=models, save_fakes=True))
    assert metrics.akd is None and metrics.ssim.value < 1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["akd"] is None
    assert sorted(p.name for p in (tmp_path / "run" / "fakes").iterdir()) == ["one.png", "two.png"]
    with pytest.raises(InputError, match=r"run: can't be driven: a face was found in 0 of its 25 targets") as caught:
        drive(tmp_path / "run", actor_clip, tmp_path / "out.mp4", DriveSettings(models=models))
    assert result.undrivable in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow
def test_a_run_on_faces_with_conditions_of_another_kind_is_refused_by_drive_with_the_reason(
    actor_pairs, actor_clip, narrow, models, tmp_path
):
    for split in ("train", "test"):
        part = read_split(actor_pairs, split)
        for name, target in zip(part.names, part.targets, strict=True):
            edges = cv2.cvtColor(cv2.Canny(target, 60, 150), cv2.COLOR_GRAY2RGB)
            path = tmp_path / "ab" / split / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, np.hstack([edges, target]), mark=UNMARKED)
    train(tmp_path / "ab", tmp_path / "run", dataclasses.replace(STEPS, models=models))
    metrics = evaluate(tmp_path / "run", EvaluateSettings(models=models))
    assert metrics.akd.mean_face > 0
    assert read_known(tmp_path / "run").typical_shape.shape == (68, 2)
    with pytest.raises(InputError, match=r"can't be driven: its conditions are not .* agree to 0\.0"):
        drive(tmp_path / "run", actor_clip, tmp_path / "out.mp4", DriveSettings(models=models))


@pytest.mark.slow
def test_faces_are_found_once_and_the_run_goes_on_with_what_was_found(converted, narrow, models, tmp_path, monkeypatch):
    settings = dataclasses.replace(STEPS, models=models)
    train(converted, tmp_path / "run", settings)
    before = (tmp_path / "run" / SUBJECT).read_bytes()
    monkeypatch.setattr("mueca.portraits.subject_from_targets", lambda *_, **__: pytest.fail("searched again"))
    assert train(converted, tmp_path / "run", dataclasses.replace(settings, steps=4)).steps == 4
    assert (tmp_path / "run" / SUBJECT).read_bytes() == before
    with pytest.raises(pytest.fail.Exception):
        train(converted, tmp_path / "run", dataclasses.replace(settings, fresh=True))


@pytest.mark.slow
def test_a_run_is_not_gone_on_with_when_the_other_half_becomes_the_condition(converted, narrow, models, tmp_path):
    settings = dataclasses.replace(STEPS, models=models)
    train(converted, tmp_path / "run", settings)
    with pytest.raises(OutputError, match="pairs sha256"):
        train(converted, tmp_path / "run", dataclasses.replace(settings, condition="right"))
    assert read_run(tmp_path / "run").settings.condition is None
