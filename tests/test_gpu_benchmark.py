"""The GPU benchmark runs, tiny and on a CPU, where only torch, NumPy, OpenCV and safetensors are."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from toys import toy_pairs

from mueca import metrics
from mueca.evaluation.frames import held_out_of
from mueca.evaluation.measuring import FaceReader, Standing, measure_frames
from mueca.foreign import open_dataset
from mueca.pairs import read_split, write_pair
from mueca.portraits import make_ruler
from mueca.presets import PRESETS
from mueca.subject import fit_subject

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

_WITH_LITTLE_INSTALLED = """
import runpy, sys
from importlib.machinery import PathFinder
MISSING = {"av", "dlib", "PIL", "pooch", "scipy", "skimage", "tensorboard", "tqdm", "face_recognition_models"}
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.split(".")[0] in MISSING else find_spec(name, *more)
sys.argv = sys.argv[1:]
sys.path.insert(0, BENCHMARKS := sys.argv[0].rsplit("/", 1)[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def gpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


@pytest.fixture
def scoring(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("scoring")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for i, pair in enumerate(zip(*toy_pairs(4)[:2], strict=True)):
        write_pair(tmp_path / "pairs", "train" if i < 2 else "test", i, *pair)
    return tmp_path / "pairs"


def run(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _WITH_LITTLE_INSTALLED, BENCHMARKS / "gpu.py", *options]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env={"OMP_NUM_THREADS": "1"})


def test_a_dry_run_writes_the_numbers_that_are_asked_for(pairs, tmp_path):
    options = ("--pairs", pairs, "--out", tmp_path / "out.json", "--save-fakes", tmp_path / "fakes")
    done = run(*options, "--device", "cpu", "--width", 2, "--epochs", 1, "--reference-steps", 1, "--way-steps", 1)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "out.json").read_text())
    report_run, of_reference = numbers["report_run"], numbers["seconds"]["reference"]
    assert report_run["steps"] == 2 and report_run["seconds"] > 0
    assert report_run["setup_seconds"] == pytest.approx(sum(report_run["setup"].values()))
    assert report_run["ratio_to_reference"] == pytest.approx(2 * of_reference / report_run["seconds"])
    assert set(numbers["held_out"]) == {"mueca", "mueca_seed_1", "mueca_float32"}  # the reference learned too little
    assert set(numbers["held_out"]["mueca"]) == {"l1", "psnr", "ssim", "steps"}
    assert numbers["held_out"]["mueca"] == numbers["held_out"]["mueca_float32"]  # on a CPU they are the same run
    assert numbers["held_out"]["mueca"] != numbers["held_out"]["mueca_seed_1"]
    assert numbers["captured"] is False  # nor has it to be, without a GPU
    assert numbers["tf32"]["reference"] and not numbers["tf32"]["mueca_float32"]
    assert 0 < numbers["data"]["share_of_step"] < 1
    assert len(numbers["ways"]) == 7 and min(numbers["ways"].values()) > 0
    assert numbers["graph_is_eager"]
    for name in numbers["held_out"]:
        with np.load(tmp_path / "fakes" / f"{name}.npz") as saved:
            assert saved["fakes"].shape == (2, 256, 256, 3) and saved["names"].tolist() == ["000002", "000003"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_what_is_blocked_here_is_really_missing():
    code = _WITH_LITTLE_INSTALLED.split("sys.argv")[0] + "import skimage"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No module named 'skimage'" in done.stderr


def test_what_was_measured_is_written_before_the_next_part_fails(gpu, pairs, tmp_path, monkeypatch):
    def fails(*_given: object, **_named: object) -> None:
        raise SystemExit("gone")

    monkeypatch.setattr(gpu, "ms_by_way", fails)
    options = ("--device", "cpu", "--width", "2", "--epochs", "1", "--reference-steps", "1")
    monkeypatch.setattr("sys.argv", ["gpu.py", "--pairs", str(pairs), "--out", str(tmp_path / "out.json"), *options])
    with pytest.raises(SystemExit, match="gone"):
        gpu.main()
    assert json.loads((tmp_path / "out.json").read_text())["report_run"]["seconds"] > 0


def test_a_gpu_that_is_asked_for_and_missing_fails(pairs, tmp_path):
    done = run("--pairs", pairs, "--out", tmp_path / "out.json")
    assert done.returncode == 1 and "finds no GPU here" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_step_that_a_gpu_cannot_capture_is_not_measured(gpu, pairs, monkeypatch):
    class NeverCaptured:
        is_captured = False

        def setup(self, *, capture: bool) -> None:
            assert capture

    monkeypatch.setattr(gpu, "Trainer", lambda *_given, **_named: NeverCaptured())
    half = gpu.read_split(pairs / "train", None)
    options = {"device": torch.device("cuda"), "precision": "float32", "epochs": 1}
    with pytest.raises(SystemExit, match="can't be captured as one CUDA graph here"):
        gpu.run_ours(PRESETS["paper"], half, half, capture=True, **options)


def test_plain_float32_is_not_tf32_and_leaves_the_switch_as_it_was(gpu):
    before = torch.backends.cudnn.allow_tf32
    with gpu._tf32(False):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize("scored", [True, False])
def test_the_reference_is_scored_only_where_that_is_asked_for(gpu, pairs, scored):
    half = gpu.read_split(pairs / "train", None)
    narrow = dataclasses.replace(PRESETS["paper"], width_generator=2, width_discriminator=2)
    outcome = gpu.run_reference(narrow, half, half, device=torch.device("cpu"), steps=2, scored=scored)
    assert (outcome.steps, outcome.seconds > 0) == (2, True)
    assert (outcome.held_out is not None, outcome.fakes is not None) == (scored, scored)


@pytest.mark.parametrize(("option", "scored"), [("0", True), ("1", False), ("2", True)])
def test_held_out_numbers_of_the_reference_are_told_after_as_many_steps_as_ours_alone(
    gpu, pairs, tmp_path, monkeypatch, option, scored
):
    def reference(*_given: object, **named: object) -> None:
        raise SystemExit(f"scored: {named['scored']}")

    half = gpu.read_split(pairs / "train", None)
    ours = gpu.Outcome(1.0, 0.0, 2, {}, half.targets)
    monkeypatch.setattr(gpu, "run_ours", lambda *_given, **_named: ours)
    monkeypatch.setattr(gpu, "run_reference", reference)
    options = ["--pairs", str(pairs), "--device", "cpu", "--epochs", "1", "--reference-steps", option]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    with pytest.raises(SystemExit, match=f"scored: {scored}"):
        gpu.main()


def test_a_fake_without_a_face_counts_as_the_mean_face(scoring):
    points = np.random.default_rng(0).uniform(60, 196, (68, 2))
    far = points + (8.0, 0.0)
    error = float(metrics.landmark_distance(far, points))
    found = scoring.landmark_scores([(points, points), (None, points), (None, None), (far, None)], far)
    assert found == {"akd": pytest.approx(error / 2), "undetected": 2}
    assert scoring.landmark_scores([(None, None)], far) == {"akd": None, "undetected": 1}


def test_fakes_that_were_painted_elsewhere_get_their_landmark_error(gpu, actor_pairs, models, tmp_path):
    test = gpu.read_split(actor_pairs / "test", 2)
    runs = {"mueca": test.targets, "mueca_float32": np.roll(test.targets, 8, axis=2), "blank": 0 * test.targets}
    for name, fakes in runs.items():
        np.savez(tmp_path / f"{name}.npz", names=test.names, fakes=fakes)
    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"seconds": {}, "held_out": {name: {"l1": 0.1} for name in runs}}))
    gpu.score_fakes(tmp_path, actor_pairs, out, models)
    numbers = json.loads(out.read_text())
    training, held_out = (read_split(actor_pairs, split) for split in ("train", "test"))
    rows = [held_out.names.index(name) for name in test.names]
    reader, mean_face = FaceReader(make_ruler(None, models=models)), training.targets.mean(axis=0).round()
    standing = Standing(mean_face.astype(np.uint8), fit_subject(actor_pairs).typical_shape)
    part = held_out_of(open_dataset(actor_pairs), held_out)
    part = dataclasses.replace(part, **{n: getattr(part, n)[rows] for n in ("targets", "landmarks", "follows")})
    table = measure_frames(0 * test.targets, test.targets, standing, part, reader)
    as_evaluate_has_it = table["akd"]["value"].mean()
    assert numbers["held_out"]["mueca"] == {"l1": 0.1, "akd": 0.0, "undetected": 0}
    assert 0.02 < numbers["held_out"]["mueca_float32"]["akd"] < 0.5
    assert numbers["held_out"]["blank"] == {"l1": 0.1, "akd": pytest.approx(as_evaluate_has_it), "undetected": 2}
    assert numbers["seconds"] == {}


def test_its_rulers_are_muecas(gpu):
    fakes, targets = (toy_pairs(2, seed=seed)[1] for seed in (0, 1))
    found = gpu.held_out(fakes, targets, torch.device("cpu"))
    for name in ("l1", "psnr", "ssim"):
        ruler = getattr(metrics, name)
        plain = np.mean([ruler(fake, real) for fake, real in zip(fakes, targets, strict=True)])
        assert found[name] == pytest.approx(plain, abs=1e-9)


def test_a_folder_without_pairs_is_one_line(gpu, tmp_path):
    with pytest.raises(SystemExit, match=r"train: holds no pairs; make some with: mueca extract"):
        gpu.read_split(tmp_path / "train", None)


def test_of_more_pairs_some_are_taken_evenly(gpu, pairs):
    assert gpu.read_split(pairs / "test", 1).names == ("000002",)
    assert len(gpu.read_split(pairs / "train", 320).targets) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--pairs-at-most", "0"), "--pairs-at-most 0: must be 1 or more"),
        (("--reference-steps", "-1"), "--reference-steps -1: must be 0 or more"),
        (("--out", "file/out.json"), "its folder can't be made"),
        (("--out", "folder"), "can't be written"),
    ],
)
def test_what_can_not_work_is_told_before_anything_is_trained(gpu, tmp_path, monkeypatch, capsys, options, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--pairs", "pairs", *options])
    with pytest.raises(SystemExit):
        gpu.read_arguments()
    assert complaint in capsys.readouterr().err


def test_the_folder_of_the_result_is_made(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--pairs", "pairs", "--out", str(tmp_path / "new" / "out.json")])
    gpu.read_arguments()
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize("is_there", [False, True], ids=["missing", "empty"])
def test_half_a_pair_is_named(gpu, pairs, is_there):
    picture = sorted((pairs / "train" / "condition").glob("*.png"))[0]
    picture.unlink()
    if is_there:
        picture.touch()
    with pytest.raises(SystemExit, match=picture.name):
        gpu.read_split(pairs / "train", None)
