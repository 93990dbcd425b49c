"""The step that is arranged for one GPU is the plain step, and its kernels are what they stand for."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from toys import toy_pairs

from mueca.gan import Trainer
from mueca.nets.building import build_discriminator, build_generator
from mueca.presets import PRESETS
from mueca.tuned import TunedStep, is_tunable
from mueca.tuned.convolutions import WorkingConvolution
from mueca.tuned.lanes import Lane
from mueca.tuned.layers import branched, joined, leaky

CPU, GPU = torch.device("cpu"), torch.device("cuda")
# Eight channels: the middle layers' convolutions are PyTorch's own, the outer ones' matrix products, as at full width.
PAPER = dataclasses.replace(PRESETS["paper"], width_generator=8, width_discriminator=8, dropout=0.0)
KERNEL_CHECKS = Path(__file__).with_name("kernel_checks.py")


def make_trainers(preset=PAPER) -> tuple[Trainer, Trainer]:
    """A plain trainer and one with the tuned step, both in float64 on the CPU."""
    plain, tuned = (Trainer(preset, *toy_pairs(3), seed=0, device=CPU, dtype=torch.float64) for _ in range(2))
    tuned._tuned = TunedStep(
        tuned.generator,
        tuned.discriminator,
        tuned.adam_generator,
        tuned.adam_discriminator,
        loss_of_pictures=tuned._loss_of_pictures,
        dtype=torch.float64,
    )
    return plain, tuned


def assert_alike(a: Trainer, b: Trainer) -> None:
    for part, held in a.state().items():
        torch.testing.assert_close(dict(b.state()[part]), dict(held), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "changes",
    [{}, {"batch": 2}, {"discriminator_window_px": 128, "face_weight": 3.0, "lambda_ssim": 50.0, "average_decay": 0.9}],
    ids=["paper", "batches of two", "other losses"],
)
def test_the_tuned_step_is_the_plain_step(changes):
    plain, tuned = make_trainers(dataclasses.replace(PAPER, **changes))
    for step in range(4):
        plain.step(step / 4)
        tuned.step(step / 4)
        torch.testing.assert_close(
            torch.tensor(dataclasses.astuple(tuned.losses())), torch.tensor(dataclasses.astuple(plain.losses()))
        )
    assert_alike(plain, tuned)


def test_a_restored_state_is_gone_on_with():
    plain, tuned = make_trainers()
    plain.step(0.0)
    tuned.step(0.0)
    tuned.restore({part: dict(held) for part, held in plain.state().items()}, 1)
    assert_alike(plain, tuned)
    plain.step(0.5)
    tuned.step(0.5)
    assert_alike(plain, tuned)


def test_a_step_that_is_broken_off_leaves_nothing_to_learn_from(monkeypatch):
    plain, tuned = make_trainers()
    before = {part: dict(held) for part, held in plain.state().items()}
    note, noted = WorkingConvolution.note, []

    def breaks_off(self: WorkingConvolution, *given: torch.Tensor) -> None:
        note(self, *given)
        noted.append(self)
        if len(noted) == 3:
            raise RuntimeError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(WorkingConvolution, "note", breaks_off)
        with pytest.raises(RuntimeError, match="broken off"):
            tuned.step(0.0)
    tuned.restore(before, 0)
    for step in range(2):
        plain.step(step / 2)
        tuned.step(step / 2)
    assert_alike(plain, tuned)


def test_dropout_drops_its_share_and_what_is_kept_makes_up_for_it():
    x = torch.rand(1, 16, 64, 64) + 1
    _, skip = branched(torch.zeros_like(x), None)
    dropped = joined(skip, x, None, dropout=0.25)[:, 16:]
    kept = dropped != 0
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(dropped[kept], x[kept] / 0.75)


def test_the_first_half_of_a_skip_is_what_branched_off():
    x, norm = torch.randn(2, 16, 8, 8), nn.BatchNorm2d(16)
    activated, skip = branched(x, norm)
    torch.testing.assert_close(activated, leaky(x, norm))
    torch.testing.assert_close(joined(skip, x, None)[:, :16], activated.relu())


@pytest.mark.parametrize(
    ("conv", "size", "innermost"),
    [
        (nn.Conv2d(6, 16, 4, 2, 1), 12, False),
        (nn.Conv2d(16, 32, 4, 2, 1, bias=False), 12, False),
        (nn.Conv2d(16, 1, 4, 1, 1), 12, False),
        (nn.ConvTranspose2d(16, 3, 4, 2, 1), 12, False),
        (nn.Conv2d(16, 32, 4, 2, 1, bias=False), 2, True),
        (nn.ConvTranspose2d(16, 32, 4, 2, 1, bias=False), 1, True),
    ],
    ids=["from few channels", "plain", "to one channel", "to few channels", "innermost down", "innermost up"],
)
def test_each_form_of_a_convolution_is_that_convolution_with_its_gradients(conv, size, innermost):
    conv = conv.double()
    learned = []
    working = WorkingConvolution(conv, dtype=torch.float64, lane=Lane(CPU), passes=2, innermost=innermost)
    working.learn = learned.append
    x = torch.randn(2, conv.in_channels, size, size, dtype=torch.float64, requires_grad=True)
    given = x.detach().clone().requires_grad_()
    expected, found = conv(x), working(given)
    torch.testing.assert_close(found, expected)
    of_result = torch.randn_like(expected)
    expected.backward(of_result)
    found.backward(of_result)
    torch.testing.assert_close(given.grad, x.grad)
    assert not learned  # one of two passes
    working(given).backward(of_result)
    ((first, second),) = learned
    torch.testing.assert_close(first[0], conv.weight.grad)
    torch.testing.assert_close(second, first)
    if conv.bias is None:
        assert first[1] is None
    else:
        torch.testing.assert_close(first[1], conv.bias.grad)


def test_only_papers_networks_on_a_gpu_with_triton_are_tuned(monkeypatch):
    nets = {name: (build_generator(preset), build_discriminator(preset)) for name, preset in PRESETS.items()}
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    assert is_tunable(*nets["paper"], GPU)
    assert not is_tunable(*nets["paper"], CPU) and not is_tunable(*nets["small"], GPU)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert not is_tunable(*nets["paper"], GPU)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize(
    "check",
    [
        "a_norm_and_its_activations",
        "activations_without_a_norm",
        "patches_laid_over_each_other",
        "the_cross_entropy_and_its_gradient",
        "adams_update",
    ],
)
def test_kernels_compute_what_pytorch_does(check):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    interpreted = {} if device == "cuda" else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, str(KERNEL_CHECKS), device, check],
        env=os.environ | interpreted,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{check} holds" in done.stdout
