"""Probabilities from scores: softmax and log_softmax over the last axis.

The largest score of a row is subtracted first: exact results stay the same, and exp cannot overflow.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.reductions import row_max, row_sum
from chainrule.native.kernel import Call, Int, Kernel, Real1, blocks, device, kernel
from chainrule.native.memory import Array, Shape, View
from chainrule.native.vecmath import exp, log
from chainrule.ops.record import Example, Sample, op

TILE = 4096  # elements


@op(formula="yⱼ = exp xⱼ / Σₖ exp xₖ", flops=lambda x: 5.0 * math.prod(x), by_row=lambda x, **_: len(x) > 1)
def softmax(x: Array) -> Array:
    """Probabilities of scores x (..., c) over the last axis. Raises ShapeError where a row has no scores."""
    p = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = p / p.sum(axis=-1, keepdims=True)
    return y


@softmax.shape
def _(x: Shape) -> Shape:
    return _shape("softmax", x)


@softmax.lower
def _(y: View, x: View) -> list[Call]:
    return _rows(softmax_rows, y, x)


@kernel
def softmax_rows(tile: Int, y: Real1, x: Real1, columns: Int, rows: Int) -> None:
    """`rows` rows of y = softmax x, from row tile·rows on."""
    start = tile * rows * columns
    stop = min(x.size, start + rows * columns)
    p = y[start:stop]
    shifted_exp(p, x[start:stop], columns)
    for at in range(0, p.size, columns):
        row = p[at : at + columns]
        share = 1.0 / row_sum(row)
        for j in range(row.size):
            row[j] = row[j] * share


@softmax.gradient("x", formula="dxⱼ = yⱼ·(dyⱼ - Σₖ dyₖ·yₖ)")
def _(dy: Array, y: Array) -> Array:
    dx: Array = y * (dy - np.sum(dy * y, axis=-1, keepdims=True))
    return dx


@softmax.lower("x")
def _(dx: View, dy: View, y: View) -> list[Call]:
    return _rows(softmax_gradient, dx, dy, y)


@kernel
def softmax_gradient(tile: Int, dx: Real1, dy: Real1, y: Real1, columns: Int, rows: Int) -> None:
    """dx = y·(dy - Σ dy·y), row by row."""
    start = tile * rows * columns
    for at in range(start, min(y.size, start + rows * columns), columns):
        row, flow, share = dx[at : at + columns], dy[at : at + columns], y[at : at + columns]
        total = 0.0
        for j in range(share.size):
            total += flow[j] * share[j]
        for j in range(share.size):
            row[j] = share[j] * (flow[j] - total)


@op(formula="yⱼ = xⱼ - log Σₖ exp xₖ", flops=lambda x: 5.0 * math.prod(x), by_row=lambda x, **_: len(x) > 1)
def log_softmax(x: Array) -> Array:
    """Logarithms of the probabilities of scores x (..., c). Raises ShapeError where a row has no scores."""
    shifted = x - x.max(axis=-1, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return y


@log_softmax.shape
def _(x: Shape) -> Shape:
    return _shape("log_softmax", x)


@log_softmax.lower
def _(y: View, x: View) -> list[Call]:
    return _rows(log_softmax_rows, y, x)


@kernel
def log_softmax_rows(tile: Int, y: Real1, x: Real1, columns: Int, rows: Int) -> None:
    """`rows` rows of y = x - log Σ exp x, from row tile·rows on."""
    start = tile * rows * columns
    stop = min(x.size, start + rows * columns)
    p, scores = y[start:stop], x[start:stop]
    shifted_exp(p, scores, columns)
    for at in range(0, p.size, columns):
        row, score = p[at : at + columns], scores[at : at + columns]
        largest = row_max(score)
        rest = log(row_sum(row))
        for j in range(row.size):
            row[j] = (score[j] - largest) - rest


@log_softmax.gradient("x", formula="dxⱼ = dyⱼ - exp(yⱼ)·Σₖ dyₖ")
def _(dy: Array, y: Array) -> Array:
    dx: Array = dy - np.exp(y) * np.sum(dy, axis=-1, keepdims=True)
    return dx


@log_softmax.lower("x")
def _(dx: View, dy: View, y: View) -> list[Call]:
    return _rows(log_softmax_gradient, dx, dy, y)


@kernel
def log_softmax_gradient(tile: Int, dx: Real1, dy: Real1, y: Real1, columns: Int, rows: Int) -> None:
    """dx = dy - exp(y)·Σ dy, row by row; the exponentials of all rows are one loop."""
    start = tile * rows * columns
    stop = min(y.size, start + rows * columns)
    p, logs, flows = dx[start:stop], y[start:stop], dy[start:stop]
    for i in range(p.size):
        p[i] = exp(logs[i])
    for at in range(0, p.size, columns):
        row, flow = p[at : at + columns], flows[at : at + columns]
        total = row_sum(flow)
        for j in range(row.size):
            row[j] = flow[j] - row[j] * total


@device
def shifted_exp(p: Real1, x: Real1, columns: Int) -> None:
    """p = exp(x - the largest of its row), for rows of `columns` elements.

    The exponentials of all rows are one loop, so it runs at vector speed however short the rows are.
    """
    for start in range(0, p.size, columns):
        row = x[start : start + columns]
        shifted = p[start : start + columns]
        largest = row_max(row)
        for j in range(row.size):
            shifted[j] = row[j] - largest
    for i in range(p.size):
        p[i] = exp(p[i])


def _rows(kernel: Kernel, y: View, *operands: View) -> list[Call]:
    """The call of a kernel that computes rows of y from those of its operands."""
    columns = y.shape[-1]
    rows = max(1, TILE // columns)
    tiles = blocks(y.size, rows * columns)
    return [kernel(tiles, y.flat(), *(x.flat() for x in operands), columns, rows, flops=5.0 * y.size)] if tiles else []


def _shape(name: str, x: Shape) -> Shape:
    if not x or x[-1] == 0:
        raise ShapeError(f"{name}: x has shape {x}, expected a last axis with at least one score")
    return x


_SAMPLES = [
    Sample(((3, 4),)),
    Sample(((5,),)),
    Sample(((2, 3, 6),)),
    Sample(((1, 1),)),
    Sample(((0, 3),)),
    Sample(((500, 11),)),
    Sample(((3, 1500),)),
    Sample(((4, 5),), domain=lambda x: np.round(x) * 1e4),
    Sample(((3, 0),), error=ShapeError),
    Sample(((),), error=ShapeError),
]
_LOGS = [math.log(1.0), math.log(3.0)]

softmax.cases(
    samples=_SAMPLES,
    examples=[
        Example(([_LOGS],), [[0.25, 0.75]]),
        Example(([[1e4, 1e4], [-1e4, 1e4]],), [[0.5, 0.5], [0.0, 1.0]]),
    ],
)

log_softmax.cases(
    samples=_SAMPLES,
    examples=[
        Example(([_LOGS],), [[-math.log(4.0), math.log(0.75)]]),
        Example(([[1e4, 1e4], [-1e4, 1e4]],), [[-math.log(2.0), -math.log(2.0)], [-2e4, 0.0]]),
    ],
)
