"""Settings: each default once, JSON in and out, unknown names refused, options made from them."""

import dataclasses
import json
from pathlib import Path

import pytest

from mueca.config import (
    PRESETS,
    DemoSettings,
    DriveSettings,
    EvaluateSettings,
    ExtractSettings,
    Preset,
    RunSettings,
    TrainSettings,
    from_json,
    parse_duration,
    to_json,
)
from mueca.errors import SettingsError
from mueca.options import Parser, add_options, parse, settings_from

KINDS = [ExtractSettings, TrainSettings, DriveSettings, EvaluateSettings, RunSettings, DemoSettings]


@pytest.mark.parametrize("kind", KINDS)
def test_settings_survive_json(kind):
    assert from_json(kind, json.loads(json.dumps(to_json(kind())))) == kind()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    assert from_json(Preset, json.loads(json.dumps(to_json(PRESETS[name])))) == PRESETS[name]


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(SettingsError, match="evry"):
        from_json(ExtractSettings, {"evry": 5})


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
        (TrainSettings, {"epochs": 0}),
        (TrainSettings, {"steps": 5, "epochs": 5}),
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


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_can_be_given_on_the_command_line_and_says_what_it_does(kind):
    for field in dataclasses.fields(kind):
        if not dataclasses.is_dataclass(field.default_factory):
            assert field.metadata["help"]
    parser = Parser(prog="test")
    add_options(parser, kind)
    assert parser.format_help()


def test_a_setting_that_several_stages_share_goes_to_all_of_them():
    settings = options_of(RunSettings, "--detector", "hog", "--budget", "5m", "--every", "3", "--models", "m")
    assert settings.extract.detector == settings.drive.detector == "hog"
    assert settings.extract.models == settings.drive.models == Path("m")
    assert (settings.train.budget, settings.extract.every) == (300.0, 3)
