"""Exporting: one file that paints as PyTorch does, without it; and no other file is taken for one."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from toys import narrow_presets, toy_pairs, train, write_toy_pairs

from mueca import exporting
from mueca.checkpoint import load_generator
from mueca.cli import main
from mueca.config import ExportSettings, TrainSettings, to_json
from mueca.consent import to_values
from mueca.errors import InputError, MuecaError, OutputError
from mueca.exported import FORMAT, METADATA, Exported
from mueca.exporting import export
from mueca.files import sha256_of
from mueca.marks import NEWSCODES
from mueca.presets import PRESETS
from mueca.runs import GENERATOR, read_consent, read_run
from mueca.subject import read_subject
from mueca.version import VERSION


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    pairs = write_toy_pairs(folder / "pairs")
    with pytest.MonkeyPatch.context() as patch:
        narrow_presets(patch.setitem)
        for preset in PRESETS:
            train(pairs, folder / preset, TrainSettings(preset=preset, steps=3, device="cpu", threads=1))
    return {preset: folder / preset for preset in PRESETS}


@pytest.fixture(scope="module")
def exports(runs: dict[str, Path]) -> dict[str, Path]:
    for run in runs.values():
        export(run, run.with_suffix(".onnx"))
    return {preset: run.with_suffix(".onnx") for preset, run in runs.items()}


def changed(path: Path, out: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """Write the export with a change to ``out``."""
    model = onnx.load(path)
    change(model)
    out.write_bytes(model.SerializeToString())
    return out


def with_facts(path: Path, out: Path, **facts: object) -> Path:
    def change(model: onnx.ModelProto) -> None:
        (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA]
        entry.value = json.dumps(json.loads(entry.value) | facts)

    return changed(path, out, change)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_batch_is_painted_as_pytorch_paints_its_pictures_one_by_one(runs, exports, preset):
    conditions, _, charts = toy_pairs(3, seed=7)
    wanted = load_generator(runs[preset])(conditions, charts).astype(int)
    exported = Exported(exports[preset], runtime="onnxruntime", threads=1)
    one_by_one = exported(conditions, charts)
    assert np.abs(one_by_one - wanted).max() <= 1
    given = [conditions, charts] if PRESETS[preset].textures else [conditions]
    at_once = exported._infer(given)  # no picture's statistics reach another
    assert np.abs(at_once.astype(int) - one_by_one).max() <= 1


def test_the_file_holds_all_that_drives_it(runs, exports):
    facts = Exported(exports["small"]).facts
    assert facts.subject == read_subject(runs["small"])
    assert (facts.preset, facts.steps, facts.format) == ("small", 3, FORMAT)
    assert facts.consent == json.loads(json.dumps(to_values(read_consent(runs["small"]))))


def test_the_file_says_where_it_comes_from(runs, exports):
    facts, record = Exported(exports["small"]).facts, read_run(runs["small"])
    assert facts.source_type == "trainedAlgorithmicMedia"
    assert facts.pairs_sha256 == record.pairs_sha256
    assert facts.generator_sha256 == sha256_of(runs["small"] / GENERATOR)
    assert facts.trained_with == {"mueca": VERSION, "python": platform.python_version()} | {
        name: metadata.version(name) for name in ("numpy", "torch")
    }
    assert (facts.settings["length"], facts.settings["length_kind"], facts.settings["seed"]) == (3, "steps", 0)
    assert facts.settings["preset"] == to_json(record.preset)


def test_other_programs_are_told_that_it_generates_media(exports):
    model = onnx.load(exports["small"])
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["DigitalSourceType"] == NEWSCODES + "trainedAlgorithmicMedia"
    assert (model.producer_name, model.producer_version) == ("mueca", VERSION)
    assert "generated" in model.doc_string


def test_the_file_tells_nothing_of_the_machine(runs, exports):
    data = exports["small"].read_bytes()
    for path in (Path(exporting.__file__).parents[1], runs["small"].parent, Path(torch.__file__).parent):
        assert str(path).encode() not in data
    assert platform.platform().encode() not in data


@pytest.mark.parametrize("field", ["consent", "settings", "trained_with"])
def test_facts_that_are_no_table_are_told(exports, tmp_path, field):
    with pytest.raises(InputError, match="metadata can't be read"):
        Exported(with_facts(exports["small"], tmp_path / "bad.onnx", **{field: "x"}))


def test_an_export_that_paints_otherwise_is_refused_and_leaves_nothing(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "LARGEST_DIFFERENCE", -1)
    with pytest.raises(MuecaError, match="levels away from PyTorch"):
        export(runs["small"], tmp_path / "puppet.onnx")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_unless_fresh(runs, tmp_path):
    out = tmp_path / "puppet.onnx"
    out.write_text("mine")
    with pytest.raises(OutputError, match="--fresh"):
        export(runs["small"], out)
    assert out.read_text() == "mine"
    export(runs["small"], out, ExportSettings(fresh=True))
    assert Exported(out).facts.steps == 3


def test_a_folder_as_output_says_what_to_name(runs, tmp_path):
    with pytest.raises(OutputError, match=r"ends in \.onnx"):
        export(runs["small"], tmp_path / "exported")


def test_without_its_pairs_a_run_asks_for_them(runs, tmp_path, monkeypatch):
    record = exporting.read_run(runs["small"])
    monkeypatch.setattr(exporting, "read_run", lambda run: replace(record, pairs=tmp_path / "gone"))
    with pytest.raises(InputError, match="--pairs"):
        export(runs["small"], tmp_path / "puppet.onnx")


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 99, None])
def test_a_damaged_file_is_told_in_one_line(exports, tmp_path, damage):
    path = tmp_path / "bad.onnx"
    path.write_bytes(exports["small"].read_bytes()[:-5000] if damage is None else damage)
    with pytest.raises(InputError, match="export the run again") as caught:
        Exported(path)
    assert "\n" not in str(caught.value)


def test_a_newer_file_asks_for_a_newer_mueca(exports, tmp_path):
    path = with_facts(exports["small"], tmp_path / "new.onnx", format=FORMAT + 1, mueca_version="99.0")
    with pytest.raises(InputError, match=r"mueca 99\.0.*update mueca"):
        Exported(path)


@pytest.mark.parametrize("change", ["cut off", "newer"])
def test_live_says_why_a_file_can_not_be_used_and_opens_nothing(exports, tmp_path, capsys, change):
    path = tmp_path / "bad.onnx"
    if change == "newer":
        with_facts(exports["small"], path, format=FORMAT + 1, mueca_version="99.0")
    else:
        path.write_bytes(exports["small"].read_bytes()[:-5000])
    assert main(["live", str(path)]) != 0
    said = capsys.readouterr()
    assert f"{path}: " in said.err
    assert "Traceback" not in said.err
    assert "http://" not in said.out


def test_facts_that_a_later_mueca_adds_do_not_keep_an_earlier_one_from_painting(exports, tmp_path):
    path = with_facts(exports["small"], tmp_path / "later.onnx", origin={"clip": "me.mp4"})
    assert Exported(path).facts == Exported(exports["small"]).facts


@pytest.mark.parametrize(
    "facts", [{"subject": {}}, {"steps": "many"}, {"kind": "else"}, {"subject": {"undrivable": "x"}}]
)
def test_damaged_metadata_is_told(exports, tmp_path, facts):
    with pytest.raises(InputError, match=r"metadata|no export"):
        Exported(with_facts(exports["small"], tmp_path / "bad.onnx", **facts))


def test_another_programs_file_is_no_export(exports, tmp_path):
    path = changed(exports["small"], tmp_path / "else.onnx", lambda model: model.ClearField("metadata_props"))
    with pytest.raises(InputError, match="is no export of mueca"):
        Exported(path)


def test_a_file_that_takes_something_else_is_refused(exports, tmp_path):
    def rename(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["renamed" if name == "fakes" else name for name in node.output]
        model.graph.output[0].name = "renamed"

    with pytest.raises(InputError, match="takes and gives something else"):
        Exported(changed(exports["small"], tmp_path / "bad.onnx", rename))


def test_weights_in_another_file_are_not_read(exports, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(b"\0" * 4 * 3)

    def point_outside(model: onnx.ModelProto) -> None:
        outside = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[3])
        outside.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "secret", "offset": "0", "length": "12"}.items():
            outside.external_data.add(key=key, value=value)
        model.graph.initializer.append(outside)
        model.graph.node.append(helper.make_node("Identity", ["outside"], ["unused"]))

    with pytest.raises(InputError, match="other files"):
        Exported(changed(exports["small"], tmp_path / "bad.onnx", point_outside))
