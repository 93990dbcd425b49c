"""The command line: one short function per command; settings in, stage called, report printed."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mueca import summaries
from mueca.config import (
    BatchSettings,
    CoachSettings,
    CompareSettings,
    ConvertSettings,
    DemoSettings,
    DriveSettings,
    ExportSettings,
    ImportSettings,
    LiveSettings,
    RunSettings,
    TrainSettings,
    VerifySettings,
    to_json,
)
from mueca.errors import MuecaError, SettingsError, printable
from mueca.options import Parser, add_options, flags_of, parse, settings_from
from mueca.version import VERSION

# The stages are imported by the commands that need them: `mueca --help` answers at once and without PyTorch.
if TYPE_CHECKING:
    from mueca.batches import Outcome
    from mueca.pairs import Manifest
    from mueca.reenactment import DriveSummary

USAGE_ERROR = 2
_OPTIONAL_PACKAGES = ("torch", "safetensors", "tensorboard")
_USER_CAN_MEND = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EBUSY, errno.EIO,
    errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip


@dataclass(frozen=True)
class Positional:
    """An argument that is told by its place: a path, or with ``many`` one or more of them."""

    name: str
    help: str
    many: bool = False
    default: Path | None = None
    optional: bool = False

    def options(self) -> dict[str, Any]:
        """Return what ``add_argument`` takes for it."""
        shown = f" (default: {self.default})" if self.default else ""
        options: dict[str, Any] = {"type": Path, "metavar": self.name.upper(), "help": self.help + shown}
        if self.default:
            options |= {"nargs": "?", "default": self.default}
        elif self.optional:
            options |= {"nargs": "?"}
        return options | ({"nargs": "+"} if self.many else {})


@dataclass(frozen=True)
class Command:
    """A command: its positional arguments, its settings, what it does."""

    action: Callable[[argparse.Namespace, Any], None]
    settings: type
    positionals: tuple[Positional, ...]
    help: str
    example: str


def extract_command(arguments: argparse.Namespace, settings: BatchSettings) -> None:
    from mueca.batches import extract_all, plan
    from mueca.extraction import extract

    jobs = plan(arguments.video, arguments.pairs)
    is_batch = len(jobs) > 1 or jobs[0].pairs != arguments.pairs
    if settings.ray_address and not is_batch:
        raise SettingsError(f"--ray-address {settings.ray_address}: is for several videos; leave it out")
    if is_batch:
        outcomes = extract_all(
            jobs, settings.extract, ray_address=settings.ray_address, show_progress=True, tell=_print_outcome
        )
        _require_all(outcomes)
        return
    manifest = extract(jobs[0].source, arguments.pairs, settings.extract, show_progress=True)
    _print_pairs(manifest, arguments.pairs)
    look = " and ".join(str(arguments.pairs / name) for name in ("preview.jpg", "coverage.png"))
    print(f"look at {look}; next: mueca train {arguments.pairs} RUN")


def coach_command(arguments: argparse.Namespace, settings: CoachSettings) -> None:
    from mueca.coaching import coach

    _print(summaries.of_coaching(coach(arguments.video, settings, show_progress=True), settings))


def convert_command(arguments: argparse.Namespace, settings: ConvertSettings) -> None:
    from mueca.conversion import convert

    result = convert(arguments.pairs, arguments.out, settings, show_progress=True)
    _print(summaries.of_conversion(result, arguments.out))


def train_command(arguments: argparse.Namespace, settings: TrainSettings) -> None:
    from mueca.distribution import read_place
    from mueca.foreign import open_dataset
    from mueca.training import train

    place = read_place(os.environ)
    speaks = place.rank == 0
    if speaks:  # before hours go into a guess
        _print(summaries.of_notes(open_dataset(arguments.pairs, settings.condition).notes))
    result = train(arguments.pairs, arguments.run, settings, show_progress=speaks, place=place)
    if not speaks:
        return
    _print(summaries.of_training(result, arguments.run))
    drive = "" if result.undrivable else f"; mueca drive {arguments.run} DRIVER.mp4 OUT.mp4"
    print(f"next: mueca evaluate {arguments.run}{drive}")


def drive_command(arguments: argparse.Namespace, settings: DriveSettings) -> None:
    from mueca.reenactment import drive

    _print_driven(drive(arguments.run, arguments.video, arguments.out, settings, show_progress=True))


def evaluate_command(arguments: argparse.Namespace, settings: CompareSettings) -> None:
    from mueca.evaluation import compare, evaluate

    runs = [*([arguments.run] if arguments.run else []), *settings.compare]
    if settings.compare:
        _print(summaries.of_comparison(compare(runs, settings.evaluate, out=settings.out, show_progress=True)))
        return
    if not runs:
        raise SettingsError("evaluate: name the folder of a run: mueca evaluate RUN")
    _print(summaries.of_metrics(evaluate(runs[0], settings.evaluate, show_progress=True)))
    print(f"look at {runs[0] / 'report.html'}")


def import_command(arguments: argparse.Namespace, settings: ImportSettings) -> None:
    from mueca.interchange import import_reference

    result = import_reference(arguments.generator, arguments.run, settings, show_progress=True)
    _print(summaries.of_import(result, settings))


def export_command(arguments: argparse.Namespace, settings: ExportSettings) -> None:
    from mueca.exporting import export

    _print(summaries.of_export(export(arguments.run, arguments.out, settings)))


def live_command(arguments: argparse.Namespace, settings: LiveSettings) -> None:
    from mueca.streaming import live

    live(arguments.run, settings)


def run_command(arguments: argparse.Namespace, settings: RunSettings) -> None:
    from mueca.pipeline import run

    summary = run(arguments.subject, arguments.driver, arguments.out_dir, settings, show_progress=True)
    _print_pairs(summary.manifest, arguments.out_dir / "pairs")
    _print(summaries.of_training(summary.training, arguments.out_dir / "run"))
    _print(summaries.of_metrics(summary.metrics))
    _print_driven(summary.driven)


def demo_command(arguments: argparse.Namespace, settings: DemoSettings) -> None:
    from mueca.showcase import demo

    summary = demo(arguments.out_dir, settings, show_progress=True)
    for name, metrics in summary.metrics.items():
        print(f"actor {name}:")
        _print(summaries.of_metrics(metrics))
    print(f"look at {summary.page}")


def verify_command(arguments: argparse.Namespace, settings: VerifySettings) -> None:
    from mueca.verification import verify

    found = verify(arguments.file)
    _print([json.dumps(to_json(found))] if settings.json else summaries.of_verification(found))


COMMANDS: dict[str, Command] = {
    "extract": Command(
        extract_command,
        BatchSettings,
        (
            Positional(
                "video",
                "video of the subject, or a folder of one take's pictures; several, or a folder of videos",
                many=True,
            ),
            Positional("pairs", "folder to write the pairs to; of several videos, each gets one in it by its name"),
        ),
        "a video becomes pairs of condition and target",
        "mueca extract me.mp4 pairs/",
    ),
    "coach": Command(
        coach_command,
        CoachSettings,
        (Positional("video", "video of a subject; with --run, of a driver"),),
        "tell what a video covers and what to film next, or where a driver leaves what the subject showed",
        "mueca coach friend.mp4 --run run/ --picture chart.png",
    ),
    "train": Command(
        train_command,
        TrainSettings,
        (
            Positional("pairs", "folder of pairs: extract's, pix2pix's pictures A|B, or the report's four folders"),
            Positional("run", "folder for the run"),
        ),
        "learn to paint the subject from the pairs; the same command again goes on",
        "mueca train pairs/ run/ --budget 10m",
    ),
    "drive": Command(
        drive_command,
        DriveSettings,
        (
            Positional("run", "folder of a run, or a file that export wrote"),
            Positional("video", "video of the driver"),
            Positional("out", "video to write, .mp4"),
        ),
        "paint the subject making the driver's expressions",
        "mueca drive run/ friend.mp4 out.mp4 --view compare",
    ),
    "live": Command(
        live_command,
        LiveSettings,
        (Positional("run", "folder of a run, or a file that export wrote"),),
        "drive the puppet with your own face, in a browser, as you move",
        "mueca live puppet.onnx --open-browser",
    ),
    "evaluate": Command(
        evaluate_command,
        CompareSettings,
        (Positional("run", "folder of a run", optional=True),),
        "measure a run on its held-out frames and with a driver, and lay runs side by side; writes a report",
        "mueca evaluate run/",
    ),
    "convert": Command(
        convert_command,
        ConvertSettings,
        (Positional("pairs", "pairs in any layout that train reads"), Positional("out", "folder to write")),
        "write pairs as pix2pix's side-by-side pictures, for the reference trainer",
        "mueca convert pairs/ side_by_side/",
    ),
    "import": Command(
        import_command,
        ImportSettings,
        (
            Positional("generator", "the reference's generator, unet_256 with batch norm: latest_net_G.pth"),
            Positional("run", "folder for the run"),
        ),
        "make a run of a generator that the reference PyTorch implementation trained",
        "mueca import latest_net_G.pth run/ --pairs pairs/",
    ),
    "export": Command(
        export_command,
        ExportSettings,
        (Positional("run", "folder of a run"), Positional("out", "file to write, .onnx; --format reference: a folder")),
        "write a run as one file that drives without PyTorch, or as the reference's files",
        "mueca export run/ puppet.onnx",
    ),
    "verify": Command(
        verify_command,
        VerifySettings,
        (Positional("file", "picture or video"),),
        "tell whether mueca made a picture or video, and whether it was changed since",
        "mueca verify out.mp4",
    ),
    "run": Command(
        run_command,
        RunSettings,
        (
            Positional("subject", "video of the subject"),
            Positional("driver", "video of the driver"),
            Positional("out_dir", "folder for everything"),
        ),
        "all of it: two videos in, a driven face out",
        "mueca run me.mp4 friend.mp4 out/ --budget 10m",
    ),
    "demo": Command(
        demo_command,
        DemoSettings,
        (Positional("out_dir", "folder for everything", default=Path("demo")),),
        "all of it on two drawn actors, both ways round",
        "mueca demo",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 2 usage or bad input, 130 and 143 for signals."""
    warnings.showwarning = _print_warning
    received: list[int] = []  # Ray turns what a signal raises into a plain KeyboardInterrupt

    def terminate(*_: Any) -> NoReturn:
        received.append(signal.SIGTERM)
        raise Terminated("terminated")

    signal.signal(signal.SIGTERM, terminate)
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
        _complain(str(interrupt) or "interrupted")
        return 128 + getattr(interrupt, "signal_number", received[-1] if received else signal.SIGINT)
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
        for positional in command.positionals:
            sub.add_argument(positional.name, **positional.options())
        add_options(sub, command.settings)
    return parser


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what is half written is removed on the way out."""

    signal_number = signal.SIGTERM


def _environment() -> dict[str, Any]:
    """Return the settings that come from the environment."""
    models = os.environ.get("MUECA_MODELS")
    return {"models": Path(models)} if models else {}


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        print(printable(line))


def _print_pairs(manifest: Manifest, pairs: Path) -> None:
    _warn_of_shortfall(manifest.source_name, manifest.source_shortfall)
    _print(summaries.of_pairs(manifest, pairs))


def _print_outcome(outcome: Outcome) -> None:
    if outcome.manifest is None:
        _complain(f"failed: {outcome.error}")
    else:
        _print_pairs(outcome.manifest, outcome.job.pairs)


def _require_all(outcomes: Sequence[Outcome]) -> None:
    """Raise MuecaError, naming the videos that failed, where any did."""
    from mueca.sources import name_of

    failed = [name_of(outcome.job.source) for outcome in outcomes if outcome.manifest is None]
    if failed:
        done = ", the others are done" if len(failed) < len(outcomes) else ""
        raise MuecaError(f"{len(failed)} of {len(outcomes)} failed{done}: {', '.join(failed)}; why is said above")


def _print_driven(summary: DriveSummary) -> None:
    _warn_of_shortfall("the driver's video", summary.shortfall)
    if summary.driver_is_generated:
        _complain("warning: the driver's clip is itself generated, as it says; the result's manifest tells so")
    _print(summaries.of_driving(summary))


def _warn_of_shortfall(name: str, shortfall: str | None) -> None:
    if shortfall:
        _complain(f"warning: {name}: {shortfall}")


def _print_warning(message: Warning | str, *_: Any) -> None:
    _complain(f"warning: {message}")


def _fail(message: str) -> int:
    _complain(f"error: {message}")
    return USAGE_ERROR


def _complain(message: str) -> None:
    print(printable(" ".join(message.split())), file=sys.stderr)
