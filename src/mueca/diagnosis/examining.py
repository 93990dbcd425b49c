"""doctor(): every check, in the order in which it is told."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mueca.config import to_json
from mueca.diagnosis import films, machine, software
from mueca.diagnosis.checking import ANSWER, Check, Finding, is_installed, look_apart, look_at
from mueca.spreading import available_cores, worker_command


@dataclass(frozen=True)
class Diagnosis:
    """What works on this machine."""

    findings: tuple[Finding, ...]
    seconds: float

    @property
    def failing(self) -> list[str]:
        """The checks that failed of what the base package needs."""
        return [finding.check for finding in self.findings if finding.is_needed and finding.state != "ok"]


def doctor(models: Path | None = None) -> Diagnosis:
    """Return what works on this machine and what doesn't, in some seconds; ``models`` as in ``ExtractSettings``.

    It raises nothing for what it finds: a check that fails is a finding.
    """
    start = time.monotonic()
    checks = checks_of(models)
    with ThreadPoolExecutor(available_cores()) as pool:
        apart = {
            check.name: pool.submit(look_at, _apart(check, models))
            for check in checks
            if check.package and is_installed(check.package)
        }
        found = [apart[check.name].result() if check.name in apart else look_at(check) for check in checks]
    return Diagnosis(tuple(finding for findings in found for finding in findings), round(time.monotonic() - start, 2))


def checks_of(models: Path | None = None) -> list[Check]:
    """Return everything that is looked at, in the order in which it is told."""
    return [
        Check("mueca", machine.mueca_itself, is_needed=True),
        Check("system", machine.system),
        Check("processor", machine.processor),
        Check("memory", machine.memory),
        Check("names of files", machine.names_of_files),
        Check("folders", machine.folders, is_needed=True),
        Check("disk", machine.disk, is_needed=True),
        Check("video", films.video, is_needed=True, package="av"),
        Check("model files", lambda: software.model_files(models), is_needed=True),
        Check("landmarks", software.landmarks, is_needed=True, package="dlib"),
        Check("signing key", software.signing_key, is_needed=True),
        Check("c2pa", software.c2pa_library, is_needed=True, package="c2pa"),
        Check("onnxruntime", software.onnx_runtime, is_needed=True, package="onnxruntime"),
        Check("openvino", software.openvino, package="openvino"),
        Check("pytorch", software.pytorch, package="torch"),
        Check("live", software.live_page),
        Check("port", machine.port),
        Check("cameras", lambda: machine.cameras(Path("/dev"))),
        Check("window", software.window, package="tkinter"),
        Check("virtual camera", software.virtual_camera),
    ]


def answer(name: str, models: str | None) -> None:
    """Look at the check of that name and write what it finds to standard output: what ``doctor``'s processes do."""
    (check,) = (check for check in checks_of(None if models is None else Path(models)) if check.name == name)
    findings = look_at(check)
    sys.stdout.write("\n" + ANSWER + json.dumps([to_json(finding) for finding in findings]) + "\n")


def _apart(check: Check, models: Path | None) -> Check:
    """Return the check as one that a process of its own looks at."""
    given = None if models is None else str(models)
    command = worker_command(f"from mueca.diagnosis.examining import answer; answer({check.name!r}, {given!r})")
    return replace(check, look=lambda: iter(look_apart(check, command)))
