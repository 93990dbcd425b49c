"""The reference's files come in as runs and go out again; whatever else a file is, it is refused and runs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import train

from mueca import interchange
from mueca.checkpoint import load_generator, load_newest
from mueca.cli import main
from mueca.config import ExportSettings, ImportSettings, TrainSettings
from mueca.errors import InputError, OutputError, SettingsError
from mueca.examples import draw_choice
from mueca.interchange import (
    DISCRIMINATOR_FILE,
    GENERATOR_FILE,
    Imported,
    export_reference,
    import_reference,
    read_state,
)
from mueca.nets import unet
from mueca.nets.images import rgb_from_tensor, tensor_from_rgb
from mueca.pairs import read_split
from mueca.presets import PRESETS
from mueca.runs import CHECKPOINTS, Origin, WeightsFile, read_run
from mueca.subject import read_known
from mueca.summaries import of_import

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def reference(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("reference")


@pytest.fixture
def narrow(monkeypatch) -> None:
    """Let preset ``paper`` be of width 4, so that training goes on quickly."""
    preset = dataclasses.replace(
        PRESETS["paper"], width_generator=4, width_discriminator=4, length_kind="steps", length=1.0
    )
    monkeypatch.setitem(PRESETS, "paper", preset)


@pytest.fixture
def files(reference, tmp_path) -> tuple[Path, Path]:
    """Generator and discriminator of width 4, saved as the reference saves them."""
    paths = tmp_path / "theirs" / GENERATOR_FILE, tmp_path / "theirs" / DISCRIMINATOR_FILE
    paths[0].parent.mkdir()
    for path, net in zip(paths, reference.make_networks(width=4, seed=5), strict=True):
        torch.save(net.state_dict(), path)  # noqa: TID251 - what the reference does
    return paths


def save(path: Path, value: object, **options: object) -> Path:
    torch.save(value, path, **options)  # noqa: TID251 - files of strangers
    return path


def load(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)  # noqa: TID251 - what the reference does


# Coming in


def test_an_imported_run_paints_what_the_reference_paints_and_can_be_gone_on_with(
    reference, files, actor_pairs, narrow, tmp_path
):
    run = tmp_path / "run"
    result = import_reference(files[0], run, ImportSettings(pairs=actor_pairs, discriminator=files[1], seed=3))
    assert (result.width_generator, result.width_discriminator, result.undrivable) == (4, 4, None)

    theirs = reference.make_networks(width=4, seed=5, dropout=0.0)[0]  # training: the picture's own statistics
    conditions = read_split(actor_pairs, "test").conditions[:2]
    expected = [rgb_from_tensor(theirs(tensor_from_rgb(torch.from_numpy(one[None]))))[0].numpy() for one in conditions]
    assert np.abs(load_generator(run)(conditions).astype(int) - expected).max() <= 1

    record = read_run(run)
    assert (record.settings.preset, record.settings.seed, record.pairs) == ("paper", 3, actor_pairs)
    assert load_newest(run).steps == 0
    assert train(actor_pairs, run, TrainSettings(preset="paper", seed=3, steps=2)).steps == 2


def test_an_imported_run_keeps_the_widths_of_its_files_when_it_is_gone_on_with(
    files, actor_pairs, monkeypatch, tmp_path
):
    monkeypatch.setitem(PRESETS, "paper", dataclasses.replace(PRESETS["paper"], length_kind="steps", length=1.0))
    run = tmp_path / "run"
    import_reference(files[0], run, ImportSettings(pairs=actor_pairs, discriminator=files[1]))
    assert train(actor_pairs, run, TrainSettings(preset="paper")).steps == 1
    assert (read_run(run).preset.width_generator, read_run(run).preset.width_discriminator) == (4, 4)


def test_an_imported_run_is_learned_from_exactly_as_the_reference_would(
    reference, files, actor_pairs, monkeypatch, tmp_path
):
    plain = dataclasses.replace(
        PRESETS["paper"], width_generator=4, width_discriminator=4, dropout=0.0, jitter_size_px=256, mirror=False,
        length_kind="steps", length=1.0,
    )  # fmt: skip
    monkeypatch.setitem(PRESETS, "paper", plain)
    run = tmp_path / "run"
    import_reference(files[0], run, ImportSettings(pairs=actor_pairs, discriminator=files[1]))
    train(actor_pairs, run, TrainSettings(preset="paper", steps=1, precision="float32"))

    pairs = read_split(actor_pairs, "train")
    first = draw_choice(plain, seed=0, step=0, place=0, num_pairs=len(pairs.targets)).pair
    theirs = reference.make_networks(width=4, seed=5, dropout=0.0)
    pair = (tensor_from_rgb(torch.from_numpy(x[first : first + 1])) for x in (pairs.conditions, pairs.targets))
    reference.make_step(*theirs)(*pair)
    written = export_reference(run, tmp_path / "out")
    for file, net in zip((written.generator, written.discriminator), theirs, strict=True):
        start, reached, expected = load(files[0].parent / file.name), load(file), net.state_dict()
        for name, tensor in expected.items():
            torch.testing.assert_close(reached[name], tensor, rtol=0, atol=1e-5)
        assert any((expected[name] - tensor).abs().max() > 1e-4 for name, tensor in start.items())


def test_a_run_tells_which_files_it_began_from_also_after_it_was_gone_on_with(files, actor_pairs, narrow, tmp_path):
    run = tmp_path / "run"
    import_reference(files[0], run, ImportSettings(pairs=actor_pairs, discriminator=files[1], seed=3))
    sha256 = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    origin = Origin(WeightsFile(GENERATOR_FILE, sha256[0]), WeightsFile(DISCRIMINATOR_FILE, sha256[1]), seed=3)
    assert read_run(run).origin == origin
    for steps in (1, 2):
        train(actor_pairs, run, TrainSettings(preset="paper", seed=5, steps=steps))
        assert read_run(run).origin == origin
    assert [start.first_step for start in read_run(run).earlier] == [0]
    train(actor_pairs, run, TrainSettings(preset="paper", steps=1, fresh=True))
    assert read_run(run).origin is None
    import_reference(files[0], tmp_path / "other", ImportSettings(pairs=actor_pairs, seed=4))
    assert read_run(tmp_path / "other").origin == Origin(origin.generator, None, seed=4)


def test_an_export_of_weights_that_meant_something_else_is_refused(files, actor_pairs, narrow, tmp_path, monkeypatch):
    import_reference(files[0], tmp_path / "run", ImportSettings(pairs=actor_pairs))
    monkeypatch.setattr(unet, "ARCHITECTURE", 9)
    with pytest.raises(InputError, match=r"has architecture 1, .* builds 9"):
        export_reference(tmp_path / "run", tmp_path / "out")


def test_a_discriminator_that_is_not_named_is_drawn_from_the_seed(files, actor_pairs, narrow, tmp_path):
    def drawn(name: str, seed: int) -> Tensor:
        import_reference(files[0], tmp_path / name, ImportSettings(pairs=actor_pairs, seed=seed))
        return load_newest(tmp_path / name).parts["discriminator"]["convs.0.weight"]

    first, again, other = drawn("a", 1), drawn("b", 1), drawn("c", 2)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.std() == pytest.approx(0.02, rel=0.2)


def test_import_evaluate_and_export_by_command(files, actor_pairs, models, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MUECA_MODELS", str(models))
    run, out = tmp_path / "run", tmp_path / "out"
    for command in (
        ["import", files[0], run, "--pairs", actor_pairs, "--discriminator", files[1]],
        ["evaluate", run],
        ["export", run, out, "--format", "reference"],
    ):
        assert main([str(c) for c in command]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "at step 0: generator of width 4, discriminator of width 4 from" in printed
    assert f"wrote {out / GENERATOR_FILE}" in printed
    for given, written in zip(files, (out / GENERATOR_FILE, out / DISCRIMINATOR_FILE), strict=True):
        before, after = load(given), load(written)
        assert list(after) == list(before)
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_other_peoples_pairs_do_too_and_the_subject_is_learned_from_their_targets(
    files, actor_pairs, narrow, models, tmp_path
):
    from mueca.conversion import convert

    convert(actor_pairs, tmp_path / "ab")
    settings = ImportSettings(pairs=tmp_path / "ab", models=models, own_face=True)
    assert import_reference(files[0], tmp_path / "run", settings).undrivable is None
    assert read_known(tmp_path / "run").source_name == "ab"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (ImportSettings(pairs=Path("ab"), condition="right", seed=7), "--condition right --seed 7"),
        (ImportSettings(pairs=Path("ab")), ""),
    ],
    ids=["named", "as ever"],
)
def test_the_command_to_go_on_with_learns_from_the_same_halves_by_the_same_seed(settings, options):
    result = Imported(Path("run"), 64, 64, discriminator=None, undrivable=None)
    command = f"mueca train ab run --preset paper {options}".rstrip()
    assert of_import(result, settings)[-1] == f"next: mueca evaluate run; {command}"


def test_half_precision_and_the_old_file_format_are_read(reference, actor_pairs, tmp_path):
    generator = reference.make_networks(width=4)[0]
    path = save(tmp_path / "old.pth", generator.half().state_dict(), _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(path)
    state = read_state(path)
    assert {t.dtype for t in state.values()} == {torch.float32, torch.int64}
    assert torch.equal(state["model.model.0.weight"], generator.model.model[0].weight.float())


def test_without_pairs_nothing_is_imported(files, tmp_path):
    with pytest.raises(SettingsError, match="--pairs: name the folder"):
        import_reference(files[0], tmp_path / "run")
    with pytest.raises(InputError, match="does not exist"):
        import_reference(files[0], tmp_path / "run", ImportSettings(pairs=tmp_path / "none"))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_is_left_as_it_is(files, actor_pairs, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("x")
    with pytest.raises(OutputError, match="run: exists already"):
        import_reference(files[0], tmp_path / "run", ImportSettings(pairs=actor_pairs))
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine"]


@pytest.mark.parametrize("at", ["save_checkpoint", "save_generator", "write_subject"])
def test_a_full_disk_leaves_no_run_and_is_one_line(files, actor_pairs, narrow, tmp_path, monkeypatch, at):
    def full(path: Path, *_: object) -> None:
        try:
            raise OSError(28, "No space left on device", str(path))
        except OSError as error:
            if at == "write_subject":
                raise
            raise OutputError(f"{path}: no room") from error

    monkeypatch.setattr(interchange, at, full)
    with pytest.raises(OutputError, match=r"out/run: no space left on the disk"):
        import_reference(files[0], tmp_path / "out" / "run", ImportSettings(pairs=actor_pairs))
    assert list((tmp_path / "out").iterdir()) == []


# Files of strangers


class Canary:
    """What leaves a file behind where unpickling runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def in_the_new_format(path: Path, canary: Path, state: dict[str, Tensor]) -> None:
    save(path, {**state, "extra": Canary(canary)})


def in_the_old_format(path: Path, canary: Path, state: dict[str, Tensor]) -> None:
    save(path, {**state, "extra": Canary(canary)}, _use_new_zipfile_serialization=False)


def as_a_plain_pickle(path: Path, canary: Path, _: dict[str, Tensor]) -> None:
    path.write_bytes(pickle.dumps(Canary(canary)))


@pytest.mark.parametrize("make", [in_the_new_format, in_the_old_format, as_a_plain_pickle])
def test_code_in_a_file_does_not_run(reference, actor_pairs, tmp_path, make):
    path, canary = tmp_path / "net.pth", tmp_path / "ran"
    make(path, canary, reference.Generator(4).state_dict())
    with pytest.raises(InputError, match=r"net\.pth: can't be read as tensors alone"):
        import_reference(path, tmp_path / "run", ImportSettings(pairs=actor_pairs))
    assert not canary.exists() and not (tmp_path / "run").exists()
    if make is as_a_plain_pickle:
        pickle.loads(path.read_bytes())
        assert canary.exists()  # it would have


def cut(files: tuple[Path, Path], path: Path) -> None:
    path.write_bytes(files[0].read_bytes()[:5000])


def packed(files: tuple[Path, Path], path: Path) -> None:
    """The same archive deflated, with zeros that would unpack to a hundred times its size."""
    with zipfile.ZipFile(files[0]) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(
                entry.filename, bytes(len(old.read(entry)) * 100) if "/data/" in entry.filename else old.read(entry)
            )


BAD = {
    "cut": (cut, "can't be read|damaged"),
    "packed": (packed, "would unpack to"),
    "empty": (lambda _, path: path.write_bytes(b""), "can't be read"),
    "text": (lambda _, path: path.write_text("no network " * 100), "can't be read"),
    "noise": (lambda _, path: path.write_bytes(np.random.default_rng(0).bytes(20_000)), "can't be read"),
    "list": (lambda _, path: save(path, [torch.zeros(3)]), "holds list, no tensors by name"),
    "nothing": (lambda _, path: save(path, {}), "no tensors by name"),
    "wrapped": (lambda _, path: save(path, {"state_dict": {"w": torch.zeros(1)}}), "'state_dict' is dict, no tensor"),
    "numbered": (lambda _, path: save(path, {3: torch.zeros(1)}), "3 is Tensor, no tensor|3 is"),
    "module": (lambda _, path: save(path, torch.nn.Linear(2, 2)), "can't be read"),
    "spread": (
        lambda _, path: save(path, {"model.model.0.weight": torch.zeros(1).expand(1 << 40)}),
        "its tensors stand for",
    ),
    "shared": (
        lambda _, path: save(path, dict.fromkeys(map(str, range(100)), torch.zeros(10_000))),
        "stand for 4000000 bytes",
    ),
    "sparse": (lambda _, path: save(path, {"w": torch.eye(3).to_sparse()}), "no plain tensor"),
    "meta": (lambda _, path: save(path, {"w": torch.zeros(3, device="meta")}), "no plain tensor|can't be read"),
    "infinite": (lambda _, path: save(path, {"w": torch.tensor([1.0, float("nan")])}), "not finite"),
    "folder": (lambda _, path: path.mkdir(), "is no file"),
    "missing": (lambda *_: None, "is no file"),
    "resnet": (lambda _, path: save(path, {"model.10.conv_block.1.weight": torch.zeros(1)}), "a ResNet generator"),
    "the other": (lambda files, path: shutil.copy(files[1], path), "holds a discriminator"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_named_and_leaves_nothing(files, actor_pairs, tmp_path, kind):
    make, wanted = BAD[kind]
    path = tmp_path / "bad.pth"
    make(files, path)
    with pytest.raises(InputError, match=wanted) as caught:
        import_reference(path, tmp_path / "run", ImportSettings(pairs=actor_pairs))
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and "weights_only" not in message
    assert not (tmp_path / "run").exists()


def test_a_bad_discriminator_is_named_too(files, actor_pairs, tmp_path):
    settings = ImportSettings(pairs=actor_pairs, discriminator=files[0])
    with pytest.raises(InputError, match=rf"{GENERATOR_FILE}: holds a generator"):
        import_reference(files[0], tmp_path / "run", settings)


def test_a_file_as_big_as_a_house_is_not_opened(tmp_path):
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(InputError, match=r"huge\.pth: has 3\.0 GB"):
        read_state(path)


# Going out


def test_a_run_is_exported_as_of_its_newest_checkpoint(files, actor_pairs, narrow, reference, tmp_path):
    run = tmp_path / "run"
    train(actor_pairs, run, TrainSettings(preset="paper", steps=2))
    result = export_reference(run, tmp_path / "out")
    assert result.steps == 2
    theirs = reference.make_networks(width=4, dropout=0.0)
    theirs[0].load_state_dict(load(result.generator))
    theirs[1].load_state_dict(load(result.discriminator))
    conditions = read_split(actor_pairs, "test").conditions[:1]
    expected = rgb_from_tensor(theirs[0](tensor_from_rgb(torch.from_numpy(conditions)))).numpy()
    assert np.abs(load_generator(run)(conditions).astype(int) - expected).max() <= 1


def test_a_run_with_another_generator_is_not_exported(actor_run, tmp_path):
    with pytest.raises(InputError, match=r"its generator isn't unet_256 with batch norm"):
        export_reference(actor_run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_or_has_no_checkpoint_is_not_exported(files, actor_pairs, narrow, tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        export_reference(actor_pairs, tmp_path / "out")
    import_reference(files[0], tmp_path / "run", ImportSettings(pairs=actor_pairs))
    shutil.rmtree(tmp_path / "run" / CHECKPOINTS)
    with pytest.raises(InputError, match="holds no checkpoint yet"):
        export_reference(tmp_path / "run", tmp_path / "out")


def test_fresh_alone_replaces_exported_files(files, actor_pairs, narrow, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    import_reference(files[0], run, ImportSettings(pairs=actor_pairs))
    out.mkdir()
    (out / DISCRIMINATOR_FILE).write_text("mine")
    with pytest.raises(OutputError, match=rf"{DISCRIMINATOR_FILE}: exists already.*--fresh"):
        export_reference(run, out)
    assert [p.name for p in out.iterdir()] == [DISCRIMINATOR_FILE]
    export_reference(run, out, ExportSettings(fresh=True))
    assert load(out / DISCRIMINATOR_FILE)["model.0.weight"].shape == (4, 6, 4, 4)


def test_out_that_is_a_file_is_one_line(files, actor_pairs, narrow, tmp_path):
    import_reference(files[0], tmp_path / "run", ImportSettings(pairs=actor_pairs))
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="out"):
        export_reference(tmp_path / "run", tmp_path / "out")
