"""extract(): what is on disk afterwards, twice the same, and what bad input leaves behind: nothing."""

import filecmp
import shutil
import subprocess
import sys
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import cv2
import media
import numpy as np
import pytest

from mueca.actors import ACTORS, landmarks_of, performance
from mueca.config import SIZE_PX, ExtractSettings, to_json
from mueca.errors import InputError, OutputError
from mueca.extraction import extract
from mueca.face.condition import draw_condition
from mueca.face.crop import apply_transform
from mueca.face.landmarks import eye_distance
from mueca.pairs import LANDMARKS, Manifest, read_landmarks, read_manifest, read_split, sha256_of_pairs, write_landmarks
from mueca.pictures import read_picture
from mueca.subject import fit_subject
from mueca.video import VideoReader
from mueca.video.reading import Painter


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_folder_holds_what_the_documentation_says(actor_pairs):
    manifest = read_manifest(actor_pairs)
    assert manifest.kept == manifest.num_train + manifest.num_test
    assert all_frames(manifest) == manifest.num_frames == 40
    assert manifest.detector == "yunet" and manifest.source_name == "actor a, forty frames.mp4"
    halves = [f"{split}/{half}" for split in ("test", "train") for half in ("condition", "target")]
    expected = {"coverage.png", "landmarks.npz", "pairs.json", "preview.jpg"}
    assert {f for f in files_of(actor_pairs) if "/" not in f} == expected
    assert {f.rsplit("/", 1)[0] for f in files_of(actor_pairs) if "/" in f} == set(halves)


def all_frames(manifest: Manifest) -> int:
    return sum([manifest.kept, manifest.in_gap, manifest.not_chosen, *(d["count"] for d in manifest.dropped.values())])


def test_the_test_frames_are_the_clips_last_fifth_and_those_before_them_are_nobodys(actor_pairs):
    train, test = read_split(actor_pairs, "train"), read_split(actor_pairs, "test")
    manifest = read_manifest(actor_pairs)
    assert manifest.first_test_frame == test.frame_index.min() == pytest.approx(0.8 * 40, abs=1)
    assert manifest.in_gap >= 3
    assert train.frame_index.max() + manifest.in_gap < test.frame_index.min()


def test_frames_are_dropped_for_a_reason_or_not_chosen_for_want_of_room(actor_clip, models, tmp_path):
    frames = [frame.image for frame in VideoReader(actor_clip)]
    frames[10:14] = [np.zeros_like(frames[0])] * 4
    video = media.make_video(tmp_path / "clip.mp4", frames)
    manifest = extract(video, tmp_path / "pairs", ExtractSettings(max_frames=20, models=models))
    assert manifest.dropped["no_face"] == {"count": 4, "first": [10, 11, 12, 13]}
    assert manifest.kept == 20 and manifest.not_chosen > 0 and all_frames(manifest) == 40
    track = read_landmarks(tmp_path / "pairs")
    assert not np.isin([10, 11, 12, 13], track.frame_index).any() and track.kept.sum() == 20
    assert len(set(track.shot[track.frame_index < 10])) == 1 == len(set(track.shot[track.frame_index > 13]))


def test_a_face_that_is_not_there_is_refused_and_leaves_nothing(actor_clip, models, tmp_path):
    with pytest.raises(InputError, match=r"\.mp4: face 2: no frame fits"):
        extract(actor_clip, tmp_path / "pairs", ExtractSettings(face="2", models=models))
    assert list(tmp_path.iterdir()) == []


def test_targets_are_crops_of_the_frame_and_conditions_are_their_landmarks(actor_pairs):
    track, train = read_landmarks(actor_pairs), read_split(actor_pairs, "train")
    assert train.targets.shape[1:] == (SIZE_PX, SIZE_PX, 3) == train.conditions.shape[1:]
    row = int(np.flatnonzero(track.frame_index == train.frame_index[5])[0])
    points = apply_transform(np.linalg.inv(track.frame_from_crop[row]), track.landmarks[row])
    assert np.array_equal(draw_condition(points, track.gaze[row]), train.conditions[5])


def test_followed_landmarks_are_those_the_actor_was_drawn_with_and_in_time(actor_pairs):
    track = read_landmarks(actor_pairs)
    truth = np.stack([landmarks_of(ACTORS["a"], e) for e in performance(seed=7, num_frames=40)])
    assert track.timestamp_s == pytest.approx(track.frame_index / 25.0, abs=1e-3)

    def error(lag: int) -> float:
        here = track.landmarks[3:-3]
        there = truth[track.frame_index[3:-3] + lag]
        return float((np.linalg.norm(here - there, axis=2).mean(1) / eye_distance(there)).mean())

    assert error(0) < 0.06
    assert min(range(-2, 3), key=error) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_command_gives_the_same_bytes_however_many_work_on_it(
    workers, actor_clip, actor_pairs, models, tmp_path
):
    extract(actor_clip, tmp_path / "again", ExtractSettings(models=models, workers=workers))
    same, different, missing = filecmp.cmpfiles(actor_pairs, tmp_path / "again", files_of(actor_pairs), shallow=False)
    assert (different, missing) == ([], []) and len(same) == len(files_of(tmp_path / "again"))


def test_every_nth_frame_is_written_though_all_are_followed(actor_clip, models, tmp_path):
    manifest = extract(actor_clip, tmp_path / "p", ExtractSettings(every=2, models=models))
    track = read_landmarks(tmp_path / "p")
    assert len(track.frame_index) >= 38 and (track.frame_index[track.kept] % 2 == 0).all()
    assert manifest.kept == track.kept.sum() == len(track.frame_index) - manifest.not_chosen - manifest.in_gap


def test_only_kept_frames_are_converted_for_writing(actor_clip, models, tmp_path, monkeypatch):
    painted = []
    paint = Painter.paint
    monkeypatch.setattr(Painter, "paint", lambda self, frame: painted.append(frame) or paint(self, frame))
    extract(actor_clip, tmp_path / "p", ExtractSettings(max_frames=20, models=models))
    assert len(painted) == 40 + 20


def test_pairs_that_are_there_already_are_left_as_they_are(actor_clip, actor_pairs, models):
    before = {f: (actor_pairs / f).stat().st_mtime_ns for f in files_of(actor_pairs)}
    extract(actor_clip, actor_pairs, ExtractSettings(models=models))
    assert {f: (actor_pairs / f).stat().st_mtime_ns for f in files_of(actor_pairs)} == before


def test_pairs_made_with_other_settings_are_refused_by_name_until_fresh(actor_clip, actor_pairs, models, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    with pytest.raises(OutputError, match=r"every 1.*--fresh"):
        extract(actor_clip, pairs, ExtractSettings(every=2, models=models))
    assert read_manifest(pairs).settings["every"] == 1
    extract(actor_clip, pairs, ExtractSettings(every=2, models=models, fresh=True))
    assert read_manifest(pairs).settings["every"] == 2


def test_pairs_that_lost_a_picture_are_made_whole_by_the_same_command(actor_clip, actor_pairs, models, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    next((pairs / "train" / "target").iterdir()).unlink()
    extract(actor_clip, pairs, ExtractSettings(models=models))
    assert sha256_of_pairs(pairs) == sha256_of_pairs(actor_pairs)


def test_fresh_replaces_pairs_whose_manifest_is_damaged(actor_clip, actor_pairs, models, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    (pairs / "pairs.json").write_text("{")
    with pytest.raises(InputError, match="--fresh"):
        extract(actor_clip, pairs, ExtractSettings(models=models))
    extract(actor_clip, pairs, ExtractSettings(models=models, fresh=True))
    assert sha256_of_pairs(pairs) == sha256_of_pairs(actor_pairs)


def test_fresh_never_takes_along_what_extract_did_not_write(actor_clip, actor_pairs, models, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    (pairs / "run").mkdir()
    with pytest.raises(OutputError, match="holds run beside the pairs"):
        extract(actor_clip, pairs, ExtractSettings(every=2, models=models, fresh=True))
    assert (pairs / "run").exists() and read_manifest(pairs).settings["every"] == 1


def test_a_folder_that_holds_something_else_is_never_touched(actor_clip, models, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(OutputError, match="no pairs folder"):
            extract(actor_clip, tmp_path, ExtractSettings(models=models, fresh=fresh))
    assert files_of(tmp_path) == ["thesis.txt"]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (63, 47), (320, 240)])
def test_a_video_without_a_face_is_refused_and_leaves_nothing(size, models, tmp_path):
    images = [image[: size[1], : size[0]].copy() for image in media.moving(25, 320, 240)]
    video = media.make_video(tmp_path / "empty room.mkv", images, codec="ffv1", pix_fmt="bgr0")
    with pytest.raises(InputError, match=r"empty room.mkv: no face in any of its 25 frames"):
        extract(video, tmp_path / "pairs", ExtractSettings(models=models))
    assert files_of(tmp_path) == ["empty room.mkv"]


def test_fewer_than_twenty_usable_frames_are_refused_with_their_number(actor_clip, models, tmp_path):
    with pytest.raises(InputError, match=r"\b8 usable frames of 40 \(32 skipped by --every\).*at least 20"):
        extract(actor_clip, tmp_path / "pairs", ExtractSettings(every=5, models=models))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1500)  # minutes, beside other tests
def test_an_hours_video_takes_less_than_a_gigabyte_at_any_time(actor_clip, models, tmp_path):
    """Parent and workers together, pages that they share counted as often as they are mapped."""
    few = [cv2.resize(frame.image, (192, 192), interpolation=cv2.INTER_AREA) for frame in VideoReader(actor_clip)]
    to_and_fro = [*few, *few[-2:0:-1]]
    images = [to_and_fro[i % len(to_and_fro)] for i in range(18_000)]
    video = media.make_video(tmp_path / "hour.mp4", images, time_base=Fraction(1, 5), options={"preset": "ultrafast"})
    code = (
        "import sys; from pathlib import Path; from mueca.config import ExtractSettings; "
        "from mueca.extraction import extract; "
        "video, pairs, models = map(Path, sys.argv[1:]); "
        "extract(video, pairs, ExtractSettings(models=models, workers=2))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(video), str(tmp_path / "pairs"), str(models)])
    peak = 0
    while process.poll() is None:
        peak = max(peak, media.resident_bytes(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0
    manifest = read_manifest(tmp_path / "pairs")
    assert (manifest.num_frames, manifest.kept, manifest.fps) == (18_000, 1000, pytest.approx(5))
    assert 100e6 < peak < 1e9


def portrait(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((200, 160), (0, 0), (0, 0)), "edge")


def four_to_three(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((0, 0), (80, 80), (0, 0)), "edge")


def odd(image: np.ndarray) -> np.ndarray:
    return image[:-1, :-3]


def close_up(image: np.ndarray) -> np.ndarray:
    return image[40:400, 90:390]


@pytest.mark.parametrize("shape", [portrait, four_to_three, odd, close_up])
def test_any_size_and_shape_of_picture_gives_the_same_square_unstretched_face(
    shape, actor_clip, actor_pairs, models, tmp_path
):
    frames = [shape(frame.image) for frame in VideoReader(actor_clip)]
    video = media.make_video(tmp_path / "clip.mp4", frames, pix_fmt="yuv444p")
    extract(video, tmp_path / "pairs", ExtractSettings(models=models))
    assert like_the_plain_clip(tmp_path / "pairs", actor_pairs) > 0.9


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_clip_stored_on_its_side_gives_upright_faces(turned, actor_clip, actor_pairs, models, tmp_path):
    frames = [np.rot90(frame.image, -turned // 90).copy() for frame in VideoReader(actor_clip)]
    video = media.make_video(tmp_path / "clip.mp4", frames, rotation_ccw=turned)
    extract(video, tmp_path / "pairs", ExtractSettings(models=models))
    assert like_the_plain_clip(tmp_path / "pairs", actor_pairs) > 0.9


def like_the_plain_clip(pairs: Path, plain: Path) -> float:
    """Return how much of the faces' area in the conditions lies on the same pixels, 1 for all; the same frames."""
    areas = [np.concatenate([read_split(p, s).conditions.any(-1) for s in ("train", "test")]) for p in (pairs, plain)]
    assert len(areas[0]) == len(areas[1]) >= 35
    return float((areas[0] & areas[1]).sum() / (areas[0] | areas[1]).sum())


def test_a_missing_half_is_named(actor_pairs, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    lost = sorted((pairs / "train" / "target").iterdir())[3]
    lost.unlink()
    with pytest.raises(InputError, match=f"target/{lost.name}: missing"):
        read_split(pairs, "train")


def test_a_pair_of_another_size_is_named(actor_pairs, tmp_path):
    from mueca.marks import UNMARKED
    from mueca.pictures import write_picture

    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    wrong = sorted((pairs / "test" / "condition").iterdir())[0]
    write_picture(wrong, np.zeros((128, 256, 3), np.uint8), mark=UNMARKED)
    with pytest.raises(InputError, match=f"{wrong.name}: is 256x128, not 256x256"):
        read_split(pairs, "test")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kept": 3}', "null"])
def test_a_damaged_manifest_is_named(text, actor_pairs, tmp_path):
    (tmp_path / "pairs.json").write_text(text)
    with pytest.raises(InputError, match=r"pairs.json: can't be read"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not an archive", "half", "flipped"])
def test_damaged_landmarks_are_named(damage, actor_pairs, tmp_path):
    shutil.copytree(actor_pairs, tmp_path / "pairs")
    path = tmp_path / "pairs" / "landmarks.npz"
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(b ^ 255 for b in whole[middle : middle + 50]) + whole[middle + 50 :]
    path.write_bytes({"half": whole[:middle], "flipped": flipped}.get(damage, damage))
    with pytest.raises(InputError, match=r"landmarks.npz: can't be read"):
        read_landmarks(tmp_path / "pairs")


def test_landmarks_that_would_fill_the_memory_are_refused(actor_pairs, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    with zipfile.ZipFile(pairs / LANDMARKS, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(200 << 20))
    with pytest.raises(InputError, match=r"landmarks\.npz: can't be read \(it would unpack to 209"):
        read_landmarks(pairs)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gaze", lambda array: array[:-1]),
        ("shot", lambda array: array.astype(float)),
        ("landmarks", lambda array: np.full_like(array, np.nan)),
        ("frame_index", lambda array: array[::-1]),
        ("frame_from_crop", np.zeros_like),
    ],
)
def test_landmarks_that_make_no_sense_are_refused_by_name(actor_pairs, tmp_path, name, change):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    with np.load(pairs / LANDMARKS) as arrays:
        np.savez_compressed(pairs / LANDMARKS, **{**arrays, name: change(arrays[name])})
    with pytest.raises(InputError, match=r"landmarks\.npz: can't be read") as caught:
        read_landmarks(pairs)
    assert {"frame_index": "order", "frame_from_crop": "inverse"}.get(name, name) in str(caught.value)


def test_the_pairs_hash_changes_with_any_pixel(actor_pairs, tmp_path):
    pairs = tmp_path / "pairs"
    shutil.copytree(actor_pairs, pairs)
    assert sha256_of_pairs(pairs) == sha256_of_pairs(actor_pairs)
    one = sorted((pairs / "test" / "target").iterdir())[0]
    other = sorted((pairs / "test" / "target").iterdir())[1]
    shutil.copy(other, one)
    assert sha256_of_pairs(pairs) != sha256_of_pairs(actor_pairs)


def test_the_subject_is_learned_from_the_training_frames_alone(actor_pairs, tmp_path):
    track, first = read_landmarks(actor_pairs), read_manifest(actor_pairs).first_test_frame
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    shutil.copy(actor_pairs / "pairs.json", pairs)
    track.landmarks[track.frame_index >= first] += 50.0 * np.random.default_rng(0).standard_normal((68, 2))
    write_landmarks(pairs, track)
    assert to_json(fit_subject(pairs)) == to_json(fit_subject(actor_pairs))
    track.landmarks[track.frame_index < first] += 50.0 * np.random.default_rng(0).standard_normal((68, 2))
    write_landmarks(pairs, track)
    assert to_json(fit_subject(pairs)) != to_json(fit_subject(actor_pairs))


def test_the_preview_shows_faces_beside_their_conditions(actor_pairs):
    preview = read_picture(actor_pairs / "preview.jpg")
    assert preview.shape[0] > 500 and preview.shape[1] > 1000
