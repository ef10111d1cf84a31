"""An op with two outputs and a saved value, for tests of what every op may have; it is not in the table of ops."""

from __future__ import annotations

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.losses import absent
from chainrule.native.kernel import KERNELS, Call, Int, Real1, blocks, kernel
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.record import OPS, Example, Sample, op

TILE = 16  # elements


@op(formula="y = x², h = x³", returns=("h",), saves=("double",))
def powers(x: Array) -> tuple[Array, Array, Array]:
    """The second and the third power of each element."""
    return x * x, x * x * x, 2.0 * x


@powers.shape
def _(x: Shape) -> list[Shape]:
    if len(x) > 2:
        raise ShapeError(f"powers: x has shape {x}, expected two axes at most")
    return [x, x, x]


@powers.lower
def _(y: View, h: View, double: View, x: View) -> list[Call]:
    return [powers_parts(blocks(x.size, TILE), y.flat(), h.flat(), double.flat(), x.flat(), flops=3.0 * x.size)]


@kernel
def powers_parts(tile: Int, y: Real1, h: Real1, double: Real1, x: Real1) -> None:
    """One tile of all three."""
    for i in range(tile * TILE, min((tile + 1) * TILE, x.size)):
        y[i] = x[i] * x[i]
        h[i] = y[i] * x[i]
        double[i] = 2.0 * x[i]


@powers.gradient("x", formula="dx = 2x·dy + 3x²·dh")
def _(dy: Array | None, dh: Array | None, y: Array, double: Array) -> Array:
    parts = [*([] if dy is None else [dy * double]), *([] if dh is None else [3.0 * y * dh])]
    return np.asarray(sum(parts))


@powers.lower("x")
def _(dx: View, dy: View | None, dh: View | None, y: View, double: View) -> list[Call]:
    flows = (flow.flat() if flow else absent(dx) for flow in (dy, dh))
    return [powers_gradient(blocks(dx.size, TILE), dx.flat(), *flows, y.flat(), double.flat(), flops=5.0 * dx.size)]


@kernel
def powers_gradient(tile: Int, dx: Real1, dy: Real1, dh: Real1, y: Real1, double: Real1) -> None:
    """One tile of dx; a missing gradient is empty."""
    for i in range(tile * TILE, min((tile + 1) * TILE, dx.size)):
        total = 0.0
        if dy.size > 0:
            total += dy[i] * double[i]
        if dh.size > 0:
            total += 3.0 * y[i] * dh[i]
        dx[i] = total


powers.cases(
    samples=[
        *(Sample((shape,)) for shape in ((2, 3), (0, 3), (1,), (), (4, 37))),
        Sample(((2, 2, 2),), error=ShapeError),
    ],
    examples=[Example(([1.0, -2.0],), [1.0, 4.0])],
)
del OPS["powers"], KERNELS[-2:]
