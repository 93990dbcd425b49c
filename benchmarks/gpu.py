"""The report's whole run on one GPU: mueca's ``paper`` beside the reference algorithm, and ours in plain float32.

    python benchmarks/gpu.py --pairs PAIRS --out FILE.json [--save-fakes DIR] [--quick]
    python benchmarks/gpu.py --pairs PAIRS --device cpu --pairs-at-most 4 --epochs 1 --reference-steps 2   # a dry run
    python benchmarks/gpu.py --pairs PAIRS --score DIR --out FILE.json     # adds akd; where dlib is, no GPU

The report's run: 320 pairs, 50 epochs, batch 1, a U-Net of width 64. Its seconds go from the first step to the last
weights on disk: the steps, the losses at every tenth, and after each epoch the fakes of four test pictures, painted
and encoded as PNG. What comes before (imports, reading the pairs, building the networks, capturing the CUDA graph) is
told apart as ``setup_seconds``. ``mueca train`` does more, which is not in it: checkpoints, the held-out curve, the
diary. A second run, of seed 1, tells how far seeds alone lie apart. Plain float32 is that, without TF32, by the plain
step; on a GPU as one graph, which ends in the very bits that the same operations started one by one do (checked over
some steps, ``graph_is_eager``). The reference is left PyTorch's own choice, TF32 in convolutions. It is timed over some
steps and scaled to the same number; what it paints then is not scored, for it learned less. Only with
--reference-steps 0 it learns as many steps as our run, and has held-out numbers beside ours. It is given our pairs from
the device's memory, and its losses are not read. ``ways`` are the ms of a step as one measure after the other is added
to the plain step, TF32 allowed. What is measured is written at once, the report's run first. On an H200 that run and
the reference's timing take a minute, all of it some five; --reference-steps 0 adds three and a half.

Needs torch, NumPy, OpenCV, safetensors and mueca's own code, nothing else. Fails where the GPU asked for is missing,
and where the step can't be captured there.
"""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import argparse  # noqa: E402  (imports are part of what is measured)
import dataclasses  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from measuring import make_parser, print_table, versions, write_result  # noqa: E402
from reference import Step, make_networks, make_step  # noqa: E402
from scoring import Split, read_split, score_fakes  # noqa: E402
from torch.nn import functional  # noqa: E402

from mueca.capturing import captured  # noqa: E402
from mueca.config import Precision  # noqa: E402
from mueca.examples import Examples, draw_choice, tensor_of  # noqa: E402
from mueca.files import write_whole  # noqa: E402
from mueca.gan import Trainer  # noqa: E402
from mueca.nets.painting import painter  # noqa: E402
from mueca.presets import PRESETS, Preset  # noqa: E402
from mueca.version import VERSION  # noqa: E402

_IMPORTED = time.perf_counter()

Array = np.ndarray
_NUM_SAMPLES = 4
_STEPS_PER_READING = 10
"""Of the losses, as in ``mueca.training``."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run took and how well it paints the held-out frames."""

    seconds: float
    setup_seconds: float
    steps: int
    held_out: dict[str, float] | None
    """None: it was timed only, over fewer steps than it would take to paint well."""
    fakes: Array | None
    captured: bool = False
    tf32: bool = False
    """Whether convolutions in float32 may round to TF32."""


def choose_device(name: str) -> torch.device:
    """Return the device of that name; raises SystemExit where it is a GPU and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SystemExit("error: --device cuda: PyTorch finds no GPU here; --device cpu makes a dry run")
    return torch.device(name)


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def run_ours(
    preset: Preset,
    train: Split,
    test: Split,
    *,
    device: torch.device,
    precision: Precision,
    capture: bool,
    epochs: int,
    seed: int = 0,
    tf32: bool = True,
    tune: bool = True,
) -> Outcome:
    """Train with mueca's own trainer, and measure; what is written goes to a folder that is removed.

    The test fakes are encoded as PNG for the time that takes, but written as arrays: a picture would need its badge,
    and that Pillow. Raises SystemExit where a GPU is to capture the step and can't: slower seconds would mislead.
    """
    with _tf32(tf32):
        start = time.perf_counter()
        trainer = Trainer(
            preset, train.conditions, train.targets, seed=seed, device=device, precision=precision, tune=tune
        )
        trainer.setup(capture=capture)
        if capture and device.type == "cuda" and not trainer.is_captured:
            raise SystemExit("error: the step can't be captured as one CUDA graph here; see the warning above")
        wait_for(device)
        setup_seconds = time.perf_counter() - start
        steps, steps_per_epoch = epochs * len(train.targets), len(train.targets)
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as writer:
            start = time.perf_counter()
            for step in range(steps):
                trainer.step(step / steps)
                if (step + 1) % _STEPS_PER_READING == 0:
                    trainer.losses()
                if (step + 1) % steps_per_epoch == 0:
                    fakes = painter(trainer.best)(test.conditions[:_NUM_SAMPLES])
                    written = writer.submit(write_samples, Path(folder) / f"{step + 1}.npz", fakes)
            weights = {name: tensor.cpu().contiguous() for name, tensor in trainer.best.state_dict().items()}
            write_whole(Path(folder) / "generator.safetensors", safetensors.torch.save(weights))
            written.result()  # one writer: the earlier ones are done too
            seconds = time.perf_counter() - start
        fakes = painter(trainer.best)(test.conditions)
    scores = held_out(fakes, test.targets, device)
    return Outcome(seconds, setup_seconds, steps, scores, fakes, trainer.is_captured, tf32)


def write_samples(path: Path, fakes: Array) -> None:
    """Encode the fakes as PNG and write them as arrays."""
    np.savez(path, *(cv2.imencode(".png", fake[..., ::-1])[1] for fake in fakes))


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def run_reference(
    preset: Preset, train: Split, test: Split, *, device: torch.device, steps: int, scored: bool
) -> Outcome:
    """Train the reference algorithm, in PyTorch's own float32, one operation after the other, and measure.

    Unless ``scored``, it is timed alone.
    """
    start = time.perf_counter()
    examples = Examples(preset, train.conditions, train.targets, device=device, dtype=torch.float32)

    def begin() -> tuple[torch.nn.Module, Step]:
        torch.manual_seed(0)
        networks = make_networks(width=preset.width_generator, dropout=preset.dropout, device=device)
        return networks[0], make_step(*networks)

    def learn(step: Step, number: int) -> None:
        choice = draw_choice(preset, 0, number, 0, len(examples))
        step(*examples.at(tensor_of([choice]).to(device, non_blocking=True)))

    learn(begin()[1], 0)  # libraries set themselves up, on networks that are thrown away
    generator, step = begin()
    wait_for(device)
    setup_seconds = time.perf_counter() - start
    start = time.perf_counter()
    for number in range(steps):
        learn(step, number)
    wait_for(device)
    seconds = time.perf_counter() - start
    fakes = painter(generator)(test.conditions) if scored else None
    scores = held_out(fakes, test.targets, device) if scored else None
    return Outcome(seconds, setup_seconds, steps, scores, fakes, tf32=torch.backends.cudnn.allow_tf32)


def held_out(fakes: Array, targets: Array, device: torch.device) -> dict[str, float]:
    """Return means over the frames: ``l1`` (0 to 1), ``psnr`` (dB) and ``ssim``, as ``mueca.metrics`` has them."""
    scores: dict[str, list[float]] = {"l1": [], "psnr": [], "ssim": []}
    for fake, real in zip(fakes, targets, strict=True):
        difference = fake.astype(np.float64) - real
        scores["l1"].append(float(np.abs(difference).mean() / 255))
        scores["psnr"].append(float(10 * np.log10(255**2 / max((difference**2).mean(), 1e-9))))
        scores["ssim"].append(ssim(fake, real, device))
    return {name: statistics.fmean(values) for name, values in scores.items()}


def ssim(fake: Array, real: Array, device: torch.device) -> float:
    """Return the structural similarity of RGB uint8 (H, W, 3): scikit-image's, written in torch.

    Source: Wang et al., "Image quality assessment", TIP 2004; windows of 7 x 7 pixels, sample covariance.
    """
    x, y = (torch.from_numpy(image).to(device).permute(2, 0, 1)[None].double() for image in (fake, real))
    mean_x, mean_y = functional.avg_pool2d(x, 7, 1), functional.avg_pool2d(y, 7, 1)
    sample = 49 / 48

    def covariance(a: torch.Tensor, b: torch.Tensor, mean_a: torch.Tensor, mean_b: torch.Tensor) -> torch.Tensor:
        return sample * (functional.avg_pool2d(a * b, 7, 1) - mean_a * mean_b)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance(x, y, mean_x, mean_y) + c2)
    spread = covariance(x, x, mean_x, mean_x) + covariance(y, y, mean_y, mean_y)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))).mean())


def share_of_data(preset: Preset, train: Split, *, device: torch.device, seconds_per_step: float) -> dict[str, float]:
    """Return what a step's data takes on the host and on the device, in ms, and the latter's share of a step.

    A GPU works while the host draws the next step's choices: it waits for them only where ``host_ms`` is a step long.
    Its own work is timed as a CUDA graph, as it is within a step's: launched one by one, the launches would be timed.
    """
    examples = Examples(preset, train.conditions, train.targets, device=device, dtype=torch.float32)
    drawn = iter(range(10**9))
    on_device = tensor_of([draw_choice(preset, 0, 0, 0, len(examples))]).to(device)

    def on_host() -> None:
        choice = draw_choice(preset, 0, next(drawn), 0, len(examples))
        on_device.copy_(tensor_of([choice]), non_blocking=True)

    def work() -> None:
        examples.at(on_device)

    host = _seconds_of(on_host, device)
    work_seconds = _seconds_of(captured(work, []) if device.type == "cuda" else work, device)
    return {"host_ms": 1e3 * host, "device_ms": 1e3 * work_seconds, "share_of_step": work_seconds / seconds_per_step}


def _seconds_of(action: Callable[[], object], device: torch.device, *, rounds: int = 50) -> float:
    action()
    wait_for(device)
    start = time.perf_counter()
    for _ in range(rounds):
        action()
    wait_for(device)
    return (time.perf_counter() - start) / rounds


def ms_by_way(
    preset: Preset, train: Split, *, device: torch.device, reference_ms: float, steps: int
) -> dict[str, float]:
    """Return the ms of a step by the reference, and as one measure after the other is added to our plain step."""
    found = {"reference": reference_ms}
    for precision, tune in (("float32", False), ("bfloat16", False), ("bfloat16", True)):
        for capture in (False, True):
            trainer = Trainer(
                preset, train.conditions, train.targets, seed=0, device=device, precision=precision, tune=tune
            )
            trainer.setup(capture=capture)
            for _ in range(10):
                trainer.step(0.0)
            wait_for(device)
            start = time.perf_counter()
            for _ in range(steps):
                trainer.step(0.0)
            wait_for(device)
            name = f"{precision}{', tuned' if tune else ''}, {'one graph' if capture else 'operation by operation'}"
            found[name] = 1e3 * (time.perf_counter() - start) / steps
    return found


def graph_is_eager(preset: Preset, train: Split, *, device: torch.device, steps: int = 20) -> bool:
    """Return whether float32 steps end in the same bits as one graph and operation by operation."""
    weights = []
    for capture in (False, True):
        trainer = Trainer(preset, train.conditions, train.targets, seed=0, device=device, tune=False)
        trainer.setup(capture=capture)
        for step in range(steps):
            trainer.step(step / steps)
        weights.append({name: tensor.clone() for name, tensor in trainer.generator.state_dict().items()})
    return all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())


def seconds_by_kind(
    preset: Preset, train: Split, *, device: torch.device, precision: Precision, steps: int = 5
) -> dict[str, float]:
    """Return the ms of a step that each of the device's twenty longest kinds of work takes, by PyTorch's profiler."""
    trainer = Trainer(preset, train.conditions, train.targets, seed=0, device=device, precision=precision)
    trainer.step(0.0)
    wait_for(device)
    on_gpu = device.type == "cuda"
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] * on_gpu)]
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(steps):
            trainer.step(0.0)
        wait_for(device)
    name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    found = {event.key: getattr(event, name) / 1e3 / steps for event in profile.key_averages()}
    return dict(sorted(found.items(), key=lambda item: -item[1])[:20])


def read_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__ or "", clips=False, models=True)
    parser.add_argument("--pairs", type=Path, required=True, metavar="FOLDER", help="pairs that mueca extract wrote")
    parser.add_argument("--save-fakes", type=Path, metavar="DIR", help="write the held-out fakes here, a file a run")
    parser.add_argument("--score", type=Path, metavar="DIR", help="train nothing: add akd of these fakes to --out")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--epochs", type=int, metavar="N", help="50, the report's; with --quick 5")
    parser.add_argument(
        "--pairs-at-most", type=int, default=320, metavar="N", help="of each split; 320, as many as the report had"
    )
    parser.add_argument(
        "--reference-steps",
        type=int,
        default=500,
        metavar="N",
        help="that the reference is timed over; 0: it learns as long as our run, and its fakes are scored as well",
    )
    parser.add_argument("--way-steps", type=int, default=100, metavar="N", help="that each of the ways is timed over")
    parser.add_argument("--width", type=int, default=PRESETS["paper"].width_generator, help="of both networks")
    parser.add_argument("--no-float32", action="store_true", help="leave out our run in plain float32")
    arguments = parser.parse_args()
    for name, least in {"epochs": 1, "pairs_at_most": 1, "reference_steps": 0, "way_steps": 1, "width": 1}.items():
        if (value := getattr(arguments, name)) is not None and value < least:
            parser.error(f"--{name.replace('_', '-')} {value}: must be {least} or more")
    if arguments.out:
        _require_writable(parser, arguments.out)
    if arguments.score and not arguments.out:
        parser.error("--score needs --out, the JSON of the run that painted the fakes")
    return arguments


def save_fakes(folder: Path, test: Split, outcomes: dict[str, Outcome]) -> None:
    """Write the held-out fakes of each run as ``RUN.npz``: ``names`` of frames, and ``fakes`` (N, 256, 256, 3)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, outcome in outcomes.items():
        if outcome.fakes is not None:
            np.savez_compressed(folder / f"{name}.npz", names=test.names, fakes=outcome.fakes)


def as_numbers(outcomes: dict[str, Outcome], reading_seconds: float) -> dict[str, Any]:
    """Return what goes into the JSON; ``reading_seconds`` are the pairs'."""
    ours, reference = outcomes["mueca"], outcomes["reference"]
    reference_seconds = reference.seconds * ours.steps / reference.steps
    return {
        "report_run": {
            "seconds": ours.seconds,
            "setup_seconds": _IMPORTED - _STARTED + reading_seconds + ours.setup_seconds,
            "setup": {
                "imports": _IMPORTED - _STARTED,
                "reading": reading_seconds,
                "networks_and_capture": ours.setup_seconds,
            },
            "steps": ours.steps,
            "ratio_to_reference": reference_seconds / ours.seconds,
            "reference_seconds": reference_seconds,
            "reference_seconds_are_scaled_from_steps": reference.steps,
        },
        "captured": ours.captured,
        "tf32": {name: outcome.tf32 for name, outcome in outcomes.items()},
        "held_out": {name: o.held_out | {"steps": o.steps} for name, o in outcomes.items() if o.held_out},
        "seconds": {name: outcome.seconds for name, outcome in outcomes.items()},
    }


def describe(numbers: dict[str, Any], outcomes: dict[str, Outcome]) -> None:
    """Print what is known so far."""
    not_scored = dict.fromkeys(("l1", "psnr", "ssim"), "")
    rows = [
        {"run": name, "steps": o.steps, "seconds": o.seconds, "ms/step": 1e3 * o.seconds / o.steps}
        | (o.held_out or not_scored)
        for name, o in outcomes.items()
    ]
    print_table(rows)
    print(
        " ".join(f"{name} {value:.3g}" for name, value in numbers["report_run"].items() if name != "setup"), flush=True
    )


def _require_writable(parser: argparse.ArgumentParser, out: Path) -> None:
    """Make the folder of ``out``, or end here: at its first writing both trainings have been paid for."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {out}: its folder can't be made ({error.strerror}); name another file")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        parser.error(f"--out {out}: can't be written; name another file")


def main() -> None:
    arguments = read_arguments()
    if arguments.score:
        score_fakes(arguments.score, arguments.pairs, arguments.out, arguments.models)
        return
    device = choose_device(arguments.device)
    preset = dataclasses.replace(PRESETS["paper"], width_generator=arguments.width, width_discriminator=arguments.width)
    epochs = arguments.epochs or (5 if arguments.quick else 50)
    start = time.perf_counter()
    train = read_split(arguments.pairs / "train", arguments.pairs_at_most)
    test = read_split(arguments.pairs / "test", arguments.pairs_at_most)
    reading_seconds = time.perf_counter() - start
    mixed = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    precision: Precision = "bfloat16" if mixed else "float32"
    run = {"device": device, "epochs": epochs}
    numbers: dict[str, Any] = {
        "versions": versions() | {"mueca": VERSION},  # it need not be installed
        "run": {"pairs": len(train.names), "epochs": epochs, "precision": precision, "device": device.type},
    }
    outcomes: dict[str, Outcome] = {}

    def keep(found: dict[str, Any] | None = None) -> None:
        """Write all that is measured: a machine that is lent for minutes may be gone before the last part."""
        numbers.update(as_numbers(outcomes, reading_seconds) | (found or {}))
        describe(numbers, outcomes)
        write_result(arguments.out, numbers, quick=arguments.quick)
        if arguments.save_fakes:
            save_fakes(arguments.save_fakes, test, outcomes)

    outcomes["mueca"] = ours = run_ours(preset, train, test, precision=precision, capture=True, **run)
    steps = arguments.reference_steps or ours.steps
    options = {"device": device, "steps": steps, "scored": steps == ours.steps}
    outcomes["reference"] = reference = run_reference(preset, train, test, **options)
    keep()
    reference_ms = 1e3 * reference.seconds / reference.steps
    ways = ms_by_way(preset, train, device=device, reference_ms=reference_ms, steps=arguments.way_steps)
    print_table([{"way": name, "ms/step": value} for name, value in ways.items()])
    keep(
        {
            "ways": ways,
            "graph_is_eager": graph_is_eager(preset, train, device=device, steps=min(20, arguments.way_steps)),
            "data": share_of_data(preset, train, device=device, seconds_per_step=ours.seconds / ours.steps),
            "ms_by_kind": seconds_by_kind(preset, train, device=device, precision=precision),
        }
    )
    outcomes["mueca_seed_1"] = run_ours(preset, train, test, precision=precision, capture=True, seed=1, **run)
    keep()
    if not arguments.no_float32:
        plain = {"precision": "float32", "capture": True, "tf32": False, "tune": False}
        outcomes["mueca_float32"] = run_ours(preset, train, test, **plain, **run)
        keep()


if __name__ == "__main__":
    main()
