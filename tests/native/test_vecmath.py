"""Accuracy of the vector functions, compiled and in plain Python; and that loops over them vectorize."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit

from chainrule.native import jit, vecmath

Wide = np.longdouble
ULPS = (
    3.0 if np.finfo(Wide).eps < np.finfo(np.float64).eps else 4.0
)  # some platforms have nothing wider to compare with
DTYPES = (np.float32, np.float64)


def _log1p_exp(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: Any) -> Any:
    u = np.exp(-np.abs(x))
    return np.where(x < 0, u, 1) / (1 + u)


def _erf(x: Any) -> Any:
    return np.array([math.erf(v) for v in x], Wide)


REFERENCES: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p_exp": _log1p_exp,
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "erf": _erf,
}
# at -inf, inf, NaN, 0, 1e4, -1e4, and the negative number closest to zero
SPECIAL = {
    "exp": (0.0, math.inf, math.nan, 1.0, math.inf, 0.0, 1.0),
    "expm1": (-1.0, math.inf, math.nan, 0.0, math.inf, -1.0, 0.0),
    "log": (math.nan, math.inf, math.nan, -math.inf, math.log(1e4), math.nan, math.nan),
    "log1p_exp": (0.0, math.inf, math.nan, math.log(2), 1e4, 0.0, math.log(2)),
    "sigmoid": (0.0, 1.0, math.nan, 0.5, 1.0, 0.0, 0.5),
    "tanh": (-1.0, 1.0, math.nan, 0.0, 1.0, -1.0, 0.0),
    "erf": (-1.0, 1.0, math.nan, 0.0, 1.0, -1.0, 0.0),
}
CASES = [pytest.param(name, dtype, id=f"{name}-{dtype.__name__}") for name in REFERENCES for dtype in DTYPES]


@cache
def compiled(name: str, dtype: type) -> Any:
    """A loop over the function, compiled as kernels are."""
    function = getattr(getattr(vecmath, name), dtype.__name__)
    scalar = njit(**jit.OPTIONS, forceinline=True)(jit.specialize(function, np.dtype(dtype)))

    def loop(x, y):  # type: ignore[no-untyped-def]
        for i in range(y.size):
            y[i] = scalar(x[i])

    options = {k: v for k, v in jit.OPTIONS.items() if not k.startswith("no_")}
    return njit(**options)(loop)


def run(name: str, x: Any) -> Any:
    y = np.empty_like(x)
    compiled(name, x.dtype.type)(x, y)
    return y


def run_plain(name: str, x: Any) -> Any:
    return np.array([getattr(vecmath, name)(v) for v in x])


def points(name: str, dtype: type, n: int) -> Any:
    """Arguments over the whole range of the function, near zero, and over all magnitudes."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    low, high = math.log(info.smallest_subnormal) - 1, math.log(info.max) + 1
    if name == "log":
        exponents = rng.uniform(math.log2(info.smallest_subnormal) + 1, math.log2(info.max), n)
        return np.concatenate([np.exp2(exponents), rng.uniform(0.5, 2, n), 1 + rng.normal(size=n) * 1e-3]).astype(dtype)
    if name in ("tanh", "erf"):
        low, high = -20, 20
    tiny = rng.choice([-1, 1], n) * np.exp(rng.uniform(low * 0.7, 1, n))
    return np.concatenate([rng.uniform(low, high, n), rng.normal(size=n), tiny]).astype(dtype)


def error(y: Any, x: Any, name: str) -> Any:
    """Distance to the exact value in units in the last place; checks that infinities agree."""
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(Wide))
        rounded = exact.astype(x.dtype)
        finite = np.isfinite(rounded)
        np.testing.assert_array_equal(y[~finite], rounded[~finite])
        ulp = np.spacing(np.abs(rounded[finite])).astype(Wide)
    return float((np.abs(y[finite].astype(Wide) - exact[finite]) / ulp).max())


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_compiled_accuracy(name: str, dtype: type) -> None:
    x = points(name, dtype, 100_000 if name != "erf" else 20_000)
    assert error(run(name, x), x, name) < ULPS


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_plain_python_accuracy(name: str, dtype: type) -> None:
    x = points(name, dtype, 300)
    y = run_plain(name, x)
    assert y.dtype == dtype
    assert error(y, x, name) < ULPS


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_special_values(name: str, dtype: type) -> None:
    x = np.array([-np.inf, np.inf, np.nan, 0.0, 1e4, -1e4, -np.finfo(dtype).smallest_subnormal], dtype)
    expected = np.array(SPECIAL[name], dtype)
    tolerance = 4 * np.finfo(dtype).eps
    for y in (run(name, x), run_plain(name, x)):
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=2 * np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_stay_in_their_range(dtype: type) -> None:
    x = points("tanh", dtype, 100_000)
    for name, low, high in (("tanh", -1, 1), ("erf", -1, 1), ("sigmoid", 0, 1)):
        y = run(name, x)
        assert y.min() >= low
        assert y.max() <= high


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_loops_vectorize(name: str, dtype: type) -> None:
    run(name, np.ones(3, dtype))
    (text,) = compiled(name, dtype).inspect_llvm().values()
    kind = {"float32": "float", "float64": "double"}[dtype.__name__]
    assert re.search(rf"fmul [a-z ]*<\d+ x {kind}>", text), "no vector arithmetic in the loop"
    assert not re.search(r"call [^\n]*@(exp|log|tanh|erf|floor)f?\(", text), "a call of libm in the loop"


def test_a_python_number_counts_as_float64() -> None:
    assert vecmath.exp(1) == pytest.approx(math.e, rel=1e-15)
    assert isinstance(vecmath.exp(1.0), np.float64)
