"""Distances as large trained networks see them: LPIPS, FID, KID. Their packages and weights are found or not: nothing
is downloaded, and nothing here needs them.
"""

from __future__ import annotations

import importlib
import pickle
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mueca.errors import ModelFileError
from mueca.licensing import INCEPTION, LPIPS
from mueca.nets.images import tensor_from_rgb

Array = np.ndarray

LPIPS_WEIGHTS, INCEPTION_WEIGHTS = LPIPS.name, INCEPTION.name
"""File names in PyTorch's cache, as the packages themselves would put them there."""
_CACHE = "torch.hub.get_dir()/checkpoints"
"""In words: the whole path would tell whoever is sent a report where the user's home lies."""
_KID_SUBSETS, _KID_SUBSET_SIZE = 100, 1000


def lpips_distances(fakes: Sequence[Array], reals: Sequence[Array]) -> Array:
    """Return LPIPS (Zhang et al., CVPR 2018; version 0.1, AlexNet) of RGB uint8 pictures (H, W, 3), one by one: (N,).

    Raises ModelFileError where the package or its weights are not on the machine, or the weights are damaged.
    """
    lpips = _package("lpips", LPIPS_WEIGHTS)
    with warnings.catch_warnings(), _damage_explained(LPIPS_WEIGHTS):
        warnings.simplefilter("ignore")  # it uses what torchvision has renamed
        net = lpips.LPIPS(net="alex", verbose=False)
    with torch.no_grad():
        return np.array([float(net(_tensor(a), _tensor(b))) for a, b in zip(fakes, reals, strict=True)])


def fid_and_kid(fakes: Sequence[Array], reals: Sequence[Array]) -> tuple[float, float]:
    """Return the Fréchet and the kernel inception distance of two sets of RGB uint8 pictures, by torch-fidelity.

    Of fewer than 2048 pictures FID is too high, and tells only how runs on the same pictures stand to each other.
    A set of one picture over and over has a distance as well. Raises ModelFileError where the package or its weights
    are not on the machine, or the weights are damaged.
    """
    fidelity = _package("torch_fidelity", INCEPTION_WEIGHTS)
    with _damage_explained(INCEPTION_WEIGHTS):
        found = fidelity.calculate_metrics(
            input1=_Pictures(fakes),
            input2=_Pictures(reals),
            cuda=False,
            fid=True,
            kid=True,
            kid_subsets=_KID_SUBSETS,
            kid_subset_size=min(_KID_SUBSET_SIZE, len(fakes), len(reals)),
            cache=False,
            verbose=False,
        )
    return float(found["frechet_inception_distance"]), float(found["kernel_inception_distance_mean"])


class _Pictures(torch.utils.data.Dataset):
    """Pictures as torch-fidelity takes them: uint8 (3, H, W)."""

    def __init__(self, pictures: Sequence[Array]):
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, place: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._pictures[place])).permute(2, 0, 1)


def _tensor(picture: Array) -> Tensor:
    return tensor_from_rgb(torch.from_numpy(np.ascontiguousarray(picture))[None])


@contextmanager
def _damage_explained(weights: str) -> Iterator[None]:
    """Turn what PyTorch says of a file that is cut off or another network's into a ModelFileError that names it."""
    try:
        yield
    except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{weights} in {_CACHE} can't be used ({reason:.80}); put it there anew") from error


def _package(name: str, weights: str) -> Any:
    """Return the package where it and its weights are there, so that it has nothing to download."""
    shown = name.replace("_", "-")
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        raise ModelFileError(f"the package {shown} is not installed; pip install {shown} torchvision") from error
    except (RuntimeError, OSError, AttributeError) as error:  # a torchvision that does not fit this PyTorch
        raise ModelFileError(f"the package {shown} can't be loaded ({error!s:.80}); install it anew") from error
    if not path.is_file():
        raise ModelFileError(f"{weights} is not in {_CACHE}, and nothing is downloaded unasked; put it there")
    return package
