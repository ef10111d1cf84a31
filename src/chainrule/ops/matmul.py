"""Products of matrices: `matmul` for any two, `linear` for a layer's weights and bias."""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.products import Matrix, batched, column_sums, product, rows
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


def _matmul_flops(a: Shape, b: Shape) -> float:
    return 2.0 * math.prod(a) * b[-1]


@op(formula="y = a·b", flops=_matmul_flops)
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
    return batched(da, dy, b, scratch, turn_b=True)


@matmul.gradient("b", formula="db = aᵀ·dy")
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
    return batched(db, a, dy, scratch, turn_a=True)


def _linear_flops(x: Shape, w: Shape, b: Shape | None) -> float:
    return 2.0 * math.prod(x) * w[1]


@op(formula="y = x·W + b", weights=("w", "b"), flops=_linear_flops)
def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """A layer's weighted sums of x (..., i), weights w (i, o) and bias b (o,) or None, giving y (..., o).

    y[..., j] = Σᵢ x[..., i]·w[i, j] + b[j]. Raises ShapeError when x has other than i features.
    """
    y = x @ w
    return y if b is None else y + b


@linear.shape
def _(x: Shape, w: Shape, b: Shape | None) -> Shape:
    if len(w) != 2:
        raise ShapeError(f"linear: the weight has shape {w}, expected two axes: (features in, features out)")
    if not x or x[-1] != w[0]:
        have = f"{x[-1]} features" if x else "no axis"
        raise ShapeError(
            f"linear: x has {have}, the weight expects {w[0]}: "
            f"pass x with {w[0]} columns or build nn.Linear({x[-1] if x else 1}, ...)"
        )
    if b is not None and b != (w[1],):
        raise ShapeError(f"linear: the bias has shape {b}, expected ({w[1]},): one number per column of the weight")
    return (*x[:-1], w[1])


@linear.lower
def _(
    y: View, x: View, w: View, b: View | None, *, scratch: Scratch, epilogue: Epilogue = ()
) -> list[Call]:  # fmt: skip
    return product(rows(y), Matrix(rows(x)), Matrix(w), scratch, bias=b, epilogue=epilogue)


@linear.gradient("x", formula="dx = dy·Wᵀ")
def _(dy: Array, w: Array) -> Array:
    return dy @ w.T


@linear.lower("x")
def _(
    dx: View, dy: View, w: View, *, scratch: Scratch, epilogue: Epilogue = (), add: bool = False
) -> list[Call]:  # fmt: skip
    return product(rows(dx), Matrix(rows(dy)), Matrix(w, turned=True), scratch, add=add, epilogue=epilogue)


@linear.gradient("w", formula="dW = xᵀ·dy")
def _(dy: Array, x: Array, *, w_shape: Shape) -> Array:
    if not (x.size and dy.size):
        return np.zeros(w_shape, dy.dtype)
    return x.reshape(-1, w_shape[0]).T @ dy.reshape(-1, w_shape[1])


@linear.lower("w")
def _(
    dw: View, dy: View, x: View, *, scratch: Scratch, add: bool = False, sums: View | None = None
) -> list[Call]:  # fmt: skip
    return product(dw, Matrix(rows(x), turned=True), Matrix(rows(dy)), scratch, add=add, sums=sums)


@linear.gradient("b", formula="db = Σₙ dy")
def _(dy: Array, *, b_shape: Shape) -> Array:
    return dy.reshape(-1, *b_shape).sum(axis=0) if dy.size else np.zeros(b_shape, dy.dtype)


@linear.lower("b")
def _(db: View, dy: View, *, scratch: Scratch, add: bool = False) -> list[Call]:
    return column_sums(db, rows(dy), scratch, add=add)


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

linear.cases(
    samples=[
        Sample(((3, 4), (4, 5), (5,))),
        Sample(((3, 4), (4, 5), None)),
        Sample(((1, 1), (1, 1), (1,))),
        Sample(((0, 4), (4, 5), (5,))),
        Sample(((3, 0), (0, 5), (5,))),
        Sample(((3, 0), (0, 5), None)),
        Sample(((33, 30), (30, 64), (64,))),
        Sample(((3, 9001), (9001, 6), (6,))),  # summed in parts
        Sample(((3, 1210), (1210, 40), None)),
        Sample(((4,), (4, 5), (5,))),
        Sample(((2, 3, 4), (4, 5), (5,))),
        Sample(((3, 4), (5, 4), (4,)), error=ShapeError),
        Sample(((3, 4), (4, 5), (4,)), error=ShapeError),
        Sample(((3, 4), (2, 4, 5), None), error=ShapeError),
        Sample(((), (4, 5), (5,)), error=ShapeError),
    ],
    examples=[Example(([[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]], [0.5, -0.5]), [[13.5, 15.5]])],
)
