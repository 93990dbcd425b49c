"""evaluate(): perfect, trivial and blank generators get the scores they deserve."""

import json
import shutil

import numpy as np
import pytest

from mueca.config import EvaluateSettings
from mueca.errors import InputError
from mueca.evaluation import Score, evaluate, is_trained
from mueca.metrics import ssim
from mueca.pairs import read_split
from mueca.pictures import read_picture


@pytest.fixture
def run(actor_run, tmp_path):
    shutil.copytree(actor_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def settings(models) -> EvaluateSettings:
    return EvaluateSettings(models=models)


def cheating(pairs):
    """Return a generator that knows the answers."""
    test = read_split(pairs, "test")
    answers = {c.tobytes(): t for c, t in zip(test.conditions, test.targets, strict=True)}
    return lambda conditions: np.stack([answers[c.tobytes()] for c in conditions])


def test_a_generator_that_paints_the_truth_is_perfect(run, actor_pairs, settings):
    result = evaluate(run, settings, generator=cheating(actor_pairs))
    assert (result.l1.value, result.psnr.value, result.undetected) == (0, float("inf"), 0)
    assert result.ssim.value == pytest.approx(1) and result.akd.value == 0
    assert result.trained


def test_a_generator_that_paints_the_mean_face_scores_as_the_mean_face_and_is_not_trained(run, actor_pairs, settings):
    train, test = (read_split(actor_pairs, split) for split in ("train", "test"))
    mean_face = train.targets.mean(0).round().astype(np.uint8)
    result = evaluate(run, settings, generator=lambda c: np.repeat(mean_face[None], len(c), 0))
    for name in ("l1", "psnr", "ssim", "akd"):
        score = getattr(result, name)
        assert score.value == score.mean_face
    assert result.ssim.mean_face == pytest.approx(np.mean([ssim(mean_face, t) for t in test.targets]))
    assert not result.trained


def test_fakes_without_a_face_are_counted_and_enter_with_the_mean_faces_error(run, settings):
    result = evaluate(run, settings, generator=lambda c: np.zeros_like(c))
    assert result.undetected == result.num_frames > 0
    assert result.akd.value == result.akd.mean_face > 0


def test_the_result_is_written_as_it_is_returned(run, settings):
    result = evaluate(run, settings)
    written = json.loads((run / "metrics.json").read_text())
    for name in ("l1", "psnr", "ssim", "akd"):
        assert written[name] == {"value": getattr(result, name).value, "mean_face": getattr(result, name).mean_face}


def test_every_test_fake_is_saved_and_marked(run, actor_pairs, models):
    evaluate(run, EvaluateSettings(models=models, save_fakes=True), generator=lambda c: np.full_like(c, 200))
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
    assert is_trained(Score(ssim_value, 0.7), Score(psnr_value, 20), Score(akd, 0.08)) is trained


def test_where_there_is_no_face_to_follow_the_pictures_alone_decide():
    better, worse = Score(25, 20), Score(15, 20)
    assert is_trained(better, better, None) and not is_trained(better, worse, None)
