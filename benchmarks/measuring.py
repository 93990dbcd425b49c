"""What every benchmark shares: its options, its clips, the table it prints and the JSON it writes."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from mueca.files import write_whole

PACKAGES = (
    "mueca", "av", "dlib-bin", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "scikit-image", "scipy",
    "torch",
)  # fmt: skip


def make_parser(description: str, *, clips: bool, models: bool = False) -> argparse.ArgumentParser:
    """Return a parser with ``--out``, ``--quick``, and ``--clips`` and ``--models`` where the benchmark needs them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the numbers")
    parser.add_argument("--quick", action="store_true", help="fewer frames or rounds: under five minutes")
    if clips:
        folder = os.environ.get("MUECA_CLIPS")
        parser.add_argument(
            "--clips", type=Path, default=folder and Path(folder), help="folder of clips ($MUECA_CLIPS, or the actors)"
        )
    if clips or models:
        named = os.environ.get("MUECA_MODELS")
        parser.add_argument("--models", type=Path, default=named and Path(named), help="folder of detector files")
    return parser


def find_clips(folder: Path | None, names: Sequence[str]) -> list[Path]:
    """Return the folder's clips of these names, or all its clips; without a folder those of the two drawn actors."""
    if folder is None:
        return list(actor_clips().values())
    found = [folder / f"{name}.mp4" for name in names if (folder / f"{name}.mp4").is_file()]
    found = found or sorted(folder.glob("*.mp4"))
    if not found:
        raise SystemExit(f"error: {folder}: holds no .mp4; name a folder of clips")
    return found


def actor_clips() -> dict[str, Path]:
    """Return the two drawn actors' standard clips by their names, made on first use."""
    import pooch  # gpu.py runs where there is none

    from mueca.actors import ACTORS, actor_clip

    return {name: actor_clip(name, Path(pooch.os_cache("mueca")) / "actors") for name in ACTORS}


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of equal keys, numbers to three digits."""
    table = [list(rows[0]), *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_result(out: Path | None, numbers: dict[str, Any], *, quick: bool) -> None:
    """Write the numbers with machine, versions and date; ``out`` None: nowhere."""
    if out is None:
        return
    described = {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, json.dumps(described | numbers, indent=2) + "\n")
    print(f"wrote {out}")


def machine() -> dict[str, Any]:
    """Return the processor, its cores, the GPU if there is one, and the system."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform(), "gpu": _gpu()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpu() -> str | None:
    try:
        import torch
    except ModuleNotFoundError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
