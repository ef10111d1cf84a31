"""Optimizer updates: the definition against the textbook, number by number; the kernel against the definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba import njit

from chainrule.native import jit
from chainrule.native.state import LARGE, LOOK, STOP, WORDS
from chainrule.ops.updates import DIVISORS, LIMIT, TILE, UPDATES, Update

LR, WEIGHT_DECAY, MOMENTUM, ALPHA, BETA1, BETA2, EPS = 0.05, 0.1, 0.9, 0.95, 0.9, 0.99, 1e-6
STEPS = 12


def row(update: Update, step: int) -> Any:
    """The coefficients of step 1, 2, ...; the learning rate falls, so that a stale one would show."""
    values = {
        "lr": LR / step,
        "weight_decay": WEIGHT_DECAY,
        "momentum": MOMENTUM,
        "alpha": ALPHA,
        "eps": EPS,
        "beta1": BETA1,
        "beta2": BETA2,
        "bias1": 1 - BETA1**step,
        "bias2": 1 - BETA2**step,
    }
    return np.array([values[name] for name in update.columns])


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
        p, *states = update.definition(p, g, *states, row(update, step))
    expected = [textbook(name, float(start[0][i]), gradients[:, i].tolist()) for i in range(5)]
    np.testing.assert_allclose(p, expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_definition_makes_new_arrays_of_the_same_dtype(name: str, dtype: Any) -> None:
    update = UPDATES[name]
    arrays = blocks(update, 4, dtype)
    copies = [a.copy() for a in arrays]
    results = update.definition(arrays[0], np.ones(4, dtype), *arrays[1:], row(update, 1))
    assert [r.dtype for r in results] == [dtype] * len(arrays)
    for a, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(a, copy)
    assert not any(np.shares_memory(r, a) for r in results for a in arrays)


def check_kernel(update: Update, function: Any, n: int, dtype: Any) -> None:
    """Three steps of the kernel over all tiles give what the definition gives."""
    expected, arrays = blocks(update, n, dtype), blocks(update, n, dtype)
    state = np.zeros(WORDS, np.int64)
    state[LOOK] = 1
    for step in range(1, 4):
        g = np.random.default_rng(step).normal(size=n).astype(dtype)
        expected = list(update.definition(expected[0], g, *expected[1:], row(update, step)))
        for tile in reversed(range(-(-n // TILE))):
            function(tile, arrays[0], g, *arrays[1:], row(update, step), update.divisors, state)
    tolerance = 16 * np.finfo(dtype).eps
    for a, e in zip(arrays, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)
    assert not state[[STOP, LARGE]].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_kernel_in_plain_python(name: str, dtype: Any) -> None:
    check_kernel(UPDATES[name], UPDATES[name].kernel.function, TILE + 5, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_compiled_kernel(name: str, dtype: Any) -> None:
    options = {k: v for k, v in jit.OPTIONS.items() if not k.startswith("no_")}
    compiled = njit(**options)(jit.specialize(UPDATES[name].kernel.function, np.dtype(dtype)))
    for n in (0, 1, TILE, 3 * TILE + 17):
        check_kernel(UPDATES[name], compiled, n, dtype)


def test_columns_and_states_are_named() -> None:
    assert UPDATES["sgd"].states == ()
    assert UPDATES["adam"].states == ("m", "v")
    assert UPDATES["adam"].columns == ("lr", "beta1", "beta2", "eps", "weight_decay", "bias1", "bias2")
    assert [name for name, _ in UPDATES["adam"].kernel.parameters] == ["p", "g", "m", "v", "c", "divisors", "state"]


def extremes(update: Update, dtype: Any) -> list[Any]:
    """p, g and states at the limit, with all signs."""
    size = 2 ** (2 + len(update.states))
    signs = [np.where(np.arange(size) >> bit & 1, -LIMIT, LIMIT).astype(dtype) for bit in range(2 + len(update.states))]
    return [*signs[:2], *(s * s if name == "v" else s for name, s in zip(update.states, signs[2:], strict=True))]


def borders(update: Update) -> list[Any]:
    """Rows of coefficients at the border of what the kernels take."""
    factors = [name for name in update.columns[1:] if name not in DIVISORS]
    rows = []
    for divisors in (dict.fromkeys(DIVISORS, 1.0), {"eps": 2.0**-50, "bias1": 2.0**-3, "bias2": 2.0**-3}):
        product = math.prod(divisors[n] for n in update.columns if n in DIVISORS)
        for factor in (0.0, 0.5, 1.0):
            for lr in (0.0, LIMIT * product):
                values = {"lr": lr, **divisors, **dict.fromkeys(factors, factor)}
                rows.append(np.array([values[n] for n in update.columns]))
    return rows


@pytest.mark.parametrize("name", UPDATES)
def test_what_the_kernel_takes_stays_finite_in_float32(name: str) -> None:
    """Each step from the limit, and that it is told where a value is then beyond it."""
    update = UPDATES[name]
    options = {k: v for k, v in jit.OPTIONS.items() if not k.startswith("no_")}
    compiled = njit(**options)(jit.specialize(update.kernel.function, np.dtype("float32")))
    for c in borders(update):
        p, g, *states = extremes(update, "float32")
        state = np.zeros(WORDS, np.int64)
        compiled(0, p, g, *states, c, -1, state)
        assert all(np.isfinite(a).all() for a in (p, *states)), c
        assert state[LARGE] or not update.large(p, *states)


@pytest.mark.parametrize("name", UPDATES)
def test_the_kernel_stops_where_it_might_overflow(name: str) -> None:
    update = UPDATES[name]
    plain = row(update, 1)
    bad = [(2 * LIMIT, 0.0, plain), (np.nan, 0.0, plain), (0.0, 2 * LIMIT, plain), (0.0, np.inf, plain)]
    for column, of in enumerate(update.columns):
        extremes = (np.nan, 2 * LIMIT if of == "lr" else 0.0 if of in DIVISORS else 1.5)
        bad += [(0.0, 0.0, np.where(np.arange(len(plain)) == column, value, plain)) for value in extremes]
    for g, p, c in bad:
        arrays = [np.full(3, p), np.full(3, g), *(np.ones(3) for _ in update.states)]
        before = [a.copy() for a in arrays]
        state = np.zeros(WORDS, np.int64)
        state[LOOK] = 1
        with np.errstate(all="ignore"):
            update.kernel.function(0, *arrays, c, update.divisors, state)
        assert state[STOP], c
        np.testing.assert_array_equal(arrays, before)
