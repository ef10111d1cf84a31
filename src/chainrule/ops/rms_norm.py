"""RMS normalization: each row is divided by the root of the mean of its squares.

Layer normalization without the mean and the shift. Source: Zhang and Sennrich, Root mean square layer normalization,
NeurIPS 2019.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.channels import add_partial_sums, partial_sums
from chainrule.kernels.copies import zero
from chainrule.kernels.row_norms import PART, TILE, normalize_rows, normalize_rows_gradient, row_sums
from chainrule.native.kernel import Call, Epilogue, blocks
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y = scale·x/√(mean(x²) + eps), the mean of each row",
    saves=("rstd",),
    flops=lambda x, *_: 5.0 * math.prod(x),
)
def rms_norm(x: Array, scale: Array, *, eps: float) -> tuple[Array, Array]:
    """x with each row brought to a mean square of 1, then scaled.

    Raises ShapeError unless scale has the shape of x's last axes.
    """
    flat = _rows(x, scale)
    rstd = 1.0 / np.sqrt((flat * flat).mean(1) + x.dtype.type(eps))
    return (flat * rstd[:, None]).reshape(x.shape) * scale, rstd


@rms_norm.shape
def _(x: Shape, scale: Shape, *, eps: float) -> list[Shape]:
    if not scale or scale != x[-len(scale) :] or 0 in scale:
        raise ShapeError(
            f"rms_norm: x has shape {x}, scale has shape {scale}: expected that of x's last axes, "
            "one number per element of a row, and at least one"
        )
    return [x, (math.prod(x[: len(x) - len(scale)]),)]


@rms_norm.lower
def _(y: View, rstd: View, x: View, scale: View, *, eps: float, epilogue: Epilogue = ()) -> list[Call]:
    if not x.size:
        return []
    rows, scale = max(1, TILE // scale.size), scale.flat()
    arrays = (y.flat(), rstd, rstd, x.flat(), scale, scale)
    return [normalize_rows(blocks(rstd.size, rows), *arrays, 0, eps, rows, y, epilogue, flops=5.0 * x.size)]


@rms_norm.gradient("x", formula="dx = rstd·(g - x̂·mean(g·x̂)), g = dy·scale, x̂ = x·rstd")
def _(dy: Array, x: Array, scale: Array, rstd: Array) -> Array:
    g, inverse = _rows(dy * scale, scale), rstd[:, None]
    normal = _rows(x, scale) * inverse
    dx: Array = inverse * (g - normal * ((g * normal).sum(1, keepdims=True) / scale.size))
    return dx.reshape(x.shape)


@rms_norm.lower("x")
def _(
    dx: View, dy: View, x: View, scale: View, rstd: View, *, epilogue: Epilogue = (), add: bool = False
) -> list[Call]:  # fmt: skip
    if not dx.size:
        return []
    rows = max(1, TILE // scale.size)
    arrays = (dx.flat(), dy.flat(), x.flat(), scale.flat(), rstd, rstd)
    last = (0, rows, int(add), dx, epilogue)
    return [normalize_rows_gradient(blocks(rstd.size, rows), *arrays, *last, flops=7.0 * x.size)]


@rms_norm.gradient("scale", formula="dscale = Σ dy·x̂ over rows, x̂ = x·rstd")
def _(dy: Array, x: Array, scale: Array, rstd: Array) -> Array:
    dscale: Array = (_rows(dy, scale) * _rows(x, scale) * rstd[:, None]).sum(0).reshape(scale.shape)
    return dscale


@rms_norm.lower("scale")
def _(dscale: View, dy: View, x: View, scale: View, rstd: View, *, scratch: Scratch) -> list[Call]:
    if not x.size:
        return zero(dscale)
    columns = scale.size
    rows = max(1, PART // columns)
    tiles = blocks(rstd.size, rows)
    scaled, plain = (partial_sums(total, tiles, columns, scratch) for total in (dscale, None))
    calls = [row_sums(tiles, scaled, plain, dy.flat(), x.flat(), rstd, rstd, 0, rows, flops=3.0 * x.size)]
    return calls + add_partial_sums(dscale, scaled, scratch)


def _rows(x: Array, scale: Array) -> Array:
    """x as a matrix of the rows that are normalized."""
    return x.reshape(math.prod(x.shape[: x.ndim - scale.ndim]), scale.size)


rms_norm.cases(
    samples=[
        *(
            Sample((shape, row), {"eps": 1e-3})
            for shape, row in [
                ((4, 5), (5,)),
                ((2, 3, 4), (3, 4)),
                ((3, 4), (3, 4)),
                ((1,), (1,)),
                ((0, 3), (3,)),
                ((700, 31), (31,)),
                ((3, 5000), (5000,)),
            ]
        ),
        Sample(((4, 3), (4,)), {"eps": 1e-5}, error=ShapeError),
        Sample(((3,), (4, 3)), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 3), ()), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 0), (0,)), {"eps": 1e-5}, error=ShapeError),
    ],
    examples=[
        # Mean squares 25 and 1.
        Example(([[1.0, 7.0], [-1.0, 1.0]], [2.0, 10.0]), [[0.4, 14.0], [-2.0, 10.0]], {"eps": 0.0}),
        Example(([[1.0, 1.0]], [3.0, 3.0]), [[1.5, 1.5]], {"eps": 3.0}),
    ],
)
