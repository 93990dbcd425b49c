"""mueca: a puppet from half a minute of video of one consenting person.

Each command is one function of the same name: ``extract`` (``extract_all`` for several videos), ``coach``, ``train``,
``drive``, ``live`` (frame by frame: ``Reenactor``), ``evaluate``, ``convert``, ``import_reference`` (``mueca import``),
``export``, ``run``, ``demo``, ``licenses``, ``doctor``.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from mueca.version import VERSION as __version__

# ONNX Runtime's own builds since 1.32 keep a number for this machine in the user's folders and send events to
# Microsoft. Nothing leaves this machine; the variable counts until the library is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOME_OF = {
    "extract": "mueca.extraction",
    "extract_all": "mueca.batches",
    "coach": "mueca.coaching",
    "convert": "mueca.conversion",
    "train": "mueca.training",
    "drive": "mueca.reenactment",
    "evaluate": "mueca.evaluation",
    "import_reference": "mueca.interchange",
    "live": "mueca.streaming",
    "Reenactor": "mueca.reenactor",
    "export": "mueca.exporting",
    "run": "mueca.pipeline",
    "demo": "mueca.showcase",
    "licenses": "mueca.licensing",
    "doctor": "mueca.diagnosis",
}
__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    """Import a stage when it is first asked for: ``import mueca`` needs neither PyTorch nor dlib."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mueca' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
