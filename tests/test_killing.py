"""A run that is killed at any moment, and started again, comes to what it would have come to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import killing
import pytest

KILLS = 5


@pytest.mark.by_hand
def test_a_run_killed_at_any_moment_and_started_again_comes_to_the_same(models):
    sizes = ["--kills", str(KILLS), "--narrow", "--steps", "12", "--frames", "26", "--workers", "1"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "OMP_NUM_THREADS": "1", "MUECA_MODELS": str(models),
    }  # fmt: skip
    command = [sys.executable, killing.__file__, *sizes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert f"{KILLS} runs finished as the unkilled one did, 0 did not" in done.stdout


def test_what_a_kill_left_is_known_by_what_it_was_to_become(tmp_path):
    for name in (".ab.1.cd.partial", "run/.ab.1.cd.partial.json", "run/checkpoints/.ab.1.cd.partial/.ef.2.gh.partial"):
        (tmp_path / name).mkdir(parents=True)
    assert killing.half_written_in(tmp_path) == [".json", "checkpoints", "pairs"]


class Process:
    """Stands for a command that runs until it is killed."""

    exitcode = None

    def kill(self) -> None:
        self.exitcode = -9

    def join(self) -> None:
        """Do nothing."""


class Shop:
    """Stands for the workshop: nothing is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, out: Path) -> Process:
        return Process()

    def finish(self, out: Path) -> None:
        """Do nothing."""


def test_a_run_that_came_to_something_else_is_told(tmp_path, monkeypatch):
    (tmp_path / "unkilled" / "pairs").mkdir(parents=True)
    monkeypatch.setattr(killing, "outcome_of", lambda out: {"weights": "b", "metrics": "c"})
    monkeypatch.setattr(killing, "SHARE_IN_SAVES", 0.0)

    def failure(**wanted: str) -> str | None:
        return killing.kill_one(Shop(tmp_path), 1, seed=0, takes_s=0.1, wanted=wanted).failure

    assert failure(weights="a", metrics="c") == "differs in weights"
    assert failure(weights="b", metrics="c") is None
