"""A sequence of operations on a GPU, recorded once and then started as one.

At batch 1 a step is hundreds of kernels of a few microseconds, and starting them one by one from Python would take
longer than running them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

_WARM_UPS = 3
"""As PyTorch's notes on CUDA graphs have it: libraries set themselves up and choose their kernels meanwhile."""

_FIRST = -1
"""The priority of a stream that goes before others."""


def captured(action: Callable[[], None], changed: Sequence[Tensor]) -> Callable[[], None]:
    """Return a function that does what ``action`` does on the current GPU, as one CUDA graph.

    ``action`` must read and write the same tensors each time, never wait for the GPU, and drop gradients before it
    makes new ones. It is run a few times; ``changed``, all that it changes for good, is as before afterwards.
    Random numbers are drawn from PyTorch's seed as it is when the graph is started. Raises RuntimeError where the
    GPU, its driver or an operation of ``action`` does not allow it; ``changed`` is as before then too.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
    """
    with kept(changed):
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(beside):
                for _ in range(_WARM_UPS):
                    action()
        finally:  # before anything is brought back
            torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # What ``action`` starts beside itself fills the gaps and waits, where both want the GPU.
        with torch.cuda.graph(graph, stream=torch.cuda.Stream(priority=_FIRST)):
            action()
    torch.cuda.synchronize()
    return graph.replay


@contextmanager
def kept(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Bring the tensors back, in their places, to what they are on entering."""
    before = [tensor.clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values in zip(tensors, before, strict=True):
                tensor.copy_(values)
