"""``RUN/metrics.json``: written whole, read back as it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mueca.config import from_json
from mueca.errors import InputError, SettingsError
from mueca.evaluation.scores import Metrics
from mueca.files import read_text, write_whole

METRICS = "metrics.json"


def write_metrics(run: Path, metrics: Metrics) -> None:
    """Write ``RUN/metrics.json``; what is a tuple becomes a list."""
    values: dict[str, Any] = asdict(metrics)
    write_whole(run / METRICS, json.dumps(values, indent=2, allow_nan=False) + "\n")


def read_metrics(run: Path) -> Metrics:
    """Return what ``RUN/metrics.json`` holds; raises InputError where it is missing, damaged or an older version's."""
    path = run / METRICS
    try:
        return from_json(Metrics, json.loads(read_text(path)))
    except FileNotFoundError as error:
        raise InputError(f"{path}: is not there; make it with: mueca evaluate {run}") from error
    except (SettingsError, TypeError) as error:  # fields that are unknown, of another kind, or missing
        raise InputError(
            f"{path}: was written by another version of mueca ({error}); make it anew with: mueca evaluate {run}"
        ) from error
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: can't be read ({error}); make it anew with: mueca evaluate {run}") from error
