"""licenses(): every model file with its licence and state; what is not for commercial use is named in each result."""

import dataclasses
import json
from pathlib import Path

import pytest

from mueca import licenses, licensing
from mueca.cli import main
from mueca.config import DriveSettings, from_json
from mueca.evaluation import evaluate
from mueca.exported import Exported
from mueca.exporting import export
from mueca.face.model_files import LANDMARKS_68, SSD_GRAPH, YUNET, UsedFile, used_files
from mueca.pairs import read_manifest
from mueca.reenactment import drive
from mueca.runs import read_run

NON_COMMERCIAL = "trained on iBUG 300-W, a data set whose licence excludes commercial use"


def by_name(models: Path) -> dict[str, licensing.Licensed]:
    return {file.name: file for file in licenses(models)}


def test_every_file_tells_its_licence_its_source_and_that_its_hash_holds(models):
    files = [file for file in licenses(models) if not file.is_optional]
    assert len(files) == 6
    for file in files:
        assert file.state == "whole"
        assert file.licence and file.source.startswith("https://") and len(file.sha256) == 64
        assert file.path and file.num_bytes and file.num_bytes > 10_000
    assert [file.name for file in files if file.limits] == [LANDMARKS_68.name]
    assert by_name(models)[LANDMARKS_68.name].limits == NON_COMMERCIAL


def test_an_absent_file_and_a_changed_one_are_told_apart(models, tmp_path):
    (tmp_path / YUNET.name).write_bytes((models / YUNET.name).read_bytes()[:-1] + b"?")
    files = by_name(tmp_path)
    assert files[YUNET.name].state == "changed"
    assert (files[SSD_GRAPH.name].state, files[SSD_GRAPH.name].path) == ("absent", None)
    assert {path.name for path in tmp_path.iterdir()} == {YUNET.name}  # nothing was downloaded


def test_a_changed_file_of_a_package_is_told(monkeypatch, tmp_path, models):
    forged = tmp_path / LANDMARKS_68.name
    forged.write_bytes(b"of another maker")
    monkeypatch.setattr(licensing, "packaged", lambda file: forged)
    assert by_name(models)[LANDMARKS_68.name].state == "changed"


def test_weights_of_packages_that_are_not_installed_are_optional_and_absent(models):
    for file in (licensing.LPIPS, licensing.INCEPTION):
        told = by_name(models)[file.name]
        assert told.is_optional and told.state == "absent"


def test_the_home_folder_is_not_told(models, tmp_path, monkeypatch):
    home = tmp_path / "alice"
    folder = home / "models"
    folder.mkdir(parents=True)
    (folder / YUNET.name).write_bytes((models / YUNET.name).read_bytes())
    monkeypatch.setattr(Path, "home", lambda: home)
    assert by_name(folder)[YUNET.name].path == f"~/models/{YUNET.name}"


def test_the_command_prints_lines_and_json(models, capsys):
    assert main(["licenses", "--models", str(models)]) == 0
    printed = capsys.readouterr().out
    assert NON_COMMERCIAL in printed and "its hash holds" in printed
    assert main(["licenses", "--models", str(models), "--json"]) == 0
    told = [from_json(licensing.Licensed, values) for values in json.loads(capsys.readouterr().out)]
    assert told == licenses(models)


def test_extract_names_the_data_set_once_and_train_too(actor_clip, models, tmp_path, capsys):
    pairs, run = tmp_path / "pairs", tmp_path / "run"
    assert main(["extract", str(actor_clip), str(pairs), "--models", str(models)]) == 0
    assert capsys.readouterr().out.count(NON_COMMERCIAL) == 1
    assert main(["train", str(pairs), str(run), "--steps", "1"]) == 0
    assert capsys.readouterr().out.count(NON_COMMERCIAL) == 1


def test_every_result_names_the_files_that_found_its_landmarks(actor_pairs, actor_run, actor_clip, models, tmp_path):
    used = used_files("yunet")
    assert [(file.name, file.sha256) for file in used] == [
        (YUNET.name, YUNET.sha256),
        (LANDMARKS_68.name, LANDMARKS_68.sha256),
    ]
    assert read_manifest(actor_pairs).model_files == used
    assert read_run(actor_run).model_files == used
    assert Exported(export(actor_run, tmp_path / "puppet.onnx").path).facts.model_files == used
    drive(actor_run, actor_clip, tmp_path / "out.mp4", DriveSettings(models=models))
    report = json.loads((tmp_path / "out.json").read_text())
    assert [from_json(UsedFile, values) for values in report["model_files"]] == list(used)


def test_the_report_names_the_data_set(actor_run, models, tmp_path):
    import shutil

    from mueca.config import EvaluateSettings

    run = shutil.copytree(actor_run, tmp_path / "run")
    evaluate(run, EvaluateSettings(models=models))
    page = (run / "report.html").read_text()
    assert page.count(f"<strong>{NON_COMMERCIAL}</strong>") == 1


def test_pairs_made_before_mueca_told_its_files_are_still_read(actor_pairs, tmp_path):
    values = json.loads((actor_pairs / "pairs.json").read_text())
    del values["model_files"]
    (tmp_path / "pairs.json").write_text(json.dumps(values))
    assert read_manifest(tmp_path).model_files == ()


@pytest.mark.parametrize("detector", ["hog", "ssd"])
def test_what_is_used_follows_the_detector(detector):
    names = [file.name for file in used_files(detector)]
    assert names[-1] == LANDMARKS_68.name
    assert len(names) == {"hog": 1, "ssd": 3}[detector]
    assert dataclasses.asdict(used_files(detector)[-1])["limits"] == NON_COMMERCIAL
