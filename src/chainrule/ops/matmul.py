"""The product of two matrices, or of batches of them: `matmul`."""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.products import batched, rows
from chainrule.native.kernel import Call
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(formula="y = a·b", flops=lambda a, b: 2.0 * math.prod(a) * b[-1], by_row=lambda a, **_: len(a) == 2)
def matmul(a: Array, b: Array) -> Array:
    """The matrix product of a (..., m, k) and b (k, n), or b (..., k, n) with the leading axes of a.

    y[..., i, j] = Σₖ a[..., i, k]·b[..., k, j]. Raises ShapeError unless the inner sizes and the leading axes agree.
    """
    return a @ b


@matmul.shape
def _(a: Shape, b: Shape) -> Shape:
    if len(a) < 2 or len(b) < 2:
        raise ShapeError(f"matmul: a has shape {a} and b {b}, both need two axes or more: reshape vectors to matrices")
    if a[-1] != b[-2]:
        raise ShapeError(
            f"matmul: a of shape {a} has {a[-1]} columns, b of shape {b} has {b[-2]} rows: they must be equal; "
            "transpose one of them or check their order"
        )
    if len(b) > 2 and a[:-2] != b[:-2]:
        raise ShapeError(
            f"matmul: a has leading axes {a[:-2]}, b has {b[:-2]}: give b two axes only, or the leading axes of a"
        )
    return (*a[:-1], b[-1])


@matmul.lower
def _(y: View, a: View, b: View, *, scratch: Scratch) -> list[Call]:
    return batched(y, a, b, scratch)


@matmul.gradient("a", formula="da = dy·bᵀ")
def _(dy: Array, b: Array) -> Array:
    return dy @ b.swapaxes(-1, -2)


@matmul.lower("a")
def _(da: View, dy: View, b: View, *, scratch: Scratch) -> list[Call]:
    return batched(da, dy, b, scratch, transpose_b=True)


@matmul.gradient("b", formula="db = aᵀ·dy, summed over leading axes that b lacks")
def _(dy: Array, a: Array, *, b_shape: Shape) -> Array:
    if len(b_shape) > 2:
        return a.swapaxes(-1, -2) @ dy
    if not (a.size and dy.size):  # an empty array cannot be reshaped to (-1, k)
        return np.zeros(b_shape, dy.dtype)
    return a.reshape(-1, b_shape[0]).T @ dy.reshape(-1, b_shape[1])


@matmul.lower("b")
def _(db: View, dy: View, a: View, *, scratch: Scratch) -> list[Call]:
    if len(db.shape) == 2:
        a, dy = rows(a), rows(dy)
    return batched(db, a, dy, scratch, transpose_a=True)


matmul.cases(
    samples=[
        Sample(((3, 4), (4, 5))),
        Sample(((1, 1), (1, 1))),
        Sample(((0, 4), (4, 5))),
        Sample(((3, 0), (0, 5))),
        Sample(((17, 33), (33, 20))),
        Sample(((2, 3, 4), (4, 5))),
        Sample(((2, 3, 4), (2, 4, 5))),
        Sample(((2, 2, 3, 4), (2, 2, 4, 5))),
        Sample(((3, 4), (5, 4)), error=ShapeError),
        Sample(((2, 3, 4), (3, 4, 5)), error=ShapeError),
        Sample(((4,), (4, 5)), error=ShapeError),
    ],
    examples=[Example(([[1.0, 2.0], [3.0, 4.0]], [[5.0], [6.0]]), [[17.0], [39.0]])],
)
