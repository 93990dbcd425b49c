"""A run folder from a stranger: nothing in it runs, and nothing outside of it is touched, a canary proves it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mueca.checkpoint import _sha256_of_json
from mueca.runs import CHECKPOINTS, GENERATOR, SETTINGS

PARTS = f"{CHECKPOINTS}/step_00000003"


class Code:
    """Unpickled, it overwrites the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"echo dead > '{self.canary / 'file'}'",)


def pickled(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Code(canary)))


def saved(path: Path, canary: Path) -> None:
    torch.save({"weight": torch.zeros(1), "code": Code(canary)}, path)  # noqa: TID251


def changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_code_in_the_generator(run: Path, canary: Path) -> None:
    pickled(run / GENERATOR, canary)


def with_a_pth_for_a_generator(run: Path, canary: Path) -> None:
    saved(run / GENERATOR, canary)


def with_an_absurd_header(run: Path, canary: Path) -> None:
    (run / GENERATOR).write_bytes((1 << 60).to_bytes(8, "little") + (run / GENERATOR).read_bytes()[8:])


def with_code_in_every_checkpoint(run: Path, canary: Path) -> None:
    for part in (run / PARTS).glob("*.safetensors"):
        saved(part, canary)
        _sign(run, part.stem, part)


def with_a_part_named_outside(run: Path, canary: Path) -> None:
    shutil.copy(run / PARTS / "generator.safetensors", canary / "part.safetensors")
    _sign(run, "../../../../canary/part", canary / "part.safetensors")


def _sign(run: Path, name: str, file: Path) -> None:
    """Let the checkpoint's own hashes hold for a part: they are no secret."""
    state = json.loads((run / PARTS / "state.json").read_text())
    del state["sha256_of_state"]
    state["sha256"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
    state["sha256_of_state"] = _sha256_of_json(state)
    (run / PARTS / "state.json").write_text(json.dumps(state))


def with_pairs_outside(run: Path, canary: Path) -> None:
    changed(run / SETTINGS, pairs="../../canary")


def with_a_network_by_path(run: Path, canary: Path) -> None:
    settings = json.loads((run / SETTINGS).read_text())
    changed(run / SETTINGS, preset=settings["preset"] | {"generator": "../../canary/file"})


def with_strays(run: Path, canary: Path) -> None:
    saved(run / "generator.pth", canary)
    pickled(run / CHECKPOINTS / "latest.pkl", canary)
    (run / "sitecustomize.py").write_text(f"open({str(canary / 'file')!r}, 'w').write('dead')")
    (run / "settings.py").write_text(f"open({str(canary / 'file')!r}, 'w').write('dead')")


def link(name: str, target: str) -> Callable[[Path, Path], None]:
    def with_a_link(run: Path, canary: Path) -> None:
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(canary / target)

    with_a_link.__name__ = f"with_{name}_linked_out"
    return with_a_link


DRIVE, EVALUATE, TRAIN, LONGER = "drive", "evaluate", "train", "train longer"
CASES: list[tuple[Callable[[Path, Path], None], str, int, str]] = [
    (with_code_in_the_generator, DRIVE, 2, "generator.safetensors"),
    (with_a_pth_for_a_generator, DRIVE, 2, "generator.safetensors"),
    (with_an_absurd_header, DRIVE, 2, "is no safetensors file (a header of 1152921504606846976 bytes"),
    (with_code_in_every_checkpoint, TRAIN, 2, "no checkpoint is whole"),
    (with_a_part_named_outside, TRAIN, 2, "names a part outside of it"),
    (with_pairs_outside, EVALUATE, 2, "canary"),
    (with_a_network_by_path, DRIVE, 2, "settings.json"),
    (with_strays, TRAIN, 0, ""),
    (link("metrics.json", "file"), EVALUATE, 2, "metrics.json: is a link that leads out"),
    (link("report.html", "file"), EVALUATE, 2, "report.html: is a link that leads out"),
    (link(".lock", "file"), TRAIN, 2, ".lock: is a link that leads out"),
    (link("curve.json", "file"), LONGER, 2, "curve.json: is a link that leads out"),
    (link("log", "."), LONGER, 2, "log: is a link that leads out"),
    (link("samples", "."), LONGER, 2, "samples: is a link that leads out"),
    (link("checkpoints", "."), LONGER, 2, "checkpoints: is a link that leads out"),
]

_WATCHED = """
import contextlib, io, json, platform, sys
from pathlib import Path
from fuzzing import Watch
from mueca.cli import main
import mueca.training, mueca.reenactment, mueca.evaluation  # what importing writes is not what is asked about
platform.platform(), platform.processor()
watch, told = Watch(), {}
for name, (allowed, arguments) in json.loads(sys.stdin.read()).items():
    said = io.StringIO()
    watch.arm(Path(allowed))
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(arguments)
    watch.arm(None)
    told[name] = [code, said.getvalue(), watch.seen]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def answers(actor_run, actor_pairs, actor_clip, models, tmp_path_factory) -> dict[str, tuple[int, str, list[str]]]:
    """Exit code, words, and what was done outside of the run's folder, for each case: all in one watched process."""
    box = tmp_path_factory.mktemp("box")
    shutil.copytree(actor_run, box / "honest")
    # First an honest one, for PyTorch makes a folder of its own when it trains for the first time.
    jobs = {"honest": (str(box), ["train", str(actor_pairs), str(box / "honest"), "--steps", "4"])}
    for make, command, _, _ in CASES:
        run, canary = box / make.__name__ / "run", box / make.__name__ / "canary"
        shutil.copytree(actor_run, run)
        canary.mkdir()
        (canary / "file").write_text("alive")
        make(run, canary)
        arguments = {
            DRIVE: ["drive", run, actor_clip, run / "out.mp4", "--models", models],
            EVALUATE: ["evaluate", run, "--models", models],
            TRAIN: ["train", actor_pairs, run, "--steps", "3"],
            LONGER: ["train", actor_pairs, run, "--steps", "4"],
        }[command]
        jobs[make.__name__] = (str(run), [str(a) for a in arguments])
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED], input=json.dumps(jobs), capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alive = {make.__name__: (box / make.__name__ / "canary" / "file").read_text() for make, *_ in CASES}
    told = json.loads(done.stdout.splitlines()[-1])
    return {name: (*told[name], alive[name]) for name in alive}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "command", "code", "words"), CASES, ids=[make.__name__ for make, *_ in CASES])
def test_a_strangers_run_runs_nothing_and_touches_nothing_outside_of_it(answers, make, command, code, words):
    exit_code, said, seen, alive = answers[make.__name__]
    assert exit_code == code, said
    assert words in said
    assert "Traceback" not in said
    assert seen == []
    assert alive == "alive"


def test_the_canary_would_die_of_the_code(tmp_path):
    (tmp_path / "file").write_text("alive")
    pickle.loads(pickle.dumps(Code(tmp_path)))
    assert (tmp_path / "file").read_text() == "dead\n"
