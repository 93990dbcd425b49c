"""Save and load training: safetensors and JSON, never pickle.

A checkpoint is one folder, written beside and renamed whole::

    RUN/checkpoints/step_00000500/generator.safetensors, average.safetensors, discriminator.safetensors,
                                  adam_generator.safetensors, adam_discriminator.safetensors
    RUN/checkpoints/step_00000500/state.json     steps, seconds, where the held-out curve was found flat, and the
                                                 SHA-256 of each file and of itself

Safetensors doesn't notice a flipped bit, hence the SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from mueca.config import DeviceName, Precision, PrecisionName, from_json, to_json
from mueca.curve import Flat
from mueca.errors import InputError, MuecaError, OutputError, SettingsError
from mueca.files import open_regular, read_text, whole_folder, write_whole
from mueca.nets.building import architecture_of, build_generator
from mueca.nets.painting import Statistics, painter
from mueca.painter import Painter
from mueca.runs import CHECKPOINTS, GENERATOR, read_run, require_architecture

_STATE = "state.json"
_KEPT = 2
_LONGEST_HEADER = 1 << 20
"""Bytes; the U-Net's takes 12 thousand."""
_DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


@dataclass(frozen=True)
class Checkpoint:
    """Where training stood: the tensors of each part, by name, after ``steps`` steps and ``seconds`` of training."""

    parts: dict[str, dict[str, Tensor]]
    steps: int
    seconds: float
    flat: Flat | None = None
    """Where the held-out curve was found flat, so that the run's end was brought forward."""


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> Path:
    """Write ``RUN/checkpoints/step_...`` and return it; of the older ones only the newest stays.

    Raises OutputError where it can't be written; what was there before then stays.
    """
    path = run / CHECKPOINTS / f"step_{checkpoint.steps:08d}"
    try:
        with whole_folder(path, replace=True) as partial:
            flat = None if checkpoint.flat is None else to_json(checkpoint.flat)
            state = {"steps": checkpoint.steps, "seconds": checkpoint.seconds, "flat": flat, "sha256": {}}
            for name, tensors in checkpoint.parts.items():
                data = _bytes_of(tensors)
                (partial / f"{name}.safetensors").write_bytes(data)
                state["sha256"][name] = hashlib.sha256(data).hexdigest()
            state["sha256_of_state"] = _sha256_of_json(state)
            (partial / _STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise _cannot_write(path, error) from error
    folders = _folders(run)
    # What lies beyond is damaged: the run has gone on from an earlier one.
    kept = [folder for folder in folders if _steps_of(folder) <= checkpoint.steps][-_KEPT:]
    for folder in folders:
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def load_newest(run: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint, on the CPU; None where there is none at all.

    Warns about each damaged one, by name; raises InputError where all of them are.
    """
    folders = _folders(run)
    for folder in reversed(folders):
        try:
            return _load(folder)
        except InputError as error:
            warnings.warn(f"{error}; going on with the one before", stacklevel=2)
    if folders:
        raise InputError(f"{run / CHECKPOINTS}: no checkpoint is whole; start over with --fresh")
    return None


def save_generator(path: Path, generator: nn.Module) -> None:
    """Write the generator's weights, whole; raises OutputError where that fails."""
    try:
        write_whole(path, _bytes_of(generator.state_dict()))
    except OSError as error:
        raise _cannot_write(path, error) from error


def load_generator(
    run: Path,
    *,
    device: DeviceName = "auto",
    threads: int | None = None,
    statistics: Statistics = "picture",
) -> Painter:
    """Return the run's generator as a function from conditions to fakes, both RGB uint8 (N, 256, 256, 3).

    For ``statistics`` see ``mueca.nets.painting``. Raises InputError as ``load_network``.
    """
    net = load_network(run)
    use_threads(threads)
    return painter(net.to(choose_device(device)), statistics=statistics)


def load_network(run: Path) -> nn.Module:
    """Return the run's generator, on the CPU.

    Raises InputError where the run holds none that fits its settings, or one of another architecture than is built
    now; a file from a stranger can at worst paint badly: no code in it runs, and its sizes are checked against the
    networks of the settings before anything is read.
    """
    record = read_run(run)
    preset = record.preset
    require_architecture(run, record, architecture_of(preset))
    with torch.device("meta"):
        net = build_generator(preset)
    path = run / GENERATOR
    wanted = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in net.state_dict().items()}
    if not path.is_file():
        raise InputError(f"{path}: there is none yet; train on with: mueca train PAIRS {run}")
    if _read_header(path) != wanted:
        raise InputError(f"{path}: holds another network than {run}'s settings say; train again or ask for the file")
    net.load_state_dict(_tensors_of(path.read_bytes(), path), assign=True)
    return net


def choose_device(name: DeviceName) -> torch.device:
    """Return the device of that name, for ``auto`` a GPU if there is one; raises SettingsError at a missing one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("--device cuda: PyTorch finds no GPU here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(name: PrecisionName, device: torch.device, *, bfloat16_on_cpu: bool) -> Precision:
    """Return what networks train in there: for ``auto`` bfloat16 on a GPU that has it, and on such a CPU if wanted.

    Raises SettingsError at a GPU that lacks what was asked for; a CPU that lacks it is slow at it.
    """
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.13 may not tell
        has_it = bfloat16_on_cpu and bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    if name == "bfloat16" and device.type == "cuda" and not has_it:
        raise SettingsError("--precision bfloat16: this GPU can't compute in it; use --precision float32")
    if name == "auto":
        return "bfloat16" if has_it else "float32"
    return name


def use_threads(threads: int | None) -> int:
    """Let the networks run on that many CPU threads (None: leave PyTorch's choice) and return how many they are."""
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def _load(folder: Path) -> Checkpoint:
    try:
        state = json.loads(read_text(folder / _STATE))
        if state.pop("sha256_of_state") != _sha256_of_json(state):
            raise ValueError(f"{_STATE} was changed")
        parts = {name: _load_part(folder, name, digest) for name, digest in state["sha256"].items()}
        flat = None if state.get("flat") is None else from_json(Flat, state["flat"])
        return Checkpoint(parts, int(state["steps"]), float(state["seconds"]), flat)
    except (MuecaError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder}: is damaged ({error})") from error


def _load_part(folder: Path, name: str, sha256: str) -> dict[str, Tensor]:
    path = folder / f"{name}.safetensors"
    if path.parent != folder:
        raise ValueError(f"{_STATE} names a part outside of it")
    _read_header(path)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} was changed")
    return _tensors_of(data, path)


def _tensors_of(data: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise InputError(f"{path}: is damaged ({error}); get the file again") from error


def _read_header(path: Path) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Return each tensor's type and shape; raises InputError unless the header accounts for the file's very size."""
    size = path.stat().st_size
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise InputError(f"{path}: is no safetensors file (a header of {length} bytes in a file of {size})")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            found = {n: (_DTYPES[entry["dtype"]], tuple(entry["shape"])) for n, entry in header.items()}
            needed = sum(dtype.itemsize * math.prod(shape) for dtype, shape in found.values())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: its header can't be read ({error!r}); get the file again") from error
    if needed != size - 8 - length:
        raise InputError(f"{path}: its header speaks of {needed} bytes, {size - 8 - length} are there; get it again")
    return found


def _folders(run: Path) -> list[Path]:
    found = [p for p in (run / CHECKPOINTS).glob("step_*") if re.fullmatch(r"step_\d+", p.name) and p.is_dir()]
    return sorted(found, key=_steps_of)


def _steps_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step_"))


def _bytes_of(tensors: dict[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _sha256_of_json(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: can't be written ({error.strerror or error}); make room and run the same command again"
    )
