"""Optimizer updates: the definition against the textbook, number by number; the kernel against the definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba import njit
from tests.optim.coefficients import coefficients

from chainrule.kernels.updates import CHECK_TILE, LIMIT, MOST, TILE, TINY, Update, update
from chainrule.native import jit
from chainrule.native.state import LARGE, STEP, STOP, WORDS
from chainrule.optim.optimizers import UPDATES

LR, WEIGHT_DECAY, MOMENTUM, ALPHA, BETA1, BETA2, EPS = 0.05, 0.1, 0.9, 0.95, 0.9, 0.99, 1e-6
STEPS = 12


def row(update: Update, step: int) -> Any:
    """The coefficients of step 1, 2, ...; the learning rate falls, so that a stale one would show."""
    settings = {"momentum": MOMENTUM, "alpha": ALPHA, "beta1": BETA1, "beta2": BETA2, "eps": EPS}
    return coefficients(update.name, step - 1, step, lr=LR / step, weight_decay=WEIGHT_DECAY, **settings)[0]


def textbook(name: str, p: float, gradients: list[float]) -> float:
    """One parameter after all steps, as the optimizers' papers and torch's documentation write them."""
    b = m = v = 0.0
    for t, g in enumerate(gradients, 1):
        lr = LR / t
        if name == "adamw":
            p = p - lr * WEIGHT_DECAY * p
        else:
            g = g + WEIGHT_DECAY * p
        if name == "sgd":
            p = p - lr * g
        elif name.startswith("sgd"):
            b = g if t == 1 else MOMENTUM * b + g
            p = p - lr * (g + MOMENTUM * b if name == "sgd_nesterov" else b)
        elif name == "rmsprop":
            v = ALPHA * v + (1 - ALPHA) * g**2
            p = p - lr * g / (math.sqrt(v) + EPS)
        elif name == "adagrad":
            v = v + g**2
            p = p - lr * g / (math.sqrt(v) + EPS)
        else:
            m = BETA1 * m + (1 - BETA1) * g
            v = BETA2 * v + (1 - BETA2) * g**2
            p = p - lr * (m / (1 - BETA1**t)) / (math.sqrt(v / (1 - BETA2**t)) + EPS)
    return p


def blocks(update: Update, n: int, dtype: Any) -> list[Any]:
    """Parameters and states."""
    return [np.random.default_rng(3).normal(size=n).astype(dtype), *(np.zeros(n, dtype) for _ in update.states)]


@pytest.mark.parametrize("name", UPDATES)
def test_definition_follows_the_textbook(name: str) -> None:
    update = UPDATES[name]
    gradients = np.random.default_rng(1).normal(size=(STEPS, 5))
    p, *states = start = blocks(update, 5, np.float64)
    for step, g in enumerate(gradients, 1):
        p, *states = update(row(update, step), p, g, *states)
    expected = [textbook(name, float(start[0][i]), gradients[:, i].tolist()) for i in range(5)]
    np.testing.assert_allclose(p, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_definition_makes_new_arrays_of_the_same_dtype(name: str, dtype: Any) -> None:
    update = UPDATES[name]
    arrays = blocks(update, 4, dtype)
    copies = [a.copy() for a in arrays]
    results = update(row(update, 1), arrays[0], np.ones(4, dtype), *arrays[1:])
    assert [r.dtype for r in results] == [dtype] * len(arrays)
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)
    assert not any(np.shares_memory(r, a) for r in results for a in arrays)


def compiled(kernel: Any, dtype: Any) -> Any:
    options = {k: v for k, v in jit.OPTIONS.items() if not k.startswith("no_")}
    return njit(**options)(jit.specialize(kernel.function, np.dtype(dtype)))


def check_step(update: Update, function: Any, n: int, dtype: Any) -> None:
    """Three steps of the kernel over all tiles give what the definition gives."""
    expected, arrays = blocks(update, n, dtype), blocks(update, n, dtype)
    state = np.full(WORDS, -1)
    for step in range(1, 4):
        g = np.random.default_rng(step).normal(size=n).astype(dtype)
        expected = list(update(row(update, step), expected[0], g, *expected[1:]))
        for tile in reversed(range(-(-n // TILE))):
            function(tile, arrays[0], g, *arrays[1:], row(update, step), state)
    tolerance = 16 * np.finfo(dtype).eps
    for a, e in zip(arrays, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)
    assert (state == -1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_kernel_in_plain_python(name: str, dtype: Any) -> None:
    check_step(UPDATES[name], UPDATES[name].step.function, TILE + 5, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_compiled_kernel(name: str, dtype: Any) -> None:
    function = compiled(UPDATES[name].step, dtype)
    for n in (0, 1, TILE, 3 * TILE + 17):
        check_step(UPDATES[name], function, n, dtype)


def test_a_rule_is_all_there_is_to_write() -> None:
    @update(formula="s ← s + g,  p ← p - lr·s/(|s| + 1)", flops=4)
    def soft_sign(p: Any, g: Any, s: Any, /, lr: Any) -> Any:
        s = s + g
        return p - lr * s / (abs(s) + 1.0), s

    del UPDATES["soft_sign"]
    assert (soft_sign.states, soft_sign.columns) == (("s",), ("lr",))
    p, g, s = (np.array(values, np.float32) for values in ([1, 2], [3, -1], [0, 0]))
    for function in (soft_sign.step.function, compiled(soft_sign.step, np.float32)):
        arrays = [a.copy() for a in (p, g, s)]
        function(0, *arrays, np.array([0.5]), np.zeros(WORDS, np.int64))
        np.testing.assert_allclose(arrays, [[0.625, 2.25], g, g], rtol=1e-6)


def test_columns_and_states_are_named() -> None:
    assert UPDATES["sgd"].states == ()
    assert UPDATES["adam"].states == ("m", "v")
    assert UPDATES["adam"].columns == ("rate", "rest1", "beta2", "rest2", "scale", "eps", "weight_decay")
    assert [name for name, _ in UPDATES["adam"].step.parameters] == ["p", "g", "m", "v", "c", "state"]


def arrays_of(update: Update, dtype: Any, size: float) -> list[Any]:
    """p, g and states at plus and minus `size`, in all combinations; a state named v is positive."""
    count = 2 + len(update.states)
    signs = [np.where(np.arange(2**count) >> bit & 1, -size, size).astype(dtype) for bit in range(count)]
    return [*signs[:2], *(np.abs(s) if n == "v" else s for n, s in zip(update.states, signs[2:], strict=True))]


def stops(function: Any, arrays: list[Any], c: Any, large: int) -> bool:
    """Whether the check stops step 5, where `large` is the latest to have left large values."""
    state = np.zeros(WORDS, np.int64)
    state[STEP], state[LARGE] = 5, large
    before = [a.copy() for a in arrays]
    function(0, *arrays, c, state)
    np.testing.assert_array_equal(arrays, before)
    return bool(state[STOP])


@pytest.mark.parametrize("name", UPDATES)
def test_what_is_not_tried_stays_finite_in_float32(name: str) -> None:
    """At the border of what the check passes without trying it."""
    update = UPDATES[name]
    step = compiled(update.step, np.float32)
    for eps in (TINY, MOST):
        for bits in range(2 ** len(update.columns)):
            c = [eps if n == "eps" else MOST * (bits >> i & 1) for i, n in enumerate(update.columns)]
            arrays, state = arrays_of(update, np.float32, LIMIT), np.full(WORDS, 7)
            state[LARGE] = 0
            step(0, *arrays, np.array(c), state)
            assert np.isfinite(arrays).all(), c
            total = sum(np.abs(a).astype(float).sum() for a in (arrays[0], *arrays[2:]))
            assert state[LARGE] == (7 if total > LIMIT else 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_the_check_stops_exactly_what_leaves_the_numbers(name: str, dtype: Any) -> None:
    update = UPDATES[name]
    check, top = compiled(update.check, dtype), float(np.finfo(dtype).max)
    ordinary = np.full(len(update.columns), 0.5)
    cases = [(size, ordinary) for size in (0.0, 1.0, 2.0 * LIMIT, top**0.49, top**0.51, 0.9 * top, np.inf, np.nan)]
    for column in range(len(update.columns)):
        for value in (0.0, 2 * MOST, 1e25, -1e25, top, np.inf, np.nan):
            cases += [(size, np.where(np.arange(len(ordinary)) == column, value, ordinary)) for size in (0.0, 1.0)]
    for size, c in cases:
        arrays = arrays_of(update, dtype, size)
        p, g, *states = arrays
        for given, large in ((arrays, 4), ([np.zeros_like(p), g, *map(np.zeros_like, states)], 0)):
            with np.errstate(all="ignore"):
                expected = not np.isfinite([g, *update(c, *given)]).all()
                for function in (check, update.check.function):
                    assert stops(function, given, c, large) == expected, (size, c)


@pytest.mark.parametrize("name", UPDATES)
def test_the_check_looks_at_every_tile(name: str) -> None:
    update = UPDATES[name]
    check = compiled(update.check, np.float32)
    p, g, *states = blocks(update, CHECK_TILE + 5, np.float32)[:1] + blocks(update, CHECK_TILE + 5, np.float32)
    g[CHECK_TILE + 4] = np.inf
    state = np.zeros(WORDS, np.int64)
    check(0, p, g, *states, row(update, 1), state)
    assert not state[STOP]
    check(1, p, g, *states, row(update, 1), state)
    assert state[STOP]
