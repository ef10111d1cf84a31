"""Layer normalization: each row is brought to mean 0 and variance 1 by itself.

A row is one position of the leading axes: all elements of the last axes, which are those of scale and shift. Its mean
and variance take two passes while it is in cache, so the array is read from memory once.

Source: Ba, Kiros and Hinton, Layer normalization, arXiv:1607.06450 (2016).
"""

from __future__ import annotations

import math

from chainrule.errors import ShapeError
from chainrule.kernels.channels import add_partial_sums, partial_sums
from chainrule.kernels.copies import zero
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.kernels.row_norms import PART, TILE, normalize_rows, normalize_rows_gradient, row_sums
from chainrule.native.kernel import Call, Epilogue, blocks
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.batch_norm import statistics
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y = scale·(x - mean)/√(variance + eps) + shift, mean and variance of each row",
    saves=("mean", "rstd"),
    by_row=lambda x, **_: len(x) > 1,
    flops=lambda x, *_: 8.0 * math.prod(x),
)
def layer_norm(x: Array, scale: Array, shift: Array, *, eps: float = 1e-5) -> tuple[Array, Array, Array]:
    """x with each row brought to mean 0 and (biased) variance 1, then scaled and shifted.

    Raises ShapeError unless scale and shift have the shape of x's last axes.
    """
    flat = _rows(x, scale)
    mean, _, rstd = statistics(flat, (1,), eps)
    y = ((flat - mean[:, None]) * rstd[:, None]).reshape(x.shape) * scale + shift
    return y, mean, rstd


@layer_norm.shape
def _(x: Shape, scale: Shape, shift: Shape, *, eps: float) -> list[Shape]:
    for name, shape in (("scale", scale), ("shift", shift)):
        if not shape or shape != x[-len(shape) :] or shape != scale or 0 in shape:
            raise ShapeError(
                f"layer_norm: x has shape {x}, {name} has shape {shape}: expected that of x's last axes, "
                "one number per element of a row, and at least one"
            )
    rows = (math.prod(x[: len(x) - len(scale)]),)
    return [x, rows, rows]


@layer_norm.lower
def _(
    y: View, mean: View, rstd: View, x: View, scale: View, shift: View, *, eps: float, epilogue: Epilogue = ()
) -> list[Call]:  # fmt: skip
    if not x.size:
        return []
    rows = max(1, TILE // scale.size)
    arrays = (y.flat(), mean, rstd, x.flat(), scale.flat(), shift.flat())
    return [
        normalize_rows(blocks(mean.size, rows), *arrays, 1, eps, rows, y, epilogue, flops=8.0 * x.size),
    ]


@layer_norm.gradient("x", formula="dx = rstd·(g - mean(g) - x̂·mean(g·x̂)), g = dy·scale, x̂ = (x - mean)·rstd")
def _(dy: Array, x: Array, scale: Array, mean: Array, rstd: Array) -> Array:
    g, centre, inverse = _rows(dy * scale, scale), mean[:, None], rstd[:, None]
    normal = (_rows(x, scale) - centre) * inverse
    count = scale.size
    along = (g * normal).sum(1, keepdims=True) / count
    dx: Array = inverse * (g - g.sum(1, keepdims=True) / count - normal * along)
    return dx.reshape(x.shape)


@layer_norm.lower("x")
def _(
    dx: View, dy: View, x: View, scale: View, mean: View, rstd: View, *, epilogue: Epilogue = (), add: bool = False
) -> list[Call]:  # fmt: skip
    if not dx.size:
        return []
    rows = max(1, TILE // scale.size)
    arrays = (dx.flat(), dy.flat(), x.flat(), scale.flat(), mean, rstd)
    last = (1, rows, int(add), dx, epilogue)
    return [normalize_rows_gradient(blocks(mean.size, rows), *arrays, *last, flops=10.0 * x.size)]


@layer_norm.gradient("scale", formula="dscale = Σ dy·x̂ over rows, x̂ = (x - mean)·rstd")
def _(dy: Array, x: Array, scale: Array, mean: Array, rstd: Array) -> Array:
    normal = (_rows(x, scale) - mean[:, None]) * rstd[:, None]
    dscale: Array = (_rows(dy, scale) * normal).sum(0).reshape(scale.shape)
    return dscale


@layer_norm.lower("scale")
def _(
    dscale: View, dy: View, x: View, scale: View, mean: View, rstd: View,
    *, scratch: Scratch, sums: View | None = None,
) -> list[Call]:  # fmt: skip
    if not x.size:
        return [*zero(dscale), *(zero(sums) if sums else [])]
    columns = scale.size
    rows = max(1, PART // columns)
    tiles = blocks(mean.size, rows)
    scaled, plain = (partial_sums(total, tiles, columns, scratch) for total in (dscale, sums))
    calls = [row_sums(tiles, scaled, plain, dy.flat(), x.flat(), mean, rstd, 1, rows, flops=5.0 * x.size)]
    return calls + add_partial_sums(dscale, scaled, scratch) + add_partial_sums(sums, plain, scratch)


@layer_norm.gradient("shift", formula="dshift = Σ dy over rows")
def _(dy: Array, *, shift_shape: Shape) -> Array:
    rows = math.prod(dy.shape[: dy.ndim - len(shift_shape)])
    dshift: Array = dy.reshape(rows, *shift_shape).sum(0)
    return dshift


@layer_norm.lower("shift")
def _(dshift: View, dy: View, *, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, dshift, dy, tuple(range(len(dy.shape) - len(dshift.shape))), scratch)


def _rows(x: Array, scale: Array) -> Array:
    """x as a matrix of the rows that are normalized."""
    return x.reshape(math.prod(x.shape[: x.ndim - scale.ndim]), scale.size)


layer_norm.cases(
    samples=[
        *(
            Sample((shape, row, row), {"eps": 1e-3})
            for shape, row in [
                ((4, 5), (5,)),
                ((2, 3, 4), (4,)),
                ((2, 3, 4), (3, 4)),
                ((3, 4), (3, 4)),
                ((1,), (1,)),
                ((0, 3), (3,)),
                ((700, 31), (31,)),
                ((3, 5000), (5000,)),
                ((2, 50, 17, 4), (17, 4)),
            ]
        ),
        Sample(((4, 3), (4,), (4,)), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 3), (3,), (1, 3)), {"eps": 1e-5}, error=ShapeError),
        Sample(((3,), (4, 3), (4, 3)), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 3), (), ()), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 0), (0,), (0,)), {"eps": 1e-5}, error=ShapeError),
    ],
    examples=[
        # Means 2 and 10, variances 1 and 9.
        Example(([[1.0, 3.0], [7.0, 13.0]], [2.0, 3.0], [0.5, 0.0]), [[-1.5, 3.0], [-1.5, 3.0]], {"eps": 0.0}),
        Example(([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.0]), [[-0.5, 0.5]], {"eps": 3.0}),
    ],
)
