"""A step's choices are plain numbers that come from the seed alone, and the pictures follow them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from toys import toy_pairs

from mueca.examples import CHOSEN, Choice, Examples, draw_choice, pair_at, tensor_of
from mueca.presets import PRESETS

PAPER, SMALL = PRESETS["paper"], PRESETS["small"]
CPU = torch.device("cpu")
STILL = Choice(0, 0, 0, 0, 0, 0, zoom_y=1.0, zoom_x=1.0, shift_y=0.0, shift_x=0.0, dropout_seed=0)


def make_examples(preset, *, number=1, dtype=torch.float32):
    return Examples(preset, *toy_pairs(number), device=CPU, dtype=dtype)


def test_a_choice_is_a_function_of_seed_step_and_place():
    same = {draw_choice(PAPER, 3, 5, 0, 9) for _ in range(3)}
    others = {draw_choice(PAPER, *numbers, 9) for numbers in ((4, 5, 0), (3, 6, 0), (3, 5, 1))}
    assert len(same) == 1 and len(same | others) == 4
    assert len({choice.dropout_seed for choice in same | others}) == 4


def test_each_epoch_shows_each_pair_once_in_an_order_of_its_own():
    epochs = [[pair_at(3, epoch * 9 + i, 9) for i in range(9)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_batches_show_the_same_pairs_in_the_same_order_as_single_steps():
    four = dataclasses.replace(PAPER, batch=4)
    batched = [draw_choice(four, 0, step, place, 9).pair for step in range(6) for place in range(4)]
    assert batched == [draw_choice(PAPER, 0, step, 0, 9).pair for step in range(24)]


def test_crops_and_windows_reach_every_border_and_never_beyond():
    preset = dataclasses.replace(PAPER, jitter_size_px=258, discriminator_window_px=253)
    drawn = [draw_choice(preset, 0, step, 0, 9) for step in range(200)]
    assert {choice.crop_y for choice in drawn} == {choice.crop_x for choice in drawn} == {0, 1, 2}
    assert {choice.window_y for choice in drawn} == {choice.window_x for choice in drawn} == {0, 1, 2, 3}
    assert {choice.mirrored for choice in drawn} == {0, 1}


def test_without_jitter_zoom_shift_mirror_and_window_nothing_is_moved():
    still = dataclasses.replace(SMALL, discriminator_window_px=256, zoom=0.0, shift_px=0.0)
    choices = [draw_choice(still, 0, i, 0, 9) for i in range(20)]
    assert {dataclasses.replace(c, pair=0, dropout_seed=0) for c in choices} == {STILL}


def test_jitter_is_the_enlarged_pair_cut_by_slices_and_a_mirror_is_a_flip():
    conditions, targets, _ = toy_pairs(3)
    examples = Examples(PAPER, conditions, targets, device=CPU, dtype=torch.float32)
    choices = [
        dataclasses.replace(STILL, pair=2, crop_y=30, crop_x=7),
        dataclasses.replace(STILL, pair=1, crop_y=4, crop_x=11, mirrored=1),
    ]
    found = examples.at(tensor_of(choices))
    for images, mode, moved in zip((conditions, targets), ("nearest", "bilinear"), found, strict=True):
        plain = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        enlarged = torch.nn.functional.interpolate(plain, size=286, mode=mode)
        torch.testing.assert_close(moved[0], enlarged[2, :, 30:286, 7:263], rtol=0, atol=0)
        torch.testing.assert_close(moved[1], enlarged[1, :, 4:260, 11:267].flip(2), rtol=0, atol=0)


def test_jitter_and_mirror_move_condition_and_target_together():
    examples = make_examples(PAPER)
    places = []
    for step in range(8):
        condition, target = examples.at(tensor_of([draw_choice(PAPER, 0, step, 0, 1)]))
        assert set(condition.unique().tolist()) <= {-1.0, 1.0}  # nearest: no new colours
        green, red = condition[0, 1] > 0, target[0, 0] > 0
        centre, disc = (torch.nonzero(mask).double().mean(dim=0) for mask in (green, red))
        torch.testing.assert_close(centre, disc, rtol=0, atol=1.5)
        places.append((tuple(disc.round().tolist()), bool(target[0, 2, 0, 0] > target[0, 2, 0, -1])))
    assert len({place for place, _ in places}) > 4
    assert {mirrored for _, mirrored in places} == {True, False}


def test_zoom_and_shift_move_condition_and_target_together_by_as_much_as_they_say():
    conditions, targets, _ = toy_pairs(1)
    examples = make_examples(SMALL)
    shifted = examples.at(tensor_of([dataclasses.replace(STILL, shift_y=5.0, shift_x=-3.0)]))
    for images, moved in zip((conditions, targets), shifted, strict=True):
        plain = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        torch.testing.assert_close(moved[:, :, :251, 3:], plain[:, :, 5:, :-3], rtol=0, atol=1e-3)
    condition, target = examples.at(tensor_of([dataclasses.replace(STILL, zoom_y=0.5, zoom_x=0.5)]))
    plain = torch.from_numpy(targets).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    twice = torch.nn.functional.interpolate(plain[:, :, 64:192, 64:192], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(target[:, :, 2:-2, 2:-2], twice[:, :, 2:-2, 2:-2], rtol=0, atol=1e-3)
    plain = torch.from_numpy(conditions).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    twice = torch.nn.functional.interpolate(plain[:, :, 64:192, 64:192], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(condition[:, :, 2:-2, 2:-2], twice[:, :, 2:-2, 2:-2], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "changes", [{}, {"jitter_size_px": 286, "mirror": True, "zoom": 0.0, "shift_px": 0.0}, {"jitter_size_px": 286}]
)
def test_charts_tell_where_a_moved_pixel_comes_from(changes):
    y, x = np.mgrid[:256, :256].astype(np.uint8)
    told = np.stack([x, y, 0 * x], axis=-1)[None]  # each pixel tells its place
    preset = dataclasses.replace(SMALL, **changes)
    _, _, charts = toy_pairs(1)
    examples = Examples(preset, told, told, charts, device=CPU, dtype=torch.float32)
    for step in range(5):
        choices = tensor_of([draw_choice(preset, 2, step, 0, 1)])
        places = (examples.targets_at(choices)[0, :2] + 1) * 127.5
        pixels = (torch.arange(256) + 0.5) / 128 - 1
        grid = torch.stack(torch.meshgrid(pixels, pixels, indexing="xy"), dim=-1)[None]
        scene = torch.nn.functional.grid_sample(examples.charts_at(choices)[:, :2], grid, align_corners=True)[0]
        inner = slice(20, -20)  # beyond a border, pictures turn back
        found = ((scene + 1) * 128 - 0.5)[:, inner, inner]
        torch.testing.assert_close(found, places[:, inner, inner], rtol=0, atol=0.05)


def test_pairs_without_charts_have_none():
    conditions, targets, _ = toy_pairs(1)
    assert Examples(SMALL, conditions, targets, device=CPU, dtype=torch.float32).charts_at(tensor_of([STILL])) is None


def test_zoom_and_shift_stay_within_what_the_preset_says_and_fill_it():
    drawn = [draw_choice(SMALL, 0, step, 0, 9) for step in range(300)]
    for names, middle, reach in ((("zoom_y", "zoom_x"), 1, SMALL.zoom), (("shift_y", "shift_x"), 0, SMALL.shift_px)):
        for name in names:
            away = [(getattr(choice, name) - middle) / reach for choice in drawn]
            assert -1 <= min(away) < -0.95 and 0.95 < max(away) <= 1


def test_each_picture_of_a_batch_has_its_own_window_and_gradients_go_through_it():
    examples = make_examples(SMALL)
    size = SMALL.discriminator_window_px
    images = torch.rand(2, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    corners = ((17, 128), (0, 40))
    choices = tensor_of([dataclasses.replace(STILL, window_y=y, window_x=x) for y, x in corners])
    seen = examples.window(images, choices)
    slices = [images[i, :, y : y + size, x : x + size] for i, (y, x) in enumerate(corners)]
    torch.testing.assert_close(seen, torch.stack(slices), rtol=0, atol=0)
    (ours,) = torch.autograd.grad((seen**2).sum(), images)
    (plain,) = torch.autograd.grad(sum((part**2).sum() for part in slices), images)
    torch.testing.assert_close(ours, plain, rtol=0, atol=0)


@pytest.mark.parametrize("preset", [PAPER, SMALL], ids=["paper", "small"])
def test_what_is_done_does_not_depend_on_the_choices_but_through_their_tensor(preset):
    # A CUDA graph repeats what it recorded: a choice that went in as a plain number would stay as it was.
    examples = make_examples(preset, number=2)
    choices = torch.zeros(1, CHOSEN, dtype=torch.float64)
    recorded = torch.jit.trace(lambda c: (*examples.at(c), examples.window(examples.at(c)[1], c)), (choices,))
    for step in range(4):
        choices.copy_(tensor_of([draw_choice(preset, 1, step, 0, 2)]))
        condition, target = examples.at(choices)
        for again, now in zip(recorded(choices), (condition, target, examples.window(target, choices)), strict=True):
            torch.testing.assert_close(again, now, rtol=0, atol=0)


def test_pictures_come_in_the_type_that_is_trained_in():
    choices = tensor_of([STILL])
    assert {images.dtype for images in make_examples(PAPER, dtype=torch.float64).at(choices)} == {torch.float64}


def test_the_pairs_stay_bytes():
    examples = make_examples(PAPER)
    kept = [value for value in vars(examples).values() if isinstance(value, torch.Tensor) and value.ndim == 4]
    assert [tensor.dtype for tensor in kept] == [torch.uint8, torch.uint8, torch.float32]  # the last are the charts


def test_all_that_is_drawn_but_dropout_reaches_the_device():
    fields = [field.name for field in dataclasses.fields(Choice)]
    assert fields[-1] == "dropout_seed"
    assert tensor_of([Choice(*range(11)), Choice(*range(11, 22))]).tolist() == [[*range(10)], [*range(11, 21)]]
    assert np.iinfo(np.int64).max >= max(draw_choice(PAPER, 0, step, 0, 9).dropout_seed for step in range(50))
