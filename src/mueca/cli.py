"""The command line: one short function per command; settings in, stage called, report printed."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mueca.config import (
    DemoSettings,
    DriveSettings,
    EvaluateSettings,
    ExtractSettings,
    RunSettings,
    TrainSettings,
)
from mueca.errors import MuecaError
from mueca.options import Parser, add_options, flags_of, parse, settings_from
from mueca.version import VERSION

# The stages are imported by the commands that need them: `mueca --help` answers at once and without PyTorch.
if TYPE_CHECKING:
    from mueca.evaluation import Metrics
    from mueca.pairs import Manifest
    from mueca.reenactment import DriveSummary
    from mueca.training import TrainResult

USAGE_ERROR = 2
_OPTIONAL_PACKAGES = ("torch", "safetensors", "tensorboard")
_USER_CAN_MEND = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EBUSY, errno.EIO,
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command: its positional arguments (name, help), its settings, what it does."""

    action: Callable[[argparse.Namespace, Any], None]
    settings: type
    positionals: tuple[tuple[str, str], ...]
    help: str
    example: str


def extract_command(arguments: argparse.Namespace, settings: ExtractSettings) -> None:
    from mueca.extraction import extract

    manifest = extract(arguments.video, arguments.pairs, settings, show_progress=True)
    _print_pairs(manifest, arguments.pairs)
    print(f"look at {arguments.pairs / 'preview.jpg'}; next: mueca train {arguments.pairs} RUN")


def train_command(arguments: argparse.Namespace, settings: TrainSettings) -> None:
    from mueca.training import train

    result = train(arguments.pairs, arguments.run, settings, show_progress=True)
    _print_training(result, arguments.run)
    print(f"next: mueca evaluate {arguments.run}; mueca drive {arguments.run} DRIVER.mp4 OUT.mp4")


def drive_command(arguments: argparse.Namespace, settings: DriveSettings) -> None:
    from mueca.reenactment import drive

    _print_driven(drive(arguments.run, arguments.video, arguments.out, settings, show_progress=True))


def evaluate_command(arguments: argparse.Namespace, settings: EvaluateSettings) -> None:
    from mueca.evaluation import evaluate

    _print_metrics(evaluate(arguments.run, settings, show_progress=True))


def run_command(arguments: argparse.Namespace, settings: RunSettings) -> None:
    from mueca.pipeline import run

    summary = run(arguments.subject, arguments.driver, arguments.out_dir, settings, show_progress=True)
    _print_pairs(summary.manifest, arguments.out_dir / "pairs")
    _print_training(summary.training, arguments.out_dir / "run")
    _print_metrics(summary.metrics)
    _print_driven(summary.driven)


def demo_command(arguments: argparse.Namespace, settings: DemoSettings) -> None:
    from mueca.showcase import demo

    summary = demo(arguments.out_dir, settings, show_progress=True)
    for name, metrics in summary.metrics.items():
        print(f"actor {name}:")
        _print_metrics(metrics)
    print(f"look at {summary.page}")


COMMANDS: dict[str, Command] = {
    "extract": Command(
        extract_command,
        ExtractSettings,
        (("video", "video of one person"), ("pairs", "folder to write the pairs to")),
        "a video becomes pairs of condition and target",
        "mueca extract me.mp4 pairs/",
    ),
    "train": Command(
        train_command,
        TrainSettings,
        (("pairs", "folder that extract wrote"), ("run", "folder for the run")),
        "learn to paint the subject from the pairs; the same command again goes on",
        "mueca train pairs/ run/ --budget 10m",
    ),
    "drive": Command(
        drive_command,
        DriveSettings,
        (("run", "folder of a run"), ("video", "video of the driver"), ("out", "video to write, .mp4")),
        "paint the subject making the driver's expressions",
        "mueca drive run/ friend.mp4 out.mp4 --view compare",
    ),
    "evaluate": Command(
        evaluate_command,
        EvaluateSettings,
        (("run", "folder of a run"),),
        "measure a run on its held-out frames",
        "mueca evaluate run/",
    ),
    "run": Command(
        run_command,
        RunSettings,
        (("subject", "video of the subject"), ("driver", "video of the driver"), ("out_dir", "folder for everything")),
        "all of it: two videos in, a driven face out",
        "mueca run me.mp4 friend.mp4 out/ --budget 10m",
    ),
    "demo": Command(
        demo_command,
        DemoSettings,
        (("out_dir", "folder for everything"),),
        "all of it on two drawn actors, both ways round",
        "mueca demo",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 2 usage or bad input, 130 and 143 for signals."""
    warnings.showwarning = _print_warning
    signal.signal(signal.SIGTERM, _terminate)
    try:
        known = {name: flags_of(command.settings) for name, command in COMMANDS.items()}
        parsed = parse(make_parser(), arguments, known=known)
        command = COMMANDS[parsed.command]
        command.action(parsed, settings_from(command.settings, parsed, **_environment()))
    except MuecaError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in _OPTIONAL_PACKAGES:
            raise
        return _fail(f"this needs {error.name}; install it with: pip install 'mueca[train]'")
    except OSError as error:
        if error.errno not in _USER_CAN_MEND:
            raise
        return _fail(f"{error.filename or 'the output'}: {error.strerror}; mend that and run the same command again")
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "interrupted", file=sys.stderr)
        return 128 + getattr(interrupt, "signal_number", 2)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="mueca",
        description="Half a minute of video of one person, who agreed to it, becomes a puppet that any face can drive.",
        epilog="mueca COMMAND --help explains a command; mueca demo shows all of it on two drawn actors.",
    )
    parser.add_argument("--version", action="version", version=f"mueca {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=f"example: {command.example}",
        )
        for positional, help_text in command.positionals:
            options = {"nargs": "?", "default": Path("demo")} if name == "demo" else {}
            sub.add_argument(
                positional,
                type=Path,
                metavar=positional.upper(),
                help=help_text + (" (default: demo)" if options else ""),
                **options,
            )
        add_options(sub, command.settings)
    return parser


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what is half written is removed on the way out."""

    signal_number = signal.SIGTERM


def _terminate(*_: Any) -> NoReturn:
    raise Terminated("terminated")


def _environment() -> dict[str, Any]:
    """Return the settings that come from the environment."""
    models = os.environ.get("MUECA_MODELS")
    return {"models": Path(models)} if models else {}


def _print_pairs(manifest: Manifest, pairs: Path) -> None:
    if manifest.source_shortfall:
        print(f"warning: {manifest.source_name}: {manifest.source_shortfall}", file=sys.stderr)
    dropped = "".join(
        f", {entry['count']} dropped ({reason.replace('_', ' ')}; first: {', '.join(map(str, entry['first'][:3]))})"
        for reason, entry in manifest.dropped.items()
    )
    chosen = f", {manifest.not_chosen} not chosen" if manifest.not_chosen else ""
    print(
        f"{pairs}: {manifest.kept} pairs of {manifest.num_frames} frames{dropped}{chosen}; "
        f"{manifest.num_train} to train on, {manifest.num_test} held out; found by {manifest.detector}"
    )


def _print_training(result: TrainResult, run: Path) -> None:
    print(f"{run}: {result.steps} steps in {result.seconds:.0f} s of training; samples in {run / 'samples'}")


def _print_metrics(metrics: Metrics) -> None:
    print(f"{'on ' + str(metrics.num_frames) + ' held-out frames':>24}  {'this run':>8}  {'mean face':>9}")
    for name, unit in (("l1", ""), ("psnr", " dB"), ("ssim", ""), ("akd", "")):
        score = getattr(metrics, name)
        digits = 1 if unit else 4
        print(f"{name + unit:>24}  {score.value:8.{digits}f}  {score.mean_face:9.{digits}f}")
    if metrics.undetected:
        print(f"{'fakes without a face':>24}  {metrics.undetected:8d}")
    verdict = (
        "beats the mean face and follows the landmarks" if metrics.trained else "not trained yet: go on for longer"
    )
    print(f"{'verdict':>24}  {verdict}")


def _print_driven(summary: DriveSummary) -> None:
    if summary.shortfall:
        print(f"warning: the driver's video: {summary.shortfall}", file=sys.stderr)
    held = summary.held
    first = f" (first: {', '.join(map(str, held[:3]))})" if held else ""
    print(f"{summary.out}: {summary.num_frames} frames, {len(held)} of them held for want of a face{first}")


def _print_warning(message: Warning | str, *_: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return USAGE_ERROR
