"""demo(): all of mueca on two drawn actors, both ways round, beside the exact truth that only drawn people offer."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pooch

from mueca.actors import ACTORS, CLIP_FPS, actor_clip, landmarks_of, render, standard_performance
from mueca.config import SIZE_PX, DemoSettings, DriveSettings, EvaluateSettings, ExtractSettings, TrainSettings
from mueca.errors import OutputError
from mueca.evaluation import REPORT, Metrics, evaluate
from mueca.extraction import extract
from mueca.face.crop import CropRule, crop_transforms, cut_crop
from mueca.files import write_whole
from mueca.marks import composite
from mueca.pictures import contact_sheet, write_picture
from mueca.reenactment import VIEWS, drive
from mueca.training import train
from mueca.video import VideoReader

Array = np.ndarray

PAIRINGS = (("a", "b"), ("b", "a"))
"""Subject and driver, both ways round, as the report did."""

PAGE, MONTAGE = "index.html", "demo.jpg"
MONTAGE_COLUMNS, MONTAGE_TILE_PX = 6, 168
"""Under 200 kB, so that it can stand in a README."""
_ENDS = tuple(f"{view}.{kind}" for view in ("", "_compare") for kind in ("mp4", "json"))
ROWS = ("driver", "condition", "painted", "truth")


@dataclass(frozen=True)
class DemoSummary:
    """What ``demo`` made."""

    page: Path
    videos: dict[str, Path]
    """By subject: the video in which the other actor drives it."""
    metrics: dict[str, Metrics]
    """By subject: on its own held-out frames, and driven by the other beside the truth."""


def demo(
    out_dir: Path = Path("demo"),
    settings: DemoSettings | None = None,
    *,
    show_progress: bool = False,
) -> DemoSummary:
    """Train a puppet of each actor, drive it with the other, and write a page that shows what came of it.

    Writes ``a_driven_by_b.mp4``, ``b_driven_by_a.mp4``, both beside driver and condition as ``..._compare.mp4``,
    ``demo.jpg`` and ``index.html``; pairs and runs lie in ``a/`` and ``b/``. The same call goes on where it stopped.
    Raises OutputError where the folder holds anything else. A script that calls it needs the usual guard,
    ``if __name__ == "__main__"``: the clips are rendered by spawned processes.
    """
    settings = settings or DemoSettings()
    _require_free(out_dir)
    clips_folder = settings.clips or Path(pooch.os_cache("mueca")) / "actors"
    clips = {name: actor_clip(name, clips_folder, show_progress=show_progress) for name in ACTORS}
    metrics, videos, columns = {}, {}, []
    for subject, driver in PAIRINGS:
        truth = actor_clip(subject, clips_folder, act=driver, show_progress=show_progress)
        _learn(clips[subject], out_dir / subject, settings, show_progress=show_progress)
        measuring = EvaluateSettings(
            driver=clips[driver],
            truth=truth,
            models=settings.models,
            device=settings.device,
            threads=settings.threads,
        )
        metrics[subject] = evaluate(out_dir / subject / "run", measuring, show_progress=show_progress)
    for subject, driver in PAIRINGS:
        stem = f"{subject}_driven_by_{driver}"
        run = out_dir / subject / "run"
        for view, name in (("result", f"{stem}.mp4"), ("compare", f"{stem}_compare.mp4")):
            driving = DriveSettings(view=view, models=settings.models, device=settings.device, threads=settings.threads)
            drive(run, clips[driver], out_dir / name, driving, show_progress=show_progress)
        videos[subject] = out_dir / f"{stem}.mp4"
        columns += _columns(out_dir / f"{stem}_compare.mp4", subject, driver)
    _write_montage(out_dir / MONTAGE, columns)
    write_whole(out_dir / PAGE, _page(metrics))
    return DemoSummary(out_dir / PAGE, videos, metrics)


def _require_free(out_dir: Path) -> None:
    """Raise OutputError where the folder holds anything that the demo didn't make."""
    stems = [f"{subject}_driven_by_{driver}" for subject, driver in PAIRINGS]
    ours = {PAGE, MONTAGE, *ACTORS, *(f"{stem}{end}" for stem in stems for end in _ENDS)}
    strange = sorted(p.name for p in out_dir.iterdir() if p.name not in ours) if out_dir.is_dir() else []
    if strange or (out_dir.exists() and not out_dir.is_dir()):
        raise OutputError(f"{out_dir}: holds something else ({(strange or ['a file'])[0]}); name another folder")


def _learn(clip: Path, folder: Path, settings: DemoSettings, *, show_progress: bool) -> None:
    extract(
        clip,
        folder / "pairs",
        ExtractSettings(models=settings.models, fresh=settings.fresh),
        show_progress=show_progress,
    )
    training = TrainSettings(
        budget=settings.budget, device=settings.device, threads=settings.threads, fresh=settings.fresh
    )
    train(folder / "pairs", folder / "run", training, show_progress=show_progress)


def _columns(comparison: Path, subject: str, driver: str) -> list[list[Array]]:
    """Return (driver, condition, painted, truth) of frames evenly spread over the comparison video."""
    expressions = standard_performance(driver)
    true_landmarks = np.stack([landmarks_of(ACTORS[subject], expression) for expression in expressions])
    index = np.arange(len(expressions))
    transforms = crop_transforms(true_landmarks, index, np.zeros_like(index), CLIP_FPS, CropRule())
    shown = set(np.linspace(0, len(expressions) - 1, MONTAGE_COLUMNS // 2 + 2).round().astype(int)[1:-1].tolist())
    columns = []
    for frame in VideoReader(comparison):
        if frame.index in shown:
            tiles = np.split(frame.image, len(VIEWS["compare"]), axis=1)
            truth, _ = render(ACTORS[subject], expressions[frame.index], frame_index=frame.index)
            columns.append([*tiles, cut_crop(truth, transforms[frame.index])])
    return columns


def _write_montage(path: Path, columns: list[list[Array]]) -> None:
    size = (MONTAGE_TILE_PX, MONTAGE_TILE_PX)
    rows = [
        [cv2.resize(column[row], size, interpolation=cv2.INTER_AREA) for column in columns] for row in range(len(ROWS))
    ]
    sheet, boxes = contact_sheet(rows)
    write_picture(path, sheet, mark=composite(*boxes[ROWS.index("painted")]))


def _page(metrics: dict[str, Metrics]) -> str:
    sections = "".join(
        f"<section><h2>Actor {subject} driven by actor {driver}</h2>"
        f'<video src="{subject}_driven_by_{driver}_compare.mp4" controls loop muted autoplay width="{3 * SIZE_PX}">'
        f"</video><p>Left to right: the driver, the condition, the painted subject. Alone: "
        f'<a href="{subject}_driven_by_{driver}.mp4">{subject}_driven_by_{driver}.mp4</a></p>'
        f"{_table(metrics[subject])}"
        f'<p>Much more about it: <a href="{subject}/run/{REPORT}">the report of actor {subject}</a></p></section>'
        for subject, driver in PAIRINGS
    )
    rows = ", ".join(ROWS)
    return _TEMPLATE.format(sections=sections, montage=MONTAGE, rows=html.escape(rows))


def _table(metrics: Metrics) -> str:
    own = [(name.upper(), getattr(metrics, name)) for name in ("ssim", "psnr", "l1", "akd")]
    rows = "".join(
        f"<tr><td>{name}</td><td>{score.value:.3f}</td><td>{score.mean_face:.3f}</td></tr>"
        for name, score in own
        if score
    )
    return (
        f"<table><tr><th>on {metrics.num_frames} held-out frames</th><th>this run</th><th>mean face</th></tr>"
        f"{rows}</table>{_beside_truth(metrics)}"
    )


def _beside_truth(metrics: Metrics) -> str:
    driven = metrics.driver
    if driven is None or driven.ssim is None or driven.akd is None:
        return ""
    leak = "" if driven.leak is None else f", shape leak {driven.leak:.0%}"
    return (
        f"<p>Driven, beside the truth: SSIM {driven.ssim.value:.3f}, landmark error "
        f"{100 * driven.akd.value:.1f} % of the distance of the eyes{leak}.</p>"
    )


_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mueca: the demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem;
  background: #16181c; color: #e8e6e3; }}
h1, h2 {{ font-weight: 600; }} a {{ color: #8ec7ff; }} video, img {{ max-width: 100%; border-radius: 6px; }}
table {{ border-collapse: collapse; }} td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; }}
</style>
<h1>mueca: two drawn actors, each driven by the other</h1>
<p>Nobody's likeness: both people are drawn. What the network painted is marked “AI GENERATED”, in the picture and in
the file's metadata.</p>
{sections}
<section><h2>Beside the truth</h2>
<p>Because the actors are drawn, the right answer is known: the subject rendered with the driver's own performance.
Rows: {rows}; on the left actor a driven by b, on the right b driven by a.</p>
<img src="{montage}" alt="rows: {rows}"></section>
</html>
"""
