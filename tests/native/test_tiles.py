"""Vector code for tiles against plain Python, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from tests.native.emitted import CASES, emit

from chainrule.native.kernel import Address
from chainrule.native.tiles import EXTERNALS, TRANSFORMS, A, B, G
from chainrule.native.tiles_code import tiles_code

ROOM, START = 4096, 700  # elements of each array; where the first tile's corner is


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: Any) -> Any:
    """All transforms for one width and dtype."""
    dtype, target, places, kept = emit(tiles_code, request.param, [t.name for t in TRANSFORMS])
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 16)
    return dtype, target.lanes(dtype), [kind(place) for place in places], kept


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("which", range(len(TRANSFORMS)), ids=[t.name for t in TRANSFORMS])
@pytest.mark.parametrize(("tiles", "edges"), [
    (1, (0, 4, 0, 4)), (3, (0, 9, 0, 8)), (3, (1, 9, 1, 6)), (4, (-1, 2, -3, 7)), (2, (3, 4, 0, 1)),
])  # fmt: skip
def test_agrees_with_plain_python(
    compiled: Any, which: int, tiles: int, edges: tuple[int, int, int, int], add: int
) -> None:
    dtype, lanes, functions, _ = compiled
    rng = np.random.default_rng(tiles)
    for channels in sorted({1, 2, lanes - 1, lanes, 2 * lanes + 1} - {0}):
        ours = [rng.standard_normal(ROOM).astype(dtype) for _ in range(3)]
        theirs = [a.copy() for a in ours]
        pixel = channels + 1  # another number lies between, which must stay as it is
        source, target = (2 * pixel, 9 * pixel, pixel), (16 * pixel, 4 * pixel, pixel)
        for biased in (True, False):
            for arrays, make in ((ours, _address), (theirs, Address)):
                x, y, bias = (make(array, START) for array in arrays)
                function = functions[which] if arrays is ours else EXTERNALS[which]
                function(tiles, channels, x, *source, y, *target, *edges, bias if biased else 0, add)
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def _address(array: Any, offset: int) -> int:
    return int(array.ctypes.data) + offset * array.itemsize


def test_the_matrices_are_those_of_a_convolution() -> None:
    """A·[(G·g) ⊙ (B·d)] is the correlation of four numbers with three."""
    d, g = np.array([3.0, -1.0, 4.0, 1.5]), np.array([2.0, 7.0, -0.5])
    found = np.array(A) @ ((np.array(G) @ g) * (np.array(B) @ d))
    np.testing.assert_allclose(found, np.correlate(d, g, "valid"))
