"""How long runs are, when they end, and when they look at themselves."""

from __future__ import annotations

import pytest

from mueca.curve import Flat
from mueca.gan import falling_rate
from mueca.schedule import FALL_OF_AUTO, Schedule

STEPS = Schedule("steps", 1200.0, num_pairs=10)
AUTO = Schedule("steps", 1200.0, num_pairs=10, stop="auto")
FLAT = Flat(steps=600, seconds=60.0, since=400)


def rate(schedule: Schedule, steps: int, flat: Flat | None) -> float:
    return falling_rate(schedule.progress(steps, 0.0, flat), FALL_OF_AUTO)


def test_an_epoch_shows_every_pair_whatever_the_batch():
    assert Schedule("epochs", 3.0, num_pairs=10).num_steps == 30
    assert Schedule("epochs", 3.0, num_pairs=10, batch=3).num_steps == 10
    assert Schedule("epochs", 1.0, num_pairs=10, batch=4).num_steps == 3


def test_a_budget_is_used_up_by_the_clock_and_anything_else_by_steps():
    assert Schedule("budget", 60.0, num_pairs=10).share(steps=5, seconds=30.0) == 0.5
    assert STEPS.share(steps=300, seconds=1e6) == 0.25


def test_without_a_flat_curve_auto_takes_its_whole_length_and_its_rates_fall_over_the_last_quarter():
    rates = [rate(AUTO, steps, None) for steps in (0, 600, 900, 1050, 1200)]
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.0])
    assert AUTO.progress(1200, 0.0, None) == 1.0


def test_from_a_flat_curve_on_rates_fall_to_zero_over_a_third_of_the_steps_until_then():
    rates = [rate(AUTO, steps, FLAT) for steps in (600, 700, 800)]
    assert rates == pytest.approx([1.0, 0.5, 0.0])
    assert AUTO.progress(799, 0.0, FLAT) < 1 <= AUTO.progress(800, 0.0, FLAT)


def test_a_budget_that_turned_flat_ends_by_the_clock():
    budget = Schedule("budget", 120.0, num_pairs=10, stop="auto")
    assert budget.progress(0, 60.0, FLAT) == pytest.approx(FALL_OF_AUTO)
    assert budget.progress(0, 80.0, FLAT) == pytest.approx(1.0)


def test_a_run_that_turned_flat_stays_at_its_end_when_more_is_granted():
    longer = Schedule("steps", 9000.0, num_pairs=10, stop="auto")
    assert longer.progress(800, 0.0, FLAT) == pytest.approx(1.0)


def test_only_auto_turns_flat_and_only_while_the_end_would_come_sooner():
    assert AUTO.may_turn_flat(899, 0.0)
    assert not AUTO.may_turn_flat(900, 0.0)
    assert not STEPS.may_turn_flat(10, 0.0)


def due(schedule: Schedule, what: str, num_steps: int) -> list[int]:
    shares = [schedule.share(step, 0.0) for step in range(num_steps + 1)]
    is_due = getattr(schedule, f"{what}_is_due")
    return [step for step in range(1, num_steps + 1) if is_due(shares[step - 1], shares[step])]


@pytest.mark.parametrize("num_steps", [20, 60, 140, 1200])
def test_sheets_and_points_come_at_every_twentieth(num_steps):
    schedule = Schedule("steps", float(num_steps), num_pairs=10)
    expected = [num_steps * i // 20 for i in range(1, 21)]
    assert due(schedule, "sheet", num_steps) == due(schedule, "point", num_steps) == expected


def test_auto_measures_at_every_fortieth_and_a_long_budget_every_twenty_seconds():
    assert due(AUTO, "point", 1200) == list(range(30, 1201, 30))
    hour = Schedule("budget", 3600.0, num_pairs=10, stop="auto")
    seconds = [s for s in range(1, 3601) if hour.point_is_due((s - 1) / 3600, s / 3600)]
    assert seconds == list(range(20, 3601, 20))


@pytest.mark.parametrize(
    ("kind", "amount", "frames"), [("steps", 40.0, 4), ("steps", 1e5, 32), ("budget", 30.0, 4), ("budget", 600.0, 30)]
)
def test_short_runs_are_measured_on_fewer_frames(kind, amount, frames):
    assert Schedule(kind, amount, num_pairs=10).num_frames == frames
