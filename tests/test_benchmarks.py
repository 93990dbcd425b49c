"""Every benchmark explains itself; those of landmarks and of extraction are run, briefly, on the drawn actors."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from toys import narrow_presets

from mueca.evaluation import read_metrics
from mueca.pictures import decode_frame, read_picture
from mueca.runs import read_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHARED = ("clean_pictures.py", "measuring.py", "reference.py", "scoring.py")
SCRIPTS = sorted(p for p in BENCHMARKS.glob("*.py") if p.name not in SHARED)


@pytest.fixture
def benchmark_landmarks(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("landmarks")


@pytest.fixture
def benchmark_measuring(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("measuring")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_benchmark_takes_out_and_quick_and_explains_itself(script):
    result = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "--out" in result.stdout and "--quick" in result.stdout
    assert len(result.stdout) > 500


@pytest.mark.parametrize("path", sorted((BENCHMARKS / "results").glob("*.json")), ids=lambda p: p.stem)
def test_a_result_says_on_which_machine_with_which_versions_and_when_it_was_measured(path):
    numbers = json.loads(path.read_text())
    assert {"machine", "versions", "date", "quick"} < numbers.keys()
    assert numbers["machine"]["cores"] and numbers["versions"]["mueca"]


def run_benchmark(models: Path, folder: Path, script: str, *options: str | Path, path: str = "") -> dict[str, Any]:
    """Run a benchmark, on the drawn actors if ``options`` name no clips; return the numbers that it wrote."""
    command = [sys.executable, BENCHMARKS / script, *options, "--out", folder / "out.json"]
    environment = {"PATH": path, "MUECA_MODELS": str(models), "HOME": str(folder)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return json.loads((folder / "out.json").read_text())


@pytest.mark.by_hand
def test_the_landmarks_benchmark_finds_followed_landmarks_calmer_than_plain_ones_and_hardly_late(models, tmp_path):
    numbers = run_benchmark(models, tmp_path, "landmarks.py", "--quick")
    assert 0 < numbers["tremble_ratio"] < 1 and 0 < numbers["tremble_ratio_live"] < 1
    assert abs(numbers["lag_frames"]) < 0.25 and abs(numbers["lag_frames_live"]) < 0.5
    assert [row["actor"] for row in numbers["actors"]] == ["a", "b"]
    assert all(row["files_error"] < 5 and row["live_error"] < 5 for row in numbers["actors"])
    assert all(row["files_blink_sudden"] > 0.85 and row["live_blink_sudden"] > 0.95 for row in numbers["clips"])


def test_the_lag_of_landmarks_is_told_to_a_fiftieth_of_a_frame(benchmark_landmarks):
    place = np.arange(60)[:, None, None]
    truth = 10 * np.sin(place / 4 + np.arange(136).reshape(68, 2))
    assert benchmark_landmarks.lag_frames(truth, truth) == pytest.approx(0, abs=0.011)
    late = 0.4 * np.concatenate([truth[:1], truth[:-1]]) + 0.6 * truth
    assert benchmark_landmarks.lag_frames(late, truth) == pytest.approx(0.4, abs=0.05)


@pytest.mark.slow
def test_the_marks_benchmark_finds_every_mark_as_written_and_none_in_clean_pictures(models, actor_clip, tmp_path):
    numbers = run_benchmark(models, tmp_path, "marks.py", "--quick", "--clips", actor_clip.parent, "--workers", "2")
    written = [row for row in numbers["survival"] if row["change"] in ("as written", "JPEG 75")]
    assert {row["frames"] for row in written} == {"1", "5", "25", "25 spread"}
    assert all(row["found"] == 1 for row in written)
    assert all(row["least"] >= 42 for row in numbers["psnr_db"].values())
    assert sum(row["number"] for row in numbers["false_alarms"]) >= 40
    assert not any(row["alarms"] for row in numbers["false_alarms"])


@pytest.mark.slow
def test_the_extraction_benchmark_gives_both_ways_the_same_frames(models, actor_clip, tmp_path):
    options = ("--clips", actor_clip.parent, "--frames", "20", "--rounds", "1")
    numbers = run_benchmark(models, tmp_path, "extract.py", *options)
    assert numbers["throughput_ratio"] > 0 and numbers["num_frames"] == 20
    (row,) = numbers["clips"]
    assert (row["frames"], row["report_frames"], row["mueca_usable_share"]) == (20, 20, 1.0)


def test_differences_do_not_reach_over_frames_without_a_face(benchmark_landmarks):
    frame_index = np.array([0, 1, 2, 50, 51, 52])
    face = np.random.default_rng(0).uniform(100, 200, (68, 2))
    still = np.stack([face] * 3 + [face + 400] * 3)  # jumps in the gap alone
    still[1] += 0.5
    moved = 100 * np.hypot(0.5, 0.5) / np.linalg.norm(face[36] - face[45])
    assert benchmark_landmarks.tremble(still, frame_index, 1) == pytest.approx(moved / 2)
    assert benchmark_landmarks.longest_stretch(np.array([0, 4, 5, 6, 9])).tolist() == [1, 2, 3]


def test_a_folder_without_the_usual_clips_is_measured_whole(tmp_path, benchmark_measuring):
    for name in ("mine.mp4", "hers.mp4", "note.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in benchmark_measuring.find_clips(tmp_path, ["d9"])] == ["hers.mp4", "mine.mp4"]
    (tmp_path / "d9.mp4").touch()
    assert [p.name for p in benchmark_measuring.find_clips(tmp_path, ["d9", "d19"])] == ["d9.mp4"]


@pytest.fixture
def benchmark_quality(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("quality")


def test_a_trial_of_the_quality_benchmark_is_evaluates_numbers_and_the_curve(
    benchmark_quality, actor_pairs, models, monkeypatch, tmp_path
):
    narrow_presets(lambda table, name, preset: monkeypatch.setitem(table, name, preset))
    trial = benchmark_quality.Trial("a", actor_pairs, tmp_path / "run", "small", 0, {"steps": 2})
    measured = json.loads(json.dumps(benchmark_quality.measure(trial, models)))
    kept = read_metrics(tmp_path / "run")
    assert measured["scores"]["ssim"]["value"] == kept.ssim.value
    assert measured["row"]["ssim"] == f"{kept.ssim.value:.3f} ({kept.ssim.mean_face:.3f})"
    assert [point["steps"] for point in measured["curve"]] == [0, 1, 2]
    record = read_run(tmp_path / "run")
    assert (measured["precision"], measured["threads"]) == (record.precision, record.threads)


def test_the_quality_benchmark_keeps_the_trials_that_it_does_not_repeat(benchmark_quality, tmp_path):
    trials = [
        {"clip": clip, "preset": preset, "seed": seed, "length": length}
        for clip, preset, seed, length in (
            ("d9", "small", 0, {"budget": 600.0}),
            ("d9", "paper", 0, {"budget": 600.0}),
            ("d9", "small", 1, {"budget": 600.0}),
            ("d9", "small", 0, {"steps": 600}),
        )
    ]
    (tmp_path / "out.json").write_text(json.dumps({"trials": [*trials, trials[0]]}))
    assert list(benchmark_quality.trials_in(tmp_path / "out.json").values()) == trials
    assert benchmark_quality.trials_in(tmp_path / "none.json") == benchmark_quality.trials_in(None) == {}


@pytest.fixture
def benchmark_live(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("live")


@pytest.mark.slow
def test_the_live_benchmark_sends_a_cameras_pictures_to_a_server_of_its_own_and_tells_its_stages(
    models, actor_run, actor_clip, tmp_path
):
    numbers = run_benchmark(models, tmp_path, "live.py", actor_run, "--driver", actor_clip, "--quick", "--seconds", "5")
    assert numbers["fps"] > 0
    assert sum(numbers["stages_ms"][name] for name in ("decode", "follow", "retarget", "paint", "encode")) > 1
    assert numbers["delay_ms"] >= numbers["stages_ms"]["all"] > 0
    assert numbers["lost_share"] < 0.5
    assert len(numbers["memory_mb"]) >= 3
    assert min(numbers["memory_mb"]) > 50


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
def test_the_live_benchmark_visits_by_the_page_in_a_browser_and_keeps_what_was_seen(
    models, actor_run, actor_clip, tmp_path
):
    options = ("--driver", actor_clip, "--quick", "--seconds", "4", "--browser", "--screenshot", tmp_path / "page.png")
    numbers = run_benchmark(models, tmp_path, "live.py", actor_run, *options, path=os.environ["PATH"])
    assert numbers["fps"] > 0
    assert numbers["delay_ms"] > 0
    assert numbers["stages_ms"]["all"] > numbers["stages_ms"]["paint"] > 0
    seen = read_picture(tmp_path / "page.png")
    assert seen.shape == (700, 1200, 3)
    assert seen.std() > 5


def test_the_live_benchmarks_camera_fills_its_frame_and_never_jumps(benchmark_live, actor_clip):
    jpegs = benchmark_live.camera_pictures(actor_clip, 10)
    pictures = [decode_frame(jpeg).astype(int) for jpeg in jpegs]
    assert {picture.shape for picture in pictures} == {(480, 640, 3)}
    apart = [np.abs(a - b).mean() for a, b in zip(pictures, pictures[1:] + pictures[:1], strict=True)]
    assert len(jpegs) == 18
    assert max(apart) < 2 * np.median(apart) + 1


def test_the_live_benchmarks_numbers_are_the_medians_and_the_slope_of_the_memory(benchmark_live):
    seen = benchmark_live.Seen(
        times_s=[0.0, 0.5, 1.0, 1.5],
        delays_ms=[10.0, 30.0, 20.0, 20.0],
        stages_ms=[(1, 2, 3, 4, 5, 15)] * 4,
        num_lost=1,
    )
    told = benchmark_live.summarized(seen, [100.0 + second for second in range(60)], seconds=2.0)
    assert (told["fps"], told["delay_ms"], told["lost_share"]) == (2.0, 20.0, 0.25)
    assert told["stages_ms"] == {"decode": 1, "follow": 2, "retarget": 3, "paint": 4, "encode": 5, "all": 15}
    assert told["memory_mb_per_minute"] == pytest.approx(60)
