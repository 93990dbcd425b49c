"""Several processes that train one model together, through PyTorch's own DistributedDataParallel.

Each process computes the gradients of its share of every batch; they are averaged, and all take the same step: the one
that a single process takes with the whole batch, but for the masks of dropout (see ``mueca.gan.Trainer``) and, on CPUs,
batch norm (see ``Group.normalising``).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mueca.errors import MuecaError, SettingsError


@dataclass(frozen=True)
class Place:
    """Which of several processes this one is; the default: the only one."""

    rank: int = 0
    num_processes: int = 1
    local_rank: int = 0
    """Among the processes on this machine: which of its GPUs is this one's."""
    address: str = ""
    """``host:port`` of the first process, where all meet."""

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.num_processes and 0 <= self.local_rank < self.num_processes):
            raise SettingsError(f"{self}: the ranks must be from 0 to {self.num_processes - 1}; start with torchrun")
        if self.num_processes > 1 and not self.address:
            raise SettingsError(f"{self}: says not where the processes meet; start them with torchrun")


ALONE = Place()


def read_place(environment: Mapping[str, str]) -> Place:
    """Return the place that ``torchrun`` gave a process in its environment; ALONE where it started none."""
    if "WORLD_SIZE" not in environment:
        return ALONE
    try:
        rank, num_processes, local_rank = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        address = f"{environment['MASTER_ADDR']}:{int(environment['MASTER_PORT'])}"
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"the environment has a WORLD_SIZE, but not all else that torchrun sets ({error}); start with torchrun, "
            "or unset WORLD_SIZE"
        ) from error
    return Place(rank, num_processes, local_rank, address)


class Group:
    """The processes that train together, seen from one of them. What each function does, all must call alike."""

    def __init__(self, place: Place = ALONE) -> None:
        self.place = place
        self._latest: dist.Work | None = None

    @property
    def is_alone(self) -> bool:
        """Tell whether there is no other process."""
        return self.place.num_processes == 1

    def share(self, batch: int) -> range:
        """Return which places of a batch are this process's; raises SettingsError where they can't be equal."""
        size, rest = divmod(batch, self.place.num_processes)
        if rest:
            raise SettingsError(
                f"--batch {batch}: can't be shared equally by {self.place.num_processes} processes; name a multiple"
            )
        return range(self.place.rank * size, (self.place.rank + 1) * size)

    def agree(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return the first process's values, in every process."""
        if self.is_alone:
            return tuple(values)
        told = torch.tensor(values, dtype=torch.float64)  # on the CPU: a GPU need not wait for it
        self._wait_for(dist.broadcast(told, 0, async_op=True))
        return tuple(told.tolist())

    def highest(self, value: float) -> float:
        """Return the highest of the processes' values, in every process."""
        if self.is_alone:
            return value
        told = torch.tensor(value, dtype=torch.float64)  # on the CPU: a GPU need not wait for it
        self._wait_for(dist.all_reduce(told, dist.ReduceOp.MAX, async_op=True))
        return told.item()

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the first process."""
        if not self.is_alone:
            for tensor in tensors:
                self._wait_for(dist.broadcast(tensor, 0, async_op=True))

    def averaging(self, net: nn.Module) -> nn.Module:
        """Return a net that computes as ``net`` does and whose gradients are averaged over the processes."""
        # The running averages of batch norm stay each process's own: sent at each forward pass, they would be
        # overwritten between the discriminator's two passes and the backward pass that needs them.
        return net if self.is_alone else DistributedDataParallel(net, **{_SENDS_BUFFERS: False})

    def normalising(self, net: nn.Module) -> nn.Module:
        """Return the net with batch norm over all processes; on a CPU, for which PyTorch has none, as it is."""
        if self.is_alone or next(net.parameters()).device.type == "cpu":
            return net
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)

    def _wait_for(self, work: dist.Work) -> None:
        """Wait until it is done, and keep it until the next one is.

        gloo's thread lets go of a work a moment after it is done. Were that the last to hold it, the thread would ask
        for Python's lock to free the tensor, and where Python is ending by then, the process aborts.
        """
        work.wait()
        self._latest = work


ALONE_GROUP = Group()

_SENDS_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")  # the second: before PyTorch 2.13
    if name in inspect.signature(DistributedDataParallel).parameters
)


@contextmanager
def joined(place: Place, device: torch.device, *, patience_s: float = 600.0) -> Iterator[Group]:
    """Meet the other processes and part from them at the end; on GPUs, make this process's own the current one.

    ``patience_s`` is how long any of them waits for the others, then and later. Raises SettingsError where there is no
    GPU for this process, MuecaError where the others can't be met.
    """
    if place.num_processes == 1:
        yield ALONE_GROUP
        return
    if device.type == "cuda":
        if place.local_rank >= torch.cuda.device_count():
            raise SettingsError(
                f"process {place.local_rank + 1} on this machine finds {torch.cuda.device_count()} GPUs; start with "
                f"--nproc_per_node={torch.cuda.device_count()}, or use --device cpu"
            )
        torch.cuda.set_device(place.local_rank)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            init_method=f"tcp://{place.address}",
            rank=place.rank,
            world_size=place.num_processes,
            timeout=timedelta(seconds=patience_s),
        )
    except (dist.DistError, ValueError) as error:
        raise MuecaError(
            f"process {place.rank} of {place.num_processes} can't meet the others at {place.address} ({error}); "
            "start all of them with torchrun, on machines that reach each other"
        ) from error
    try:
        yield Group(place)
    except BaseException:
        _give_up(device)
        raise
    dist.destroy_process_group()


def _give_up(device: torch.device) -> None:
    """Leave the others after an error: on GPUs without a word, for to part properly could wait for them forever."""
    if device.type == "cuda":
        dist.group.WORLD._get_backend(device).abort()  # what PyTorch has for it; the group itself ends with the process
    else:
        dist.destroy_process_group()
