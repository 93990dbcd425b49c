"""Nothing that mueca reads makes it hang, fall over, fill the memory or write elsewhere, however it was damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fuzzing
import numpy as np
import pytest
from fuzz_targets import TARGETS
from mutations import changed_json

MUTANTS = 200


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.by_hand
def test_two_hundred_mutants_of_each_kind_of_file_are_read_or_refused_in_a_line(tmp_path):
    done = python(fuzzing.__file__, "--mutations", MUTANTS, "--kept", tmp_path / "kept")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for name in TARGETS:
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"| {name} |")]
        mutants, read, refused, failed = (int(cell) for cell in line.split("|")[2:6])
        assert (mutants, failed) == (MUTANTS, 0)
        assert read > 0 and refused > 0  # else the mutants are too mild, or none gets past the first check


_FAULTY = """
import json, os, sys, tempfile, time
from pathlib import Path
import fuzzing, fuzz_targets
from mueca.errors import InputError

def make(seeds):
    (seeds / "one").mkdir(parents=True)
    (seeds / "one" / "a.txt").write_text("text" * 50)

class Long(InputError):
    def __str__(self):
        return "x" * 5000

def refuse(given, out):
    raise Long

faults = {
    "hangs": lambda given, out: time.sleep(60),
    "falls": lambda given, out: {}["no such key"],
    "dies": lambda given, out: os._exit(3),
    "fills": lambda given, out: len(bytearray(900 << 20)),
    "promises": lambda given, out: bytearray(1 << 40),
    "writes beside": lambda given, out: (given.parent / "canary" / "file").write_text("dead"),
    "changes what it reads": lambda given, out: (given / "a.txt").unlink(),
    "writes far away": lambda given, out: (given.parents[1] / "far").write_text("x"),
    "runs": lambda given, out: os.system("true"),
    "talks": refuse,
    "is right": lambda given, out: (out / "result").write_text("1"),
}
for name, read in faults.items():
    fuzz_targets.TARGETS[name] = fuzz_targets.Target(name, make, read)
tallies, folder = {}, Path(sys.argv[1])
for timeout_s, names in ((1.0, ["hangs"]), (60.0, [name for name in faults if name != "hangs"])):
    fuzzing.TIMEOUT_S, work = timeout_s, folder / str(timeout_s)
    tallies |= fuzzing.fuzz(names, [0, 1], seed=0, work=work, kept=folder / "kept", tell=lambda line: None)
print(json.dumps({name: tally.failed for name, tally in tallies.items()}))
"""


def test_the_fuzzer_sees_each_kind_of_failure_and_goes_on_after_it(tmp_path):
    done = python("-c", _FAULTY, tmp_path)
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    words = {
        "hangs": "no answer within 1 s",
        "falls": "KeyError",
        "dies": "ended the process with 3",
        "fills": "took ",
        "promises": "MemoryError",
        "writes beside": "did what reading never should: open ",
        "changes what it reads": "did what reading never should: os.remove ",
        "writes far away": "did what reading never should: open ",
        "runs": "did what reading never should: os.system ",
        "talks": "an error of 5000 characters",
    }
    for name, wanted in words.items():
        assert [line.startswith(f"{i}: {wanted}") for i, line in enumerate(failed[name])] == [True, True], failed[name]
    assert failed["is right"] == []
    assert len(list((tmp_path / "kept").iterdir())) == 2 * len(words)
    assert "--targets talks --only 1 --seed 0" in (tmp_path / "kept" / "talks_0_1" / "why.txt").read_text()


def test_a_mutant_is_the_same_however_many_were_made_before_it():
    text = json.dumps({"a": [1, 2.5, "x", {"b": None, "c": [0.25] * 9}], "d": True}).encode()
    alone = [changed_json(np.random.default_rng(i), text) for i in range(200)]
    assert [changed_json(np.random.default_rng(i), text) for i in reversed(range(200))] == alone[::-1]
    assert len(set(alone)) > 150


def test_half_of_the_mutants_of_a_json_file_are_json(tmp_path):
    still_json = []
    for number in range(100):
        (tmp_path / "a.json").write_text(json.dumps({"a": [1, 2.5, "x", {"b": None, "c": [0.25] * 9}], "d": True}))
        fuzzing.mutate(tmp_path, TARGETS["settings"], number, seed=0)
        try:
            json.loads((tmp_path / "a.json").read_bytes())
            still_json.append(number)
        except (ValueError, RecursionError):
            pass
    assert len([number for number in still_json if number % 2 == 0]) > 35
    assert len([number for number in still_json if number % 2 == 1]) < 30
