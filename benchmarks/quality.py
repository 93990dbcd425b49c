"""How good is a puppet after the same wall time: the default preset beside ``paper``, which is the report's way.

    python benchmarks/quality.py --out benchmarks/results/quality.json [--quick] [--clips FOLDER] [--work FOLDER]
                                 [--only CLIP ...] [--presets small paper] [--seeds 0] [--budget 10m | --steps N]
                                 [--consent FILE | --self]

The two drawn actors, and with ``--clips`` (or $MUECA_CLIPS) real clips too, are extracted once; every preset learns
from the same pairs for the same training time and is measured on the same held-out frames, by ``evaluate``'s rulers.
The curve is the one that training wrote: a few held-out frames, twenty times. Other work on the machine takes steps
away: run it alone, or name the ``--steps`` that a quiet machine takes in that time (``benchmarks/train_step.py`` tells
how long one takes). What is done stays in ``--work``, where the same command goes on, and trials that the JSON holds
already and this command does not repeat stay in it; each tells its own machine.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import actor_clips, find_clips, machine, make_parser, print_table, write_result

from mueca.config import EvaluateSettings, ExtractSettings, TrainSettings, parse_duration, to_json
from mueca.curve import read_curve
from mueca.evaluation import Metrics, evaluate
from mueca.extraction import extract
from mueca.presets import PRESETS
from mueca.runs import read_run
from mueca.training import train

REAL_CLIPS = ("d9", "d3", "d13")
QUICK_BUDGET_S = 20.0
_MEASURED = (
    "ssim", "psnr", "ms_ssim", "ssim_face", "psnr_face", "akd", "identity", "sharpness_mouth", "sharpness_eyes",
    "flicker",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One preset on one clip."""

    clip: str
    pairs: Path
    run: Path
    preset: str
    seed: int
    length: dict[str, float | int]
    """Budget in seconds, or steps, by its name."""
    consent: Path | None = None
    """The record of who is shown; None: the actors bring theirs."""
    own_face: bool = False


def measure(trial: Trial, models: Path | None) -> dict[str, Any]:
    """Train and evaluate a trial, or go on with it; return its numbers."""
    agreed = {"consent": trial.consent, "own_face": trial.own_face}
    training = TrainSettings(preset=trial.preset, seed=trial.seed, models=models, **trial.length, **agreed)
    result = train(trial.pairs, trial.run, training, show_progress=True)
    record = read_run(trial.run)
    metrics = evaluate(trial.run, EvaluateSettings(models=models), show_progress=True)
    scores = {name: to_json(getattr(metrics, name)) for name in _MEASURED if getattr(metrics, name) is not None}
    return {
        "clip": trial.clip,
        "preset": trial.preset,
        "seed": trial.seed,
        "length": trial.length,
        "machine": machine(),
        "precision": record.precision,
        "threads": record.threads,
        "steps": result.steps,
        "seconds": result.seconds,
        "num_frames": metrics.num_frames,
        "trained": metrics.trained,
        "scores": scores,
        "curve": [to_json(point) for point in read_curve(trial.run)],
        "row": row_of(trial, result.seconds, result.steps, metrics),
    }


def row_of(trial: Trial, seconds: float, steps: int, metrics: Metrics) -> dict[str, Any]:
    """Return what the table shows of a trial: fakes, and what the mean face or the real pictures have."""
    row: dict[str, Any] = {"clip": trial.clip, "preset": trial.preset, "seed": trial.seed}
    row |= {"seconds": round(seconds), "steps": steps}
    for name, digits, scale in (
        ("ssim", 3, 1),
        ("psnr", 1, 1),
        ("ssim_face", 3, 1),
        ("psnr_face", 1, 1),
        ("akd", 1, 100),
    ):
        score = getattr(metrics, name)
        row[name] = score and f"{scale * score.value:.{digits}f} ({scale * score.mean_face:.{digits}f})"
    for part in ("mouth", "eyes"):
        score = getattr(metrics, f"sharpness_{part}")
        row[f"sharp {part}"] = score and f"{score.value / score.real:.2f}"
    return row


def clips_of(folder: Path | None) -> dict[str, Path]:
    """Return the actors' clips and the folder's, by name."""
    clips = {f"actor {name}": path for name, path in actor_clips().items()}
    return clips | ({path.stem: path for path in find_clips(folder, REAL_CLIPS)} if folder else {})


def key_of(trial: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells a trial's numbers from another's."""
    return (trial["clip"], trial["preset"], trial["seed"], *trial["length"].items())


def trials_in(out: Path | None) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the trials that an earlier call wrote."""
    if out is None or not out.exists():
        return {}
    return {key_of(trial): trial for trial in json.loads(out.read_text())["trials"]}


def main() -> None:
    parser = make_parser(__doc__ or "", clips=True)
    parser.add_argument(
        "--only", nargs="+", metavar="CLIP", help="these clips: 'actor a', d9, ...; when not named: all"
    )
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS)[::-1], metavar="PRESET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument(
        "--budget", type=parse_duration, default=600.0, metavar="TIME", help="training time of each run"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps of each run, in place of a budget")
    parser.add_argument("--consent", type=Path, metavar="FILE", help="record of who is shown in the real clips")
    parser.add_argument("--self", action="store_true", dest="own_face", help="who is shown there is you, and you agree")
    parser.add_argument("--work", type=Path, default=Path("quality"), metavar="FOLDER", help="for pairs and runs")
    arguments = parser.parse_args()
    length = {"steps": arguments.steps} if arguments.steps else {"budget": arguments.budget}
    length = {"budget": QUICK_BUDGET_S} if arguments.quick else length
    clips = clips_of(arguments.clips)
    unknown = sorted(set(arguments.only or clips) - set(clips))
    if unknown:
        raise SystemExit(f"error: --only {unknown[0]}: is none of {', '.join(clips)}")

    trials = trials_in(arguments.out)
    for seed, clip, preset in itertools.product(arguments.seeds, arguments.only or clips, arguments.presets):
        folder = arguments.work / clip
        extract(clips[clip], folder / "pairs", ExtractSettings(models=arguments.models), show_progress=True)
        run = folder / "_".join([preset, str(seed), *(f"{kind}_{value:g}" for kind, value in length.items())])
        is_drawn = clip in clips_of(None)
        agreed = (None, False) if is_drawn else (arguments.consent, arguments.own_face)
        trial = Trial(clip, folder / "pairs", run, preset, seed, length, *agreed)
        measured = measure(trial, arguments.models)
        trials[key_of(measured)] = measured
        print_table([one["row"] for one in trials.values()])
        write_result(arguments.out, {"trials": list(trials.values())}, quick=arguments.quick)


if __name__ == "__main__":
    main()
