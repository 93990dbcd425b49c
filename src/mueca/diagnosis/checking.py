"""A check, what it finds, and how nothing that it meets brings the others down."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from mueca.config import from_json
from mueca.files import homeless

State = Literal["ok", "missing", "broken"]
PATIENCE_S = 20.0
"""So long a process may take for its check: importing PyTorch takes 2 s here, and some ten from a cold disk."""
ANSWER = "mueca doctor: "
"""Before the answer's line: the libraries may write to standard output too."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    state: State
    """missing: something optional, or what is made or downloaded when it is needed, isn't there."""
    told: str
    way_out: str | None = None
    """What to do where it isn't ok."""
    is_needed: bool = False
    """Whether mueca's base package can't work without it."""


@dataclass(frozen=True)
class Check:
    """Something to look at."""

    name: str
    look: Callable[[], Iterator[Finding]]
    is_needed: bool = False
    """Whether the base package needs it: told where the check itself fails."""
    package: str | None = None
    """It runs in a process of its own, unless this package is not installed."""


def look_at(check: Check) -> list[Finding]:
    """Return what a check finds; where it fails in a way it did not foresee, that. It raises nothing."""
    try:
        if check.package and not is_installed(check.package):
            return [_not_installed(check)]
        return list(check.look())
    except Exception as error:  # noqa: BLE001 - whatever breaks one check is its finding, and the others go on
        reason = " ".join(str(error).split()) or type(error).__name__
        told = homeless(f"{type(error).__name__}: {reason:.200}")
        way_out = "install mueca anew; if that doesn't help, report it with this line"
        return [Finding(check.name, "broken", told, way_out, check.is_needed)]


def look_apart(check: Check, command: Sequence[str]) -> list[Finding]:
    """Return what a check finds that ``command`` runs in the way of ``answer``; if that dies or hangs, that."""

    def broken(told: str) -> list[Finding]:
        way_out = f"install anew what it uses ({check.package}); if that doesn't help, report it with this line"
        return [Finding(check.name, "broken", told, way_out, check.is_needed)]

    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return broken(f"gave no answer in {PATIENCE_S:.0f} s")
    if done.returncode < 0:
        return broken(f"died of signal {-done.returncode}")
    answers = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
    if done.returncode or not answers:
        reason = (done.stderr.strip().splitlines() or ["no word why"])[-1]
        return broken(homeless(f"ended with exit code {done.returncode} ({reason:.200})"))
    return [from_json(Finding, values) for values in json.loads(answers[-1].removeprefix(ANSWER))]


def _not_installed(check: Check) -> Finding:
    told, way_out = _MISSING.get(
        check.package or "", (f"{check.package} is not installed", "install mueca anew, with all that it needs")
    )
    return Finding(check.name, "missing", told, way_out, check.is_needed)


TRAIN = "install it with: pip install 'mueca[train]'"
_MISSING = {
    "torch": ("training, evaluating and exporting need it; driving and mueca live with an exported file don't", TRAIN),
    "openvino": (
        "painting with an exported file can be faster with it",
        "install it with: pip install 'mueca[openvino]'",
    ),
    "tkinter": ("--window of mueca live needs Tk", "install it (Debian: apt install python3-tk)"),
}


def version_of(package: str, told: str, way_out: str) -> Finding:
    """Return the version of an optional package; where it is missing ``told``, what needs it, and the way out."""
    if not is_installed(package):
        return Finding(package, "missing", told, way_out)
    return Finding(package, "ok", metadata.version(package))


def is_installed(package: str) -> bool:
    """Tell whether a package can be found, without loading it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # half installed, or kept away
        return False


def in_gib(num_bytes: int) -> str:
    """Return a size in words."""
    return f"{num_bytes / 2**30:.1f} GiB"
