"""A layer of weights: `linear`, a matrix product and a bias.

Compiled by `product` of `kernels/products.py` (kernel `gemm`), whose inner loop is `native/microkernel.py`.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.products import Matrix, column_sums, product, rows
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y = x·W + b",
    weights=("w", "b"),
    flops=lambda x, w, b: 2.0 * math.prod(x) * w[1],
    by_row=lambda x, **_: len(x) > 1,
)
def linear(x: Array, w: Array, b: Array | None = None) -> Array:
    """The matrix product of x (..., i) and weights w (i, j), plus the bias b (j,) or None: y (..., j).

    y[n, j] = Σᵢ x[n, i]·W[i, j] + b[j] and dW[i, j] = Σₙ x[n, i]·dy[n, j], where n counts the rows of all leading axes.
    Raises ShapeError unless x has i features.
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
    return product(rows(dx), Matrix(rows(dy)), Matrix(w, transposed=True), scratch, add=add, epilogue=epilogue)


@linear.gradient("w", formula="dW = xᵀ·dy")
def _(dy: Array, x: Array, *, w_shape: Shape) -> Array:
    if not (x.size and dy.size):
        return np.zeros(w_shape, dy.dtype)
    return x.reshape(-1, w_shape[0]).T @ dy.reshape(-1, w_shape[1])


@linear.lower("w")
def _(
    dw: View, dy: View, x: View, *, scratch: Scratch, add: bool = False, sums: View | None = None
) -> list[Call]:  # fmt: skip
    return product(dw, Matrix(rows(x), transposed=True), Matrix(rows(dy)), scratch, add=add, sums=sums)


@linear.gradient("b", formula="db = Σₙ dy[n]")
def _(dy: Array, *, b_shape: Shape) -> Array:
    return dy.reshape(-1, *b_shape).sum(axis=0) if dy.size else np.zeros(b_shape, dy.dtype)


@linear.lower("b")
def _(db: View, dy: View, *, scratch: Scratch, add: bool = False) -> list[Call]:
    return column_sums(db, rows(dy), scratch, add=add)


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
