"""The demo shows all of mueca on the drawn actors, and goes on where it stopped."""

from dataclasses import replace

import pytest

from mueca.actors import filming
from mueca.config import DemoSettings
from mueca.errors import OutputError
from mueca.runs import GENERATOR
from mueca.showcase import demo
from mueca.video import VideoReader

NUM_FRAMES = 40


def refuse(*_) -> None:
    raise AssertionError("trained again")


@pytest.mark.slow
def test_the_demo_drives_each_actor_with_the_other_shows_it_beside_the_truth_and_goes_on_when_called_again(
    models, tmp_path, monkeypatch
):
    pytest.importorskip("torch")
    monkeypatch.setattr(filming, "CLIP_FRAMES", NUM_FRAMES)
    out, settings = tmp_path / "demo", DemoSettings(budget=2.0, clips=tmp_path / "clips", models=models)
    summary = demo(out, settings)

    page = summary.page.read_text()
    assert summary.page == out / "index.html"
    assert summary.videos == {"a": out / "a_driven_by_b.mp4", "b": out / "b_driven_by_a.mp4"}
    for driven in summary.videos.values():
        compared = driven.with_name(f"{driven.stem}_compare.mp4")
        film, beside = VideoReader(driven), VideoReader(compared)
        assert [sum(1 for _ in video) for video in (film, beside)] == [NUM_FRAMES, NUM_FRAMES]
        assert film.info.has_audio and beside.info.has_audio
        assert beside.info.width == 3 * beside.info.height
        assert driven.name in page and compared.name in page
    assert b"compositeWithTrainedAlgorithmicMedia" in (out / "demo.jpg").read_bytes()
    assert 'src="demo.jpg"' in page
    assert summary.metrics.keys() == {"a", "b"}
    assert all(m.num_frames > 0 and 0 < m.ssim.value < 1 for m in summary.metrics.values())

    before = {name: (out / name / "run" / GENERATOR).read_bytes() for name in "ab"}
    monkeypatch.setattr("mueca.gan.Trainer.step", refuse)
    again = demo(out, settings)
    assert {name: (out / name / "run" / GENERATOR).read_bytes() for name in "ab"} == before
    assert again.metrics == summary.metrics
    with pytest.raises(AssertionError, match="trained again"):  # so that the trap is known to shut
        demo(out, replace(settings, budget=60.0))


def test_a_folder_with_something_else_in_it_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "thesis.html").write_text("")
    with pytest.raises(OutputError, match=r"thesis\.html"):
        demo(tmp_path, DemoSettings(clips=tmp_path / "clips"))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.html"]
