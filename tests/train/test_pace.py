"""Stretches of steps grow to a fixed time and no further."""

from __future__ import annotations

import pytest

from chainrule.train.pace import MOST, STRETCH, Pace


def settle(seconds_a_step, overhead=10e-6, calls=12):
    pace, worst = Pace(), 0.0
    for _ in range(calls):
        seconds = pace.steps * seconds_a_step + overhead
        worst = max(worst, seconds)
        pace.measure(pace.steps, seconds)
    return pace, worst


@pytest.mark.parametrize("seconds_a_step", [1e-6, 36e-6, 350e-6, 3.5e-3])
def test_a_stretch_takes_about_its_time(seconds_a_step):
    pace, worst = settle(seconds_a_step)
    assert 0.8 * STRETCH <= pace.steps * seconds_a_step + 10e-6 <= 1.1 * STRETCH
    assert worst <= 1.1 * STRETCH


def test_slow_steps_run_one_by_one():
    pace, _ = settle(0.3)
    assert pace.steps == 1
    assert not pace.short


def test_a_new_batch_size_starts_with_one_step_that_may_take_long():
    pace = Pace()
    assert pace.steps == 1
    assert not pace.short


def test_instant_steps_are_bounded():
    pace, _ = settle(0.0, overhead=0.0)
    assert pace.steps == MOST


def test_a_slow_first_call_is_forgotten():
    pace = Pace()
    pace.measure(1, 5.0)
    assert pace.steps == 1
    for _ in range(8):
        pace.measure(pace.steps, pace.steps * 1e-6)
    assert pace.steps > 10_000


def test_the_short_end_of_an_epoch_says_little():
    pace, _ = settle(1e-6)
    before = pace.steps
    pace.measure(1, 30e-6)
    assert pace.steps == before


def test_a_machine_that_becomes_busy_shortens_stretches_at_once():
    pace, _ = settle(1e-6)
    pace.measure(pace.steps, 4 * STRETCH)
    assert pace.steps * 4e-6 <= 1.1 * STRETCH
