"""Work that runs beside the rest on a GPU; on a CPU, one thing after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Lane:
    """A second stream of the current GPU, which forks off the work so far and joins it again.

    On a CPU there is nothing beside: what is given to the lane is done at once.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._held: list[Tensor] = []

    @contextmanager
    def beside(self, *read: Tensor, after: Lane | None = None) -> Iterator[None]:
        """Start what is done inside when all before it is done, in the current stream and in the lane ``after``.

        ``read`` are the tensors of the current stream that it reads: their memory is kept until the lane joins.
        """
        if self._stream is None:
            yield
            return
        self._held.extend(read)
        self._stream.wait_stream(torch.cuda.current_stream())
        if after is not None and after._stream is not None:
            self._stream.wait_stream(after._stream)
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """Let what follows in the current stream wait for all that the lane does."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)
            self._held.clear()

    def forget(self) -> None:
        """Let go of what a step that was broken off still holds."""
        self._held.clear()
