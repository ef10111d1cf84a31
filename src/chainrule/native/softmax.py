"""Softmax of transposed scores as kernels see it: its symbols, emitted by `softmax_code.py`, and the same in Python.

Rows are keys, columns are queries, of which there are whole panels: what is in columns without a query is not used.
`factors` is what dropout multiplies each share by, or 0 for none.

    soften     cells = exp(scale·cells - largest)·factors; largest and total are those of all blocks so far, and
               `moved` = exp(old largest - largest), by which older blocks are to be multiplied
    slopes     cells = p·factors and flows = (flows·factors - dot)·p·slope with p = exp(scale·cells - lse)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.native.kernel import Address, External


def _soften(
    rows: int, columns: int, cells: Address, factors: Any, scale: float, largest: Address, total: Address,
    moved: Address,
) -> None:  # fmt: skip
    block, kept = _block(rows, columns, cells), _block(rows, columns, factors) if factors else 1.0
    top, sums, change = (_row(columns, x) for x in (largest, total, moved))
    with np.errstate(all="ignore"):
        block *= scale
        new = np.fmax(top, np.fmax.reduce(block, axis=0))  # what is not a number shows in the sum
        safe = np.where(new == -np.inf, 0.0, new)
        change[:], top[:] = np.exp(top - safe), new
        block[:] = np.exp(block - safe)
        sums[:] = sums * change + block.sum(axis=0)
        block *= kept


def _slopes(
    rows: int, columns: int, cells: Address, flows: Address, factors: Any, scale: float, lse: Address, dot: Address,
    slope: float,
) -> None:  # fmt: skip
    block, flow = _block(rows, columns, cells), _block(rows, columns, flows)
    kept = _block(rows, columns, factors) if factors else 1.0
    with np.errstate(all="ignore"):
        block[:] = np.exp(block * scale - _row(columns, lse))
        flow[:] = (flow * kept - _row(columns, dot)) * block * slope
        block *= kept


def _block(rows: int, columns: int, address: Address) -> Any:
    return address.strided((rows, columns), (columns, 1))


def _row(columns: int, address: Address) -> Any:
    return address.strided((columns,), (1,))


soften = External("soften_{dtype}", "iiiiriii", _soften)
slopes = External("slopes_{dtype}", "iiiiiriir", _slopes)
EXTERNALS = (soften, slopes)
