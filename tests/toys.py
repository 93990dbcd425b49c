"""A task that any network learns, a green square becomes a red disc, and networks narrow enough to learn it at once."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mueca import journal, training
from mueca.config import TrainSettings
from mueca.face.charts import GRID
from mueca.gan import Trainer
from mueca.pairs import Landmarks, Manifest, write_landmarks, write_manifest, write_pair
from mueca.presets import PRESETS, Preset
from mueca.training import TrainResult

NARROW = {
    # Dropout, jitter and mirroring in both, so that every kind of chance takes part in exact resume.
    "paper": dataclasses.replace(PRESETS["paper"], width_generator=2, width_discriminator=2),
    "small": dataclasses.replace(
        PRESETS["small"], width_generator=4, width_discriminator=4, textures=2, jitter_size_px=264, mirror=True
    ),
}


def toy_pairs(number: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Conditions with a green square on black somewhere; targets with a red disc there on a blue slope; their charts.

    The scene's chart is the picture's, and the face's lies around the square.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    conditions, targets = np.zeros((2, number, 256, 256, 3), np.uint8)
    targets[..., 2] = (x // 2 + 100).astype(np.uint8)
    for condition, target, (row, column) in zip(conditions, targets, rng.integers(60, 196, (number, 2)), strict=True):
        condition[row - 40 : row + 40, column - 40 : column + 40] = (0, 255, 0)
        target[np.hypot(y - row, x - column) < 40] = (220, 40, 30)
    along = np.linspace(-1, 1, GRID)
    scene = np.stack(np.meshgrid(along, along))
    middles = np.random.default_rng(seed).integers(60, 196, (number, 2))[:, ::-1, None, None] / 128 - 1
    charts = np.concatenate([np.broadcast_to(scene, (number, *scene.shape)), scene - middles], axis=1)
    return conditions, targets, charts.astype(np.float32)


def narrow_presets(put: Callable[[dict[str, Preset], str, Preset], None]) -> None:
    """Put the narrow networks in the place of the presets' own, by ``dict.__setitem__`` or pytest's."""
    for name, preset in NARROW.items():
        put(PRESETS, name, preset)


def only_asked_saves(put: Callable[[object, str, float], None]) -> None:
    """Let no checkpoint come with time, by ``setattr`` or pytest's: a busy machine takes seconds for a step."""
    for name in ("_LEAST_BETWEEN_SAVES_S", "_MOST_BETWEEN_SAVES_S"):
        put(journal, name, 1e9)


def write_toy_pairs(folder: Path, *, num_train: int = 5, num_test: int = 2, seed: int = 0) -> Path:
    folder.mkdir()
    number = num_train + num_test
    conditions, targets, _ = toy_pairs(number, seed=seed)
    for i in range(number):
        write_pair(folder, "train" if i < num_train else "test", i, conditions[i], targets[i])
    points = np.random.default_rng(seed).uniform(0, 256, (number, 68, 2))
    transforms = np.broadcast_to(np.eye(3), (number, 3, 3)).copy()
    index = np.arange(number)
    still = np.zeros((number, 2)), np.zeros(number, int), np.ones(number)
    write_landmarks(folder, Landmarks(index, index / 25.0, points, *still, transforms, np.ones(number, bool)))
    values: dict[str, object] = {
        "str": "toy",
        "float": 25.0,
        "int": number,
        "list[int]": [256, 256],
        "list[str]": [],
        "str | None": None,
    }
    manifest = {f.name: values.get(str(f.type), {}) for f in dataclasses.fields(Manifest)}
    manifest |= {"source_sha256": hashlib.sha256(f"toy {seed}".encode()).hexdigest()}
    manifest |= {"num_train": num_train, "num_test": num_test, "first_test_frame": num_train}
    write_manifest(folder, Manifest(**manifest))
    return folder


def train(pairs: Path, run: Path, settings: TrainSettings | None = None, **options: Any) -> TrainResult:
    """Train as mueca does, where nobody is shown: who runs the tests attests their own face."""
    settings = settings or TrainSettings()
    return training.train(pairs, run, dataclasses.replace(settings, own_face=settings.consent is None), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Let ``action`` happen right after that step of whichever trainer takes it."""
    plain = Trainer.step

    def step_and_act(self: Trainer, progress: float) -> None:
        plain(self, progress)
        if self.steps_taken == step:
            action()

    monkeypatch.setattr(Trainer, "step", step_and_act)


def stop(signal_number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), signal_number)
