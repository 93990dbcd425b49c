"""Checkpoints: whole or absent, damage found by hash, nothing in a stranger's file trusted."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mueca.checkpoint import Checkpoint, load_generator, load_newest, save_checkpoint, save_generator
from mueca.config import TrainSettings
from mueca.errors import InputError, OutputError
from mueca.nets import compact
from mueca.nets.building import architecture_of, build_generator, initialise
from mueca.nets.painting import painter
from mueca.presets import PRESETS, Preset
from mueca.runs import CHECKPOINTS, GENERATOR, SETTINGS, Run, write_run

NARROW = dataclasses.replace(PRESETS["small"], width_generator=4, textures=0)


def checkpoint(steps: int) -> Checkpoint:
    return Checkpoint({"generator": {"w": torch.full((3,), float(steps))}, "adam": {"m": torch.ones(2)}}, steps, 0.5)


def folders(run: Path) -> list[str]:
    return sorted(p.name for p in (run / CHECKPOINTS).iterdir())


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """A run folder with nothing but settings and a generator."""
    return run_with_generator(tmp_path / "run", NARROW)


def run_with_generator(run: Path, preset: Preset) -> tuple[Path, torch.nn.Module]:
    run.mkdir()
    record = Run(TrainSettings(), preset, "steps", 1.0, Path("/pairs"), "0" * 64, threads=1)
    write_run(run, dataclasses.replace(record, architecture=architecture_of(preset)))
    net = build_generator(preset)
    initialise(net, torch.Generator().manual_seed(0))
    save_generator(run / GENERATOR, net)
    return run, net


def test_what_was_saved_is_loaded_to_the_bit(tmp_path):
    saved = checkpoint(7)
    saved.parts["generator"]["w"] = torch.randn(3, 5)
    save_checkpoint(tmp_path, saved)
    loaded = load_newest(tmp_path)
    assert (loaded.steps, loaded.seconds) == (7, 0.5)
    assert torch.equal(loaded.parts["generator"]["w"], saved.parts["generator"]["w"])


def test_an_empty_run_has_no_checkpoint(tmp_path):
    assert load_newest(tmp_path) is None


def test_the_newest_two_are_kept(tmp_path):
    for steps in (5, 20, 100):
        save_checkpoint(tmp_path, checkpoint(steps))
    assert folders(tmp_path) == ["step_00000020", "step_00000100"]


def test_a_damaged_one_goes_when_the_run_has_gone_on_from_the_one_before(tmp_path):
    save_checkpoint(tmp_path, checkpoint(400))
    (save_checkpoint(tmp_path, checkpoint(500)) / "state.json").write_text("[]")
    save_checkpoint(tmp_path, checkpoint(410))
    assert folders(tmp_path) == ["step_00000400", "step_00000410"]


@pytest.mark.parametrize("name", ["generator.safetensors", "adam.safetensors", "state.json"])
def test_one_flipped_bit_is_named_and_the_checkpoint_before_is_used(tmp_path, name):
    save_checkpoint(tmp_path, checkpoint(1))
    damaged = save_checkpoint(tmp_path, checkpoint(2)) / name
    data = bytearray(damaged.read_bytes())
    # Where the file stays readable: in a number of the last tensor, or of the steps.
    data[data.index(b'"steps": 2') + 9 if name == "state.json" else -1] ^= 1
    damaged.write_bytes(data)
    with pytest.warns(UserWarning, match=r"step_00000002: is damaged.*was changed"):
        assert load_newest(tmp_path).steps == 1


@pytest.mark.parametrize("damage", ["missing file", "empty file", "no state", "state is a list", "deep state"])
def test_a_damaged_checkpoint_never_stops_the_one_before(tmp_path, damage):
    save_checkpoint(tmp_path, checkpoint(1))
    newest = save_checkpoint(tmp_path, checkpoint(2))
    match damage:
        case "missing file":
            (newest / "adam.safetensors").unlink()
        case "empty file":
            (newest / "adam.safetensors").write_bytes(b"")
        case "no state":
            (newest / "state.json").unlink()
        case "state is a list":
            (newest / "state.json").write_text("[]")
        case "deep state":
            (newest / "state.json").write_text("[" * 200_000)
    with pytest.warns(UserWarning, match="step_00000002"):
        assert load_newest(tmp_path).steps == 1


def test_when_no_checkpoint_is_whole_the_error_says_how_to_start_over(tmp_path):
    (save_checkpoint(tmp_path, checkpoint(1)) / "state.json").unlink()
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(InputError, match="--fresh"):
        load_newest(tmp_path)


def test_a_full_disk_leaves_the_last_checkpoint_and_names_the_path(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"step_00000002.*(?i:no space left)"):
        save_checkpoint(tmp_path, checkpoint(2))
    assert folders(tmp_path) == ["step_00000001"]
    assert load_newest(tmp_path).steps == 1


_SAVE_FOREVER = """
import sys, itertools, torch
from pathlib import Path
from mueca.checkpoint import Checkpoint, save_checkpoint
for steps in itertools.count(1):
    parts = {name: {"w": torch.full((200_000,), float(steps))} for name in ("generator", "adam")}
    save_checkpoint(Path(sys.argv[1]), Checkpoint(parts, steps, 0.0))
    print(steps, flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_last_reported_checkpoint_or_a_newer_one(tmp_path):
    rng = np.random.default_rng(0)
    process_env = os.environ | {"OMP_NUM_THREADS": "1"}
    for attempt in range(4):
        run = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", _SAVE_FOREVER, str(run)], stdout=subprocess.PIPE, text=True, env=process_env
        ) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.2))
            process.send_signal(signal.SIGKILL)
            reported = [1, *(int(line) for line in process.stdout)][-1]
        loaded = load_newest(run)  # a warning, of damage, would be an error here
        assert loaded.steps >= reported
        assert all(
            torch.equal(part["w"], torch.full((200_000,), float(loaded.steps))) for part in loaded.parts.values()
        )


def test_a_loaded_generator_paints_what_the_saved_one_painted(trained):
    run, net = trained
    conditions = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    assert np.array_equal(load_generator(run, device="cpu")(conditions), painter(net)(conditions))


def test_loading_a_generator_needs_nothing_but_settings_and_weights(trained):
    run, _ = trained
    assert {p.name for p in run.iterdir()} == {SETTINGS, GENERATOR}
    load_generator(run, device="cpu")


def test_a_folder_without_a_run_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        load_generator(tmp_path)


def test_a_run_without_a_generator_says_so(trained):
    (trained[0] / GENERATOR).unlink()
    with pytest.raises(InputError, match=r"generator\.safetensors: there is none yet"):
        load_generator(trained[0])


@pytest.mark.parametrize("architecture", [None, 1, 3])
def test_a_generator_whose_weights_meant_something_else_is_refused_with_both_numbers(
    trained, monkeypatch, architecture
):
    run, _ = trained
    monkeypatch.setattr(compact, "ARCHITECTURE", 2)
    record = json.loads((run / SETTINGS).read_text()) | {"architecture": architecture}
    if architecture is None:  # as runs were written before they told it
        del record["architecture"]
    (run / SETTINGS).write_text(json.dumps(record))
    with pytest.raises(
        InputError, match=r"run: its compact generator has architecture (\d).*builds 2.*--fresh"
    ) as caught:
        load_generator(run)
    assert f"architecture {architecture or 0}, " in str(caught.value) and "the pairs stay" in str(caught.value)


def test_a_run_with_a_field_less_says_which_and_that_another_version_wrote_it(trained):
    run, _ = trained
    record = json.loads((run / SETTINGS).read_text())
    del record["preset"]["textures"]  # as before there were any
    (run / SETTINGS).write_text(json.dumps(record))
    with pytest.raises(
        InputError, match=r"settings\.json.*another version of mueca wrote it \(it lacks textures\)"
    ) as caught:
        load_generator(run)
    assert "--fresh" in str(caught.value) and "the pairs stay" in str(caught.value)


def hostile_files() -> dict[str, bytes]:
    def with_header(header: object, body: bytes = b"") -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + body

    huge = {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 1 << 82]}
    return {
        "empty": b"",
        "seven bytes": b"1234567",
        "header longer than the file": struct.pack("<Q", 1 << 62) + b"{}",
        "header of a gigabyte": struct.pack("<Q", 1 << 30) + b"{}",
        "absurd shape": with_header({"stem.weight": huge}),
        "negative shape": with_header({"stem.weight": huge | {"shape": [-1, -1]}}, b"1234"),
        "shape of words": with_header({"stem.weight": huge | {"shape": ["a"]}}),
        "unknown type": with_header({"stem.weight": huge | {"dtype": "PY"}}),
        "header is a list": with_header([1, 2]),
        "deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
        "pickle": b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.",
        "another network": with_header({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    }


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_generator_file_gives_one_line_of_error(trained, name):
    run, _ = trained
    (run / GENERATOR).write_bytes(hostile_files()[name])
    with pytest.raises(InputError, match=r"generator\.safetensors") as caught:
        load_generator(run)
    assert "\n" not in str(caught.value)


def test_offsets_that_overlap_are_refused(trained):
    run, _ = trained
    data = (run / GENERATOR).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"][0])
    size = header[name]["data_offsets"][1] - header[name]["data_offsets"][0]
    header[name]["data_offsets"] = [0, size]
    text = json.dumps(header).encode()
    (run / GENERATOR).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(InputError, match=r"generator\.safetensors"):
        load_generator(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width_generator", 10**12),
        ("width_generator", -1),
        ("generator", "os.system"),
        ("surprise", 1),
        ("dropout", 2.0),
        ("learning_rate_generator", float("nan")),
        pytest.param("length", 10**400, id="huge length"),
    ],
)
def test_hostile_settings_give_one_line_of_error_and_allocate_nothing(trained, key, value):
    run, _ = trained
    record = json.loads((run / SETTINGS).read_text())
    record["preset"][key] = value
    (run / SETTINGS).write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"settings\.json") as caught:
        load_generator(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "7", "{}", '{"kind": "another"}', '{"kind": "mueca run"'])
def test_settings_that_are_no_runs_give_one_line_of_error(trained, text):
    run, _ = trained
    (run / SETTINGS).write_text(text)
    with pytest.raises(InputError, match=r"settings\.json") as caught:
        load_generator(run)
    assert "\n" not in str(caught.value)


def test_settings_of_another_kind_are_no_runs(trained):
    run, _ = trained
    (run / SETTINGS).write_text((run / SETTINGS).read_text().replace("mueca run", "mueca walk"))
    with pytest.raises(InputError, match=r"is no run folder \(settings\.json is something else's\)"):
        load_generator(run)


def test_a_generator_of_another_width_is_refused(trained, tmp_path):
    other, _ = run_with_generator(tmp_path / "other", dataclasses.replace(NARROW, width_generator=8))
    (trained[0] / GENERATOR).write_bytes((other / GENERATOR).read_bytes())
    with pytest.raises(InputError, match="another network"):
        load_generator(trained[0])
