"""docs/networks.md is what the networks are now, and what it says of them is counted right."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mueca.nets.building import build_discriminator, build_generator, initialise
from mueca.nets.describing import describe, drawing, receptive_field, trace
from mueca.presets import PRESETS

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
COMMAND = "python -m mueca.nets.describing > docs/networks.md"


def networks(preset_name: str) -> list[tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]:
    """The preset's networks, and pictures as each is given them; without memory or values."""
    preset = PRESETS[preset_name]
    with torch.device("meta"):
        pictures = (torch.empty(1, 3, preset.discriminator_window_px, preset.discriminator_window_px),) * 2
        charts = (torch.empty(1, 4, 33, 33),) if preset.textures else ()
        return [
            (build_generator(preset).eval(), (torch.empty(1, 3, 256, 256), *charts)),
            (build_discriminator(preset).eval(), pictures),
        ]


def test_the_page_is_what_its_command_prints_now():
    printed = subprocess.run(
        [sys.executable, "-m", "mueca.nets.describing"], capture_output=True, text=True, check=True
    )
    assert PAGE.read_text(encoding="utf-8") == printed.stdout, f"the page is old: {COMMAND}"
    assert COMMAND in printed.stdout


@pytest.mark.parametrize("name", PRESETS)
def test_every_parameter_is_counted_once(name):
    for net, pictures in networks(name):
        counted = sum(block.num_parameters for block in trace(net, *pictures))
        assert counted == sum(p.numel() for p in net.parameters()) > 0


@pytest.mark.parametrize("name", PRESETS)
def test_flop_are_those_that_pytorch_counts(name):
    for net, pictures in networks(name):
        with FlopCounterMode(display=False) as counter:
            net(*pictures)
        assert sum(block.flop for block in trace(net, *pictures)) == counter.get_total_flops() > 0


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_are_those_that_go_in_and_come_out(name):
    for net, pictures in networks(name):
        blocks = trace(net, *pictures)
        assert blocks[0].outlet == pictures[0].shape[1:]
        assert blocks[-1].outlet == net(*pictures).shape[1:]


@pytest.mark.parametrize("name", PRESETS)
def test_a_logit_sees_as_many_pixels_as_its_gradient_reaches(name):
    discriminator, pictures = networks(name)[1]
    # Statistics of a picture would see all of it: in evaluation mode, batch norm has none.
    narrow = dataclasses.replace(PRESETS[name], width_discriminator=4, norm_discriminator="batch")
    net = build_discriminator(narrow)
    initialise(net, torch.Generator().manual_seed(0))
    picture = (
        torch.rand(1, *pictures[0].shape[1:], generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    )
    logits = net.double().eval()(picture, picture)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    rows = picture.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert receptive_field(trace(discriminator, *pictures))[-1] == rows[-1] - rows[0] + 1


def test_the_u_nets_drawing_shows_its_levels_and_skips():
    net, pictures = networks("paper")[0]
    lines = drawing(trace(net, *pictures))
    assert [line.split()[0] for line in lines] == ["256", "128", "64", "32", "16", "8", "4", "2", "1"]
    assert lines[0].split() == ["256", "px", "3", "3"]
    assert [set(line.split()[3]) for line in lines[1:-1]] == [{"─"}] * 7
    assert lines[-1].split() == ["1", "px", "512"]


def test_the_page_tells_what_is_known_of_the_paper():
    page = describe({"paper": PRESETS["paper"]})
    assert "54,413,955 parameters" in page and "2,768,705 parameters" in page
    assert "= 87.4 GFLOP a step" in page
    assert "each of its 30 × 30 logits sees 70 × 70 of them" in page
    assert page.count("dropout 0.5") == 3


def test_what_happens_to_the_condition_is_not_put_down_to_the_textures():
    net, pictures = networks("small")[0]
    given, textures = trace(net, *pictures)[:2]
    assert given.then[:2] == ["averaged to 3 × 128²", "averaged to 3 × 64²"]
    assert given.then[-1] == "joined to 12 × 64²"
    assert textures.then == ["averaged to 16 × 64²", "joined to 28 × 64²"]


def test_a_change_of_a_network_changes_the_page():
    paper = PRESETS["paper"]
    pages = {
        describe({"paper": dataclasses.replace(paper, **change)})
        for change in ({}, {"dropout": 0.25}, {"width_discriminator": 32}, {"norm_discriminator": "instance"})
    }
    assert len(pages) == 4
