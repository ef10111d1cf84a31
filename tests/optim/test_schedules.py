"""Schedules against their formulas, against hand values, and the rules for callables of the user's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import OptionError
from chainrule.optim.schedules import Constant, Cosine, Exponential, LinearWarmup, OneCycle, Step, factors

SCHEDULES = [
    Constant(),
    Constant(0.5),
    Step(every=3, gamma=0.5),
    Exponential(0.9),
    Exponential(0.9, every=7),
    Cosine(10),
    Cosine(10, floor=0.1),
    Cosine(5, restart=True),
    Cosine(3, floor=0.2, restart=True, growth=2),
    LinearWarmup(4),
    LinearWarmup(4, then=Cosine(6), start=0.25),
    LinearWarmup(2, then=LinearWarmup(3, then=Step(2))),
    LinearWarmup(3, then=lambda step: 0.5 if step < 2 else 0.25),
    OneCycle(20),
    OneCycle(2),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: str(s).split(" at 0x")[0])  # no address
def test_many_steps_at_once_equal_one_by_one(schedule):
    steps = np.arange(40)
    together = factors(schedule, steps)
    assert together.dtype == np.float64
    assert together.shape == (40,)
    np.testing.assert_array_equal(together, [float(schedule(int(step))) for step in steps])
    np.testing.assert_array_equal(factors(schedule, steps[17:18]), together[17:18])


def test_step_falls_at_each_multiple():
    np.testing.assert_allclose(Step(every=2, gamma=0.1)(np.arange(6)), [1, 1, 0.1, 0.1, 0.01, 0.01])


def test_exponential_reaches_gamma_after_every_steps():
    assert Exponential(0.5, every=10)(10) == 0.5
    assert Exponential(0.5, every=10)(5) == pytest.approx(math.sqrt(0.5))


def test_cosine_goes_from_one_to_its_floor_and_stays():
    values = Cosine(8, floor=0.2)(np.arange(12))
    assert values[0] == 1
    assert values[4] == pytest.approx(0.6)
    np.testing.assert_allclose(values[8:], 0.2)
    assert np.all(np.diff(values[:9]) < 0)


def test_cosine_restarts_with_longer_cycles():
    starts = np.flatnonzero(Cosine(3, restart=True, growth=2)(np.arange(100)) == 1.0)
    assert starts.tolist() == [0, 3, 9, 21, 45, 93]


@given(st.integers(1, 50), st.integers(1, 4), st.integers(0, 10**7))
def test_cosine_position_is_inside_its_cycle(steps, growth, step):
    position, length = Cosine(steps, restart=True, growth=growth)._cycle(np.asarray(step))
    assert 0 <= position < length


def test_warmup_rises_to_the_full_rate_then_hands_over():
    np.testing.assert_allclose(LinearWarmup(4, then=Step(2))(np.arange(8)), [0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1])
    np.testing.assert_allclose(LinearWarmup(2, start=0.5)(np.arange(3)), [0.75, 1, 1])


def test_warmup_asks_the_next_schedule_only_for_its_own_steps():
    table = [0.5, 0.25]
    np.testing.assert_allclose(
        factors(LinearWarmup(2, then=lambda step: table[step]), np.arange(4)), [0.5, 1, 0.5, 0.25]
    )


def test_one_cycle_starts_peaks_and_ends_where_it_says():
    cycle = OneCycle(steps=100, warmup=0.3, start_div=25, end_div=1e4)
    values = cycle(np.arange(120))
    assert values[0] == pytest.approx(1 / 25)
    assert int(values.argmax()) == 29
    assert values[29] == 1
    np.testing.assert_allclose(values[99:], 1 / 25e4)


def test_no_schedule_is_one():
    np.testing.assert_array_equal(factors(None, np.arange(3)), [1, 1, 1])


@pytest.mark.parametrize(
    "function",
    [
        lambda step: 0.5 if step < 3 else 0.25,
        lambda step: [0.5, 0.5, 0.5, 0.25, 0.25][step],
        lambda step: {0: 0.5, 1: 0.5, 2: 0.5}.get(step, 0.25),
        lambda step: np.where(step < 3, 0.5, 0.25),
        lambda step: max(0.25, 0.5 - 0.25 * (step // 3)),
        lambda step: 0.5 / math.ceil((step + 1) / 3),
    ],
)
def test_any_callable_of_the_step_is_a_schedule(function):
    np.testing.assert_allclose(factors(function, np.arange(5)), [0.5, 0.5, 0.5, 0.25, 0.25])


def test_a_callable_that_ignores_the_step_is_called_for_each():
    np.testing.assert_array_equal(factors(lambda step: 0.5, np.arange(3)), [0.5, 0.5, 0.5])


def test_a_mistake_inside_a_callable_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        factors(lambda step: 1 / (step * 0) if isinstance(step, int) else 1 / int("0"), np.arange(2))
    with pytest.raises(TypeError, match="text"):
        factors(lambda step: _raise(TypeError("text")), np.arange(2))


def _raise(error):
    raise error


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_factors_without_meaning_name_their_step(value):
    with pytest.raises(OptionError, match=r"step 12 is"):
        factors(lambda step: value if step == 12 else 1.0, np.arange(10, 15))


def test_a_factor_that_is_no_number_is_named():
    with pytest.raises(OptionError, match="'fast', expected one number"):
        factors(lambda step: "fast", np.arange(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1), "Constant: value is -1"),
        (lambda: Step(0), "Step: every is 0"),
        (lambda: Step(2.5), "Step: every is 2.5"),
        (lambda: Step(5, gamma=-0.1), "Step: gamma"),
        (lambda: Exponential(0.0), "Exponential: gamma"),
        (lambda: Exponential(math.nan), "Exponential: gamma is nan"),
        (lambda: Cosine(0), "Cosine: steps"),
        (lambda: Cosine(5, floor=1.5), "Cosine: floor"),
        (lambda: Cosine(5, growth=2), "add restart=True"),
        (lambda: Cosine(5, restart=1), "Cosine: restart"),
        (lambda: LinearWarmup(0), "LinearWarmup: steps"),
        (lambda: LinearWarmup(5, then=0.5), "LinearWarmup: then"),
        (lambda: LinearWarmup(5, start=-1), "LinearWarmup: start"),
        (lambda: OneCycle(1), "OneCycle: steps"),
        (lambda: OneCycle(10, warmup=1.0), "OneCycle: warmup"),
        (lambda: OneCycle(10, end_div=0), "OneCycle: end_div"),
    ],
)
def test_settings_without_meaning(make, message):
    with pytest.raises(OptionError, match=message):
        make()
