"""Zero padding of images: `zero_pad2d`."""

from __future__ import annotations

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.copies import Walk, copy, strides, zero
from chainrule.kernels.windows import Padding
from chainrule.native.kernel import Call, Int, Real1, blocks, kernel
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.record import Example, Sample, op

TILE = 16384  # elements


@op(formula="y[u, v] = x[u - top, v - left], 0 outside x", flops=0.0)
def zero_pad2d(x: Array, *, padding: Padding) -> Array:
    """Images x (n, h, w, c) with ((top, bottom), (left, right)) rows and columns of zeros around them.

    Raises ShapeError unless x has four axes, OptionError for negative padding.
    """
    return np.pad(x, ((0, 0), *padding, (0, 0)))


@zero_pad2d.shape
def _(x: Shape, *, padding: Padding) -> Shape:
    if len(x) != 4:
        raise ShapeError(f"zero_pad2d: x has shape {x}, expected four axes, (images, height, width, channels)")
    if min(min(sides) for sides in padding) < 0:
        raise OptionError(f"zero_pad2d: padding {padding}, expected whole numbers of at least 0: crop with x[:, 1:-1]")
    return (x[0], x[1] + sum(padding[0]), x[2] + sum(padding[1]), x[3])


@zero_pad2d.lower
def _(y: View, x: View, *, padding: Padding) -> list[Call]:
    if not y.size:
        return []
    if not x.size:
        return zero(y)
    _, height, width, channels = x.shape
    (top, _), (left, right) = padding
    out, wide = y.shape[1], y.shape[2] * channels
    rows = max(1, TILE // wide)
    return [
        pad_rows(
            blocks(y.size // wide, rows), y.flat(), x.flat(), height, top, out, width * channels, left * channels,
            right * channels, rows,
        )
    ]  # fmt: skip


@kernel
def pad_rows(
    tile: Int, y: Real1, x: Real1, height: Int, top: Int, out: Int, line: Int, left: Int, right: Int, rows: Int
) -> None:
    """`rows` rows of y, each written once: zeros, or a row of x between zeros. A row of x has `line` elements."""
    wide = left + line + right
    for row in range(tile * rows, min((tile + 1) * rows, y.size // wide)):
        source = row % out - top
        at = row * wide
        if source < 0 or source >= height:
            run = y[at : at + wide]
            for i in range(run.size):
                run[i] = 0.0
            continue
        before, run, after = y[at : at + left], y[at + left : at + left + line], y[at + left + line : at + wide]
        copied = x[(row // out * height + source) * line : (row // out * height + source + 1) * line]
        for i in range(before.size):
            before[i] = 0.0
        for i in range(run.size):
            run[i] = copied[i]
        for i in range(after.size):
            after[i] = 0.0


@zero_pad2d.gradient("x", formula="dx[a, b] = dy[a + top, b + left]")
def _(dy: Array, *, padding: Padding, x_shape: Shape) -> Array:
    (top, _), (left, _) = padding
    return dy[:, top : top + x_shape[1], left : left + x_shape[2]]


@zero_pad2d.lower("x")
def _(dx: View, dy: View, *, padding: Padding, x_shape: Shape) -> list[Call]:
    steps = strides(dy.shape)
    return copy(dx, dy, x_shape, at=Walk(steps, padding[0][0] * steps[1] + padding[1][0] * steps[2]))


zero_pad2d.cases(
    samples=[
        Sample(((2, 3, 4, 5),), {"padding": ((1, 1), (2, 2))}),
        Sample(((2, 3, 4, 5),), {"padding": ((0, 2), (1, 0))}),
        Sample(((1, 1, 1, 1),), {"padding": ((0, 0), (0, 0))}),
        Sample(((0, 3, 4, 5),), {"padding": ((1, 1), (1, 1))}),
        Sample(((1, 0, 2, 1),), {"padding": ((1, 1), (0, 0))}),
        Sample(((3, 28, 28, 16),), {"padding": ((2, 2), (2, 2))}),
        Sample(((2, 3, 4, 5),), {"padding": ((1, -1), (0, 0))}, error=OptionError),
        Sample(((2, 3, 4),), {"padding": ((1, 1), (1, 1))}, error=ShapeError),
    ],
    examples=[
        Example(([[[[1.0], [2.0]]]],), [[[[0.0], [1.0], [2.0]], [[0.0], [0.0], [0.0]]]], {"padding": ((0, 1), (1, 0))})
    ],
)
