"""Mueca's ``paper`` is the reference algorithm, as benchmarks/reference.py writes it down: networks, step and names."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mueca.errors import InputError
from mueca.gan import Trainer
from mueca.nets.building import build_discriminator, build_generator
from mueca.nets.patchgan import PatchGAN
from mueca.nets.reference import (
    discriminator_from_reference,
    discriminator_to_reference,
    generator_from_reference,
    generator_to_reference,
    width_of,
)
from mueca.nets.unet import UNet
from mueca.presets import PRESETS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")


@pytest.fixture
def reference(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("reference")


def images(number: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(number, 3, 256, 256, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


@torch.no_grad()
def drawn(reference: ModuleType, width: int) -> tuple[nn.Module, nn.Module]:
    """The reference's networks, every tensor of them random: none is a default, or equal to another."""
    networks = reference.make_networks(width=width, dropout=0.0)
    random = torch.Generator().manual_seed(1)
    for number, tensor in enumerate(t for net in networks for t in net.state_dict().values()):
        if tensor.dim() == 0:
            tensor.fill_(number)
        elif tensor.dim() == 1:
            tensor.add_(torch.rand(tensor.shape, generator=random) * 0.5)
    return networks


def of_paper(reference_generator: nn.Module, reference_discriminator: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Mueca's networks with the reference's weights, dropout off."""
    painting = generator_from_reference(reference_generator.state_dict())
    judging = discriminator_from_reference(reference_discriminator.state_dict())
    preset = dataclasses.replace(
        PRESETS["paper"], width_generator=width_of(painting), width_discriminator=width_of(judging), dropout=0.0
    )
    generator, discriminator = build_generator(preset), build_discriminator(preset)
    generator.load_state_dict(painting)
    discriminator.load_state_dict(judging)
    return generator, discriminator


def use(networks: tuple[nn.Module, ...], statistics: str) -> None:
    """Let batch norm take its running averages, or each picture's own statistics as ``painter`` has it."""
    for net in networks:
        net.eval()
        for module in net.modules() if statistics == "picture" else ():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = module.running_var = None


@pytest.mark.parametrize("statistics", ["running", "picture"])
@pytest.mark.parametrize("width", [4, 64])
@torch.no_grad()
def test_with_the_references_weights_fakes_and_logits_are_the_references(reference, width, statistics):
    theirs = drawn(reference, width)
    ours = of_paper(*theirs)
    use((*theirs, *ours), statistics)
    condition, picture = images(1, 5), images(1, 6)
    torch.testing.assert_close(ours[0](condition), theirs[0](condition), rtol=0, atol=1e-5)
    logits = theirs[1](torch.cat([condition, picture], dim=1))
    torch.testing.assert_close(ours[1](condition, picture), logits, rtol=0, atol=1e-5)
    assert logits.std() > 1e-3  # of constant answers, equality would tell nothing


def test_ten_steps_of_paper_are_the_references_in_float64(reference):
    preset = dataclasses.replace(PRESETS["paper"], width_generator=4, width_discriminator=4, dropout=0.0)
    no_pairs = np.zeros((1, 256, 256, 3), np.uint8)
    trainer = Trainer(preset, no_pairs, no_pairs, seed=0, device=CPU, dtype=torch.float64)
    for adam in (trainer.adam_generator, trainer.adam_discriminator):
        adam.param_groups[0]["lr"].fill_(2e-4)
    theirs = reference.make_networks(width=4, dropout=0.0, dtype=torch.float64)
    theirs[0].load_state_dict(generator_to_reference(trainer.generator.state_dict()))
    theirs[1].load_state_dict(discriminator_to_reference(trainer.discriminator.state_dict()))
    start = theirs[0].model.model[0].weight.clone()

    step = reference.make_step(*theirs)
    for seed in range(10):
        condition, target = images(1, seed, torch.float64), images(1, seed + 100, torch.float64)
        loss_fake, loss_real, loss_adversarial, loss_l1 = step(condition, target)
        trainer.update(condition, target)
        ours = torch.tensor(dataclasses.astuple(trainer.losses()), dtype=torch.float64)
        expected = torch.stack([loss_l1, loss_adversarial, (loss_fake + loss_real) / 2])
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)

    assert (theirs[0].model.model[0].weight - start).abs().max() > 1e-4
    ours = generator_to_reference(trainer.generator.state_dict())
    ours |= {f"D {k}": v for k, v in discriminator_to_reference(trainer.discriminator.state_dict()).items()}
    expected = theirs[0].state_dict() | {f"D {k}": v for k, v in theirs[1].state_dict().items()}
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-9)


def test_the_reference_has_the_published_numbers_of_parameters(reference):
    with torch.device("meta"):
        networks = reference.Generator(), reference.Discriminator()
    assert [sum(p.numel() for p in net.parameters()) for net in networks] == [54_413_955, 2_768_705]


def test_tensors_go_there_and_back_to_the_bit_and_in_the_references_order(reference):
    generator, discriminator = drawn(reference, 4)
    for net, come, go in (
        (generator, generator_from_reference, generator_to_reference),
        (discriminator, discriminator_from_reference, discriminator_to_reference),
    ):
        before = net.state_dict()
        after = go(come(before))
        assert list(after) == list(before)
        assert all(
            torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in before.items()
        )


def test_saved_from_several_gpus_or_by_an_old_pytorch_it_is_read_all_the_same(reference):
    generator, discriminator = drawn(reference, 4)
    for net, come in ((generator, generator_from_reference), (discriminator, discriminator_from_reference)):
        state = net.state_dict()
        parallel = {f"module.{name}": tensor for name, tensor in state.items()}
        old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
        expected = come(state)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in come(parallel).items())
        for name, tensor in come(old).items():
            wanted = torch.tensor(0) if name.endswith("num_batches_tracked") else expected[name]
            assert torch.equal(tensor, wanted)


def test_what_was_read_shares_no_memory_with_what_was_given(reference):
    state = reference.Discriminator(4).state_dict()
    read = discriminator_from_reference(state)
    read["convs.0.weight"].fill_(7.0)
    assert state["model.0.weight"].max() < 7


def nested_names(levels: int, *extra: str) -> dict[str, Tensor]:
    paths = ["model", *("model.model.1" + ".model.3" * level for level in range(levels - 1))]
    names = ["model.model.0.weight", *(f"{path}.model.1.weight" for path in paths[1:]), *extra]
    return {name: torch.zeros(4, 3, 4, 4) for name in names}


STRANGE_GENERATORS = {
    "unet_128": (nested_names(7), "a U-Net of 7 levels, not 8"),
    "unet_512": (nested_names(9), "a U-Net of 9 levels, not 8"),
    "instance norm": (nested_names(8, "model.model.1.model.1.bias"), "a U-Net with instance norm"),
    "resnet": (
        {"model.1.weight": torch.zeros(64, 3, 7, 7), "model.10.conv_block.1.weight": torch.zeros(1)},
        "a ResNet",
    ),
    "discriminator": (
        {"model.0.weight": torch.zeros(4, 6, 4, 4), "model.11.weight": torch.zeros(1)},
        "a discriminator",
    ),
    "nothing known": ({"layer.weight": torch.zeros(3)}, "no model.model.0.weight"),
    "nothing": ({}, "no model.model.0.weight"),
    "a number": ({"model.model.0.weight": torch.tensor(3.0)}, "levels"),
    "house": (nested_names(8) | {"model.model.0.weight": torch.zeros(513, 3, 1, 1)}, "1 to 512"),
}


@pytest.mark.parametrize("name", STRANGE_GENERATORS)
def test_another_generator_is_refused_by_what_it_is(name):
    state, wanted = STRANGE_GENERATORS[name]
    with pytest.raises(InputError, match=wanted) as caught:
        generator_from_reference(state)
    assert "unet_256 with batch norm" in str(caught.value)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ({"model.model.0.weight": torch.zeros(1)}, "a generator"),
        ({"net.0.weight": torch.zeros(1)}, "pixel"),
        ({"model.2.bias": torch.zeros(1)}, "instance norm"),
        ({"other": torch.zeros(1)}, r"no model\.0\.weight"),
    ],
)
def test_another_discriminator_is_refused_by_what_it_is(state, wanted):
    with pytest.raises(InputError, match=wanted):
        discriminator_from_reference(state)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if key != name}


CHANGES = {
    "missing": (lambda s: without(s, "model.model.3.bias"), r"has no model\.model\.3\.bias"),
    "no running average": (
        lambda s: without(s, "model.model.1.model.2.running_mean"),
        r"has no model\.model\.1\.model\.2\.running_mean",
    ),
    "grey": (lambda s: s | {"model.model.0.weight": torch.zeros(4, 1, 4, 4)}, r"is \(4, 1, 4, 4\), not \(4, 3, 4, 4\)"),
    "strange": (lambda s: s | {"model.model.9.weight": torch.zeros(1)}, r"holds model\.model\.9\.weight"),
    "whole numbers": (
        lambda s: s | {"model.model.3.bias": torch.zeros(3, dtype=torch.int32)},
        r"model\.model\.3\.bias holds torch\.int32",
    ),
    "counter": (
        lambda s: s | {"model.model.1.model.2.num_batches_tracked": torch.tensor(0.5)},
        "num_batches_tracked holds torch.float32",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_tensor_that_does_not_fit_is_named(reference, change):
    alter, wanted = CHANGES[change]
    with pytest.raises(InputError, match=wanted):
        generator_from_reference(alter(reference.Generator(4).state_dict()))


def test_networks_that_the_reference_has_no_name_for_are_not_written():
    small = PRESETS["small"]
    with pytest.raises(InputError, match="isn't unet_256"):
        generator_to_reference(build_generator(small).state_dict())
    with pytest.raises(InputError, match="isn't the discriminator basic"):
        discriminator_to_reference(PatchGAN(width=4, norm="instance").state_dict())
    with pytest.raises(InputError, match="isn't unet_256"):
        generator_to_reference(PatchGAN(width=4, norm="batch").state_dict())
    with pytest.raises(InputError, match="isn't the discriminator basic"):
        discriminator_to_reference(UNet(width=4, dropout=0.0).state_dict())
