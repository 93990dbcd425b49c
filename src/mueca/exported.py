"""A puppet in one file: an exported generator with all that drives it. Painting with it needs no PyTorch.

The file is ONNX. Its graph takes conditions, and charts where the generator has textures, and gives fakes, as bytes;
its metadata ``mueca`` holds ``Facts`` as JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mueca import consent as consents
from mueca.config import SIZE_PX, Purpose, RuntimeName, from_json
from mueca.consent import Consent
from mueca.errors import ConsentError, InputError, MuecaError, SettingsError
from mueca.face.charts import GRID, NUM_CHARTS
from mueca.runs import CONSENT, read_consent
from mueca.subject import Subject, subject_from_json

Array = np.ndarray
Inference = Callable[[list[Array]], Array]

SUFFIX = ".onnx"
METADATA = "mueca"
KIND = "mueca export"
FORMAT = 1
"""Rises when an older mueca could not paint with a file that a newer one wrote."""
CONDITIONS, CHARTS, FAKES = "conditions", "charts", "fakes"
_LARGEST_FILE = 1 << 30
"""Bytes; preset ``paper`` takes 218 million."""
_TRIALS = 7


@dataclass(frozen=True)
class Facts:
    """What an exported file says of itself."""

    kind: str
    format: int
    mueca_version: str
    preset: str
    steps: int
    """Of training."""
    generator_sha256: str
    """Of the run's ``generator.safetensors``."""
    pairs_sha256: str
    """Of the pairs that it learned from."""
    source_type: str
    """Last word of IPTC's digital source type of what it paints."""
    trained_with: dict[str, str]
    """Versions of mueca, Python, NumPy and PyTorch."""
    settings: dict[str, Any]
    """Of training: the preset as a table, length, seed ...; to be read by people, nothing depends on them."""
    consent: dict[str, Any] | None
    """The subject's consent record, as the run holds it; None: an older mueca asked for none."""
    subject: Subject


_FACTS = {field.name for field in fields(Facts)}


class Exported:
    """An exported file, open: paints fakes from conditions as a run's generator does."""

    facts: Facts
    consent: Consent
    runtime: str
    """What computes it: onnxruntime or openvino."""

    def __init__(self, path: Path, *, runtime: RuntimeName = "auto", threads: int | None = None):
        """Open the file; ``auto`` takes the faster of the runtimes that are installed, by a short trial.

        Raises InputError where the file is no whole export of this version or an older one, ConsentError where the
        subject's consent in it is missing or does not hold, SettingsError where the runtime is not installed.
        """
        data = _read(path)
        self.facts = _facts(path, data)
        self.consent = _consent_in(path, self.facts)
        consents.require(self.consent, _where(path))
        session = _session(path, data, threads)
        self._has_charts = _require_signature(path, session)
        names = [node.name for node in session.get_inputs()]
        given = {"onnxruntime": lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]}
        if runtime != "onnxruntime":
            other = _openvino(path, data, threads, required=runtime == "openvino")
            given |= {} if other is None else {"openvino": other}
        self.runtime = _fastest(given, self._blank()) if runtime == "auto" else runtime
        self._infer = given[self.runtime]

    def __call__(self, conditions: Array, charts: Array | None = None) -> Array:
        """Return fakes for conditions, both RGB uint8 (N, SIZE_PX, SIZE_PX, 3); see ``mueca.painter.Painter``."""
        if self._has_charts and charts is None:
            raise ValueError("a generator with textures paints with charts alone: see mueca.face.charts")
        given = [conditions, charts] if self._has_charts else [conditions]
        fakes = [self._infer([array[row : row + 1] for array in given]) for row in range(len(conditions))]
        return np.concatenate(fakes) if fakes else np.zeros_like(conditions)

    def _blank(self) -> list[Array]:
        conditions = np.zeros((1, SIZE_PX, SIZE_PX, 3), np.uint8)
        charts = np.zeros((1, 2 * NUM_CHARTS, GRID, GRID), np.float32)
        return [conditions, charts] if self._has_charts else [conditions]


def consent_of(run: Path) -> Consent:
    """Return the consent in a run's folder or in an exported file, not yet checked; raises ConsentError, InputError."""
    return _consent_in(run, _facts(run, _read(run))) if is_exported(run) else read_consent(run)


def require_consent(consent: Consent, run: Path, *, any_of: Iterable[Purpose]) -> None:
    """Raise ConsentError unless the consent of that run or exported file holds and allows one of these purposes."""
    consents.require(consent, _where(run), any_of=any_of)


def _where(run: Path) -> str:
    return f"{run}: its consent record" if is_exported(run) else str(run / CONSENT)


def _consent_in(path: Path, facts: Facts) -> Consent:
    if facts.consent is None:
        raise ConsentError(f"{path}: holds no consent record; export the run again with this version of mueca")
    return consents.from_values(facts.consent, _where(path))


def is_exported(path: Path) -> bool:
    """Tell an exported file from a run's folder."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not 0 < size <= _LARGEST_FILE:
            raise InputError(f"{path}: has {size} bytes, which no export of mueca has; export the run again")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}); name a file that mueca export wrote") from error


def _facts(path: Path, data: bytes) -> Facts:
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # a stranger's file may fail in any way there is
        raise InputError(f"{path}: is no whole ONNX file; export the run again") from error
    facts = _facts_in(path, {entry.key: entry.value for entry in model.metadata_props})
    if not _is_plain(model):
        raise InputError(f"{path}: runs code or reads other files than its own; export the run again")
    return facts


def _is_plain(model: onnx.ModelProto) -> bool:
    """Tell whether a model is one graph of standard operations that holds all its weights, as exports are."""
    nodes = model.graph.node
    attributes = [attribute for node in nodes for attribute in node.attribute]
    tensors = [*model.graph.initializer, *(a.t for a in attributes), *(t for a in attributes for t in a.tensors)]
    sparse = [model.graph.sparse_initializer, *(a.sparse_tensors for a in attributes)]
    has_graphs = any(a.HasField("g") or a.graphs or a.HasField("sparse_tensor") for a in attributes)
    is_outside = any(tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
    return not (model.functions or has_graphs or any(sparse) or is_outside) and not any(node.domain for node in nodes)


def _session(path: Path, data: bytes, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print is in the error
    options.intra_op_num_threads = threads or 0
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a stranger's file may fail in any way there is
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is no whole ONNX file ({reason:.120}); export the run again") from error


def _facts_in(path: Path, metadata: dict[str, str]) -> Facts:
    try:
        values = json.loads(metadata[METADATA])
        if values["kind"] != KIND:
            raise ValueError(f"its kind is {values['kind']!r:.40}")
        if values["format"] > FORMAT:
            raise InputError(
                f"{path}: was written by mueca {values['mueca_version']:.20}, in a format that this one does not know; "
                "update mueca, or export the run again with this version"
            )
        subject = subject_from_json(values.pop("subject"))
        if not isinstance(subject, Subject):
            raise ValueError("its subject can't be driven")
        known = {name: value for name, value in values.items() if name in _FACTS}  # a later mueca may tell more
        return from_json(Facts, known | {"subject": subject})
    except KeyError as error:
        raise InputError(
            f"{path}: is no export of mueca (it lacks {error}); make one with: mueca export RUN"
        ) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, SettingsError) as error:
        raise InputError(f"{path}: its metadata can't be read ({error}); export the run again") from error


def _require_signature(path: Path, session: Any) -> bool:
    """Return whether it takes charts; raises InputError unless it takes and gives what every export does."""
    found = [(node.name, node.type, node.shape[1:]) for node in (*session.get_inputs(), *session.get_outputs())]
    picture = ("tensor(uint8)", [SIZE_PX, SIZE_PX, 3])
    plain = [(CONDITIONS, *picture), (FAKES, *picture)]
    charted = [plain[0], (CHARTS, "tensor(float)", [2 * NUM_CHARTS, GRID, GRID]), plain[1]]
    if found not in (plain, charted):
        raise InputError(f"{path}: takes and gives something else than an export of mueca; export the run again")
    return found == charted


def _openvino(path: Path, data: bytes, threads: int | None, *, required: bool) -> Inference | None:
    try:
        import openvino
    except ModuleNotFoundError as error:
        if not required:
            return None
        raise SettingsError(
            "--runtime openvino: is not installed; pip install 'mueca[openvino]', or leave --runtime out"
        ) from error
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    try:
        core = openvino.Core()
        request = core.compile_model(core.read_model(data, b""), "CPU", options).create_infer_request()
    except Exception as error:  # of a file that ONNX Runtime took
        raise MuecaError(f"{path}: OpenVINO can't read it ({error!s:.120}); use --runtime onnxruntime") from error

    def infer(arrays: list[Array]) -> Array:
        request.infer(dict(enumerate(arrays)))
        return request.get_output_tensor(0).data.copy()

    return infer


def _fastest(inferences: dict[str, Inference], blank: list[Array]) -> str:
    if len(inferences) == 1:
        return next(iter(inferences))
    return min(inferences, key=lambda name: _seconds(inferences[name], blank))


def _seconds(infer: Inference, blank: list[Array]) -> float:
    infer(blank)
    taken = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        infer(blank)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
