"""Vector code for tiles against plain Python, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from llvmlite import binding as llvm

from chainrule.native.kernel import Address
from chainrule.native.machine import Processor, processor
from chainrule.native.objects import target_machine
from chainrule.native.tiles import EXTERNALS, TRANSFORMS, A, B, G
from chainrule.native.tiles_code import tiles_code

WIDTHS = {"AVX-512": (64, 32), "AVX2": (32, 16), "NEON": (16, 32)}
ROOM, START = 4096, 700  # elements of each array; where the first tile's corner is


@pytest.fixture(scope="module", params=[(w, d) for w in WIDTHS for d in ("float32", "float64")], ids="-".join)
def compiled(request: Any) -> Any:
    """All transforms for one width and dtype, compiled for this machine whatever its own width."""
    name, dtype = request.param[0], np.dtype(request.param[1])
    here = processor()
    target = Processor(here.name, here.features, *WIDTHS[name])
    symbols = [f"{t.name}_{name.replace('-', '')}_{dtype}" for t in TRANSFORMS]
    code = target_machine().emit_object(llvm.parse_assembly(tiles_code(dtype, target, *symbols)))
    linker = llvm.create_lljit_compiler(target_machine())
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for symbol in symbols:
        builder.export_symbol(symbol)
    library = builder.link(linker, symbols[0])
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 16)
    return dtype, target.lanes(dtype), [kind(library[s]) for s in symbols], library


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
