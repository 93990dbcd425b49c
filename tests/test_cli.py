"""The command line: every command end to end, and for every mistake one line, exit code 2, nothing half-written."""

import dataclasses
import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import media
import numpy as np
import pytest
import torch

from mueca import summaries
from mueca.cli import COMMANDS, main, printable
from mueca.pairs import read_manifest


@pytest.fixture(autouse=True)
def models_from_the_environment(models, monkeypatch):
    monkeypatch.setenv("MUECA_MODELS", str(models))


def complaint_of(capsys, *arguments: object) -> str:
    """Run a command that must fail; return its one line."""
    assert main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and printed.err.rstrip().endswith(lines[0])
    return lines[0]


def test_the_whole_job_step_by_step(actor_clip, tmp_path, capsys):
    pairs, run, out = tmp_path / "pairs", tmp_path / "run", tmp_path / "out.mp4"
    for command in (
        ["extract", actor_clip, pairs],
        ["train", pairs, run, "--steps", "2"],
        ["evaluate", run, "--save-fakes"],
        ["drive", run, actor_clip, out, "--view", "compare"],
    ):
        assert main([str(c) for c in command]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "36 pairs of 40 frames, 4 between training and test" in printed and "2 steps" in printed
    assert "mean face" in printed and "0 of them held" in printed
    assert {p.name for p in tmp_path.iterdir()} == {"pairs", "run", "out.mp4", "out.json"}
    assert {"metrics.json", "fakes", "generator.safetensors", "subject.json", "settings.json"} <= {
        p.name for p in run.iterdir()
    }


def test_the_whole_job_in_one_command_goes_on_where_it_stopped(actor_clip, tmp_path, capsys):
    command = ["run", str(actor_clip), str(actor_clip), str(tmp_path), "--steps", "2", "--view", "compare"]
    assert main(command) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"pairs", "run", "driven.mp4", "driven.json"}
    weights = (tmp_path / "run" / "generator.safetensors").read_bytes()
    (tmp_path / "driven.mp4").unlink()
    assert main(command) == 0
    assert (tmp_path / "driven.mp4").exists()
    assert (tmp_path / "run" / "generator.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["extract", "--evry", "5", "a.mp4", "pairs"], "unknown setting --evry; did you mean --every?"),
        (["extract", "--every", "0", "a.mp4", "pairs"], "--every 0: must be 1 or more"),
        (["extract", "--every", "many", "a.mp4", "pairs"], "'many' is not a whole number"),
        (["extract", "--detector", "mtcnn", "a.mp4", "pairs"], "invalid choice: 'mtcnn'"),
        (["extract", "a.mp4"], "PAIRS"),
        (["train", "pairs", "run", "--budget", "soon"], "'soon' is no length of time"),
        (["train", "pairs", "run", "--steps", "5", "--epochs", "5"], "contradict each other"),
        (["train", "--every", "5", "pairs", "run"], "unknown setting --every; see mueca train --help"),
        (["paint"], "invalid choice: 'paint'"),
        ([], "COMMAND"),
    ],
)
def test_wrong_settings_are_named_with_the_way_out(arguments, wanted, capsys):
    assert wanted in complaint_of(capsys, *arguments)


def broken_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return (file, what the complaint must say) for every kind of bad video."""
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    (folder / "noise.mp4").write_bytes(os.urandom(20_000))
    (folder / "nothing here").mkdir()
    film = media.make_video(folder / "film.mp4", media.moving(30))
    stub = shutil.copy(film, folder / "stub.mp4")
    media.cut(Path(stub), 0.02)
    return {
        "missing": (folder / "missing.mp4", "does not exist"),
        "empty": (folder / "empty.mp4", "empty.mp4"),
        "text": (folder / "text.mp4", "text.mp4"),
        "noise": (folder / "noise.mp4", "noise.mp4"),
        "folder": (folder / "nothing here", "neither videos nor pictures"),
        "stub": (folder / "stub.mp4", "stub.mp4"),
        "faceless": (film, "no face"),
        "sound": (media.make_sound_only(folder / "sound.mp4"), "sound.mp4"),
    }


KINDS = ["missing", "empty", "text", "noise", "folder", "stub", "faceless", "sound"]


@pytest.mark.parametrize("kind", KINDS)
def test_extract_names_a_bad_video_and_leaves_nothing(kind, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    video, wanted = broken_inputs(tmp_path / "in")[kind]
    line = complaint_of(capsys, "extract", video, tmp_path / "pairs")
    assert wanted in line and str(video) in line
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("kind", KINDS)
def test_drive_names_a_bad_video_and_leaves_nothing(kind, actor_run, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    video, wanted = broken_inputs(tmp_path / "in")[kind]
    line = complaint_of(capsys, "drive", actor_run, video, tmp_path / "out.mp4")
    assert wanted in line and str(video) in line
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("kind", ["missing", "text", "sound"])
def test_run_finds_a_bad_driver_before_the_long_work(kind, actor_clip, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    video, _ = broken_inputs(tmp_path / "in")[kind]
    assert str(video) in complaint_of(capsys, "run", actor_clip, video, tmp_path / "out", "--steps", "1")
    assert not (tmp_path / "out").exists()


def test_a_video_cut_short_is_used_as_far_as_it_goes_and_says_so(actor_clip, tmp_path, capsys):
    whole = tmp_path / "whole.mp4"
    shutil.copy(actor_clip, whole)
    media.cut(whole, 0.8)
    assert main(["extract", str(whole), str(tmp_path / "pairs")]) == 0
    printed = capsys.readouterr()
    assert "warning: whole.mp4: decoded" in printed.err and "of 40 declared frames" in printed.err


@pytest.mark.parametrize("command", ["drive", "evaluate"])
def test_a_folder_that_is_no_run_is_named(command, actor_clip, actor_pairs, tmp_path, capsys):
    rest = [actor_clip, tmp_path / "out.mp4"] if command == "drive" else []
    line = complaint_of(capsys, command, actor_pairs, *rest)
    assert "is no run folder" in line and str(actor_pairs) in line
    assert list(tmp_path.iterdir()) == []


def test_train_names_a_folder_that_is_no_pairs_folder(tmp_path, capsys):
    (tmp_path / "holiday").mkdir()
    assert "is no pairs folder" in complaint_of(capsys, "train", tmp_path / "holiday", tmp_path / "run", "--steps", "1")
    assert [p.name for p in tmp_path.iterdir()] == ["holiday"]


def test_an_output_of_an_unknown_kind_is_named(actor_run, actor_clip, tmp_path, capsys):
    line = complaint_of(capsys, "drive", actor_run, actor_clip, tmp_path / "out.wmv")
    assert "out.wmv" in line and ".mp4" in line


def test_the_environment_names_the_model_folder(actor_clip, tmp_path, monkeypatch, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "face_detection_yunet_2026may.onnx").write_bytes(b"forged")
    monkeypatch.setenv("MUECA_MODELS", str(tmp_path / "models"))
    line = complaint_of(capsys, "extract", actor_clip, tmp_path / "pairs", "--detector", "yunet")
    assert str(tmp_path / "models") in line and "sha256" in line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_extract_with_its_exit_code_and_nothing_half_written(number, code, actor_clip, tmp_path):
    command = [sys.executable, "-m", "mueca", "extract", str(actor_clip), str(tmp_path / "pairs"), "--detector", "hog"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=media.heed_ctrl_c)
    deadline = time.monotonic() + 60
    said = ""
    while "follow" not in said and time.monotonic() < deadline:
        said += process.stderr.read(1)
    process.send_signal(number)
    said += process.communicate(timeout=60)[1]
    assert process.returncode == code and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["extract", "drive"])
def test_a_full_disk_is_said_and_leaves_nothing(command, actor_run, actor_clip, tmp_path, capsys):
    with media.small_disk(tmp_path / "disk", num_kib={"extract": 200, "drive": 16}[command]) as disk:
        job = {"extract": [actor_clip, disk / "pairs"], "drive": [actor_run, actor_clip, disk / "out.mp4"]}
        assert "no space left" in complaint_of(capsys, command, *job[command]).lower()
        assert list(disk.iterdir()) == []


def test_several_videos_one_of_them_bad_are_done_all_the_same_and_the_bad_one_is_named(actor_clip, tmp_path, capfd):
    (tmp_path / "bad.mp4").write_text("no video")
    good = shutil.copy(actor_clip, tmp_path / "good.mp4")
    assert main(["extract", str(good), str(tmp_path / "bad.mp4"), str(tmp_path / "out")]) == 2
    printed = capfd.readouterr()
    assert f"{tmp_path / 'out' / 'good.mp4'}: 36 pairs of 40 frames" in printed.out
    assert f"failed: {tmp_path / 'bad.mp4'}: " in printed.err
    assert printed.err.rstrip().splitlines()[-1].startswith("error: 1 of 2 failed, the others are done: bad.mp4")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.mp4"]


def test_a_cluster_is_refused_for_a_single_video(actor_clip, tmp_path, capsys):
    line = complaint_of(capsys, "extract", actor_clip, tmp_path / "pairs", "--ray-address", "auto")
    assert "--ray-address auto: is for several videos" in line


@pytest.mark.parametrize("name", ["chart.gif", "note.png"])
def test_coach_writes_over_nothing_and_says_so_at_once(name, actor_clip, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    line = complaint_of(capsys, "coach", actor_clip, "--picture", tmp_path / name)
    assert str(tmp_path / name) in line and (tmp_path / name).read_text() == "mine"


def test_coach_tells_what_to_film_and_draws_it_again_over_its_own_chart(actor_clip, tmp_path, capsys):
    for _ in range(2):
        assert main(["coach", str(actor_clip), "--picture", str(tmp_path / "chart.png")]) == 0
    assert "to film next: film " in capsys.readouterr().out


def test_pairs_become_side_by_side_pictures_by_one_command(actor_pairs, tmp_path, capsys):
    assert main(["convert", str(actor_pairs), str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "train").glob("*.png"))) == 28
    assert "28" in capsys.readouterr().out


def test_what_a_terminal_would_obey_is_told_as_text():
    assert printable("a\x1b[31mb\nc\udcff") == "a\\x1b[31mb c\\xdcff"


def test_the_other_people_in_the_picture_are_told(actor_pairs):
    manifest = read_manifest(actor_pairs)
    assert not any("other" in line for line in summaries.of_pairs(manifest, actor_pairs))
    told = summaries.of_pairs(dataclasses.replace(manifest, others=2), actor_pairs)
    assert any("up to 2 other people" in line and "--face" in line for line in told)


def test_a_name_that_the_terminals_encoding_lacks_is_told_all_the_same(actor_pairs, tmp_path, monkeypatch):
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    assert main(["convert", str(actor_pairs), str(tmp_path / "m\u00e1scara")]) == 0
    sys.stdout.flush()
    assert b"m\\xe1scara" in terminal.getvalue()


@pytest.mark.parametrize("ask", [lambda: np.empty(1 << 60, np.uint8), lambda: torch.empty(1 << 55)])
def test_too_little_memory_is_one_line(monkeypatch, capsys, tmp_path, ask):
    monkeypatch.setitem(COMMANDS, "convert", dataclasses.replace(COMMANDS["convert"], action=lambda *_: ask()))
    assert "too little memory" in complaint_of(capsys, "convert", tmp_path, tmp_path / "out")


def test_only_what_a_full_disk_does_in_a_thread_is_left_to_the_main_one(monkeypatch, tmp_path, capsys):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda what: told.append(what.exc_type))

    def fail(error: Exception) -> None:
        raise error

    def work(*_: object) -> None:
        for error in (OSError(errno.ENOSPC, "full"), OSError(errno.EBADF, "bug"), ValueError("bug")):
            thread = threading.Thread(target=fail, args=(error,))
            thread.start()
            thread.join()

    monkeypatch.setitem(COMMANDS, "convert", dataclasses.replace(COMMANDS["convert"], action=work))
    assert main(["convert", str(tmp_path), str(tmp_path / "out")]) == 0
    assert told == [OSError, ValueError]
