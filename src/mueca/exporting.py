"""export(): a run's generator as one file that paints without PyTorch, checked against PyTorch on real conditions."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mueca import consent as consents
from mueca import ledger
from mueca.checkpoint import load_network
from mueca.config import SIZE_PX, ExportSettings, to_json
from mueca.consent import Consent
from mueca.errors import InputError, MuecaError, OutputError
from mueca.exported import (
    CHARTS,
    CONDITIONS,
    FAKES,
    FORMAT,
    KIND,
    METADATA,
    SUFFIX,
    Exported,
    Facts,
    consent_of,
    require_consent,
)
from mueca.face.charts import GRID, NUM_CHARTS
from mueca.files import cannot_write, sha256_of, whole_file
from mueca.foreign import open_dataset, read_part
from mueca.interchange import ReferenceFiles, export_reference
from mueca.marks import NEWSCODES, SYNTHETIC
from mueca.nets.images import rgb_from_tensor, tensor_from_rgb
from mueca.nets.painting import painter
from mueca.pairs import Pairs
from mueca.runs import CONSENT, GENERATOR, Run, newest_step, read_run
from mueca.subject import read_atlas, read_subject, with_charts
from mueca.version import VERSION

Array = np.ndarray

LARGEST_DIFFERENCE = 2
"""In levels of 255, of any value of any fake: rounding may fall to the other side, and no more."""
CHECKED_CONDITIONS = 16
_OPSET = 20
_DESCRIPTION = "Paints the face of one person. Every picture it gives is generated and has to be marked as that."


@dataclass(frozen=True)
class Parity:
    """How far the exported file's fakes are from PyTorch's on held-out conditions, in levels of 255."""

    num_conditions: int
    largest: int
    mean: float


@dataclass(frozen=True)
class ExportedFile:
    """What ``export`` wrote."""

    path: Path
    steps: int
    num_bytes: int
    parity: Parity


def export(run: Path, out: Path, settings: ExportSettings | None = None) -> ExportedFile | ReferenceFiles:
    """Write the run's generator for other programs: one ONNX file, or the reference implementation's files.

    The ONNX file appears only when it paints the run's held-out conditions as PyTorch does. The subject's consent goes
    with it, in the file or beside the files. Raises InputError where the run can't be exported, ConsentError where it
    holds no consent to ``drive`` or to ``live``, OutputError where ``out`` exists, unless ``fresh``, or can't be
    written.
    """
    settings = settings or ExportSettings()
    consent = consent_of(run)
    require_consent(consent, run, any_of=("drive", "live"))
    ledger.require_writable()
    if settings.format == "reference":
        return _export_reference(run, out, settings, consent)
    if out.suffix.lower() != SUFFIX:
        raise OutputError(f"{out}: name a file that ends in {SUFFIX}; a folder is for --format reference")
    if out.exists() and not settings.fresh:
        raise OutputError(f"{out}: exists already; name another file, or replace it with --fresh")
    facts = _facts_of(run, consent)
    net = load_network(run)
    held_out = _held_out(run, settings.pairs)
    try:
        with whole_file(out) as partial:
            _write(net, facts, partial)
            parity = _parity(net, partial, held_out)
            if parity.largest > LARGEST_DIFFERENCE:
                raise MuecaError(
                    f"{out}: would paint up to {parity.largest} of 255 levels away from PyTorch, more than "
                    f"{LARGEST_DIFFERENCE}; nothing was written: please report it with the run's settings.json"
                )
    except OSError as error:
        raise cannot_write(out, error) from error
    ledger.note("export", out, consent.id)
    return ExportedFile(out, facts.steps, out.stat().st_size, parity)


def _export_reference(run: Path, out: Path, settings: ExportSettings, consent: Consent) -> ReferenceFiles:
    """Write the reference's files, and beside them the consent that they have no place for."""
    path = out / CONSENT
    if path.exists() and not settings.fresh:
        raise OutputError(f"{path}: exists already; name another folder, or replace it with --fresh")
    files = export_reference(run, out, settings)
    try:
        consents.write(path, consent)
    except OSError as error:
        raise cannot_write(path, error) from error
    for file in (files.generator, files.discriminator, path):
        ledger.note("export", file, consent.id)
    return files


def _facts_of(run: Path, consent: Consent) -> Facts:
    record, subject, steps = read_run(run), read_subject(run), newest_step(run)
    path = run / GENERATOR
    if steps is None or not path.is_file():
        raise InputError(f"{run}: has learned nothing yet; train on with: mueca train PAIRS {run}")
    return Facts(
        kind=KIND,
        format=FORMAT,
        mueca_version=VERSION,
        preset=record.settings.preset,
        steps=steps,
        generator_sha256=sha256_of(path),
        pairs_sha256=record.pairs_sha256,
        source_type=str(SYNTHETIC.source_type),
        trained_with={name: getattr(record.versions, name) for name in ("mueca", "python", "numpy", "torch")},
        settings=_settings_of(record),
        consent=consents.to_values(consent),
        subject=subject,
    )


def _settings_of(record: Run) -> dict[str, Any]:
    """Return how the run was trained, without the paths and the machine."""
    told = {name: getattr(record, name) for name in ("length_kind", "length", "precision", "num_processes")}
    given = {name: getattr(record.settings, name) for name in ("seed", "stop", "condition")}
    return {"preset": to_json(record.preset)} | told | given


def _held_out(run: Path, named: Path | None) -> Pairs:
    """Return some held-out pairs of the run, evenly spread, with their charts."""
    record = read_run(run)
    folder = named or record.pairs
    try:
        data = open_dataset(folder, record.settings.condition)
        test = read_part(data, "test")
    except InputError as error:
        raise InputError(
            f"{error}; the export is checked on held-out conditions: name their folder with --pairs"
        ) from error
    rows = np.unique(np.linspace(0, len(test.conditions) - 1, CHECKED_CONDITIONS).round().astype(int))
    if record.preset.textures:
        test = with_charts(test, folder, read_atlas(run))
    return test.taken(rows)


class _OnPictures(nn.Module):
    """A network between pictures: bytes in, bytes out, each picture by itself."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, conditions: Tensor, charts: Tensor | None = None) -> Tensor:
        given = [tensor_from_rgb(conditions)] + ([] if charts is None else [charts])
        return rgb_from_tensor(self.net(*given))


def _write(net: nn.Module, facts: Facts, path: Path) -> None:
    given = [torch.zeros(2, SIZE_PX, SIZE_PX, 3, dtype=torch.uint8)]
    names = [CONDITIONS]
    if facts.subject.atlas is not None and _has_textures(net):
        given, names = [*given, torch.zeros(2, 2 * NUM_CHARTS, GRID, GRID)], [*names, CHARTS]
    batch = torch.export.Dim("batch", min=1)
    with _quiet_exporter():
        program = torch.onnx.export(
            _OnPictures(_per_picture(net)).eval(),
            tuple(given),
            dynamo=True,
            external_data=False,
            input_names=names,
            output_names=[FAKES],
            dynamic_shapes=tuple({0: batch} for _ in given),
            opset_version=_OPSET,
            verbose=False,
        )
    for node in program.model.graph:
        node.metadata_props.clear()  # where in whose files each operation was called
    program.model.metadata_props[METADATA] = json.dumps(to_json(facts))
    program.model.metadata_props["DigitalSourceType"] = NEWSCODES + facts.source_type
    program.model.producer_name, program.model.producer_version = "mueca", facts.mueca_version
    program.model.doc_string = _DESCRIPTION
    path.write_bytes(program.model_proto.SerializeToString())


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep from the user what the exporter says of itself: its deprecated calls, and that torchvision isn't there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)`", FutureWarning)
        warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
        registration = logging.getLogger("torch.onnx._internal.exporter._registration")
        registration.addFilter(_is_needed)
        try:
            yield
        finally:
            registration.removeFilter(_is_needed)


def _is_needed(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("torchvision is not installed")


def _has_textures(net: nn.Module) -> bool:
    return getattr(net, "textures", None) is not None


def _per_picture(net: nn.Module) -> nn.Module:
    """Return a copy whose batch norms take each picture's own statistics in any batch: see ``mueca.nets.painting``."""
    net = copy.deepcopy(net).requires_grad_(False)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            norm = nn.InstanceNorm2d(module.num_features, eps=module.eps, affine=True)
            norm.load_state_dict({"weight": module.weight, "bias": module.bias})
            net.get_submodule(name.rpartition(".")[0]).register_module(name.rpartition(".")[2], norm)
    return net.eval()


def _parity(net: nn.Module, path: Path, held_out: Pairs) -> Parity:
    wanted = painter(net)(held_out.conditions, held_out.charts).astype(int)
    found = Exported(path, runtime="onnxruntime")(held_out.conditions, held_out.charts)
    apart = np.abs(found - wanted)
    return Parity(len(wanted), int(apart.max()), float(apart.mean()))
