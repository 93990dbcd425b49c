"""Nobody is learned, painted or exported without their consent: each command, and each refusal, whole."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import media
import onnx
import pytest
import toys
from test_consent import anothers
from toys import narrow_presets, write_toy_pairs

import mueca
from mueca import ledger, permission
from mueca.actors import ACTORS, actor_clip, filming
from mueca.cli import main
from mueca.config import LiveSettings, TrainSettings, to_json
from mueca.consent import Consent, Source, from_values, make, read, to_values, write
from mueca.errors import ConsentError, InputError
from mueca.exported import METADATA, Exported, consent_of
from mueca.exporting import export
from mueca.files import sha256_of
from mueca.foreign import open_dataset, sha256_of_dataset
from mueca.keys import user_key
from mueca.pairs import read_manifest
from mueca.runs import CONSENT, GENERATOR, SETTINGS, read_run
from mueca.streaming import live
from mueca.training import train
from mueca.withdrawal import id_of, withdraw

NAMED = ("--subject", "Ana", "--asked-by", "Luis", "--given", "spoken", "--until", "2999-12-31")


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_presets(monkeypatch.setitem)


@pytest.fixture(scope="module")
def clip(actor_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of somebody whom mueca did not draw: it is not, byte for byte, the one that it drew."""
    path = tmp_path_factory.mktemp("clip") / "ana.mp4"
    path.write_bytes(actor_clip.read_bytes() + b"\0\0\0\x08free")
    return path


@pytest.fixture(scope="module")
def pairs(actor_pairs: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of that clip."""
    folder = tmp_path_factory.mktemp("pairs") / "pairs"
    shutil.copytree(actor_pairs, folder)
    manifest = json.loads((folder / "pairs.json").read_text())
    told = {"source_name": clip.name, "source_sha256": sha256_of(clip)}
    (folder / "pairs.json").write_text(json.dumps(manifest | told))
    return folder


def source_of(pairs: Path) -> Source:
    manifest = read_manifest(pairs)
    return Source(manifest.source_name, manifest.source_sha256)


def a_record(path: Path, *sources: Source, **changes) -> Path:
    """Write a record of Ana's, which allows everything."""
    values = {"subject": "Ana", "asked_by": "Luis", "purposes": ("train", "drive", "publish", "live"), "given": "form"}
    values |= {"valid_from": "2020-01-01", "valid_until": "2999-12-31", "sources": sources}
    write(path, make(**(values | changes)))
    return path


@pytest.fixture(scope="module")
def trained(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on those pairs, with Ana's consent: copy it before changing anything."""
    folder = tmp_path_factory.mktemp("trained")
    record = a_record(folder / "ana.json", source_of(pairs))
    with pytest.MonkeyPatch.context() as patch:
        narrow_presets(patch.setitem)
        train(pairs, folder / "run", TrainSettings(steps=1, device="cpu", threads=1, consent=record))
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def puppet(trained: Path) -> Path:
    return export(trained, trained.with_name("puppet.onnx")).path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that a refused command writes."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ") and complaint.count("\n") == 1
    return complaint


def done(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def under(consent_id: str) -> list[tuple[str, str]]:
    """Return kind and file name of what the ledger knows."""
    return [(entry.kind, Path(entry.path).name) for entry in ledger.entries(consent_id)]


# Training


def test_without_a_consent_nothing_is_learned_and_nothing_made(pairs, tmp_path, capsys):
    line = refused(capsys, "train", pairs, tmp_path / "run", "--steps", 1)
    assert "ana.mp4: there is no consent to learn from it; name the subject's record with --consent FILE" in line
    assert "--self" in line and not list(tmp_path.iterdir())
    with pytest.raises(ConsentError):
        train(pairs, tmp_path / "run", TrainSettings(steps=1))


BAD: dict[str, tuple[Callable[[Consent], Consent], str]] = {
    "edited": (lambda c: from_values(to_values(c) | {"purposes": ["train", "live"]}, ""), "was edited after it"),
    "an unknown key's": (anothers, "signed by a key that this machine does not know"),
    "expired": (lambda c: remade(c, valid_until="2020-12-31"), "expired: it was valid until 2020-12-31"),
    "not yet valid": (lambda c: remade(c, valid_from="2998-01-01"), "is valid from 2998-01-01 on"),
    "for another clip": (lambda c: remade(c, sources=(Source("eva.mp4", "e" * 64),)), "is for another clip (eva.mp4)"),
    "for another purpose": (lambda c: remade(c, purposes=("drive", "live")), "allows drive, live, and not train"),
    "withdrawn": (lambda c: ledger.note_withdrawal(c.id) or c, "was withdrawn; ask Ana"),
}


def remade(consent: Consent, **changes) -> Consent:
    names = ("subject", "asked_by", "purposes", "sources", "valid_from", "valid_until", "given", "form")
    return make(**({name: getattr(consent.record, name) for name in names} | changes))


@pytest.mark.parametrize(("spoil", "complaint"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("command", ["train", "import"])
def test_a_record_that_doesnt_hold_is_refused_in_one_line_and_nothing_is_made(
    command, spoil, complaint, pairs, tmp_path, capsys, reference_files
):
    path = a_record(tmp_path / "ana.json", source_of(pairs))
    write(path, spoil(read(path)))
    before = sorted(tmp_path.iterdir())
    what = [pairs, tmp_path / "run"] if command == "train" else [reference_files, tmp_path / "run", "--pairs", pairs]
    line = refused(capsys, command, *what, "--consent", path)
    assert line.startswith(f"error: {path}: ") and complaint in line
    assert sorted(tmp_path.iterdir()) == before and not under(read(path).id)


@pytest.fixture(scope="module")
def reference_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator's file of the reference, by way of a run of preset paper."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        narrow_presets(patch.setitem)
        toys.train(write_toy_pairs(folder / "pairs"), folder / "run", TrainSettings(preset="paper", steps=1))
    done("export", folder / "run", folder / "out", "--format", "reference")
    assert read(folder / "out" / CONSENT) == consent_of(folder / "run")
    return folder / "out" / "latest_net_G.pth"


def test_an_import_takes_the_consent_along_and_needs_one(pairs, tmp_path, capsys, reference_files):
    command = ["import", reference_files, tmp_path / "run", "--pairs", pairs]
    assert "there is no consent" in refused(capsys, *command)
    record = read(a_record(tmp_path / "ana.json", source_of(pairs)))
    done(*command, "--consent", tmp_path / "ana.json")
    assert consent_of(tmp_path / "run") == record and under(record.id) == [("run", "run")]
    done("train", pairs, tmp_path / "run", "--preset", "paper", "--steps", 1)


@pytest.mark.parametrize("file", ["none.json", ""])
def test_a_record_that_isnt_there_is_refused(file, pairs, tmp_path, capsys):
    assert "is no file" in refused(capsys, "train", pairs, tmp_path / "run", "--consent", tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_the_run_holds_the_record_names_it_and_the_ledger_knows_the_run(trained, pairs):
    consent = read(trained.with_name("ana.json"))
    assert read(trained / CONSENT) == mueca.consent_of(trained) == consent
    assert json.loads((trained / SETTINGS).read_text())["consent"] == {"id": consent.id, "sha256": consent.sha256}
    assert ("run", "run") in under(consent.id)


def test_a_run_that_goes_on_asks_for_nothing_again_and_keeps_its_record(run, pairs, capsys):
    before = (run / CONSENT).read_bytes()
    done("train", pairs, run, "--steps", 2)
    assert (run / CONSENT).read_bytes() == before and read_run(run).consent == read(run / CONSENT).reference
    done("train", pairs, run, "--steps", 2, "--self")  # the command that began it, perhaps
    done("train", pairs, run, "--steps", 1, "--fresh")
    assert (run / CONSENT).read_bytes() == before
    assert "consent: Ana allows train, drive, publish, live until 2999-12-31" in capsys.readouterr().out


def test_a_run_whose_record_holds_no_longer_doesnt_go_on(run, pairs, capsys):
    weights = (run / GENERATOR).read_bytes()
    write(run / CONSENT, from_values(to_values(read(run / CONSENT)) | {"notes": "more"}, ""))
    assert f"{run / CONSENT}: was edited" in refused(capsys, "train", pairs, run, "--steps", 2)
    ledger.note_withdrawal(a_new_one(run, pairs).id)
    for flag in ([], ["--self"]):
        assert "was withdrawn" in refused(capsys, "train", pairs, run, "--steps", 2, *flag)
    assert (run / GENERATOR).read_bytes() == weights


def a_new_one(run: Path, pairs: Path) -> Consent:
    """Let the run take another record of Ana's over, in the place of whatever it holds, and return it."""
    path = a_record(run.with_name("another.json"), source_of(pairs))
    train(pairs, run, TrainSettings(steps=1, consent=path))
    return read(path)


def test_a_done_run_takes_a_new_record_over_without_a_step(run, pairs):
    weights = (run / GENERATOR).read_bytes()
    another = a_new_one(run, pairs)
    assert consent_of(run) == another and ("run", "run") in under(another.id)
    assert (run / GENERATOR).read_bytes() == weights


def test_a_run_of_an_older_mueca_is_told_how_to_get_a_consent_and_gets_it(run, pairs, actor_clip, tmp_path, capsys):
    settings = json.loads((run / SETTINGS).read_text())
    del settings["consent"]
    (run / SETTINGS).write_text(json.dumps(settings))
    (run / CONSENT).unlink()
    line = refused(capsys, "drive", run, actor_clip, tmp_path / "out.mp4")
    assert f"holds no consent record; give it one: mueca train {pairs} {run} --consent FILE, or --self" in line
    done("train", pairs, run, "--steps", 1, "--self")
    assert consent_of(run).record.given == "self"


def test_ones_own_face_is_attested_and_recorded_as_that(pairs, tmp_path, capsys):
    done("train", pairs, tmp_path / "run", "--steps", 1, "--self")
    record = consent_of(tmp_path / "run").record
    assert record.given == "self" and record.sources[0] == source_of(pairs)
    assert record.subject == record.asked_by == f"whoever holds the key {user_key().key_id[:16]}"
    before = (tmp_path / "run" / CONSENT).read_bytes()
    done("train", pairs, tmp_path / "run", "--steps", 2, "--self")
    assert (tmp_path / "run" / CONSENT).read_bytes() == before


def test_pairs_that_tell_no_clip_are_named_themselves(tmp_path, capsys):
    for split in ("train", "test"):
        (tmp_path / "ab" / split).mkdir(parents=True)
        for number in range(2):
            picture(tmp_path / "ab" / split / f"{split}{number}.png", number)
    done("consent", "new", tmp_path / "ana.json", *NAMED, "--for", "train", "--pairs", tmp_path / "ab")
    data = open_dataset(tmp_path / "ab")
    (source,) = read(tmp_path / "ana.json").record.sources
    assert source == Source("ab", sha256_of_dataset(data))
    found = permission.sources_of(data, sha256_of_dataset(data))
    args = {"consent": tmp_path / "ana.json", "own_face": False}
    assert permission.consent_to_train(tmp_path / "run", found, **args) == read(tmp_path / "ana.json")
    picture(tmp_path / "ab" / "train" / "train0.png", 7)
    with pytest.raises(ConsentError, match=r"is for another clip \(ab\), not for ab"):
        found = permission.sources_of(data, sha256_of_dataset(data))
        permission.consent_to_train(tmp_path / "run", found, **args)


def picture(path: Path, number: int) -> None:
    from mueca.marks import UNMARKED
    from mueca.pictures import write_picture

    write_picture(path, media.moving(9, 128, 64)[number], mark=UNMARKED)


def test_pairs_whose_manifest_tells_no_hash_are_damaged(pairs, tmp_path, capsys):
    spoiled = shutil.copytree(pairs, tmp_path / "pairs")
    manifest = json.loads((spoiled / "pairs.json").read_text())
    (spoiled / "pairs.json").write_text(json.dumps(manifest | {"source_sha256": "../x"}))
    line = refused(capsys, "train", spoiled, tmp_path / "run", "--self")
    assert "pairs.json: can't be read" in line and not (tmp_path / "run").exists()


def test_run_refuses_before_it_extracts(clip, tmp_path, capsys):
    command = ["run", clip, clip, tmp_path / "out", "--steps", 1]
    assert "ana.mp4: there is no consent" in refused(capsys, *command)
    record = a_record(tmp_path / "ana.json", Source("ana.mp4", sha256_of(clip)), purposes=("train", "live"))
    assert "allows train, live, and not drive" in refused(capsys, *command, "--consent", record)
    assert not (tmp_path / "out").exists()


def test_a_ledger_that_cant_be_written_is_told_before_anything_is_made(pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "data").write_text("a file")
    assert "ledger.jsonl: what was made" in refused(capsys, "train", pairs, tmp_path / "run", "--self")
    assert not (tmp_path / "run").exists()


# The actors


def test_the_actors_bring_their_own_and_need_no_flag(actor_pairs, tmp_path):
    done("train", actor_pairs, tmp_path / "run", "--steps", 1)
    record = consent_of(tmp_path / "run").record
    assert (record.subject, record.given) == ("drawn actor a", "drawn")


def test_a_clip_with_an_actors_name_is_no_actors(tmp_path, monkeypatch):
    monkeypatch.setattr(filming, "standard_performance", lambda _: filming.performance(1, 10))
    name = actor_clip("a", tmp_path / "drawn").name
    somebody = tmp_path / "swapped" / name
    somebody.parent.mkdir()
    media.make_video(somebody, media.moving(10, 512, 512))
    for path in (tmp_path / "drawn" / name, actor_clip("a", tmp_path / "swapped")):
        drawn = ledger.drawn_by_mueca(sha256_of(path))
        assert drawn == ("drawn actor a" if path.parent.name == "drawn" else None)


def test_an_actors_clip_of_another_machine_is_known_by_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(filming, "standard_performance", lambda _: filming.performance(1, 10))
    path = actor_clip("a", tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    assert ledger.drawn_by_mueca(sha256_of(path)) is None
    actor_clip("a", tmp_path)
    assert ledger.drawn_by_mueca(sha256_of(path)) == "drawn actor a"
    assert not filming._shows(path, ACTORS["b"], filming.performance(1, 10))
    assert not filming._shows(path, ACTORS["a"], filming.performance(2, 10))


# Driving, live, exporting

USES = {"drive": "drive", "live": "live", "export": "drive or live", "Reenactor": "live"}


def use(command: str, run: Path, out: Path, actor_clip: Path) -> list[object]:
    return {
        "drive": ["drive", run, actor_clip, out / "out.mp4"],
        "live": ["live", run, "--input", actor_clip, "--record", out / "out.mp4"],
        "export": ["export", run, out / "puppet.onnx"],
    }[command]


SPOILED: dict[str, tuple[Callable[[Path, Consent], object], str]] = {
    "edited": (
        lambda path, c: write(path, from_values(to_values(c) | {"subject": "Eva"}, "")),
        "is another record than settings.json names",
    ),
    "another valid one": (lambda path, c: write(path, remade(c)), "is another record than settings.json names"),
    "missing": (lambda path, c: path.unlink(), "holds no consent record"),
    "damaged": (lambda path, c: path.write_text("{}"), "is no whole consent record"),
    "withdrawn": (lambda path, c: ledger.note_withdrawal(c.id), "was withdrawn; ask Ana"),
}


@pytest.mark.parametrize(("spoil", "complaint"), SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("command", ["drive", "live", "export"])
def test_a_run_without_a_consent_that_holds_is_not_used(
    command, spoil, complaint, run, pairs, tmp_path, actor_clip, capsys
):
    consent = a_new_one(run, pairs)
    (tmp_path / "out").mkdir()
    spoil(run / CONSENT, consent)
    line = refused(capsys, *use(command, run, tmp_path / "out", actor_clip))
    assert line.startswith(f"error: {run}") and complaint in line
    assert not list((tmp_path / "out").iterdir()) and under(consent.id) == [("run", "run")]


CHANGES = {
    "expired": ({"valid_until": "2020-12-31"}, "expired"),
    "for training alone": ({"purposes": ("train", "publish")}, "allows train, publish, and not "),
}


@pytest.mark.parametrize(("changes", "complaint"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("command", ["drive", "live", "export"])
def test_a_run_is_used_within_its_consents_time_and_purposes_alone(
    command, changes, complaint, run, tmp_path, actor_clip, capsys
):
    consent = remade(read(run / CONSENT), **changes)
    put(run, consent)
    (tmp_path / "out").mkdir()
    line = refused(capsys, *use(command, run, tmp_path / "out", actor_clip))
    assert complaint + (USES[command] if "not" in complaint else "") in line
    assert not list((tmp_path / "out").iterdir())


def put(run: Path, consent: Consent) -> None:
    """Let the run be one that was trained under this consent."""
    write(run / CONSENT, consent)
    settings = json.loads((run / SETTINGS).read_text())
    (run / SETTINGS).write_text(json.dumps(settings | {"consent": to_json(consent.reference)}))


def test_a_record_that_was_edited_together_with_the_settings_is_edited_still(run, tmp_path, actor_clip, capsys):
    put(run, from_values(to_values(read(run / CONSENT)) | {"valid_until": "3999-12-31"}, ""))
    line = refused(capsys, "drive", run, actor_clip, tmp_path / "out.mp4")
    assert f"{run / CONSENT}: was edited after it was signed" in line


def test_each_purpose_opens_its_own_door_and_no_other(run, tmp_path, actor_clip, models):
    put(run, remade(read(run / CONSENT), purposes=("live",)))
    mueca.Reenactor(run, models=models)
    with pytest.raises(ConsentError, match="not drive"):
        mueca.drive(run, actor_clip, tmp_path / "out.mp4")
    put(run, remade(read(run / CONSENT), purposes=("drive",)))
    with pytest.raises(ConsentError, match="not live"):
        mueca.Reenactor(run, models=models)
    with pytest.raises(ConsentError, match="not live"):
        live(run, LiveSettings(input=actor_clip, record=tmp_path / "live.mp4"))
    export(run, tmp_path / "puppet.onnx")
    with pytest.raises(ConsentError, match=r"puppet.onnx: its consent record: allows drive, and not live"):
        mueca.Reenactor(tmp_path / "puppet.onnx", models=models)


def test_evaluating_and_coaching_need_none(run, actor_clip, capsys):
    (run / CONSENT).unlink()
    done("coach", actor_clip, "--run", run)
    done("evaluate", run)


@pytest.mark.parametrize("of", ["run", "export"])
def test_a_driven_video_names_its_consent_and_the_ledger_knows_it(of, trained, puppet, tmp_path, actor_clip, capsys):
    consent = consent_of(trained)
    done("drive", trained if of == "run" else puppet, actor_clip, tmp_path / f"{of}.mp4")
    told = json.loads((tmp_path / f"{of}.json").read_text())["consent"]
    assert told == {"id": consent.id, "sha256": consent.sha256}
    assert [("video", f"{of}.mp4"), ("report", f"{of}.json")] == under(consent.id)[-2:]


def test_a_live_recording_is_in_the_ledger(trained, tmp_path, actor_clip, capsys):
    done("live", trained, "--input", actor_clip, "--record", tmp_path / "live.mp4")
    assert ("recording", "live.mp4") in under(consent_of(trained).id)


def test_an_export_holds_the_record_and_the_ledger_knows_it(trained, puppet):
    assert mueca.consent_of(puppet) == Exported(puppet).consent == consent_of(trained)
    assert ("export", "puppet.onnx") in under(consent_of(trained).id)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda values: None, "holds no consent record; export the run again"),
        (lambda values: values | {"subject": "Eva"}, "its consent record: was edited after it was signed"),
        (lambda values: {"kind": 1}, "its consent record: is no whole consent record"),
        (lambda values: to_values(anothers(from_values(values, ""))), "its consent record: is signed by a key that"),
    ],
    ids=["none", "edited", "damaged", "an unknown key's"],
)
def test_an_export_without_a_consent_that_holds_is_not_opened(change, complaint, puppet, tmp_path, actor_clip, capsys):
    model = onnx.load(puppet)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA]
    facts = json.loads(entry.value)
    entry.value = json.dumps(facts | {"consent": change(facts["consent"])})
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    line = refused(capsys, "drive", path, actor_clip, tmp_path / "out.mp4")
    assert f"{path}: {complaint}" in line and not (tmp_path / "out.mp4").exists()
    with pytest.raises(ConsentError):
        Exported(path)


# The commands about consents


def test_a_new_record_says_what_was_named_and_is_shown(clip, pairs, tmp_path, capsys):
    form = tmp_path / "form.pdf"
    form.write_bytes(b"signed")
    named = [*NAMED, "--given", "form", "--form", form, "--for", "train", "drive", "--clip", clip, "--pairs", pairs]
    done("consent", "new", tmp_path / "ana.json", *named, "--from", "2026-01-01", "--notes", "No politics.")
    record = read(tmp_path / "ana.json").record
    assert (record.subject, record.asked_by, record.given) == ("Ana", "Luis", "form")
    assert record.form == Source("form.pdf", sha256_of(form))
    assert [source.name for source in record.sources] == ["ana.mp4", "pairs"]
    assert record.sources[0].sha256 == sha256_of(clip) and record.purposes == ("train", "drive")
    capsys.readouterr()
    done("consent", "show", tmp_path / "ana.json")
    shown = capsys.readouterr().out
    assert all(
        text in shown for text in (record.id, "Ana", "train, drive", sha256_of(clip), "2999-12-31", "No politics")
    )
    assert "holds on this machine today" in shown


def test_a_folder_of_pictures_counts_as_one_clip(tmp_path, capsys):
    (tmp_path / "take").mkdir()
    picture(tmp_path / "take" / "1.png", 1)
    done("consent", "new", tmp_path / "ana.json", *NAMED, "--for", "train", "--clip", tmp_path / "take")
    assert read(tmp_path / "ana.json").record.sources[0].name == "take"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name --subject, --given, --for, --until, --asked-by as well; see mueca consent new --help"),
        ([*NAMED, "--for", "train"], "name what it is for, with --clip FILE, or --pairs FOLDER"),
        ([*NAMED, "--for", "sell", "--clip", "x.mp4"], "invalid choice: 'sell'"),
        ([*NAMED, "--for", "train", "--clip", "none.mp4"], "none.mp4"),
        ([*NAMED, "--for", "train", "--pairs", "none"], "none: is no pairs folder"),
        ([*NAMED, "--for", "train", "--clip", "CLIP", "--until", "2020-01-01"], "--until 2020-01-01: is over"),
        ([*NAMED, "--for", "train", "--clip", "CLIP", "--until", "soon"], "'soon' is no day"),
        ([*NAMED, "--for", "train", "--clip", "CLIP", "--from", "2999-12-31", "--until", "2999-01-01"], "ends before"),
        ([*NAMED, "--for", "train", "--clip", "CLIP", "--form", "x.pdf"], "is for --given form"),
        ([*NAMED, "--for", "train", "--clip", "CLIP", "--untill", "x"], "did you mean --until?"),
    ],
)
def test_a_record_that_cant_be_made_is_told_and_not_written(arguments, complaint, clip, tmp_path, capsys):
    arguments = [clip if argument == "CLIP" else argument for argument in arguments]
    assert complaint in refused(capsys, "consent", "new", tmp_path / "ana.json", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_there_is_not_written_over(clip, tmp_path, capsys):
    command = ["consent", "new", tmp_path / "ana.json", *NAMED, "--for", "train", "--clip", clip]
    done(*command)
    first = read(tmp_path / "ana.json")
    assert "exists already" in refused(capsys, *command)
    done(*command, "--fresh")
    assert read(tmp_path / "ana.json").id != first.id


def test_ones_own_record_is_asked_for_by_oneself(clip, tmp_path, capsys):
    named = ["--subject", "Ana", "--given", "self", "--for", "train", "--until", "2999-12-31", "--clip", clip]
    done("consent", "new", tmp_path / "ana.json", *named)
    assert read(tmp_path / "ana.json").record.asked_by == "Ana"


def test_a_record_that_doesnt_hold_is_shown_with_the_reason(pairs, tmp_path, capsys):
    path = a_record(tmp_path / "ana.json", source_of(pairs), valid_until="2020-12-31")
    done("consent", "show", path)
    assert "does not hold: it expired: it was valid until 2020-12-31" in capsys.readouterr().out


def test_a_friends_record_holds_once_their_key_is_trusted(pairs, tmp_path, capsys, monkeypatch):
    path = a_record(tmp_path / "ana.json", source_of(pairs))
    write(path, anothers(read(path)))
    train_it = ["train", pairs, tmp_path / "run", "--steps", 1, "--consent", path]
    assert "mueca consent trust" in refused(capsys, *train_it)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "its key is not trusted" in refused(capsys, "consent", "trust", path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    done("consent", "trust", path)
    shown = capsys.readouterr().out
    assert f"key {read(path).key_id}" in shown and "Ana allows Luis train, drive" in shown
    done(*train_it)


def test_a_key_goes_from_one_machine_to_another(pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "there"))
    path = a_record(tmp_path / "ana.json", source_of(pairs))
    capsys.readouterr()
    done("consent", "key")
    (tmp_path / "key.txt").write_text(capsys.readouterr().out)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "here"))
    train_it = ["train", pairs, tmp_path / "run", "--steps", 1, "--consent", path]
    refused(capsys, *train_it)
    done("consent", "trust", tmp_path / "key.txt", "--yes")
    done(*train_it)


def test_an_edited_records_key_is_not_to_be_trusted(pairs, tmp_path, capsys):
    path = a_record(tmp_path / "ana.json", source_of(pairs))
    write(path, from_values(to_values(anothers(read(path))) | {"subject": "Eva"}, ""))
    assert "was edited after it was signed" in refused(capsys, "consent", "trust", path, "--yes")


@pytest.fixture
def made(pairs: Path, actor_clip: Path, tmp_path: Path) -> Consent:
    """A run, an export and a driven video with its report, under a consent of their own."""
    consent = read(a_record(tmp_path / "ana.json", source_of(pairs)))
    done("train", pairs, tmp_path / "run", "--steps", 1, "--consent", tmp_path / "ana.json")
    done("export", tmp_path / "run", tmp_path / "puppet.onnx")
    done("drive", tmp_path / "run", actor_clip, tmp_path / "out.mp4")
    return consent


def test_withdrawing_shows_what_was_made_and_deletes_it_after_a_yes(made, pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    done("consent", "withdraw", tmp_path / "ana.json")
    shown = capsys.readouterr().out
    for kind, name in [("run", "run"), ("export", "puppet.onnx"), ("video", "out.mp4"), ("report", "out.json")]:
        assert f"  {kind}: {tmp_path / name}\n" in shown and f"deleted {tmp_path / name}\n" in shown
    assert f"delete them yourself: {pairs}" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["ana.json"]
    assert pairs.exists()
    line = refused(capsys, "train", pairs, tmp_path / "run", "--consent", tmp_path / "ana.json")
    assert f"consent {made.id} was withdrawn" in line


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "maybe\n"])
def test_without_a_yes_nothing_is_deleted_and_the_consent_is_withdrawn(made, answer, tmp_path, capsys, monkeypatch):
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    done("consent", "withdraw", made.id)
    assert "nothing was deleted" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == before and ledger.is_withdrawn(made.id)


def test_what_is_gone_or_is_no_longer_what_was_made_is_told_and_stays(made, pairs, tmp_path, capsys):
    (tmp_path / "out.mp4").write_bytes(b"my holidays")
    (tmp_path / "out.json").unlink()
    mine = tmp_path / "mine.onnx"
    (tmp_path / "puppet.onnx").rename(mine)
    (tmp_path / "puppet.onnx").symlink_to(mine)
    (tmp_path / "run" / "notes.txt").write_text("my notes")
    done("consent", "withdraw", tmp_path / "run", "--yes")
    shown = capsys.readouterr().out
    assert f"video: {tmp_path / 'out.mp4'} (changed since: not deleted)" in shown
    assert f"report: {tmp_path / 'out.json'} (gone)" in shown
    assert f"export: {tmp_path / 'puppet.onnx'} (changed since: not deleted)" in shown
    assert f"{tmp_path / 'run'}: the folder stays, for it holds something else (notes.txt)" in shown
    assert (tmp_path / "out.mp4").read_bytes() == b"my holidays" and mine.exists()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_run_that_is_anothers_by_now_stays(made, pairs, tmp_path, capsys):
    a_record(tmp_path / "eva.json", source_of(pairs), subject="Eva")
    done("train", pairs, tmp_path / "run", "--steps", 1, "--fresh", "--consent", tmp_path / "eva.json")
    done("consent", "withdraw", made.id, "--yes")
    assert f"run: {tmp_path / 'run'} (changed since: not deleted)" in capsys.readouterr().out
    assert consent_of(tmp_path / "run").record.subject == "Eva"


def test_a_folder_that_took_a_runs_place_stays(made, tmp_path, capsys):
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SETTINGS).write_text("{}")
    done("consent", "withdraw", made.id, "--yes")
    assert f"run: {tmp_path / 'run'} (changed since: not deleted)" in capsys.readouterr().out
    assert (tmp_path / "run" / SETTINGS).exists()


def test_a_ledger_line_that_was_forged_deletes_nothing_that_isnt_so(made, tmp_path, capsys):
    treasure = tmp_path / "treasure.txt"
    treasure.write_text("gold")
    ledger._append(ledger.LEDGER, ledger.Entry("video", str(treasure), made.id, "0" * 64), None)
    ledger._append(ledger.LEDGER, ledger.Entry("run", str(tmp_path), made.id, None), None)
    done("consent", "withdraw", made.id, "--yes")
    assert treasure.read_text() == "gold" and tmp_path.is_dir()


def test_a_run_in_which_a_process_trains_stays_and_is_told(made, tmp_path, capsys):
    from mueca.runs import locked

    with locked(tmp_path / "run"):
        assert "not all of it could be deleted" in refused(capsys, "consent", "withdraw", made.id, "--yes")
    assert (tmp_path / "run" / GENERATOR).exists() and not (tmp_path / "out.mp4").exists()
    done("consent", "withdraw", made.id, "--yes")
    assert not (tmp_path / "run").exists()


def test_a_consent_that_nothing_was_made_under_is_withdrawn_as_well(tmp_path, capsys):
    done("consent", "withdraw", "0b5a3f6e-7777-4222-8333-444455556666")
    assert "knows of nothing that was made" in capsys.readouterr().out
    assert ledger.is_withdrawn("0b5a3f6e-7777-4222-8333-444455556666")
    for text in ("soon", tmp_path / "none.json"):
        assert "is neither a consent's id nor a file" in refused(capsys, "consent", "withdraw", text)


def test_the_exported_files_record_can_be_shown_and_withdrawn(run, pairs, tmp_path, capsys):
    consent = a_new_one(run, pairs)
    export(run, tmp_path / "puppet.onnx")
    done("consent", "show", tmp_path / "puppet.onnx")
    assert consent.id in capsys.readouterr().out
    assert id_of(str(tmp_path / "puppet.onnx")) == consent.id
    withdraw(consent.id)
    with pytest.raises(ConsentError, match=r"puppet.onnx: its consent record: consent .* was withdrawn"):
        Exported(tmp_path / "puppet.onnx")


def test_help_teaches_the_commands(capsys):
    for arguments, texts in [
        (["--help"], ["consent", "say who agreed to what"]),
        (["consent", "--help"], ["new", "show", "withdraw", "trust", "key", "mueca consent COMMAND --help"]),
        (
            ["consent", "new", "--help"],
            ["--for PURPOSE [PURPOSE ...]", "--clip", "example: mueca consent new ana.json"],
        ),
        (["train", "--help"], ["--consent FILE", "--self"]),
    ]:
        with pytest.raises(SystemExit):
            main(arguments)
        shown = re.sub(r"\s+", " ", capsys.readouterr().out)
        assert all(text in shown for text in texts)
    assert "the following arguments are required: COMMAND" in refused(capsys, "consent")
    assert "see mueca consent show --help" in refused(capsys, "consent", "show", "x", "--yes")


def test_what_is_no_run_is_told_as_that(tmp_path, capsys):
    with pytest.raises(InputError, match="is no run folder"):
        consent_of(tmp_path)
