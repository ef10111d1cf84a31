"""Vector code for softmax against plain Python, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from tests.native.emitted import CASES, emit

from chainrule.native.kernel import Address
from chainrule.native.softmax import EXTERNALS
from chainrule.native.softmax_code import softmax_code

NAMES = ("soften", "slopes")


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: Any) -> Any:
    """Both functions for one width and dtype."""
    dtype, target, addresses, kept = emit(softmax_code, request.param, NAMES)
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    functions = []
    for external, address in zip(EXTERNALS, addresses, strict=True):
        kinds = [real if letter == "r" else ctypes.c_int64 for letter in external.signature]
        functions.append(ctypes.CFUNCTYPE(None, *kinds)(address))
    return dtype, 2 * target.lanes(dtype), functions, kept


def run(compiled: Any, which: int, numbers: list[float], arrays: list[Any], order: list[int]) -> list[Any]:
    """Arrays after the compiled function, compared with those after the plain one; None is the address 0.

    `order` says for each argument which array it is, or, counted from -1 down, which number.
    """
    dtype, _, functions, _ = compiled
    ours, theirs = ([None if a is None else a.astype(dtype) for a in arrays] for _ in range(2))
    address = [0 if a is None else a.ctypes.data for a in ours]
    functions[which](*(address[i] if i >= 0 else numbers[-1 - i] for i in order))
    plain = [0 if a is None else Address(a.reshape(-1), 0) for a in theirs]
    EXTERNALS[which].python(*(plain[i] if i >= 0 else numbers[-1 - i] for i in order))
    tolerance = 2e-6 if dtype == np.float32 else 1e-14
    for one, other in zip(ours, theirs, strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=4 * tolerance, atol=tolerance)
    return ours


@pytest.mark.parametrize("drops", [False, True], ids=["kept", "dropped"])
@pytest.mark.parametrize(("rows", "panels"), [(1, 1), (2, 3), (37, 2)])
def test_soften(compiled: Any, rows: int, panels: int, drops: bool) -> None:
    rng, columns = np.random.default_rng(rows), panels * compiled[1]
    cells = rng.normal(size=(rows, columns)) * 20
    cells[rng.random(cells.shape) < 0.2] = -np.inf
    cells[:, 0] = -np.inf  # a query that sees no key
    factors = rng.integers(0, 2, cells.shape) * 2.0 if drops else None
    largest, total = rng.normal(size=columns), rng.random(columns)
    largest[:2] = -np.inf
    arrays = [cells, factors, largest, total, np.full(columns, np.nan)]
    found = run(compiled, 0, [rows, columns, 0.5], arrays, [-1, -2, 0, 1, -3, 2, 3, 4])
    assert not found[0][:, 0].any()
    assert found[2][0] == -np.inf
    assert np.isfinite(found[4]).all()


def test_soften_keeps_what_is_not_a_number(compiled: Any) -> None:
    columns = compiled[1]
    cells = np.zeros((3, columns))
    cells[1, 0], cells[0, 1] = np.nan, np.inf
    arrays = [cells, None, np.full(columns, -np.inf), np.zeros(columns), np.zeros(columns)]
    _, _, _, total, _ = run(compiled, 0, [3, columns, 1.0], arrays, [-1, -2, 0, 1, -3, 2, 3, 4])
    assert np.isnan(total[:2]).all()
    assert (total[2:] == 3).all()


@pytest.mark.parametrize("drops", [False, True], ids=["kept", "dropped"])
@pytest.mark.parametrize(("rows", "panels"), [(1, 1), (2, 3), (37, 2)])
def test_slopes(compiled: Any, rows: int, panels: int, drops: bool) -> None:
    rng, columns = np.random.default_rng(rows), panels * compiled[1]
    cells, flows = rng.normal(size=(2, rows, columns))
    cells[rng.random(cells.shape) < 0.2] = -np.inf
    factors = rng.integers(0, 2, cells.shape) * 2.0 if drops else None
    lse, dot = rng.normal(size=(2, columns))
    lse[0] = np.inf  # of a query that sees no key
    arrays = [cells, flows, factors, lse, dot]
    found = run(compiled, 1, [rows, columns, 0.5, 0.25], arrays, [-1, -2, 0, 1, 2, -3, 3, 4, -4])
    assert not found[0][:, 0].any()
    assert not found[1][:, 0].any()
