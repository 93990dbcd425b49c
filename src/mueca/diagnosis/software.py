"""Model files, the signing key, and the packages that mueca needs or can use."""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from mueca.diagnosis.checking import TRAIN, Finding, in_gib, version_of
from mueca.errors import MuecaError
from mueca.files import homeless

_LIVE = "install it with: pip install 'mueca[live]'"


def model_files(models: Path | None) -> Iterator[Finding]:
    from mueca.licensing import licenses

    for file in licenses(models):
        if file.is_optional and file.state == "absent":
            continue
        is_needed = file.package is not None and not file.is_optional
        where = f" in {file.path}" if file.path else ""
        if file.state == "whole":
            yield Finding(file.name, "ok", f"its hash holds; {file.purpose}", is_needed=is_needed)
        elif file.state == "changed" and file.package:
            way_out = f"install it anew: pip install --force-reinstall {file.package}"
            yield Finding(file.name, "broken", f"is not the file it should be{where}", way_out, is_needed)
        elif file.state == "changed":
            way_out = "remove it, to have it downloaded again"
            yield Finding(file.name, "broken", f"is not the file it should be{where}", way_out)
        elif file.package:
            yield Finding(file.name, "missing", file.purpose, f"pip install {file.package}", is_needed)
        else:
            told = f"{file.purpose}; downloaded at its first use, or put it into a folder named with --models"
            yield Finding(file.name, "missing", told)


def landmarks() -> Iterator[Finding]:
    import cv2
    import dlib
    import numpy as np

    from mueca.face.detection import HogDetector
    from mueca.face.prediction import LandmarkPredictor

    picture = np.zeros((128, 128, 3), np.uint8)
    HogDetector().detect(picture)
    found = LandmarkPredictor().predict(picture, (32, 32, 96, 96))
    if found.shape != (68, 2) or not np.isfinite(found).all():
        raise MuecaError(f"the predictor answers with {found.shape}")
    told = f"the predictor loads and answers; dlib {dlib.__version__}, OpenCV {cv2.__version__}"
    yield Finding("landmarks", "ok", told, is_needed=True)


def signing_key(folder: Path | None = None) -> Iterator[Finding]:
    """Tell of the key in ``folder`` (None: the platform's), without making one."""
    from cryptography import x509

    from mueca.keys import KEY_FILE, config_folder, user_key

    folder = folder or config_folder()
    path = folder / KEY_FILE
    if not path.exists():
        yield Finding("signing key", "ok", "none yet; it is made at the first use", is_needed=True)
        return
    try:
        key = user_key(folder)
        ends = x509.load_pem_x509_certificates(key.chain_pem)[0].not_valid_after_utc
    except MuecaError as error:
        yield Finding("signing key", "broken", homeless(str(error)), is_needed=True)
        return
    shown = homeless(str(path))
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        way_out = f"chmod 600 {shown}; if others may have copied it, move it away, and a new one is made"
        yield Finding("signing key", "broken", f"{shown}: others than its owner may read it", way_out)
    elif ends < datetime.now(UTC):
        way_out = f"move {shown} away, and a new one is made"
        yield Finding("signing key", "broken", f"its certificate ended on {ends:%Y-%m-%d}", way_out, is_needed=True)
    else:
        yield Finding("signing key", "ok", f"whole, private, its certificate lasts until {ends:%Y}", is_needed=True)


def c2pa_library() -> Iterator[Finding]:
    import c2pa

    told = f"c2pa-python {metadata.version('c2pa-python')}, library {c2pa.sdk_version()}"
    yield Finding("c2pa", "ok", told, is_needed=True)


def onnx_runtime() -> Iterator[Finding]:
    from mueca.exported import import_onnxruntime

    onnxruntime = import_onnxruntime()
    session = onnxruntime.InferenceSession(_doubling_model(), providers=["CPUExecutionProvider"])
    _require_doubling(lambda ones: session.run(None, {"x": ones})[0])
    told = f"{onnxruntime.__version__} computes; {', '.join(onnxruntime.get_available_providers())}"
    yield Finding("onnxruntime", "ok", told, is_needed=True)


def openvino() -> Iterator[Finding]:
    from mueca.exported import import_openvino

    ov = import_openvino()
    core = ov.Core()
    compiled = core.compile_model(core.read_model(_doubling_model(), b""), "CPU")
    _require_doubling(lambda ones: compiled([ones])[0])
    yield Finding("openvino", "ok", f"{ov.__version__.split('-')[0]} computes; {', '.join(core.available_devices)}")


def pytorch() -> Iterator[Finding]:
    torch: Any = importlib.import_module("torch")
    able = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.13 may not tell
    has_it = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    told = f"{torch.__version__}, {torch.get_num_threads()} threads"
    told += f"; bfloat16 on this processor {'in hardware' if has_it else 'not in hardware, so float32'}"
    yield Finding("pytorch", "ok", told)
    for name in ("safetensors", "tensorboard", "onnxscript"):
        yield version_of(name, "training and exporting need it", TRAIN)
    if not torch.cuda.is_available():
        yield Finding("gpu", "missing", "PyTorch finds none; the processor does the work")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        torch.ones(8, device=f"cuda:{number}").sum().item()
        yield Finding("gpu", "ok", f"{facts.name}, {in_gib(facts.total_memory)}, CUDA {torch.version.cuda}")


def live_page() -> Iterator[Finding]:
    for name in ("starlette", "uvicorn", "websockets"):
        yield version_of(name, "the page of mueca live needs it", _LIVE)


def window() -> Iterator[Finding]:
    import tkinter

    try:
        root = tkinter.Tk()
    except tkinter.TclError:
        yield Finding("window", "missing", "there is no desktop, which mueca live --window needs; its page doesn't")
        return
    root.destroy()
    yield Finding("window", "ok", f"a desktop answers, Tk {tkinter.TkVersion}")


def virtual_camera() -> Iterator[Finding]:
    yield version_of(
        "pyvirtualcam", "--virtual-camera of mueca live needs it", "install it with: pip install pyvirtualcam"
    )


def _doubling_model() -> bytes:
    """Return an ONNX model that doubles ``x``, float32 (1, 4)."""
    from onnx import TensorProto, helper

    given, taken = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [given], [taken])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model.SerializeToString()


def _require_doubling(run: Callable[[Any], Any]) -> None:
    import numpy as np

    ones = np.ones((1, 4), np.float32)
    found = run(ones)
    if not np.array_equal(found, 2 * ones):
        raise MuecaError(f"computes wrongly: 1 + 1 = {np.asarray(found).ravel()[:1]}")
