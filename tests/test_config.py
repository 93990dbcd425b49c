"""Settings: each default once, JSON in and out, unknown names refused, options made from them."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from mueca.config import (
    BatchSettings,
    CoachSettings,
    CompareSettings,
    ConvertSettings,
    DemoSettings,
    DriveSettings,
    EvaluateSettings,
    ExportSettings,
    ExtractSettings,
    ImportSettings,
    LiveSettings,
    RunSettings,
    TrainSettings,
    from_json,
    parse_duration,
    to_json,
)
from mueca.errors import FieldsError, SettingsError
from mueca.options import Parser, add_options, flags_of, parse, settings_from
from mueca.presets import PRESETS, Preset

COMMANDS = [CoachSettings, TrainSettings, DriveSettings, EvaluateSettings, ConvertSettings, DemoSettings]
COMMANDS += [ImportSettings, ExportSettings, LiveSettings]
KINDS = [ExtractSettings, BatchSettings, *COMMANDS, CompareSettings, RunSettings]


@pytest.mark.parametrize("kind", KINDS)
def test_settings_survive_json(kind):
    assert from_json(kind, json.loads(json.dumps(to_json(kind())))) == kind()


def test_several_paths_survive_json():
    settings = CompareSettings(compare=(Path("a"), Path("b")))
    assert from_json(CompareSettings, json.loads(json.dumps(to_json(settings)))) == settings


def test_a_list_of_the_wrong_length_or_kind_is_refused():
    from mueca.evaluation.scores import Score

    assert from_json(Score, {"value": 1, "ci": [0, 2.5]}).ci == (0.0, 2.5)
    for wrong in ([0.5], [0, "2"], 3):
        with pytest.raises(SettingsError, match="ci"):
            from_json(Score, {"value": 1, "ci": wrong})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    assert from_json(Preset, json.loads(json.dumps(to_json(PRESETS[name])))) == PRESETS[name]


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(SettingsError, match="evry"):
        from_json(ExtractSettings, {"evry": 5})


def test_a_missing_field_is_refused_by_name():
    values = to_json(PRESETS["small"])
    del values["textures"], values["zoom"]
    with pytest.raises(FieldsError, match="it lacks textures, zoom"):
        from_json(Preset, values)


@pytest.mark.parametrize(
    "wrong", [{"every": "5"}, {"every": 5.5}, {"every": True}, {"detector": "mtcnn"}, {"fresh": 1}]
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        from_json(ExtractSettings, wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (ExtractSettings, {"every": 0}),
        (ExtractSettings, {"max_frames": 3}),
        (ExtractSettings, {"train_share": 1.0}),
        (ExtractSettings, {"min_score": math.nan}),
        (DriveSettings, {"min_score": -math.inf}),
        (EvaluateSettings, {"min_score": math.inf}),
        (TrainSettings, {"epochs": 0}),
        (TrainSettings, {"epochs": 10**400}),
        (TrainSettings, {"steps": 5, "epochs": 5}),
        (TrainSettings, {"budget": math.inf}),
        (TrainSettings, {"seed": -1}),
        (TrainSettings, {"seed": 2**62 + 1}),
        (DemoSettings, {"budget": 0.0}),
        (LiveSettings, {"port": -1}),
        (LiveSettings, {"port": 65536}),
        *[(kind, {"threads": 0}) for kind in (TrainSettings, DriveSettings, EvaluateSettings, DemoSettings)],
        (LiveSettings, {"threads": 0}),
        (TrainSettings, {"threads": 10**30}),
    ],
)
def test_values_out_of_range_and_contradictions_are_refused(kind, wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong)).replace("_", "-")):
        kind(**wrong)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5m", 90), ("2h", 7200)]
)
def test_lengths_of_time_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "-5", "0", "5 minutes", "nan"])
def test_other_texts_are_no_length_of_time(text):
    with pytest.raises(SettingsError, match="length of time"):
        parse_duration(text)


def options_of(kind: type, *arguments: str):
    parser = Parser(prog="test")
    add_options(parser, kind)
    return settings_from(kind, parse(parser, arguments, known=[]))


@pytest.mark.parametrize("kind", KINDS)
def test_no_options_give_the_dataclasss_own_defaults(kind):
    assert options_of(kind) == kind()


GIVEN = {
    "--every": (["3"], 3),
    "--max-frames": (["40"], 40),
    "--train-share": (["0.5"], 0.5),
    "--detector": (["hog"], "hog"),
    "--min-score": (["-0.25"], -0.25),
    "--models": (["m"], Path("m")),
    "--fresh": ([], True),
    "--preset": (["paper"], "paper"),
    "--epochs": (["7"], 7),
    "--steps": (["9"], 9),
    "--budget": (["1m30s"], 90.0),
    "--stop": (["auto"], "auto"),
    "--batch": (["4"], 4),
    "--precision": (["bfloat16"], "bfloat16"),
    "--seed": (["5"], 5),
    "--device": (["cpu"], "cpu"),
    "--threads": (["2"], 2),
    "--view": (["compare"], "compare"),
    "--pairs": (["p"], Path("p")),
    "--save-fakes": ([], True),
    "--clips": (["c"], Path("c")),
    "--face": (["320,180.5"], "320,180.5"),
    "--driver-face": (["2"], "2"),
    "--driver": (["friend.mp4"], Path("friend.mp4")),
    "--compare": (["a", "b"], (Path("a"), Path("b"))),
    "--workers": (["3"], 3),
    "--ray-address": (["auto"], "auto"),
    "--run": (["r"], Path("r")),
    "--picture": (["chart.png"], Path("chart.png")),
    "--retarget": (["none"], "none"),
    "--condition": (["right"], "right"),
    "--from-condition": (["tagged"], "tagged"),
    "--discriminator": (["d.pth"], Path("d.pth")),
    "--format": (["reference"], "reference"),
    "--runtime": (["openvino"], "openvino"),
    "--port": (["8000"], 8000),
    "--open-browser": ([], True),
    "--recordings": (["films"], Path("films")),
    "--input": (["friend.mp4"], Path("friend.mp4")),
    "--camera": (["1"], 1),
    "--window": ([], True),
    "--virtual-camera": ([], True),
    "--consent": (["c.json"], Path("c.json")),
    "--self": ([], True),
}
"""What is written after each option, and what arrives."""


def values_of(settings: object, name: str) -> list[object]:
    """Return the setting's value in every dataclass that has it, from the outermost in."""
    parts = [v for v in vars(settings).values() if dataclasses.is_dataclass(v)]
    return [vars(part)[name] for part in (settings, *parts) if name in vars(part)]


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        (kind, flag)
        for kind in KINDS
        for flag in dict.fromkeys(flags_of(kind))
        # The first is refused, the others are refused alone.
        if (kind, flag) != (RunSettings, "--condition") and flag not in ("--truth", "--out", "--record")
    ],
)
def test_every_setting_can_be_given_on_the_command_line(kind, flag):
    texts, value = GIVEN[flag]
    name = {"--self": "own_face"}.get(flag, flag[2:].replace("-", "_"))  # Python has that word already
    arrived, defaults = (values_of(options_of(kind, *given), name) for given in ([flag, *texts], []))
    assert arrived == [value] * len(defaults)
    assert value not in defaults


@pytest.mark.parametrize("kind", [ExtractSettings, *COMMANDS])
def test_every_setting_says_what_it_does(kind):
    assert all(field.metadata["help"] for field in dataclasses.fields(kind))


def test_run_refuses_a_setting_for_other_peoples_pictures_before_it_extracts():
    with pytest.raises(SettingsError, match="--condition right: is for other people's pictures"):
        RunSettings(train=TrainSettings(condition="right"))


def test_settings_that_need_another_say_which():
    with pytest.raises(SettingsError, match="--driver"):
        EvaluateSettings(truth=Path("t.mp4"))
    for kind in (TrainSettings, ImportSettings):
        with pytest.raises(SettingsError, match=r"--consent c.json and --self contradict each other"):
            kind(consent=Path("c.json"), own_face=True)
    with pytest.raises(SettingsError, match="--compare"):
        CompareSettings(out=Path("page.html"))


@pytest.mark.parametrize("text", ["0", "-1", "left", "1.5", "3,", "1,2,3", "99999", ""])
def test_a_face_is_the_largest_a_number_or_a_point(text):
    for kind in (ExtractSettings, CoachSettings):
        with pytest.raises(SettingsError, match="write largest, a number counted from the left"):
            kind(face=text)


def test_the_three_lengths_say_that_they_exclude_each_other_and_what_holds_without_them():
    for field in dataclasses.fields(TrainSettings):
        if field.name in ("epochs", "steps", "budget"):
            others = {"--epochs", "--steps", "--budget"} - {f"--{field.name}"}
            assert all(other in field.metadata["help"] for other in others)
            assert "10 minutes for small and live, 50 epochs for paper" in field.metadata["help"]
    lengths = [(preset.length_kind, preset.length) for preset in (PRESETS["small"], PRESETS["paper"])]
    assert lengths == [("budget", 600), ("epochs", 50)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1.0),
        ("average_decay", 1.0),
        ("rate_falls_from", -0.1),
        ("learning_rate_generator", 0.0),
        ("learning_rate_discriminator", math.inf),
        ("lambda_l1", math.nan),
        ("jitter_size_px", 255),
        ("discriminator_window_px", 257),
        ("discriminator_window_px", 23),  # too small for one logit
        ("length", 0.0),
    ],
)
def test_a_preset_out_of_range_is_refused_by_name_and_not_as_an_option(name, value):
    with pytest.raises(SettingsError, match=f"^preset's {name} "):
        dataclasses.replace(PRESETS["small"], **{name: value})


def test_a_whole_number_too_large_for_a_fraction_is_refused():
    with pytest.raises(SettingsError, match="length"):
        from_json(Preset, to_json(PRESETS["small"]) | {"length": 10**400})


def test_a_setting_that_several_stages_share_goes_to_all_of_them():
    settings = options_of(RunSettings, "--detector", "hog", "--budget", "5m", "--every", "3", "--models", "m")
    assert settings.extract.detector == settings.drive.detector == "hog"
    assert settings.extract.models == settings.drive.models == Path("m")
    assert (settings.train.budget, settings.extract.every) == (300.0, 3)
