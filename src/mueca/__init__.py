"""mueca: a puppet from half a minute of video of one consenting person.

Each command is one function of the same name: ``extract`` (``extract_all`` for several videos), ``coach``, ``train``,
``drive``, ``live`` (frame by frame: ``Reenactor``), ``evaluate``, ``convert``, ``import_reference`` (``mueca import``),
``export``, ``run``, ``demo``, ``verify``.
"""

from __future__ import annotations

import importlib
from typing import Any

from mueca.version import VERSION as __version__

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
    "verify": "mueca.verification",
}
__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    """Import a stage when it is first asked for: ``import mueca`` needs neither PyTorch nor dlib."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'mueca' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
