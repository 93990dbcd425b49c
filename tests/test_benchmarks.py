"""Every benchmark answers, and offers what all of them offer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(p for p in BENCHMARKS.glob("*.py") if p.name != "measuring.py")


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


@pytest.mark.slow
def test_a_benchmark_runs_on_the_actors_and_writes_its_numbers(models, tmp_path):
    command = [sys.executable, BENCHMARKS / "landmarks.py", "--quick", "--out", tmp_path / "out.json"]
    environment = {"PATH": "", "MUECA_MODELS": str(models), "HOME": str(tmp_path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert 0 < json.loads((tmp_path / "out.json").read_text())["tremble_ratio"] < 1
