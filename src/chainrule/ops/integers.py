"""Whole numbers where real ones are needed: as_real."""

from __future__ import annotations

import numpy as np

from chainrule.errors import DtypeError
from chainrule.native.kernel import Call, Int, Int1, Real1, blocks, kernel
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.record import Example, Sample, op

TILE = 8192  # elements


@op(formula="y = x as real numbers", integers=("x",), flops=0.0, by_row=True)
def as_real(x: Array) -> Array:
    """Whole numbers, of which every op's dtype makes real ones: exactly up to 2^24 in float32.

    Raises DtypeError if they are real already.
    """
    if x.dtype.kind == "f":
        raise DtypeError(f"as_real: x is {x.dtype}, expected whole numbers: leave it as it is")
    return x


@as_real.shape
def _(x: Shape) -> Shape:
    return x


@as_real.lower
def _(y: View, x: View) -> list[Call]:
    return [whole_to_real(blocks(x.size, TILE), y.flat(), x.flat())] if x.size else []


@kernel
def whole_to_real(tile: Int, y: Real1, x: Int1) -> None:
    """One tile of y = x."""
    run = y[tile * TILE : min((tile + 1) * TILE, y.size)]
    whole = x[tile * TILE : min((tile + 1) * TILE, y.size)]
    for i in range(run.size):
        run[i] = whole[i]


as_real.cases(
    samples=[
        Sample((np.arange(6).reshape(2, 3) - 2,)),
        Sample((np.zeros((0, 3), np.int64),)),
        Sample((np.array(7),)),
        Sample((np.arange(20000) * 3,)),
        Sample(((2, 3),), error=DtypeError),
    ],
    examples=[Example(([3, -1],), [3.0, -1.0])],
)
