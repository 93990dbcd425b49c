"""What several tests need: the detectors' files, a short clip of a drawn actor, pairs and a run made from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from mueca.actors import ACTORS, performance, write_clip
from mueca.config import ExtractSettings, TrainSettings
from mueca.extraction import extract
from mueca.face.model_files import SSD_GRAPH, SSD_WEIGHTS, YUNET, fetch

settings.register_profile("mueca", deadline=None)  # a busy machine is no bug
settings.load_profile("mueca")


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keys and records of the tests, and of the processes they start, stay out of the user's folders."""
    home = tmp_path_factory.mktemp("home")
    os.environ |= {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}


@pytest.fixture(scope="session")
def models() -> Path:
    """Folder of the detectors' files: $MUECA_MODELS, or the cache, into which they are downloaded once."""
    named = os.environ.get("MUECA_MODELS")
    paths = [fetch(file, Path(named) if named else None) for file in (YUNET, SSD_WEIGHTS, SSD_GRAPH)]
    return paths[0].parent


@pytest.fixture(scope="session")
def actor_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of actor a, with sound."""
    path = tmp_path_factory.mktemp("clips") / "actor a, forty frames.mp4"
    write_clip(path, ACTORS["a"], performance(seed=7, num_frames=40), workers=1)
    return path


@pytest.fixture(scope="session")
def actor_pairs(actor_clip: Path, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of those forty frames: copy them before changing anything."""
    pairs = tmp_path_factory.mktemp("pairs") / "pairs"
    extract(actor_clip, pairs, ExtractSettings(models=models))
    return pairs


@pytest.fixture(scope="session")
def actor_run(actor_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps on those pairs: copy it before changing anything."""
    from mueca.training import train

    run = tmp_path_factory.mktemp("runs") / "run"
    train(actor_pairs, run, TrainSettings(steps=3))
    return run
