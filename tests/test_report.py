"""The page that evaluation writes: whole in one file, safe with any name, marked, and true to the numbers."""

from __future__ import annotations

import base64
import dataclasses
import re
import shlex
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mueca.config import TrainSettings
from mueca.curve import Point
from mueca.evaluation.charts import cloud_of, curve_panel
from mueca.evaluation.parts import MOVEMENT_WORDS, duration, number
from mueca.evaluation.rails import rail_of
from mueca.evaluation.reenacted import FOLLOWED
from mueca.evaluation.report import shown_frames, training_command, write_comparison, write_report
from mueca.evaluation.scores import MEASURES, Driven, DrivenBy, FrameScores, Metrics, Poses, Report, Score, Tile
from mueca.evaluation.verdict import advice, best_of, findings, sentence
from mueca.face.movements import MOVEMENTS
from mueca.options import Parser, add_options, settings_from
from mueca.presets import PRESETS
from mueca.runs import Origin, Run, Versions, WeightsFile, gone_on_with

HOSTILE = "\"><script>alert('x')</script><img src=x onerror=alert(1)>&amp;{{ 7*7 }}"
NUM_FRAMES = 50
RNG = np.random.default_rng(0)


def picture(level: int) -> np.ndarray:
    """Return a picture with some texture, so that JPEG has something to hold."""
    ramp = np.linspace(0, 100, 256)[None, :, None] + np.linspace(0, 60, 256)[:, None, None]
    return np.clip(ramp + level + RNG.normal(0, 4, (256, 256, 3)), 0, 255).astype(np.uint8)


REAL, FAKE, CONDITION = picture(10), picture(40), np.zeros((256, 256, 3), np.uint8)


def good_metrics(**changed) -> Metrics:
    """Return what a good run scores, with some of it changed."""
    frames = tuple(
        FrameScores(f"{i:06d}", i, 0.7 + 0.002 * ((7 * i) % 50), 22.0, 0.05, 0.02) for i in range(NUM_FRAMES)
    )
    values = {
        "l1": Score(0.0412, (0.040, 0.043), 0.09, 0.07),
        "psnr": Score(23.4, (23.0, 23.8), 20.9, 21.3),
        "ssim": Score(0.812, (0.80, 0.82), 0.70, 0.71),
        "ms_ssim": Score(0.9, (0.89, 0.91), 0.75, 0.76),
        "l1_face": Score(0.035, (0.034, 0.036), 0.08, 0.06),
        "psnr_face": Score(24.0, (23.5, 24.5), 20.0, 20.5),
        "ssim_face": Score(0.85, (0.84, 0.86), 0.6, 0.62),
        "akd": Score(0.0123, (0.011, 0.014), 0.2, 0.1),
        "identity": Score(0.25, (0.24, 0.26), 0.5, 0.24, 0.22),
        "sharpness_mouth": Score(11.0, (10.8, 11.2), 3.0, 11.3, 11.5),
        "sharpness_eyes": Score(12.0, (11.8, 12.2), 3.0, 12.3, 12.5),
        "flicker": Score(0.012, (0.011, 0.013), 0.0, 0.02, 0.0121),
        "undetected": Score(0.0, (0.0, 0.0), 0.0, 0.0, 0.0),
        **dict.fromkeys(("lpips", "fid", "kid")),
        "left_out": dict.fromkeys(("lpips", "fid", "kid"), "their weights are not on this machine"),
        "trained": True,
        "num_frames": NUM_FRAMES,
        "num_blocks": 12,
        "blocks": "seconds",
        "num_undetected": 0,
        "num_unmeasured": 0,
        "detector": "yunet",
        "pairs_sha256": "ab" * 32,
        "generator_sha256": "cd" * 32,
        "mueca_version": "0.1.0",
        "frames": frames,
    }
    return Metrics(**(values | changed))


CURVE = tuple(Point(100 * i, 10.0 * i, l1=0.3 / (i + 1), psnr=10 + i, ssim=0.8 - 0.7 / (i + 1)) for i in range(12))


def poses(**reach: float) -> Poses:
    """Return frames that move alike in both splits, but for the held-out ones' reach in the movements named."""
    still = {name: np.linspace(-1, 1, NUM_FRAMES) for name in MOVEMENTS}
    moved = {name: values * reach.get(name, 1.0) for name, values in still.items()}
    return Poses(train=still, test=moved)


_DRIVEN = {
    "by": DrivenBy("cd" * 32, "ef" * 32, "largest"),
    "driver_name": "driver.mp4",
    "truth_name": "truth.mp4",
    "num_frames": 60,
    "num_followed": 240,
    "identity": Score(0.31, (0.29, 0.33), real=0.22),
    "identity_driver": 0.71,
    "num_unmeasured": 3,
    "followed": dict.fromkeys(FOLLOWED, 0.93) | {"roll": -0.2, "gaze_x": None},
    "reach": dict.fromkeys(FOLLOWED, 0.61) | {"roll": -0.4, "gaze_x": None},
    "leak": 0.07,
    "flicker": Score(0.014, None, real=0.012),
    "undetected": Score(0.0),
    "ssim": Score(0.66, (0.64, 0.68), 0.6),
    "psnr": Score(17.5, (17.0, 18.0), 16.5),
    "akd": Score(0.025, (0.02, 0.03), 0.2),
    "expression": Score(0.021, None, 0.15),
}
DRIVEN = Driven(**_DRIVEN)


def report_of(run: Path = Path("/home/somebody/puppets/anna"), **changed) -> Report:
    """Return a whole report, with some of it changed."""
    settings = TrainSettings(budget=300.0, seed=3)
    versions = Versions(mueca="0.1.0", python="3.11.7", numpy="2.4.6", torch="2.13.0", platform="Linux")
    pairs = Path("/home/somebody/pairs of anna")
    record = Run(settings, PRESETS["small"], "budget", 300.0, pairs, "ab" * 32, 2, versions=versions)
    metrics = changed.pop("metrics", good_metrics(driver=DRIVEN))
    tiles = {frame.name: Tile(CONDITION, REAL, FAKE) for frame in metrics.frames}
    driven = (Tile(CONDITION, REAL, FAKE, driver=REAL), Tile(CONDITION, None, FAKE, driver=REAL))
    values = {"curve": CURVE, "tiles": tiles, "poses": poses(), "driven_tiles": driven} | changed
    return Report(run, record, metrics, **values)


class Page(HTMLParser):
    """The tags of a page and its words."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words += data

    def pictures(self, kind: str) -> list[bytes]:
        """Return the bytes of the pictures of a class."""
        sources = [values["src"] for tag, values in self.tags if tag == "img" and kind in (values.get("class") or "")]
        return [base64.b64decode(source.split(",", 1)[1]) for source in sources]


def page_of(tmp_path: Path, report: Report) -> Page:
    write_report(tmp_path / "report.html", report)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def comparison_of(tmp_path: Path, *reports: Report) -> Page:
    write_comparison(tmp_path / "compare.html", reports)
    return Page((tmp_path / "compare.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    return page_of(tmp_path_factory.mktemp("page"), report_of())


@pytest.fixture(scope="module")
def comparison(tmp_path_factory) -> Page:
    return comparison_of(tmp_path_factory.mktemp("page"), report_of(), report_of(Path("/home/somebody/puppets/paper")))


def test_neither_page_asks_for_anything_outside_itself_or_runs_anything(page, comparison):
    for each in (page, comparison):
        links = [v for _, values in each.tags for k, v in values.items() if k in ("src", "href", "data", "xlink:href")]
        assert links and all(link.startswith("data:image/jpeg;base64,") for link in links)
        assert not {tag for tag, _ in each.tags} & {"script", "iframe", "object", "embed", "link", "base", "form"}
        assert not [name for _, values in each.tags for name in values if name.startswith("on")]
        assert not re.search(r"url\((?!#)|@import", each.words)
        policy = next(v["content"] for t, v in each.tags if t == "meta" and v.get("http-equiv"))
        assert policy.startswith("default-src 'none'; img-src data:;") and "script-src" not in policy


def test_a_report_of_36_frames_and_a_driver_is_smaller_than_five_megabytes(tmp_path):
    page_of(tmp_path, report_of(driven_tiles=(Tile(CONDITION, REAL, FAKE, driver=REAL),) * 12))
    assert 1e6 < (tmp_path / "report.html").stat().st_size < 5e6


def test_no_name_however_hostile_becomes_a_tag_or_an_attribute(tmp_path):
    frames = tuple(dataclasses.replace(f, name=f"{HOSTILE}{i}") for i, f in enumerate(good_metrics().frames))
    driven = dataclasses.replace(DRIVEN, driver_name=HOSTILE, truth_name=HOSTILE, left_out={HOSTILE: HOSTILE})
    metrics = good_metrics(detector=HOSTILE, frames=frames, left_out={HOSTILE: HOSTILE}, driver=driven)
    report = report_of(Path("/tmp") / HOSTILE.replace("/", ""), metrics=metrics)
    record = dataclasses.replace(report.record, pairs=Path(HOSTILE.replace("/", "")))
    report = dataclasses.replace(report, record=record)
    for each in (page_of(tmp_path, report), comparison_of(tmp_path, report, report)):
        assert not [tag for tag, _ in each.tags if tag == "script"]
        assert not [name for _, values in each.tags for name in values if name.startswith("on")]
        assert "onerror=alert(1)" in each.words and "{{ 7*7 }}" in each.words  # as words it is there


def test_a_name_that_is_no_text_is_shown_as_well_as_can_be(tmp_path):
    assert "anna?" in page_of(tmp_path, report_of(Path("/tmp/anna\udcff"))).words


def test_every_painted_picture_is_marked_and_no_real_one_is(page):
    painted, real = page.pictures("fake"), page.pictures("real")
    assert len(painted) == len(real) == 36 + 3
    assert all(b"trainedAlgorithmicMedia" in data for data in painted)
    assert not any(b"trainedAlgorithmicMedia" in data for data in real)
    assert sum(b"trainedAlgorithmicMedia" in data for data in page.pictures("")) == 36 + 3 + 2  # two driven ones


def test_the_numbers_of_the_page_are_the_metrics_with_interval_and_what_they_stand_beside(page):
    words = re.sub(r"\s+", " ", page.words.replace("\u202f", " "))
    for shown in ("1.23 %", "1.10 – 1.40", "20.00", "10.00", "23.4 dB", "23.0 – 23.8", "0.812", "11.5"):
        assert shown in words, shown
    assert "their weights are not on this machine" in words and "LPIPS, FID, KID" in words


def test_the_driver_is_told_of_where_there_is_one_and_only_there(page, tmp_path):
    alone = page_of(tmp_path, report_of(metrics=good_metrics(), driven_tiles=()))
    for words in ("driver.mp4", "truth.mp4", "7 %", "gaze to the side", "truth.mp4."):
        assert words in page.words and words not in alone.words


def test_a_run_of_which_little_is_known_has_a_page_as_well(tmp_path):
    names = ("l1_face", "psnr_face", "ssim_face", "akd", "identity", "sharpness_mouth", "sharpness_eyes", "flicker")
    frame = FrameScores("portrait", 0, 0.5, 15.0, 0.2, None)
    bare = {name: Score(getattr(good_metrics(), name).value) for name in ("l1", "psnr", "ssim", "ms_ssim")}
    metrics = good_metrics(**dict.fromkeys(names), **bare, frames=(frame,), num_frames=1, generator_sha256=None)
    report = report_of(metrics=metrics, curve=(), poses=None, driven_tiles=())
    words = page_of(tmp_path, report).words
    assert "no face" in words and "no curve.json" in words and "the pairs tell no landmarks" in words
    assert "Landmark error" not in comparison_of(tmp_path, report, report).words


def test_no_folder_but_the_last_is_told(page, comparison):
    for each in (page, comparison):
        assert "anna" in each.words and "/home" not in each.words


def test_the_command_on_the_page_gives_back_the_settings():
    settings = TrainSettings(preset="paper", steps=40, seed=7, device="cpu", fresh=True, models=Path("/m"))
    record = dataclasses.replace(report_of().record, settings=settings, precision="bfloat16")
    command, run = shlex.split(training_command(record, Path("/somewhere/a run"))), "a run"
    assert command[:4] == ["mueca", "train", "pairs of anna", run]
    parser = Parser()
    add_options(parser, TrainSettings)
    again = settings_from(TrainSettings, parser.parse_args(command[4:]))
    resolved = {"threads": 2, "precision": "bfloat16"}  # as it ran: another machine would choose its own
    assert again == dataclasses.replace(settings, device="auto", fresh=False, models=None, **resolved)


def test_the_command_of_a_run_on_several_processes_starts_as_many():
    record = dataclasses.replace(report_of().record, num_processes=4)
    words = shlex.split(training_command(record, Path("run")))
    assert words[:5] == ["torchrun", "--nproc_per_node=4", "-m", "mueca", "train"]


def test_where_the_command_does_not_make_the_run_again_the_page_says_why(page, tmp_path):
    record = report_of().record
    origin = Origin(WeightsFile("G.pth", "01" * 32), WeightsFile("D.pth", "23" * 32), seed=0)
    imported = words_with(tmp_path, dataclasses.replace(record, origin=origin))
    assert f"It began from imported networks, G.pth (SHA-256 {'01' * 32}) and D.pth" in imported
    other = dataclasses.replace(record, preset=dataclasses.replace(PRESETS["small"], width_generator=7))
    assert "have other widths than preset small has now" in words_with(tmp_path, other)
    longer = gone_on_with(record, dataclasses.replace(record, length=600.0), 5)
    assert "gone on with in another way than it began" in words_with(tmp_path, longer)
    same = words_with(tmp_path, gone_on_with(record, record, 5))  # stopped, and started again by the same command
    for words in (page.words, page_of(tmp_path, report_of(curve=())).words, same):
        assert "All that it takes to make this run again" in words


def words_with(tmp_path: Path, record: Run) -> str:
    return page_of(tmp_path, dataclasses.replace(report_of(), record=record)).words


def test_a_budget_in_the_command_is_read_back_as_seconds():
    parser = Parser()
    add_options(parser, TrainSettings)
    words = shlex.split(training_command(report_of().record, Path("run")))[4:]
    assert settings_from(TrainSettings, parser.parse_args(words)).budget == 300.0


@given(st.lists(st.floats(-1, 1), max_size=80), st.integers(1, 15))
def test_best_median_and_worst_share_no_frame_and_are_what_they_are_called(values, most):
    frames = [FrameScores(str(i), i, value, 20.0, 0.1, None) for i, value in enumerate(values)]
    chosen = shown_frames(frames, most)
    names = [frame.name for group in chosen.values() for frame in group]
    assert len(set(names)) == len(names) <= 3 * max(most, 1)
    ranked = sorted(values, reverse=True)
    num = len(chosen["worst"])
    assert [f.ssim for f in chosen["worst"]] == sorted(values)[:num]
    assert [f.ssim for f in chosen["best"]] == ranked[: len(chosen["best"])]
    if num:
        above, below = (len(values) - num) // 2, len(values) - num - (len(values) - num) // 2
        assert [f.ssim for f in chosen["median"]] == ranked[above : len(values) - below]


@pytest.mark.parametrize("name", ["ssim", "psnr", "l1", "akd", "lpips"])
def test_on_a_rail_better_is_to_the_right_and_the_bar_begins_at_the_better_trivial_answer(name):
    good, bad = (0.8, 0.6) if MEASURES[name].better == "higher" else (0.02, 0.3)
    scale = 25 if name == "psnr" else 1
    gained = rail_of(Score(scale * good, None, scale * bad, scale * (good + bad) / 2), MEASURES[name])
    places = {mark.kind: mark.place for mark in gained.marks}
    assert places["mean_face"] < places["nearest_frame"] < places["run"] <= 100
    assert gained.is_gain and gained.bar.place == places["nearest_frame"]
    assert gained.bar.place + gained.bar.width == pytest.approx(places["run"], abs=0.02)
    lost = rail_of(Score(scale * bad, None, scale * good), MEASURES[name])
    assert not lost.is_gain and lost.bar.width > 0


def test_a_perfect_number_stands_at_the_right_end_of_its_rail():
    for name, best in (("ssim", 1.0), ("l1", 0.0), ("undetected", 0.0)):
        assert rail_of(Score(best, (best, best), 0.5, 0.4), MEASURES[name]).marks[-1].place == 100


def test_what_should_be_like_the_real_clip_is_drawn_from_zero_with_the_real_clip_on_it():
    rail = rail_of(Score(5.0, (4.0, 6.0), 2.0, 9.0, 10.0), MEASURES["sharpness_mouth"])
    places = {mark.kind: mark.place for mark in rail.marks}
    assert rail.bar.place == 0 and places["run"] == pytest.approx(places["real"] / 2, abs=0.02)


def test_curves_rise_upwards_and_run_from_the_start_to_the_end_of_training():
    panel = curve_panel("ssim", [CURVE], 0.5, MEASURES["ssim"])
    x0, _, x1, _ = panel.plot
    (line,) = panel.lines
    places = [tuple(map(float, place.split())) for place in line.path[1:].split("L")]
    assert places[0][0] == x0 and places[-1] == line.end and line.end[0] == x1
    assert all(a[1] > b[1] for a, b in pairwise(places))
    above = next(y for (_, y), point in zip(places, CURVE, strict=True) if point.ssim > 0.5)
    assert above < panel.baseline < places[0][1]
    assert panel.x_title == "training time in seconds"


def test_the_names_of_curves_that_end_together_do_not_touch():
    heights = sorted(line.label_y for line in curve_panel("psnr", [CURVE] * 3, None, MEASURES["psnr"]).lines)
    assert all(below - above >= 12 for above, below in pairwise(heights))


def test_the_persons_left_is_drawn_on_the_left_and_their_chin_up_at_the_top():
    to_left_and_up, rest = (
        {"yaw": np.array([20.0]), "pitch": np.array([-10.0])},
        {"yaw": np.zeros(1), "pitch": np.zeros(1)},
    )
    cloud = cloud_of(rest, to_left_and_up, [], ("yaw", "pitch"))
    (x, y), (rest_x, rest_y) = (map(float, path[1:].removesuffix("h0").split()) for path in (cloud.test, cloud.train))
    assert x < rest_x and y < rest_y


def test_a_good_run_is_praised_for_what_is_good_alone():
    metrics = good_metrics()
    said = sentence(findings(metrics), trained=True)
    assert said.startswith("This puppet follows the face very closely, stays the same person") and "but" not in said
    assert {finding.grade for finding in findings(metrics)} == {"good"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"akd": Score(0.05, None, 0.2)}, "only roughly"),
        ({"akd": Score(0.2, None, 0.2)}, "hardly follows"),
        ({"identity": Score(0.7, None, 0.7)}, "somebody else"),
        ({"identity": Score(0.5, None, 0.7, real=0.22)}, "could be taken for somebody else"),
        ({"identity": Score(0.4, None, 0.7, real=0.22)}, "not in every feature"),
        ({"psnr": Score(20.0, None, 20.9)}, "no closer to the real pictures than the mean face"),
        ({"ssim": Score(0.69, (0.68, 0.7), 0.7)}, "no closer to the real pictures than the mean face"),
        ({"ssim_face": Score(0.6, (0.5, 0.7), 0.55, 0.65)}, "no closer to the real pictures than the most alike"),
        ({"ssim_face": Score(0.66, (0.6, 0.7), 0.55, 0.65)}, "little closer"),
        ({"sharpness_mouth": Score(4.0, real=11.5)}, "blurs mouth"),
        ({"sharpness_eyes": Score(9.0, real=12.5)}, "softens eyes"),
        ({"sharpness_eyes": Score(20.0, real=12.5)}, "harsher"),
        ({"ssim_face": Score(0.7, (0.69, 0.71), 0.5)}, "out of place"),
        ({"flicker": Score(0.03, real=0.0121)}, "flickers"),
        ({"flicker": Score(0.01, real=0.0121)}, "moves less"),
        ({"flicker": Score(0.004, real=0.0121)}, "hardly moves"),
        ({"num_undetected": 3, "undetected": Score(0.06, real=0.02)}, "no face that a detector finds"),
    ],
)
def test_what_is_weak_is_said(changed, words):
    found = findings(good_metrics(**changed))
    assert words in sentence(found, trained=True).split(", but ")[1]
    assert found[-1].grade != "good"  # the good comes first


def test_pictures_that_show_no_faces_are_held_against_nobody(tmp_path):
    faceless = good_metrics(
        **dict.fromkeys(("l1_face", "psnr_face", "ssim_face", "akd", "identity", "sharpness_mouth", "sharpness_eyes")),
        undetected=Score(1.0, (1.0, 1.0), 1.0, 1.0, 1.0), num_undetected=NUM_FRAMES, num_unmeasured=NUM_FRAMES,
    )  # fmt: skip
    assert {finding.grade for finding in findings(faceless)} == {"good"}
    assert "paints better than" in sentence(findings(faceless), trained=True)
    words = page_of(tmp_path, report_of(metrics=faceless)).words
    assert "mean face's landmark error" not in words and "left out of the landmark error" not in words


def test_a_distance_as_far_as_real_pictures_lie_apart_is_the_same_person():
    (found,) = (f for f in findings(good_metrics(identity=Score(0.38, real=0.36))) if "person" in f.clause)
    assert found.grade == "good"


def test_a_run_that_is_not_trained_is_told_so_and_not_what_a_flat_curve_contradicts():
    weak = good_metrics(ssim=Score(0.69, (0.68, 0.7), 0.7))
    assert sentence(findings(weak), trained=False).startswith("This puppet isn't good enough yet: it comes no closer")
    assert "paints better" not in " ".join(finding.clause for finding in findings(weak))


def test_the_page_says_what_the_intervals_were_drawn_from(page, comparison, tmp_path):
    for each in (page, comparison):
        assert "from 12 blocks of one second" in each.words
    foreign = good_metrics(blocks="30 frames", num_blocks=3)
    assert "from 3 blocks of 30 frames in a row" in page_of(tmp_path, report_of(metrics=foreign)).words
    few = good_metrics(num_blocks=2, left_out={"ci": "there are two seconds"})
    words = page_of(tmp_path, report_of(metrics=few)).words
    assert "Intervals: none" in words and "there are two seconds" in words


def test_numbers_of_a_run_that_its_held_out_frames_stopped_are_called_flattering(page, comparison, tmp_path):
    report = report_of()
    settings = dataclasses.replace(report.record.settings, stop="auto")
    stopped = dataclasses.replace(report, record=dataclasses.replace(report.record, settings=settings))
    assert "a little flattering" in page_of(tmp_path, stopped).words
    assert "B: the held-out frames themselves decided" in comparison_of(tmp_path, report, stopped).words
    assert "flattering" not in page.words + comparison.words


def test_every_movement_has_words_and_is_shown_with_how_far_it_goes(page):
    assert tuple(MOVEMENT_WORDS) == MOVEMENTS and set(FOLLOWED) <= set(MOVEMENTS)
    num = sum(value is not None and value > 0 for value in DRIVEN.followed.values())
    words = page.words.partition("How well the movements are followed")[2].partition("How it was made")[0]
    assert (words.count("still"), words.count("61\u202f%"), words.count("-40\u202f%")) == (1, num, 1)
    bars = [values["width"] for tag, values in page.tags if tag == "rect" and values.get("class") == "full"]
    assert bars == ["93.0%"] * num  # none where nothing is known, or it goes the other way


def test_the_page_says_whose_flicker_the_driven_one_is_compared_with(page, tmp_path):
    alone = dataclasses.replace(DRIVEN, truth_name=None)
    assert "in flicker truth.mp4" in page.words
    assert "in flicker the driver's own" in page_of(tmp_path, report_of(metrics=good_metrics(driver=alone))).words


def test_a_tight_interval_is_told_and_one_without_width_is_not(tmp_path):
    metrics = good_metrics(psnr=Score(23.4, (23.39, 23.41), 20.9), akd=Score(0.012, (0.012, 0.012), 0.2))
    words = page_of(tmp_path, report_of(metrics=metrics)).words
    assert "23.4 – 23.4" in words and "1.20 – 1.20" not in words


def test_every_drawing_has_a_name_and_what_can_be_focused_says_what_it_does(page, comparison):
    for each in (page, comparison):
        drawings = [values for tag, values in each.tags if tag == "svg" and values.get("role") == "img"]
        assert drawings and all(values["aria-label"] for values in drawings)
        assert not [values for tag, values in each.tags if "loading" in values]
        assert all(values.get("scope") for tag, values in each.tags if tag == "th")
        assert all(values.get("role") and values.get("title") for _, values in each.tags if "tabindex" in values)
    assert "SSIM: A 0.812, B 0.812" in [values.get("aria-label") for tag, values in comparison.tags if tag == "svg"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_letters_of_the_runs_stand_out_from_what_is_behind_them(scheme):
    css = resources.files("mueca.evaluation").joinpath("templates/style.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme == "dark"]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name in "abcdef":
        low, high = sorted(luminance(colours[each]) for each in (name, "paper"))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def luminance(colour: str) -> float:
    """Return a colour's relative luminance by WCAG 2."""
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_film_more_is_advised_of_what_only_held_out_frames_do():
    assert advice((), poses()) == ()
    (line,) = advice((), poses(lips=1.3))[:1]
    assert "lips are pursed more" in line and "film more of that" in line


def test_a_curve_that_still_rises_asks_for_more_training_and_a_flat_one_does_not():
    flat = tuple(dataclasses.replace(point, ssim=0.7) for point in CURVE)
    assert "longer training should help" in advice(CURVE, None)[0]
    assert "brings little" in advice(flat, None)[0]


def test_a_curve_that_fell_is_not_called_flat_and_asks_for_less_training():
    fell = tuple(dataclasses.replace(point, ssim=0.78 - 0.004 * abs(i - 3)) for i, point in enumerate(CURVE))
    (line,) = advice(fell, None)
    assert "stood highest at step 200" in line and "fallen by 0.0" in line and "--steps 200" in line
    assert "flat" not in line


def test_of_several_runs_the_best_is_found_and_is_clear_only_where_intervals_lie_apart():
    apart, near = Score(0.8, (0.79, 0.81)), Score(0.78, (0.77, 0.795))
    far = Score(0.7, (0.69, 0.71))
    assert best_of([far, apart, None], MEASURES["ssim"]).is_clear
    assert not best_of([Score(0.7), apart], MEASURES["ssim"]).is_clear  # how sure the other is nobody knows
    assert not best_of([far, Score(0.9)], MEASURES["ssim"]).is_clear
    best = best_of([near, apart, None], MEASURES["ssim"])
    assert best.index == 1 and not best.is_clear
    assert not best_of([near, apart, Score(0.5, (0.4, 0.6))], MEASURES["ssim"]).is_clear  # clear of one, not of all
    assert best_of([Score(0.1, (0.09, 0.11)), Score(0.2, (0.19, 0.21))], MEASURES["akd"]).is_clear
    beyond, short = Score(14.0, (13.9, 14.1), real=10.0), Score(9.0, (8.9, 9.1), real=10.0)
    assert best_of([beyond, short], MEASURES["sharpness_mouth"]).index == 1
    assert best_of([apart, apart], MEASURES["ssim"]).index is None


def test_a_comparison_names_who_is_ahead_and_shows_the_same_frames_of_every_run(tmp_path):
    tiles = {f"{i:06d}": Tile(CONDITION, REAL, FAKE) for i in range(0, NUM_FRAMES, 4)}
    better = report_of(Path("/runs/better"), metrics=good_metrics(ssim=Score(0.9, (0.89, 0.91), 0.7)), tiles=tiles)
    each = comparison_of(tmp_path, report_of(tiles=tiles), better)
    assert "B (better) in 1, clearly in 1" in each.words and "A (anna)" not in each.words
    painted = [v["alt"] for t, v in each.tags if t == "img" and (v.get("alt") or "").startswith("Painted by")]
    assert painted == ["Painted by A", "Painted by B"] * 13
    assert sum(b"trainedAlgorithmicMedia" in data for data in each.pictures("")) == 26


def test_a_comparison_needs_two(tmp_path):
    with pytest.raises(ValueError, match="two reports or more"):
        write_comparison(tmp_path / "compare.html", [report_of()])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (42, "42 s"), (150.2, "2 min 30 s"), (600, "10 min"), (3900, "1 h 5 min"), (7200, "2 h")],
)
def test_durations_are_told_in_two_units_at_most(seconds, words):
    assert duration(seconds) == words


def test_a_number_has_its_measures_digits_and_unit_and_none_is_a_dash():
    assert number(0.0205, MEASURES["akd"]) == "2.05\u202f%"
    assert number(0.0205, MEASURES["akd"], unit=False) == "2.05"
    assert number(None, MEASURES["akd"]) == "–"


def test_runs_driven_by_the_same_video_are_compared_in_it_and_others_are_not(tmp_path):
    better = dataclasses.replace(DRIVEN, leak=0.02, akd=Score(0.011, (0.01, 0.012), 0.2))
    one, two = (report_of(metrics=good_metrics(driver=driven)) for driven in (DRIVEN, better))
    words = re.sub(r"\s+", " ", comparison_of(tmp_path, one, two).words.replace("\u202f", " "))
    for shown in ("Driven by somebody else", "truth.mp4", "2.50", "1.10", "Shape leak", "7 %", "2 %", "head turned"):
        assert shown in words, shown
    elsewhere = dataclasses.replace(DRIVEN, by=dataclasses.replace(DRIVEN.by, driver_sha256="00" * 32))
    for other in (None, elsewhere):
        alone = comparison_of(tmp_path, one, report_of(metrics=good_metrics(driver=other)))
        assert "Driven by somebody else" not in alone.words
