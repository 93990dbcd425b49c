"""The networks: sizes, receptive field, initial weights; test_reference_algorithm.py holds them to the reference."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from toys import toy_pairs

from mueca.nets.building import architecture_of, build_discriminator, build_generator, initialise
from mueca.nets.compact import Compact
from mueca.nets.images import rgb_from_tensor, tensor_from_rgb
from mueca.nets.painting import painter
from mueca.nets.patchgan import PatchGAN
from mueca.nets.textures import Textures
from mueca.nets.unet import UNet
from mueca.presets import PRESETS


def num_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def initialised(net: nn.Module, seed: int = 0) -> nn.Module:
    initialise(net, torch.Generator().manual_seed(seed))
    return net


def random_images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def test_paper_networks_have_the_published_numbers_of_parameters():
    with torch.device("meta"):
        assert num_parameters(build_generator(PRESETS["paper"])) == 54_413_955
        assert num_parameters(build_discriminator(PRESETS["paper"])) == 2_768_705


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fake_is_as_large_as_its_condition_and_within_minus_one_and_one(preset):
    narrow = dataclasses.replace(PRESETS[preset], width_generator=8)
    fake = initialised(build_generator(narrow))(random_images(2, 3, 256, 256).float(), toy_charts(2))
    assert fake.shape == (2, 3, 256, 256)
    assert fake.abs().max() <= 1


PAINTED_BY_WAVES = {
    ("small", 1): [0.1094, 0.0952, 0.0873, -0.0309, 0.3907, -0.0021, 0.1185, 0.2138, 0.1466],
    ("paper", 1): [-0.9892, -0.9892, -0.9775, -0.9974, -0.9649, -0.9307, 0.3566, 0.9260, 0.9960],
}
"""By preset and architecture: what a generator whose weights are waves paints at some places."""


@pytest.mark.parametrize("preset", ["small", "paper"])  # the network of live is that of small
def test_a_generator_that_paints_something_else_by_the_same_weights_has_another_number(preset):
    narrow = dataclasses.replace(PRESETS[preset], width_generator=8)
    net = build_generator(narrow).double().eval()
    fill_with_waves(net)
    fake = net(wave(1, 3, 256, 256), 1.2 * wave(1, 4, 33, 33))[0, :, 37::97, 21::101].detach()
    painted = torch.tensor(PAINTED_BY_WAVES[preset, architecture_of(narrow)], dtype=torch.float64)
    torch.testing.assert_close(fake[0].flatten(), painted, rtol=0, atol=1e-3)


@torch.no_grad()
def fill_with_waves(net: nn.Module) -> None:
    for module in net.modules():
        for name, tensor in module.named_parameters(recurse=False):
            is_scale = name == "weight" and tensor.dim() == 1  # a norm's
            spread = 1.0 if name == "values" else 0.1 if tensor.dim() == 1 else 1.4 * tensor[0].numel() ** -0.5
            tensor.copy_(spread * wave(*tensor.shape) + is_scale)


def wave(*shape: int) -> torch.Tensor:
    return torch.arange(math.prod(shape), dtype=torch.float64).sin().view(shape)


def toy_charts(number: int) -> torch.Tensor:
    return torch.from_numpy(toy_pairs(number)[2])


def test_a_texture_is_looked_up_where_the_charts_say():
    textures = Textures(channels=1, size_px=64)
    along = (torch.arange(96) + 0.5) / 48 * 1.5 - 1.5  # of a texture's pixels, on the chart
    with torch.no_grad():
        textures.values[0, 0], textures.values[1, 0] = along[None, :], along[:, None]  # each tells its place
    charts = torch.rand(2, 4, 33, 33, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = textures(charts)
    assert found.shape == (2, 2, 64, 64)
    pixels = (torch.arange(64) + 0.5) / 32 - 1
    grid = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), dim=-1).expand(2, -1, -1, -1)
    wanted = torch.nn.functional.grid_sample(charts, grid, align_corners=True)
    torch.testing.assert_close(found[:, 0], wanted[:, 0], rtol=0, atol=1e-4)  # the scene's x
    torch.testing.assert_close(found[:, 1], wanted[:, 3], rtol=0, atol=1e-4)  # the face's y
    found.sum().backward()
    assert textures.values.grad.abs().sum() > 0


def test_a_generator_with_textures_says_what_it_lacks():
    net = initialised(Compact(width=4, textures=2))
    with pytest.raises(ValueError, match="charts"):
        net(torch.zeros(1, 3, 256, 256))
    plain = initialised(Compact(width=4))
    assert plain(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    assert "textures.values" not in plain.state_dict()


def test_unequal_sub_pixels_leave_no_checkerboard():
    net = initialised(Compact(width=4)).double()
    with torch.no_grad():
        net.to_256.weight.zero_()  # a flat picture to be unfolded, but each of the four sub-pixels with its own value
        net.to_256.bias.copy_(random_images(len(net.to_256.bias)))
        fake = net(random_images(1, 3, 256, 256))
    inside = fake[..., 2:-1, 2:-1]  # the border is padded, and the second row and column are next to it
    assert inside.std(dim=(2, 3)).max() < 1e-12


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_logits_are_30_by_30(norm):
    pictures = random_images(2, 3, 256, 256).float()
    assert PatchGAN(width=4, norm=norm)(pictures, pictures).shape == (2, 1, 30, 30)


def test_each_logit_sees_70_by_70_pixels():
    # In evaluation mode: the statistics of training see the whole picture.
    net = initialised(PatchGAN(width=4, norm="batch")).double().eval()
    picture = random_images(1, 3, 256, 256).requires_grad_()
    net(picture, picture)[0, 0, 15, 14].backward()
    rows, columns = (picture.grad.abs().sum(dim=1)[0].sum(dim=axis).nonzero().flatten() for axis in (1, 0))
    assert (len(rows), len(columns)) == (70, 70)
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (70, 70)


def test_dropout_stands_in_the_second_to_fourth_upsampling_block(monkeypatch):
    seen = []

    def record(x, probability, training):
        seen.append((x.shape[-1], probability, training))
        return x

    monkeypatch.setattr("mueca.nets.unet.functional.dropout", record)
    UNet(width=2, dropout=0.5)(random_images(1, 3, 256, 256).float())
    # The first block doubles 1 pixel to 2; the second to fourth give 4, 8 and 16.
    assert seen == [(4, 0.5, True), (8, 0.5, True), (16, 0.5, True)]


def test_convolutions_start_from_a_spread_of_002_and_norm_scales_around_1():
    net = initialised(UNet(width=32, dropout=0.5))
    for conv in [*net.down, *net.up]:
        assert conv.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert abs(conv.weight.mean().item()) < 0.002
    scales = torch.cat([norm.weight for norm in [*net.down_norm, *net.up_norm]])
    assert scales.mean().item() == pytest.approx(1.0, abs=0.005)
    assert scales.std().item() == pytest.approx(0.02, rel=0.1)
    assert net.up[-1].bias.abs().max() == 0


def test_pictures_come_back_unchanged_from_tensors():
    levels = np.arange(256, dtype=np.uint8)
    pictures = torch.from_numpy(np.broadcast_to(levels[None, :, None, None], (2, 256, 5, 3)).copy())
    tensors = tensor_from_rgb(pictures)
    assert tensors.shape == (2, 3, 256, 5)
    assert (tensors.min().item(), tensors.max().item()) == (-1.0, 1.0)
    assert torch.equal(rgb_from_tensor(tensors), pictures)


@pytest.mark.parametrize("statistics", ["picture", "running"])
def test_a_condition_gets_the_same_fake_alone_and_among_others(statistics):
    paint = painter(initialised(UNet(width=4, dropout=0.5)), statistics=statistics)
    conditions = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    together = paint(conditions)
    assert together.shape == conditions.shape
    assert np.array_equal(paint(conditions[1:2])[0], together[1])


def test_a_painter_keeps_the_weights_of_its_making():
    net = initialised(UNet(width=4, dropout=0.5))
    paint = painter(net)
    conditions = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    before = paint(conditions)
    initialise(net, torch.Generator().manual_seed(1))
    assert np.array_equal(paint(conditions), before)
    assert net.training
