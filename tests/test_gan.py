"""A step is the same operations on the same memory each time, so that a GPU can repeat it; and what a trainer keeps."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toys import toy_pairs

from mueca import gan
from mueca.capturing import kept
from mueca.gan import Losses, Trainer
from mueca.nets.painting import painter
from mueca.presets import PRESETS

CPU = torch.device("cpu")
# Every kind of chance, a window, an average and both kinds of norm take part.
PAPER = dataclasses.replace(PRESETS["paper"], width_generator=2, width_discriminator=2)
SMALL = dataclasses.replace(
    PRESETS["small"], width_generator=4, width_discriminator=4, jitter_size_px=264, mirror=True, batch=2
)
BOTH = pytest.mark.parametrize("preset", [PAPER, SMALL], ids=["paper", "small"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # such small networks gain nothing from more
    yield
    torch.set_num_threads(before)


def make_trainer(preset=PAPER, **options: Any) -> Trainer:
    return Trainer(preset, *toy_pairs(3), **({"seed": 0, "device": CPU} | options))


def bits(trainer: Trainer) -> dict[str, Tensor]:
    return {f"{part}/{name}": tensor.clone() for part, held in trainer.state().items() for name, tensor in held.items()}


def assert_equal(a: Trainer, b: Trainer) -> None:
    torch.testing.assert_close(bits(a), bits(b), rtol=0, atol=0)


class Recorder(TorchDispatchMode):
    """Note every operation as it is done, with the very tensors that it read and made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result


def recorded(action: Callable[[], None], changed: list[Tensor]) -> tuple[Callable[[], None], set[str]]:
    """Do what ``captured`` does, without a GPU: record once, then repeat the operations on the same memory."""
    with kept(changed):
        action()
        with Recorder() as recorder:
            action()

    @torch.no_grad()
    def replay() -> None:
        for func, args, kwargs, result in recorder.calls:
            for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    return replay, {str(func) for func, *_ in recorder.calls}


@BOTH
def test_a_step_recorded_once_and_repeated_is_the_step_to_the_last_bit(preset):
    plain, repeated = make_trainer(preset), make_trainer(preset)
    repeated.setup()
    changed = [tensor for part in repeated.state().values() for tensor in part.values()]
    repeated._learn, operations = recorded(repeated._learn, changed)
    for step in range(6):
        plain.step(step / 6)
        repeated.step(step / 6)
        assert plain.losses() == repeated.losses()
    assert_equal(plain, repeated)
    assert not {name for name in operations if "_local_scalar_dense" in name or "nonzero" in name}  # waits for a GPU


def test_what_changes_while_a_step_is_captured_is_brought_back():
    trainer, fresh = make_trainer(SMALL), make_trainer(SMALL)
    trainer.setup()
    trainer._set_rates(0.0)
    before = bits(trainer)
    with kept([tensor for part in trainer.state().values() for tensor in part.values()]):
        trainer._learn()
        assert all(not torch.equal(before[n], now) for n, now in bits(trainer).items() if "conv.weight" in n)
    torch.testing.assert_close(bits(trainer), before, rtol=0, atol=0)
    trainer.step(0.0)
    fresh.step(0.0)
    assert_equal(trainer, fresh)


@contextmanager
def as_on_a_gpu(trainer: Trainer) -> Iterator[None]:
    """Let ``setup`` decide as it does on a GPU."""
    trainer.device = torch.device("cuda")
    yield
    trainer.device = CPU


@BOTH
def test_where_a_step_cannot_be_captured_training_goes_on_without(preset, monkeypatch):
    trainer, plain = make_trainer(preset), make_trainer(preset)

    def fails(action: Callable[[], None], changed: list[Tensor]) -> Callable[[], None]:
        with kept(changed):
            action()
            raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be ...")

    monkeypatch.setattr(gan, "captured", fails)
    monkeypatch.setattr(Trainer, "_mixed_precision", lambda _trainer: nullcontext())
    said = (
        r"can't be one CUDA graph \(operation not permitted when stream is capturing\); going on without, more slowly"
    )
    with as_on_a_gpu(trainer), pytest.warns(UserWarning, match=said):
        trainer.setup()
    assert not trainer.is_captured
    assert all(p.grad is None for net in (trainer.generator, trainer.discriminator) for p in net.parameters())
    for step in range(3):
        trainer.step(step / 3)
        plain.step(step / 3)
        assert trainer.losses() == plain.losses()
    assert_equal(trainer, plain)


def test_a_trainer_tells_whether_its_step_is_one_graph(monkeypatch):
    trainer = make_trainer()
    trainer.setup()
    assert not trainer.is_captured
    monkeypatch.setattr(gan, "captured", lambda action, _changed: action)
    with as_on_a_gpu(trainer):
        trainer.setup()
        assert trainer.is_captured
        trainer.setup(capture=False)
        assert not trainer.is_captured


def test_too_little_memory_is_no_reason_to_go_on_without_a_graph(monkeypatch):
    trainer = make_trainer()
    monkeypatch.setattr(gan, "captured", Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory")))
    with as_on_a_gpu(trainer), pytest.raises(torch.OutOfMemoryError):
        trainer.setup()


@BOTH
def test_a_restored_state_lies_where_the_state_lay(preset):
    trainer, other = make_trainer(preset), make_trainer(preset, seed=1)
    trainer.setup()
    other.step(0.0)
    places = [tensor.data_ptr() for part in trainer.state().values() for tensor in part.values()]
    trainer.restore({part: dict(held) for part, held in other.state().items()}, 1)
    assert [tensor.data_ptr() for part in trainer.state().values() for tensor in part.values()] == places
    assert_equal(trainer, other)


def test_an_optimizer_without_a_state_starts_as_at_the_first_step():
    trainer, fresh = make_trainer(), make_trainer()
    start = {part: copy.deepcopy(dict(held)) for part, held in trainer.state().items()}
    assert start["adam_generator"] == start["adam_discriminator"] == {}
    trainer.step(0.0)
    trainer.restore(start, 0)
    trainer.step(0.0)
    fresh.step(0.0)
    assert_equal(trainer, fresh)


@pytest.mark.parametrize("wrong", ["another shape", "one missing"])
def test_another_networks_optimizer_is_refused(wrong):
    trainer = make_trainer()
    trainer.step(0.0)
    state = {part: dict(held) for part, held in trainer.state().items()}
    name = next(iter(state["adam_generator"]))
    if wrong == "one missing":
        del state["adam_generator"][name]
    else:
        state["adam_generator"][name] = torch.zeros(1)
    with pytest.raises(ValueError, match="another network's"):
        trainer.restore(state, 1)


@BOTH
def test_painting_and_reading_losses_between_steps_changes_nothing(preset):
    plain, looked_at = make_trainer(preset), make_trainer(preset)
    conditions, _, charts = toy_pairs(1)
    for step in range(3):
        plain.step(step / 3)
        looked_at.step(step / 3)
        paint = painter(looked_at.best)
        before = paint(conditions, charts)
        looked_at.losses()
    looked_at.step(0.0)
    plain.step(0.0)
    assert_equal(plain, looked_at)
    assert (paint(conditions, charts) == before).all()  # painted by the weights as they were then


def test_training_leaves_the_callers_random_numbers_alone():
    trainer = make_trainer()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer.step(0.0)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_dropout_is_another_at_each_step_and_the_same_again():
    def fakes(steps: int) -> list[Tensor]:
        seen: list[Tensor] = []
        trainer = make_trainer(
            dataclasses.replace(PAPER, jitter_size_px=256, mirror=False, learning_rate_generator=1e-9)
        )
        trainer.generator.register_forward_hook(lambda _net, _given, fake: seen.append(fake.detach()))
        trainer.examples._conditions[:] = trainer.examples._conditions[0]
        for _ in range(steps):
            trainer.step(0.0)
        return seen

    first, second = fakes(2), fakes(2)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.allclose(first[0], first[1], atol=1e-4)


def test_the_rates_are_the_presets_and_fall_as_it_says():
    trainer = make_trainer(SMALL)
    for progress, share in ((0.0, 1.0), (0.75, 0.5), (1.0, 0.0)):
        trainer._set_rates(progress)
        rates = [adam.param_groups[0]["lr"].item() for adam in (trainer.adam_generator, trainer.adam_discriminator)]
        assert rates == pytest.approx([1e-3 * share, 2e-4 * share], rel=1e-12)


def test_a_rate_that_is_a_tensor_learns_as_a_number_does():
    trainer = make_trainer()
    number = copy.deepcopy(trainer.generator)
    adam = torch.optim.Adam(number.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
    trainer._set_rates(0.0)
    for ours, plain in zip(trainer.generator.parameters(), number.parameters(), strict=True):
        ours.grad = torch.full_like(ours, 0.3)
        plain.grad = ours.grad.clone()
    trainer.adam_generator.step()
    adam.step()
    for ours, plain in zip(trainer.generator.parameters(), number.parameters(), strict=True):
        assert torch.equal(ours, plain)


# Mixed precision


@BOTH
def test_bfloat16_computes_in_bfloat16_keeps_float32_weights_and_learns_nearly_the_same(preset):
    plain, mixed = make_trainer(preset), make_trainer(preset, precision="bfloat16")
    kinds = set()
    for net in (mixed.generator, mixed.discriminator):
        net.register_forward_hook(lambda _net, _given, result: kinds.add(result.dtype))
    for _ in range(3):
        plain.step(0.0)
        mixed.step(0.0)
    assert kinds == {torch.bfloat16}
    assert {tensor.dtype for tensor in bits(mixed).values()} <= {torch.float32, torch.int64}
    for field in dataclasses.fields(Losses):
        assert getattr(mixed.losses(), field.name) == pytest.approx(getattr(plain.losses(), field.name), rel=0.02)


def test_in_bfloat16_the_generator_learns_from_the_updated_discriminator():
    trainer = make_trainer(dataclasses.replace(PAPER, learning_rate_discriminator=0.1), precision="bfloat16")
    calls: list[tuple[tuple[Tensor, ...], Tensor]] = []
    trainer.discriminator.register_forward_hook(lambda _net, given, logits: calls.append((given, logits.detach())))
    trainer.step(0.0)
    first, _, last = calls
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        now = trainer.discriminator(*last[0])
    assert torch.equal(now, last[1])
    assert not torch.equal(first[1], last[1])


def test_only_tensor_cores_get_pictures_channels_last():
    gpu = torch.device("cuda")
    assert gan.layout_on(gpu, "bfloat16") == torch.channels_last
    others = {gan.layout_on(*case) for case in ((gpu, "float32"), (CPU, "bfloat16"), (CPU, "float32"))}
    assert others == {torch.contiguous_format}


def test_channels_last_holds_for_pictures_weights_moments_and_gradients(monkeypatch):
    monkeypatch.setattr(gan, "layout_on", lambda _device, _precision: torch.channels_last)
    trainer = make_trainer(precision="bfloat16")
    seen = []
    trainer.generator.register_forward_hook(lambda _net, given, fake: seen.extend([given[0], fake]))
    trainer.step(0.0)
    weights = [p for p in trainer.generator.parameters() if p.ndim == 4]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in [*seen, *weights])
    moments = [t for t in trainer.state()["adam_generator"].values() if t.ndim == 4]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in moments)
    assert all(p.grad.stride() == p.stride() for p in weights)
