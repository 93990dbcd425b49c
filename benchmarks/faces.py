"""The face side of mueca in one run: speed, tremble, lag, frames kept, shape leak, expression; with a plot.

    python benchmarks/faces.py --out benchmarks/results/faces.json [--quick] [--clips FOLDER] [--work FOLDER]

It runs what benchmarks/extract.py, landmarks.py and retargeting.py measure, as their own texts say, and draws the
numbers beside the report's way into a picture next to --out, of the same name. In the JSON:

- throughput_ratio: pairs written per second, over the report's way, median over the clips;
- tremble_ratio, tremble_ratio_live: motion of the landmarks from frame to frame over that of plain detection in every
  frame, median over the calm clips; lag_frames, lag_frames_live: the actors' worst;
- kept_share: the least share, over the clips, of frames that could be used;
- shape_leak: the largest of four drawn pairings; shape_leak_without: the same with --retarget none;
- expression_error_ratio: cross- over self-reenactment, the largest of the pairings.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import extract
import landmarks
import matplotlib
import retargeting
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from measuring import actor_clips, find_clips, make_parser, print_table, write_result

from mueca.face.detection import make_detector

matplotlib.use("agg")

OURS, REPORTS = "#0072b2", "#b0b0b0"
"""Blue and grey: told apart by the colour-blind as well."""


def measure(clips: Path | None, work: Path, *, quick: bool, models: Path | None) -> dict[str, Any]:
    """Return the numbers of all three benchmarks, each under its own name, and the chief ones on top."""
    options = {"num_frames": 40 if quick else None, "rounds": 1, "models": models}
    speed = [
        extract.measure_first(clip, **options) for clip in find_clips(clips, extract.CLIPS)[: 1 if quick else None]
    ]
    print_table(speed)
    calm = find_clips(clips, landmarks.CLIPS)[: 1 if quick else None]
    steadiness = landmarks.measure(calm, actor_clips(), make_detector(models=models))
    carried = retargeting.measure(work, budget=20.0 if quick else 150.0, quick=quick, models=models)
    chief = {
        "throughput_ratio": statistics.median(row["ratio"] for row in speed),
        "kept_share": min(row["mueca_usable_share"] for row in speed),
        **{name: steadiness[name] for name in ("tremble_ratio", "tremble_ratio_live", "lag_frames", "lag_frames_live")},
        **{name: carried[name] for name in ("shape_leak", "shape_leak_without", "expression_error_ratio")},
    }
    return {**chief, "extract": speed, "landmarks": steadiness, "retargeting": carried}


def draw(numbers: dict[str, Any], path: Path) -> None:
    """Write the plot: four panels, mueca beside the report's way."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    speed, tremble, lag, leak = figure.subplots(2, 2).flat
    rows = numbers["extract"]
    _bars(speed, [row["clip"] for row in rows], rows, ("mueca_pairs_per_s", "report_pairs_per_s"), "{:.0f}")
    speed.set_title(f"Pairs written per second: {numbers['throughput_ratio']:.1f} times the report's way")
    rows = numbers["landmarks"]["clips"]
    _bars(tremble, [row["clip"] for row in rows], rows, ("files_motion", "plain_motion"), "{:.2f}")
    tremble.set_title("Tremble: motion from frame to frame, % of the eye distance")
    rows = numbers["landmarks"]["actors"]
    names = [f"actor {row['actor']}, {way}" for row in rows for way in ("files", "live")]
    values = [row[f"{way}_lag"] for row in rows for way in ("files", "live")]
    lag.bar(names, values, color=OURS)
    lag.axhline(0.5, color=REPORTS, linestyle="--")
    lag.set_title("Lag behind the truth, frames (live: at most half)")
    rows = [row for row in numbers["retargeting"]["results"] if row["leak"] is not None and row["retarget"] != "self"]
    pairings = list(dict.fromkeys((row["subject"], row["driver"]) for row in rows))
    paired = [
        {row["retarget"]: 100 * row["leak"] for row in rows if (row["subject"], row["driver"]) == pairing}
        for pairing in pairings
    ]
    _bars(leak, [f"{subject} by {driver}" for subject, driver in pairings], paired, ("shape", "none"), "{:.0f}")
    leak.set_title("Shape leak, % (0: subject's own shape, 100: driver's)")
    for axes in figure.axes:
        axes.title.set_fontsize(10)
    figure.savefig(path, dpi=90)


def _bars(axes: Axes, names: list[str], rows: list[dict[str, Any]], keys: tuple[str, str], shown: str) -> None:
    for offset, key, colour, label in ((-0.2, keys[0], OURS, "mueca"), (0.2, keys[1], REPORTS, "the report's way")):
        values = [row[key] for row in rows]
        bars = axes.bar([place + offset for place in range(len(rows))], values, 0.4, color=colour, label=label)
        axes.bar_label(bars, [shown.format(value) for value in values], fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.legend(fontsize=8)


def main() -> None:
    parser = make_parser(__doc__ or "", clips=True)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="for clips and runs (default: one that goes again)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        numbers = measure(arguments.clips, work, quick=arguments.quick, models=arguments.models)
    write_result(arguments.out, numbers, quick=arguments.quick)
    if arguments.out:
        draw(numbers, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
