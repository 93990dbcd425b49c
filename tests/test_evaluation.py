"""evaluate(): perfect, trivial and blank generators get the scores they deserve, on held-out frames and driven."""

import dataclasses
import json
import math
import re
import shutil
import sys
import types

import cv2
import numpy as np
import pytest

from mueca.actors import ACTORS, performance, write_clip
from mueca.cli import main
from mueca.config import EvaluateSettings
from mueca.errors import InputError, ModelFileError, OutputError, SettingsError
from mueca.evaluation import Metrics, Score, compare, comparing, evaluate, read_metrics
from mueca.evaluation.frames import nearest_rows, neighbours
from mueca.evaluation.held_out import is_trained
from mueca.evaluation.intervals import blocks_of, interval
from mueca.evaluation.measuring import _picture_scores
from mueca.evaluation.reenacted import chosen_rows
from mueca.evaluation.scores import HELD_OUT_METRICS, MEASURES
from mueca.face.identity import FaceEmbedder
from mueca.face.track import Track
from mueca.metrics import PSNR_OF_EQUALS_DB, face_mask, l1, ssim
from mueca.pairs import read_split
from mueca.pictures import read_picture
from mueca.subject import read_subject

LEARNED = {"lpips", "fid", "kid"}


@pytest.fixture(autouse=True)
def embed_once(monkeypatch):
    """Let equal pictures of several tests be embedded once: it takes 120 ms."""
    plain = FaceEmbedder.embed

    def embed(self, image, box):
        key = (image.tobytes(), box)
        if key not in EMBEDDED:
            EMBEDDED[key] = plain(self, image, box)
        return EMBEDDED[key]

    monkeypatch.setattr(FaceEmbedder, "embed", embed)


EMBEDDED: dict[tuple, np.ndarray] = {}


@pytest.fixture
def run(actor_run, tmp_path):
    shutil.copytree(actor_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def settings(models) -> EvaluateSettings:
    return EvaluateSettings(models=models)


def cheating(pairs, change=lambda picture: picture):
    """Return a generator that knows the answers, and changes them."""
    test = read_split(pairs, "test")
    answers = {c.tobytes(): change(t) for c, t in zip(test.conditions, test.targets, strict=True)}
    return lambda conditions, _charts=None: np.stack([answers[c.tobytes()] for c in conditions])


def remembering(pairs):
    """Return a generator that paints the real picture, of either split, whose condition is the nearest."""
    train, test = (read_split(pairs, split) for split in ("train", "test"))
    conditions, targets = (np.concatenate([getattr(p, half) for p in (train, test)]) for half in HALVES)
    return lambda asked, _charts=None: targets[nearest_rows(asked, conditions)]


HALVES = ("conditions", "targets")


def test_a_generator_that_paints_the_truth_is_perfect(run, actor_pairs, settings):
    result = evaluate(run, settings, generator=cheating(actor_pairs))
    for name in ("l1", "l1_face", "akd", "identity", "undetected"):
        assert getattr(result, name).value == 0, name
    for name in ("ssim", "ms_ssim", "ssim_face"):
        assert getattr(result, name).value == pytest.approx(1), name
    assert result.psnr.value == result.psnr_face.value == PSNR_OF_EQUALS_DB
    for name in ("sharpness_mouth", "sharpness_eyes", "flicker"):
        assert getattr(result, name).value == pytest.approx(getattr(result, name).real), name
    assert result.trained and result.num_undetected == 0


def test_a_generator_that_paints_the_mean_face_scores_as_the_mean_face_and_is_not_trained(run, actor_pairs, settings):
    train, test = (read_split(actor_pairs, split) for split in ("train", "test"))
    mean_face = train.targets.mean(0).round().astype(np.uint8)
    result = evaluate(run, settings, generator=lambda c, _charts: np.repeat(mean_face[None], len(c), 0))
    for name in set(HELD_OUT_METRICS) - LEARNED:
        score = getattr(result, name)
        assert score.value == score.mean_face, name
    assert result.ssim.mean_face == pytest.approx(np.mean([ssim(mean_face, t) for t in test.targets]))
    assert not result.trained


def test_a_generator_that_paints_the_training_frame_with_the_nearest_condition_scores_as_that(
    run, actor_pairs, settings
):
    train = read_split(actor_pairs, "train")
    result = evaluate(run, settings, generator=lambda c, _charts: train.targets[nearest_rows(c, train.conditions)])
    for name in set(HELD_OUT_METRICS) - LEARNED:
        score = getattr(result, name)
        assert score.value == score.nearest_frame, name
    assert 0 < result.identity.value < 0.4


def test_fakes_without_a_face_are_counted_and_enter_with_the_mean_faces_error(run, settings):
    result = evaluate(run, settings, generator=lambda c, _charts: np.zeros_like(c))
    assert result.num_undetected == result.num_frames > 0 and result.undetected.value == 1
    assert result.akd.value == result.akd.mean_face > 0
    assert all(frame.akd is None for frame in result.frames)


def test_the_background_neither_helps_nor_hurts_on_the_face_alone(run, actor_pairs, settings):
    test = read_split(actor_pairs, "test")
    far = face_mask(read_subject(run).typical_shape, 256)
    far = ~cv2.dilate(far.astype(np.uint8), np.ones((71, 71), np.uint8)).astype(bool)

    def spoil(picture):
        spoiled = picture.copy()
        spoiled[far] = 255 - spoiled[far]
        return spoiled

    result = evaluate(run, settings, generator=cheating(actor_pairs, spoil))
    assert result.l1_face.value == 0 and result.ssim_face.value == pytest.approx(1)
    assert result.l1.value == pytest.approx(np.mean([l1(spoil(t), t) for t in test.targets])) and result.l1.value > 0


def test_a_pixel_just_outside_of_the_face_does_not_reach_the_similarity_of_the_face_alone():
    real = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    mask = np.zeros((256, 256), bool)
    mask[80:180, 90:170] = True
    fake = np.where(mask[..., None], real, 255 - real)
    scores = _picture_scores(fake, real, mask)
    assert scores["ssim_face"] == pytest.approx(1) and scores["l1_face"] == 0 and scores["ssim"] < 0.5


def test_a_damaged_curve_is_told_before_anything_is_painted(actor_run, settings, tmp_path):
    run = shutil.copytree(actor_run, tmp_path / "run")
    (run / "curve.json").write_text("{")
    with pytest.raises(InputError, match=r"curve\.json"):
        evaluate(run, settings, generator=lambda *_given: pytest.fail("painted"))
    assert not (run / "metrics.json").exists()


def test_blur_is_seen_in_the_sharpness_of_mouth_and_eyes(run, actor_pairs, settings):
    result = evaluate(run, settings, generator=cheating(actor_pairs, lambda t: cv2.GaussianBlur(t, (0, 0), 2)))
    for score in (result.sharpness_mouth, result.sharpness_eyes):
        assert score.value < 0.7 * score.real


def test_light_that_changes_from_frame_to_frame_is_flicker(run, actor_pairs, settings):
    calls = iter(range(1000))
    steady = cheating(actor_pairs)
    result = evaluate(
        run, settings, generator=lambda c, _charts: np.clip(steady(c) // 2 + 40 * (next(calls) % 2), 0, 255)
    )
    assert result.flicker.value > 40 / 255 / 2 > result.flicker.real > 0
    assert result.flicker.mean_face == 0


def test_every_metric_stands_in_the_file_with_its_interval_and_the_trivial_answers(run, settings):
    result = evaluate(run, settings)
    written = json.loads((run / "metrics.json").read_text(), parse_constant=pytest.fail)
    for name in HELD_OUT_METRICS:
        if name in written["left_out"]:
            assert written[name] is None and name in LEARNED
        else:
            assert written[name].keys() == {"value", "ci", "mean_face", "nearest_frame", "real"}
            assert None not in (written[name][key] for key in ("value", "mean_face", "nearest_frame"))
    assert {name for name in MEASURES if name in written and written[name] and written[name]["real"]} <= {
        "identity", "sharpness_mouth", "sharpness_eyes", "flicker", "undetected",
    }  # fmt: skip
    assert read_metrics(run) == result
    assert len(result.frames) == result.num_frames
    assert result.blocks == "seconds" and 1 <= result.num_blocks < 3 and "3 seconds" in result.left_out["ci"]
    assert result.ssim.value == pytest.approx(np.mean([frame.ssim for frame in result.frames]))


def test_a_page_tells_of_it_and_needs_nothing_from_elsewhere(run, settings):
    evaluate(run, settings)
    page = (run / "report.html").read_text()
    assert "SSIM" in page and 'src="http' not in page and 'href="http' not in page


def test_every_test_fake_is_saved_and_marked(run, actor_pairs, models):
    evaluate(run, EvaluateSettings(models=models, save_fakes=True), generator=lambda c, _charts: np.full_like(c, 200))
    fakes = sorted((run / "fakes").iterdir())
    assert [int(f.stem) for f in fakes] == read_split(actor_pairs, "test").frame_index.tolist()
    assert all(b"trainedAlgorithmicMedia" in f.read_bytes() for f in fakes)
    assert read_picture(fakes[0]).min() < 120  # the badge's plate


def test_pairs_that_moved_are_found_by_name_and_others_are_refused(run, actor_pairs, models, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(actor_pairs, moved)
    record = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps(record | {"pairs": str(tmp_path / "gone")}))
    with pytest.raises(InputError, match=r"gone.*--pairs"):
        evaluate(run, EvaluateSettings(models=models))
    evaluate(run, EvaluateSettings(models=models, pairs=moved))
    next((moved / "test" / "target").iterdir()).write_bytes(b"")
    with pytest.raises(InputError, match="not the pairs"):
        evaluate(run, EvaluateSettings(models=models, pairs=moved))


@pytest.mark.parametrize(
    ("ssim_value", "psnr_value", "akd", "trained"),
    [(0.8, 25, 0.03, True), (0.7, 25, 0.01, False), (0.8, 20, 0.01, False), (0.8, 25, 0.031, False)],
)
def test_trained_means_better_than_the_mean_face_in_both_and_landmarks_within_three_hundredths(
    ssim_value, psnr_value, akd, trained
):
    scores = [Score(ssim_value, mean_face=0.7), Score(psnr_value, mean_face=20), Score(akd, mean_face=0.08)]
    assert is_trained(*scores) is trained


def test_where_there_is_no_face_to_follow_the_pictures_alone_decide():
    better, worse = Score(25, mean_face=20), Score(15, mean_face=20)
    assert is_trained(better, better, None) and not is_trained(better, worse, None)


def test_the_interval_takes_a_second_of_alike_frames_for_about_one_observation():
    rng = np.random.default_rng(3)
    of_block = rng.normal(size=40)
    block = np.repeat(np.arange(40), 25)
    low, high = interval(of_block[block], block)
    assert (high - low) / 2 == pytest.approx(1.96 * of_block.std() / math.sqrt(40), rel=0.1)
    alone = interval(of_block[block], np.arange(1000))
    assert high - low > 4 * (alone[1] - alone[0])
    assert low < of_block.mean() < high and interval(of_block[block], block) == (low, high)


def test_of_one_or_two_blocks_nobody_knows_how_sure_the_mean_is():
    assert interval(np.arange(9.0), np.zeros(9)) is None
    assert interval(np.arange(9.0), np.arange(9) % 2) is None
    assert interval(np.ones(9), np.arange(9)) == (1, 1)


@pytest.mark.parametrize("num_blocks", [3, 4, 5, 8, 12])
def test_the_interval_holds_the_true_mean_nineteen_times_of_twenty_however_few_the_blocks(num_blocks):
    rng, block = np.random.default_rng(5), np.repeat(np.arange(num_blocks), 5)
    drawn = [rng.normal(7, 1, num_blocks)[block] + rng.normal(0, 0.3, len(block)) for _ in range(400)]
    held = [low < 7 < high for low, high in (interval(values, block) for values in drawn)]
    assert 0.9 <= np.mean(held) <= 0.99


def test_blocks_are_seconds_of_time_and_thirty_frames_where_it_is_not_known():
    assert blocks_of(np.arange(50) / 25 + 8.36, 50).tolist() == [0] * 25 + [1] * 25
    assert blocks_of(np.array([3.0, 3.5, 9.0]), 3).tolist() == [0, 0, 6]
    assert blocks_of(None, 61).tolist() == [0] * 30 + [1] * 30 + [2]


def test_neighbours_are_told_by_the_last_number_of_their_names():
    names = ("000009", "000010", "000012", "a9", "a10", "b11", "c", "d")
    assert neighbours(names).tolist() == [False, True, False, False, True, False, False, False]


def test_the_nearest_condition_is_found_though_its_lines_lie_beside(actor_pairs):
    conditions = read_split(actor_pairs, "train").conditions[::6]
    shifted = np.roll(conditions, (2, -2), axis=(1, 2))
    assert nearest_rows(shifted, conditions).tolist() == list(range(len(conditions)))


def test_weights_that_are_not_there_are_no_reason_to_fail_or_to_download(run, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    result = evaluate(run, settings)
    assert (result.lpips, result.fid, result.kid) == (None, None, None)
    assert "pip install lpips" in result.left_out["lpips"] and "torch-fidelity" in result.left_out["kid"]


def test_a_package_that_does_not_load_is_no_reason_to_fail(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from mueca.nets.perception import lpips_distances

    # What torchvision says beside a PyTorch that it was not built for.
    (tmp_path / "lpips.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    with pytest.raises(ModelFileError, match=r"lpips can't be loaded \(operator torchvision::nms"):
        lpips_distances([], [])


def test_where_a_package_is_there_its_weights_must_be_too(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    from mueca.nets.perception import LPIPS_WEIGHTS, lpips_distances

    class FarApart:
        def __init__(self, net, verbose):
            assert net == "alex"

        def __call__(self, a, b):
            assert a.shape == (1, 3, 8, 8) and a.min() >= -1 and a.max() <= 1
            return (a - b).abs().mean().reshape(1, 1, 1, 1)

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=FarApart))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    black, white = (np.full((8, 8, 3), level, np.uint8) for level in (0, 255))
    with pytest.raises(ModelFileError, match=LPIPS_WEIGHTS):
        lpips_distances([black], [white])
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / LPIPS_WEIGHTS).write_bytes(b"")
    assert lpips_distances([black, white], [white, white]).tolist() == [2, 0]


def test_weights_that_are_cut_off_are_named_and_no_reason_to_fail(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    from mueca.nets.perception import INCEPTION_WEIGHTS, LPIPS_WEIGHTS, fid_and_kid, lpips_distances

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in (LPIPS_WEIGHTS, INCEPTION_WEIGHTS):
        torch.save({"weight": torch.zeros(9)}, folder / name)
        (folder / name).write_bytes((folder / name).read_bytes()[:-100])

    def load(name):
        return lambda **_: torch.load(folder / name, weights_only=True)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=load(LPIPS_WEIGHTS)))
    fidelity = types.SimpleNamespace(calculate_metrics=load(INCEPTION_WEIGHTS))
    monkeypatch.setitem(sys.modules, "torch_fidelity", fidelity)
    black = [np.zeros((8, 8, 3), np.uint8)]
    for measure, weights in ((lpips_distances, LPIPS_WEIGHTS), (fid_and_kid, INCEPTION_WEIGHTS)):
        with pytest.raises(ModelFileError, match=rf"{weights} in .* can't be used \(.+\); put it there anew"):
            measure(black, black)


def test_sets_of_pictures_stand_beside_the_mean_face_and_the_nearest_frames(run, settings, monkeypatch):
    from mueca.nets import perception

    asked = []

    def fid_and_kid(pictures, reals):
        asked.append(len({picture.tobytes() for picture in pictures}))
        return 10.0 * len(asked), 0.1 * len(asked)

    monkeypatch.setattr(perception, "fid_and_kid", fid_and_kid)
    result = evaluate(run, settings)
    assert result.fid == Score(10.0, None, mean_face=20.0, nearest_frame=30.0)
    assert result.kid.mean_face == pytest.approx(0.2) and asked[1] == 1 < asked[0]


@pytest.mark.slow
def test_a_run_that_paints_the_driver_as_they_are_follows_them_in_all_they_do(run, actor_pairs, actor_clip, models):
    settings = EvaluateSettings(models=models, driver=actor_clip, truth=actor_clip)
    driven = evaluate(run, settings, generator=remembering(actor_pairs)).driver
    assert driven.num_frames == driven.num_followed == 40
    told = {name: value for name, value in driven.followed.items() if value is not None}
    assert min(told["yaw"], told["pitch"], told["roll"]) > 0.95 and told["mouth"] > 0.7  # it saw 32 of the 40 frames
    assert driven.identity.value < 0.3 and driven.identity_driver == pytest.approx(driven.identity.value, abs=0.1)
    assert driven.leak is None and "too much alike" in driven.left_out["leak"]  # of somebody to themselves
    assert driven.undetected.value == 0 and driven.ssim.value > 0.7 and driven.akd.value < 0.1
    assert 0 < driven.expression.value < driven.akd.value + 0.01
    assert driven.reach.keys() == driven.followed.keys() and 0.7 < driven.reach["yaw"] < 1.3
    for name, is_higher in (("ssim", True), ("psnr", True), ("akd", False), ("expression", False)):
        score = getattr(driven, name)
        assert (score.value > score.mean_face) == is_higher, name
        assert (score.nearest_frame > score.mean_face) == is_higher, name  # 32 of the 40 frames are training frames
    assert -1 <= driven.followed["gaze_x"] <= 1
    assert driven.num_unmeasured == 0
    assert read_metrics(run).driver == driven


@pytest.mark.slow
def test_driven_fakes_without_a_face_err_as_much_as_the_mean_face(run, actor_pairs, actor_clip, models):
    mean_face = read_split(actor_pairs, "train").targets.mean(0).round().astype(np.uint8)
    settings = EvaluateSettings(models=models, driver=actor_clip, truth=actor_clip)
    paint = remembering(actor_pairs)
    blank, mean = (
        evaluate(
            run, settings, generator=lambda c, _charts, picture=picture: np.repeat(picture[None], len(c), 0)
        ).driver
        for picture in (np.zeros_like(mean_face), mean_face)
    )
    calls = iter(range(1000))
    half = evaluate(run, settings, generator=lambda c, charts: paint(c, charts) * np.uint8(next(calls) % 2)).driver
    whole = evaluate(run, settings, generator=paint).driver
    assert blank.num_unmeasured == blank.num_frames and mean.num_unmeasured == 0 and blank.undetected.value == 1
    assert half.num_unmeasured == half.num_frames // 2
    for name in ("akd", "expression", "identity"):
        of_blank, of_half, of_whole = (getattr(driven, name).value for driven in (blank, half, whole))
        assert of_blank == pytest.approx(getattr(mean, name).value) and of_whole < of_half < of_blank, name
    assert set(blank.followed.values()) == set(blank.reach.values()) == {None}
    assert blank.flicker.real == whole.flicker.real == pytest.approx(whole.flicker.value, rel=0.3)  # the truth's own


@pytest.mark.slow
def test_a_run_that_paints_one_picture_whatever_the_driver_does_follows_nothing(run, actor_pairs, actor_clip, models):
    still = read_split(actor_pairs, "train").targets[:1]
    driven = evaluate(
        run, EvaluateSettings(models=models, driver=actor_clip), generator=lambda c, _charts: still
    ).driver
    assert all(value is None for value in driven.followed.values())
    assert driven.flicker.value == 0 < driven.flicker.real
    assert driven.ssim is driven.akd is None and "--truth" in driven.left_out["ssim"]


@pytest.mark.slow
def test_a_truth_of_another_length_is_refused(run, actor_clip, models, tmp_path):
    write_clip(tmp_path / "short.mp4", ACTORS["a"], performance(seed=7, num_frames=30), workers=1)
    settings = EvaluateSettings(models=models, driver=actor_clip, truth=tmp_path / "short.mp4")
    with pytest.raises(InputError, match=r"has 30 frames and .* 40"):
        evaluate(run, settings)
    with pytest.raises(SettingsError, match="--driver"):
        EvaluateSettings(truth=actor_clip)


@pytest.mark.parametrize(("num", "fps"), [(150, 25.0), (151, 25.0), (4000, 29.97), (7000, 240.0), (400, 1.0)])
def test_of_a_long_video_whole_seconds_are_painted_from_beginning_to_end(num, fps):
    track = Track(*[np.arange(num)] * 7, lost={}, num_frames=num, fps=fps, others=0)
    rows = chosen_rows(track)
    assert 100 < len(rows) <= 160 and (np.diff(rows) > 0).all()
    assert rows[0] == 0 and rows[-1] == num - 1
    assert (np.diff(rows) == 1).mean() >= 0.5


@pytest.fixture
def two_runs(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    return [run, other]


@pytest.mark.slow
def test_runs_on_the_same_frames_stand_side_by_side_and_are_measured_once(two_runs, settings, tmp_path):
    first = compare(two_runs, settings)
    assert first.page == two_runs[0] / "compare.html" and first.page.is_file()
    assert first.reports[0].metrics.ssim == first.reports[1].metrics.ssim
    assert first.reports[0].tiles.keys() == first.reports[1].tiles.keys() != set()
    before = [(run / "metrics.json").stat().st_mtime_ns for run in two_runs]
    again = compare(two_runs, settings, out=tmp_path / "page.html")
    assert [(run / "metrics.json").stat().st_mtime_ns for run in two_runs] == before
    assert again.page.is_file() and [r.metrics for r in again.reports] == [r.metrics for r in first.reports]


@pytest.mark.slow
def test_a_run_that_changed_since_it_was_measured_is_measured_again(two_runs, settings):
    painted = evaluate(two_runs[1], settings, generator=lambda c, _charts: np.full_like(c, 9)).l1  # not the run's own
    assert compare(two_runs, settings).reports[1].metrics.l1 != painted


@pytest.mark.slow
def test_a_driver_of_the_same_name_is_measured_again_where_it_is_another(two_runs, models, actor_clip, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, seed in zip(folders, (7, 8), strict=True):
        folder.mkdir()
        write_clip(folder / "driver.mp4", ACTORS["a"], performance(seed=seed, num_frames=12), workers=1)
    one, two = (EvaluateSettings(models=models, driver=folder / "driver.mp4") for folder in folders)
    with_truth = EvaluateSettings(models=models, driver=one.driver, truth=one.driver)
    compare(two_runs, one)
    written = two_runs[0] / "metrics.json"
    sure = dataclasses.replace(with_truth, min_score=0.5)
    calls = ((one, False), (two, True), (one, True), (with_truth, True), (with_truth, False), (sure, True))
    for settings, is_new in calls:
        before = written.stat().st_mtime_ns
        compare(two_runs, settings)
        assert (written.stat().st_mtime_ns != before) == is_new, settings


def test_runs_on_other_pairs_are_refused_and_so_is_one_run_alone(two_runs, settings):
    record = json.loads((two_runs[1] / "settings.json").read_text())
    (two_runs[1] / "settings.json").write_text(json.dumps(record | {"pairs_sha256": "0" * 64}))
    with pytest.raises(InputError, match="other pairs than"):
        compare(two_runs, settings)
    with pytest.raises(SettingsError, match="two different runs"):
        compare([two_runs[0]] * 2, settings)


def test_a_driver_that_is_no_video_is_told_before_any_run_is_measured(two_runs, models, monkeypatch, tmp_path):
    monkeypatch.setattr(comparing, "evaluate", lambda *_, **__: pytest.fail("measured"))
    (tmp_path / "driver.mp4").write_text("no video")
    for name in ("driver.mp4", "missing.mp4", "."):
        with pytest.raises(InputError, match=re.escape(str(tmp_path / name))):
            compare(two_runs, EvaluateSettings(models=models, driver=tmp_path / name))


def test_a_page_is_never_written_over_something_else(two_runs, settings, tmp_path):
    (tmp_path / "thesis.html").write_text("<p>mine</p>")
    for page, words in (("thesis.html", "is something else"), ("page.txt", r"\.html")):
        with pytest.raises(OutputError, match=words):
            compare(two_runs, settings, out=tmp_path / page)
    assert (tmp_path / "thesis.html").read_text() == "<p>mine</p>"


@pytest.mark.slow
def test_both_ways_to_name_the_runs_do(two_runs, models, capsys, monkeypatch):
    monkeypatch.setenv("MUECA_MODELS", str(models))
    one, other = map(str, two_runs)
    assert main(["evaluate", one, "--compare", other]) == 0
    table = capsys.readouterr().out
    assert "ssim" in table and "compare.html" in table
    assert main(["evaluate", "--compare", one, other]) == 0
    assert capsys.readouterr().out == table
    assert main(["evaluate"]) == 2 and "mueca evaluate RUN" in capsys.readouterr().err


def test_metrics_of_an_older_version_say_how_to_make_them_anew(run):
    for older in ('{"ssim": {"value": 0.7, "mean_face": 0.6}, "undetected": 0}', '{"psnr": {"value": 20.0}}'):
        (run / "metrics.json").write_text(older)
        with pytest.raises(InputError, match=r"metrics\.json.*by another version of mueca.*mueca evaluate"):
            read_metrics(run)
    (run / "metrics.json").write_text('{"ssim"')
    with pytest.raises(InputError, match=r"metrics\.json.*can't be read.*mueca evaluate"):
        read_metrics(run)


def test_every_score_has_words_and_a_unit():
    fields = {field.name for field in dataclasses.fields(Metrics)}
    assert set(HELD_OUT_METRICS) <= fields and set(HELD_OUT_METRICS) <= MEASURES.keys()
