"""Many sources at once: each its own pairs folder, the same bytes however they are spread, a bad one only named."""

import filecmp
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import media
import pytest

from mueca.batches import Job, extract_all, plan
from mueca.config import ExtractSettings
from mueca.errors import OutputError, SettingsError
from mueca.extraction import extract
from mueca.marks import UNMARKED
from mueca.pairs import is_whole, read_landmarks, read_manifest
from mueca.pictures import write_picture
from mueca.sources import sha256_of_source
from mueca.video import VideoReader


@pytest.fixture(scope="module")
def clips(actor_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two good videos and a bad one between them."""
    folder = tmp_path_factory.mktemp("batch") / "clips"
    folder.mkdir()
    for name in ("1.mp4", "3.mp4"):
        shutil.copy(actor_clip, folder / name)
    (folder / "2.mp4").write_text("this is not a video\n" * 100)
    return folder


def files_of(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def same_bytes(a: Path, b: Path) -> bool:
    names = files_of(a)
    return bool(names) and names == files_of(b) and filecmp.cmpfiles(a, b, names, shallow=False)[0] == names


def test_one_video_goes_to_the_folder_itself_and_several_into_it(tmp_path):
    pairs = tmp_path / "pairs"
    a, b = tmp_path / "a.mp4", tmp_path / "b.mov"
    assert plan([a], pairs) == [Job(a, pairs)]
    assert plan([a, b], pairs) == [Job(a, pairs / "a.mp4"), Job(b, pairs / "b.mov")]


def test_a_folder_of_one_video_is_still_a_folder_of_videos(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert plan([tmp_path], tmp_path / "pairs") == [Job(tmp_path / "a.mp4", tmp_path / "pairs" / "a.mp4")]


def test_a_folder_of_pictures_goes_to_the_folder_itself(tmp_path):
    (tmp_path / "a.png").touch()
    assert plan([tmp_path], tmp_path / "pairs") == [Job(tmp_path, tmp_path / "pairs")]


def test_the_folder_one_stands_in_gets_pairs_under_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "take" / "inner").mkdir(parents=True)
    (tmp_path / "take" / "1.png").touch()
    monkeypatch.chdir(tmp_path / "take")
    assert [job.pairs for job in plan([Path(), Path("x.mp4")], Path("out"))] == [Path("out/take"), Path("out/x.mp4")]
    monkeypatch.chdir("inner")
    assert plan([Path(".."), Path("x.mp4")], Path("out"))[0].pairs == Path("out/take")


def test_an_address_of_ray_and_processes_are_not_asked_for_together(tmp_path):
    with pytest.raises(SettingsError, match=r"ray_address auto: is Ray's, and spread is 'processes'"):
        extract_all([], spread="processes", ray_address="auto")


def test_several_videos_never_go_into_a_pairs_folder(actor_pairs):
    with pytest.raises(OutputError, match="is a pairs folder itself"):
        plan([Path("a.mp4"), Path("b.mp4")], actor_pairs)


def test_a_bad_video_among_good_ones_is_named_and_the_others_are_done_and_stay(clips, actor_pairs, models, tmp_path):
    jobs, told = plan([clips], tmp_path), []
    settings = ExtractSettings(models=models, workers=2)
    outcomes = extract_all(jobs, settings, spread="processes", tell=told.append)
    assert [outcome.job for outcome in outcomes] == jobs and sorted(told, key=jobs_name) == outcomes
    good, bad, other = outcomes
    assert good.error is None and good.manifest == read_manifest(tmp_path / "1.mp4")
    assert bad.manifest is None and "2.mp4: is text or a playlist, not a video" in bad.error
    assert other.manifest.kept == read_manifest(actor_pairs).kept
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.mp4", "3.mp4"]

    before = {f: (tmp_path / f).stat().st_mtime_ns for f in files_of(tmp_path)}
    again = extract_all(jobs, settings, spread="processes")
    assert [o.manifest for o in again] == [o.manifest for o in outcomes]
    assert {f: (tmp_path / f).stat().st_mtime_ns for f in files_of(tmp_path)} == before


def jobs_name(outcome) -> str:
    return outcome.job.source.name


@pytest.mark.slow
@pytest.mark.parametrize("spread", ["processes", "ray"])
def test_the_bytes_are_those_of_extract_however_the_videos_are_spread(spread, clips, models, tmp_path):
    if spread == "ray":
        pytest.importorskip("ray")
    extract(clips / "1.mp4", tmp_path / "alone", ExtractSettings(models=models))
    outcomes = extract_all(plan([clips], tmp_path / "batch"), ExtractSettings(models=models), spread=spread)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert same_bytes(tmp_path / "alone", tmp_path / "batch" / "1.mp4")


@pytest.mark.slow
def test_ctrl_c_stops_all_and_leaves_what_is_finished(clips, models, tmp_path):
    code = (
        "import sys; from pathlib import Path; from mueca.batches import extract_all, plan\n"
        "from mueca.config import ExtractSettings\n"
        "clips, pairs, models = map(Path, sys.argv[1:])\n"
        "settings, tell = ExtractSettings(models=models, workers=1), lambda o: print(o.job.source.name, flush=True)\n"
        "extract_all(plan([clips], pairs), settings, spread='processes', tell=tell)"
    )
    command = [sys.executable, "-c", code, str(clips), str(tmp_path / "batch"), str(models)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=media.heed_ctrl_c)
    assert process.stdout.readline() == "1.mp4\n"
    assert process.stdout.readline() == "2.mp4\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert [p.name for p in (tmp_path / "batch").iterdir()] == ["1.mp4"]


@pytest.mark.slow
def test_a_typo_is_told_in_the_callers_words_by_ray_as_well(models, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    jobs = plan([Path("nope.mp4"), Path("nope2.mp4")], Path("out"))
    errors = [o.error for o in extract_all(jobs, ExtractSettings(models=models, workers=1), spread="ray")]
    alone = [o.error for o in extract_all(jobs, ExtractSettings(models=models, workers=1), spread="processes")]
    assert errors == alone and errors[0].startswith("nope.mp4: ") and "Ray" not in errors[0]


WITHOUT_RAY = "import sys; sys.modules['ray'] = None; "


@pytest.mark.slow
@pytest.mark.parametrize("spread", ["processes", "ray"])
def test_a_terminated_batch_says_so_and_leaves_nothing_half_written(spread, clips, models, tmp_path):
    if spread == "ray":
        pytest.importorskip("ray")
    code = ("" if spread == "ray" else WITHOUT_RAY) + "from mueca.cli import main; raise SystemExit(main())"
    out = tmp_path / "batch"
    command = [sys.executable, "-c", code, "extract", clips, out, "--models", models, "--workers", "1"]
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and not ((out / "1.mp4").exists() and [*out.glob(".*")]):
            time.sleep(0.01)  # until the second video's pairs are being written
        process.terminate()
        said = process.communicate(timeout=60)[1]  # ends with the last worker that holds it
    assert process.returncode == 143, said
    made = sorted(out.iterdir())  # the second may have been done just then
    assert [p.name for p in made] in (["1.mp4"], ["1.mp4", "3.mp4"])
    assert all(is_whole(p, read_manifest(p)) for p in made)
    assert "Traceback" not in said and "***" not in said


def test_a_folder_of_pictures_becomes_pairs_and_a_damaged_one_is_dropped(actor_clip, models, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for frame in VideoReader(actor_clip):
        write_picture(folder / f"{frame.index}.png", frame.image, mark=UNMARKED)
    (folder / "7.png").write_bytes(b"no picture")
    manifest = extract(folder, tmp_path / "pairs", ExtractSettings(models=models))
    assert manifest.dropped == {"unreadable": {"count": 1, "first": [7]}}
    assert manifest.num_frames == 40 and manifest.kept + manifest.in_gap == 39
    assert manifest.source_shortfall == "1 of 40 pictures can't be read (7.png)"
    assert (manifest.source_name, manifest.source_sha256) == ("pictures", sha256_of_source(folder))
    assert 7 not in read_landmarks(tmp_path / "pairs").frame_index
