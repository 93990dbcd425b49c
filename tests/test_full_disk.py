"""A disk that fills up, at each stage that writes: one line, nothing half-written, and with more room it goes on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import media
import pytest
from toys import narrow_presets, only_asked_saves, write_toy_pairs

from mueca.checkpoint import load_newest
from mueca.cli import main
from mueca.config import TrainSettings
from mueca.curve import read_curve
from mueca.evaluation import evaluate
from mueca.exporting import export
from mueca.pictures import read_picture
from mueca.reenactment import drive
from mueca.training import train

STAGES_LOADED = (train, drive, evaluate, export)  # a stage that is imported on a full disk may lack its .pyc
ROOMY_KIB = 128 * 1024


@pytest.fixture(scope="module")
def toy_pairs(tmp_path_factory) -> Path:
    return write_toy_pairs(tmp_path_factory.mktemp("toys") / "pairs")


@pytest.fixture(scope="module")
def toy_run(toy_pairs, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("toys") / "run"
    with pytest.MonkeyPatch.context() as patch:
        narrow_presets(patch.setitem)
        train(toy_pairs, run, TrainSettings(steps=2, device="cpu", threads=1))
    return run


@pytest.fixture
def command_for(request, monkeypatch) -> Callable[[str, Path], list[str]]:
    """Return what makes a stage's command that writes to a folder, in which what it needs beside is laid."""
    narrow_presets(monkeypatch.setitem)
    only_asked_saves(monkeypatch.setattr)
    asked = request.getfixturevalue

    def command(stage: str, disk: Path) -> list[str]:
        models = ["--models", str(asked("models"))]
        run = disk / "run"
        if stage == "evaluate" and not run.exists():
            shutil.copytree(asked("actor_run"), run)
        one_thread = ["--threads", "1", "--device", "cpu"]
        return {
            "extract": lambda: ["extract", str(asked("actor_clip")), str(disk / "pairs"), *models],
            "train": lambda: ["train", str(asked("toy_pairs")), str(run), "--steps", "10", *one_thread],
            "drive": lambda: ["drive", *map(str, (asked("actor_run"), asked("actor_clip"), disk / "out.mp4")), *models],
            "evaluate": lambda: ["evaluate", str(run), "--save-fakes", *models, *one_thread],
            "export": lambda: ["export", str(asked("toy_run")), str(disk / "puppet.onnx")],
            "convert": lambda: ["convert", str(asked("toy_pairs")), str(disk / "converted")],
            "coach": lambda: ["coach", str(asked("actor_clip")), "--picture", str(disk / "chart.png"), *models],
        }[stage]()

    return command


@pytest.fixture(scope="module")
def unspoilt() -> dict[str, tuple[int, int, dict[str, str]]]:
    """By stage: the KiB that lie there before it and that it takes, and what it comes to where there is room."""
    return {}


def used_kib(disk: Path) -> int:
    told = os.statvfs(disk)
    return (told.f_blocks - told.f_bfree) * told.f_frsize // 1024


def outcome(disk: Path) -> dict[str, str]:
    """Return the hashes of all that was written, but for what tells times: the run's own clock, TensorBoard's log."""
    timed = ("events.", "state.json", "curve.json", "settings.json", "report.html", ".lock")
    files = [path for path in disk.rglob("*") if path.is_file() and not path.name.startswith(timed)]
    return {str(path.relative_to(disk)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def require_whole(disk: Path) -> None:
    """Nothing is half-written, and whatever stands under its final name can be read."""
    assert not list(disk.rglob("*.partial*"))
    for path in (path for path in disk.rglob("*") if path.is_file()):
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".png" | ".jpg":
                read_picture(path)
            case ".mp4":
                media.read(path)
    if (disk / "run").exists():
        load_newest(disk / "run")
        read_curve(disk / "run")


CASES = [
    *(("train", share) for share in (0.02, 0.3, 0.6, 0.9)),
    *((stage, 0.6) for stage in ("extract", "drive", "evaluate", "export", "convert", "coach")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "share"), CASES)
def test_a_disk_that_fills_up_is_one_line_leaves_only_whole_files_and_with_more_room_it_goes_on(
    command_for, unspoilt, tmp_path, capsys, stage, share
):
    if stage not in unspoilt:
        with media.small_disk(tmp_path / "roomy", num_kib=ROOMY_KIB) as disk:
            command = command_for(stage, disk)
            before = used_kib(disk)
            assert main(command) == 0
            unspoilt[stage] = before, used_kib(disk) - before, outcome(disk)
    before, needed, wanted = unspoilt[stage]
    capsys.readouterr()
    with media.small_disk(tmp_path / "small", num_kib=max(before + int(needed * share), 4)) as disk:
        command = command_for(stage, disk)
        assert main(command) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(said) == 1, said
        assert "no space left on" in said[0].lower()
        require_whole(disk)
        subprocess.run(["mount", "-o", f"remount,size={ROOMY_KIB}k", str(disk)], check=True)
        assert main(command) == 0, capsys.readouterr().err
        assert outcome(disk) == wanted


READ_ONLY = {"extract": "pairs", "train": "run", "drive": "out.mp4", "export": "puppet.onnx", "convert": "converted"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", READ_ONLY)
def test_a_disk_that_can_only_be_read_is_one_line_with_the_path(command_for, tmp_path, capsys, stage):
    with media.small_disk(tmp_path / "disk", num_kib=64) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert main(command_for(stage, disk)) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert str(disk) in line and "ead-only" in line
        assert "Traceback" not in line
