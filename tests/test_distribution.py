"""Processes that train together are one process with the whole batch."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from mueca.distribution import ALONE, ALONE_GROUP, Group, Place, joined, read_place
from mueca.errors import MuecaError, SettingsError
from mueca.gan import Trainer
from mueca.presets import PRESETS

CPU = torch.device("cpu")

_TRAINED = """
import dataclasses, sys
from pathlib import Path
import numpy as np, safetensors.torch, torch
from mueca.presets import PRESETS
from mueca.distribution import Place, joined
from mueca.gan import Trainer

out, rank, num_processes, address = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
small = dataclasses.replace(
    PRESETS["small"], batch=4, width_generator=4, width_discriminator=4, textures=2, jitter_size_px=264, mirror=True
)
cpu = torch.device("cpu")
# No flat areas: behind a norm, what a constant gives has no gradient but rounding errors, which Adam makes large.
pairs = np.random.default_rng(0).integers(0, 256, (2, 6, 32, 32, 3), np.uint8).repeat(8, 2).repeat(8, 3)
pairs = (*pairs, np.random.default_rng(1).uniform(-1, 1, (6, 4, 33, 33)).astype(np.float32))
with joined(Place(rank, num_processes, rank, address), cpu) as group:
    options = dict(seed=0, device=cpu, dtype=torch.float64, group=group)
    trainer = Trainer(small, *pairs, **options)
    if rank == 0:  # the others are told: only the first one needs the checkpoint
        donor = Trainer(small, *pairs, **(options | {"seed": 7, "group": type(group)()}))
        donor.step(0.0)
        trainer.restore(donor.state(), 1)
    trainer.setup()
    assert trainer.steps_taken == 1
    for step in range(1, 6):
        trainer.step(step / 6)
    assert group.agree([float(rank), 2.5]) == (0.0, 2.5)
    assert group.highest(15.0 * rank) == 15.0 * (num_processes - 1)
    tensors = {f"{part}/{n}": t for part, held in trainer.state().items() for n, t in held.items()}
    safetensors.torch.save_file(tensors, out / f"{rank}_of_{num_processes}.safetensors")
"""


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_two_processes_with_half_of_each_batch_end_in_the_weights_of_one_with_the_whole(tmp_path):
    def start(rank: int, num_processes: int, address: str) -> subprocess.Popen[bytes]:
        arguments = [str(tmp_path), str(rank), str(num_processes), address]
        return subprocess.Popen([sys.executable, "-W", "error", "-c", _TRAINED, *arguments])

    address = free_address()
    processes = [start(0, 1, ""), start(0, 2, address), start(1, 2, address)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0, 0]
    one, first, second = (
        safetensors.torch.load_file(tmp_path / f"{name}.safetensors") for name in ("0_of_1", "0_of_2", "1_of_2")
    )
    assert {tensor.dtype for name, tensor in one.items() if "adam" not in name} == {torch.float64}
    torch.testing.assert_close(first, one, rtol=0, atol=1e-9)
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    assert any("average/" in name for name in one)


_PARTS_AT_ONCE = """
import sys, torch
from mueca.distribution import Place, joined

sys.setswitchinterval(100)  # Python's lock stays with this thread until it ends, as on a busy machine
with joined(Place(int(sys.argv[1]), 2, 0, sys.argv[2]), torch.device("cpu")) as group:
    net = group.averaging(torch.nn.Linear(1, 1))  # it keeps the process group, and so gloo's threads, to the end
    group.highest(1.0)
"""


@pytest.mark.slow
def test_processes_that_end_right_after_they_agreed_end_well():
    for _ in range(4):  # each was seen to abort in one of three tries when gloo's thread was the last to hold a tensor
        address = free_address()
        both = [subprocess.Popen([sys.executable, "-c", _PARTS_AT_ONCE, str(rank), address]) for rank in range(2)]
        assert [process.wait(timeout=300) for process in both] == [0, 0]


def test_shares_are_equal_and_make_up_the_batch():
    groups = [Group(Place(rank, 3, rank, "host:1")) for rank in range(3)]
    assert [place for group in groups for place in group.share(6)] == list(range(6))
    with pytest.raises(SettingsError, match=r"--batch 4.*3 processes"):
        groups[0].share(4)


def test_with_dropout_each_process_draws_masks_of_its_own_and_another_number_of_them_draws_others():
    paper = dataclasses.replace(PRESETS["paper"], batch=4, width_generator=2, width_discriminator=2)
    pairs = np.random.default_rng(0).integers(0, 256, (2, 4, 256, 256, 3), np.uint8)

    def seeds_of(num_processes: int) -> list[int]:
        drawn = []
        for rank in range(num_processes):
            group = Group(Place(rank, num_processes, rank, "host:1"))
            group.agree, group.averaging = ALONE_GROUP.agree, ALONE_GROUP.averaging  # nobody else is here
            group.spread = lambda _: None
            trainer = Trainer(paper, *pairs, seed=0, device=CPU, group=group)
            trainer.update = lambda *_: drawn.append(torch.initial_seed())
            trainer.step(0.0)
        return drawn

    assert len({*seeds_of(1), *seeds_of(2)}) == 2 == len(set(seeds_of(2)))
    assert seeds_of(2) == seeds_of(2)


def test_alone_there_is_nothing_to_agree_on():
    net = nn.Linear(1, 1)
    assert ALONE_GROUP.agree([1.0, 2.0]) == (1.0, 2.0)
    assert ALONE_GROUP.averaging(net) is net and ALONE_GROUP.normalising(net) is net
    assert ALONE_GROUP.highest(3.0) == 3.0 and ALONE_GROUP.is_alone
    with joined(ALONE, CPU) as group:
        assert group is ALONE_GROUP
    assert not torch.distributed.is_initialized()


def test_on_a_cpu_each_process_normalises_its_own_share():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    assert Group(Place(0, 2, 0, "host:1")).normalising(net) is net
    assert type(net[1]) is nn.BatchNorm2d


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


def test_the_place_is_what_torchrun_says():
    assert read_place(TORCHRUN) == Place(3, 4, 1, "10.0.0.1:29500")
    assert read_place({"RANK": "3"}) == ALONE


@pytest.mark.parametrize(
    "wrong",
    [{"RANK": "x"}, {"RANK": "4"}, {"RANK": "-1"}, {"WORLD_SIZE": "0"}, {"MASTER_PORT": ""}, {"LOCAL_RANK": "4"}],
    ids=str,
)
def test_an_environment_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SettingsError, match="torchrun"):
        read_place(TORCHRUN | wrong)


@pytest.mark.parametrize("missing", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_an_environment_names_what_is_missing(missing):
    with pytest.raises(SettingsError, match=missing):
        read_place({name: value for name, value in TORCHRUN.items() if name != missing})


def test_a_place_where_nobody_can_meet_is_one_line():
    place = Place(1, 2, 1, "nowhere.invalid:1")
    with (
        pytest.raises(MuecaError, match=r"process 1 of 2 can't meet the others at nowhere\.invalid:1"),
        joined(place, CPU, patience_s=1),
    ):
        pass
