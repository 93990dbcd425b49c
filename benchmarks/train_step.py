"""How long is a training step: mueca's ``paper`` beside the reference algorithm, written plainly, and ``small``.

    python benchmarks/train_step.py --out benchmarks/results/train_step.json [--quick] [--threads 2]

Both take the same pairs from memory, at width 64 and batch 1, on the same threads, and their steps alternate, so
that a machine that slows down for a while slows both. The numbers are medians. ``ratio`` compares float32 with float32;
each preset is also timed in bfloat16, which ``train`` takes for ``small`` where the processor is made for it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import reference
import torch
from measuring import make_parser, print_table, write_result

from mueca.face.charts import GRID, NUM_CHARTS
from mueca.gan import Trainer
from mueca.presets import PRESETS


def reference_step(batches: list[tuple[torch.Tensor, torch.Tensor]], width: int) -> Callable[[], object]:
    """Return the reference's step: float32, default Adam, tensors ready in memory, losses read once a step."""
    step = reference.make_step(*reference.make_networks(width=width))
    turn = iter(range(10**9))
    return lambda: [loss.item() for loss in step(*batches[next(turn) % len(batches)])]


def smooth_pictures(number: int, seed: int) -> np.ndarray:
    """Return random smooth RGB pictures (number, 256, 256, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (number, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(one, (256, 256), interpolation=cv2.INTER_CUBIC) for one in small])


def measure(steps: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median seconds of each step; they take turns, after two rounds that don't count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def make_steps() -> dict[str, Callable[[], object]]:
    """Return a training step of the reference and of each preset, all on the same eight pairs."""
    conditions, targets = smooth_pictures(8, 0), smooth_pictures(8, 1)
    charts = np.random.default_rng(2).uniform(-1, 1, (8, 2 * NUM_CHARTS, GRID, GRID)).astype(np.float32)
    batches = [
        tuple(torch.from_numpy(image[None]).permute(0, 3, 1, 2).float() / 127.5 - 1 for image in pair)
        for pair in zip(conditions, targets, strict=True)
    ]
    steps: dict[str, Callable[[], object]] = {"reference": reference_step(batches, PRESETS["paper"].width_generator)}
    for name, precision in itertools.product(("paper", "small"), ("float32", "bfloat16")):
        trainer = Trainer(
            PRESETS[name],
            conditions,
            targets,
            charts if PRESETS[name].textures else None,
            seed=0,
            device=torch.device("cpu"),
            precision=precision,
        )
        steps[name if precision == "float32" else f"{name}_{precision}"] = lambda trainer=trainer: trainer.step(0.0)
    return steps


def main() -> None:
    parser = make_parser(__doc__ or "", clips=False)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), metavar="N")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds = measure(make_steps(), rounds=15 if arguments.quick else 60)
    rows = [
        {"step": name, "s/step": value, "steps/s": 1 / value, "vs. reference": seconds["reference"] / value}
        for name, value in seconds.items()
    ]
    print_table(rows)
    numbers = {f"{name}_seconds_per_step": value for name, value in seconds.items()}
    cpu = {"ratio": seconds["reference"] / seconds["paper"], "threads": arguments.threads} | numbers
    write_result(arguments.out, {"cpu": cpu}, quick=arguments.quick)


if __name__ == "__main__":
    main()
