"""Vector code for windows against plain Python, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from tests.native.emitted import CASES, emit

from chainrule.native.kernel import Address
from chainrule.native.window import EXTERNALS, pool_taps
from chainrule.native.window_code import window_code

NAMES = ("pool", "unpool")
ROOM = 4096  # elements of each array


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: Any) -> Any:
    """Both functions for one width and dtype."""
    dtype, target, addresses, kept = emit(window_code, request.param, NAMES)
    real = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    kinds = [ctypes.c_int64] * 12 + [real] + [ctypes.c_int64] * 2
    return dtype, target.lanes(dtype), [ctypes.CFUNCTYPE(None, *kinds)(address) for address in addresses], kept


@pytest.mark.parametrize("largest", [True, False], ids=["largest", "sum"])
@pytest.mark.parametrize("which", range(2), ids=NAMES)
@pytest.mark.parametrize(("pixels", "rows", "columns", "step", "dilation"), [
    (1, 1, 1, 1, 1), (7, 2, 2, 2, 1), (5, 3, 2, 1, 1), (4, 2, 3, 2, 2), (3, 1, 4, 5, 1),
])  # fmt: skip
def test_agrees_with_plain_python(
    compiled: Any, which: int, largest: bool, pixels: int, rows: int, columns: int, step: int, dilation: int
) -> None:
    dtype, lanes, functions, _ = compiled
    rng = np.random.default_rng(pixels)
    for channels in sorted({1, 2, lanes - 1, lanes} - {0}):
        for add in (0, 1):
            pixel = channels + 3  # others lie between, which must stay as they are
            big = rng.integers(-3, 4, ROOM).astype(dtype)
            big[rng.integers(0, ROOM, 40)] = np.nan
            argmax = rng.integers(5, 5 + rows * columns + 2, ROOM).astype(dtype)
            ours = [big, rng.normal(size=ROOM).astype(dtype), argmax]
            theirs = [a.copy() for a in ours]
            shape = (pixels, rows, columns)
            steps = (step * pixel, 40 * pixel, dilation * pixel)

            def arguments(
                b: Any, s: Any, p: Any, shape: Any = shape, steps: Any = steps, pixel: int = pixel, add: int = add,
                channels: int = channels,
            ) -> list[Any]:  # fmt: skip
                return [*shape, b, steps[0], steps[1], steps[2], s, pixel, p, 5, columns, 0.25, add, channels]

            addresses, plain = [a.ctypes.data + 8 * a.itemsize for a in ours], [Address(a, 8) for a in theirs]
            if not largest:
                addresses[2] = plain[2] = 0
            functions[which](*arguments(*addresses))
            EXTERNALS[which](*arguments(*plain))
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_tie_goes_to_the_first_and_nan_to_the_last() -> None:
    for values, expected in (
        ([2.0, 3.0, 3.0, 1.0], (3.0, 1.0)),
        ([-np.inf] * 4, (-np.inf, 0.0)),
        ([1.0, np.nan, np.nan, 9.0], (np.nan, 2.0)),
    ):
        small, argmax = np.zeros(1), np.zeros(1)
        pool_taps(
            1, 1, 4, Address(np.array(values), 0), 0, 0, 1, Address(small, 0), 1, Address(argmax, 0), 0, 4, 1.0, 0, 1
        )
        np.testing.assert_array_equal([small[0], argmax[0]], expected)
