"""Upsampling of images by the nearest pixel, on the kernels of pooling: `upsample_nearest`."""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.pooling import Grid, Window, pool, unpool
from chainrule.kernels.windows import Pair
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.pooling import check_images
from chainrule.ops.record import Example, Sample, op


@op(formula="y[u, v] = x[⌊u/s⌋, ⌊v/s⌋]", flops=lambda x: float(math.prod(x)))
def upsample_nearest(x: Array, *, scale: Pair) -> Array:
    """Every pixel of x (n, h, w, c) repeated scale[0] times down and scale[1] times across.

    Raises ShapeError unless x is a batch of images, OptionError for a scale below 1.
    """
    return x.repeat(scale[0], axis=1).repeat(scale[1], axis=2)


@upsample_nearest.shape
def _(x: Shape, *, scale: Pair) -> Shape:
    check_images("upsample_nearest", x)
    if min(scale) < 1:
        raise OptionError(f"upsample_nearest: scale {scale}, expected whole numbers of at least 1")
    return (x[0], x[1] * scale[0], x[2] * scale[1], x[3])


@upsample_nearest.lower
def _(y: View, x: View, *, scale: Pair, epilogue: Epilogue = ()) -> list[Call]:
    return unpool(y, x, _grid(x.shape, scale), epilogue=epilogue)


@upsample_nearest.gradient("x", formula="dx[a, b] = Σᵢⱼ dy[a·s + i, b·s + j], i and j from 0 to s - 1")
def _(dy: Array, *, scale: Pair, x_shape: Shape) -> Array:
    n, h, w, c = x_shape
    return np.asarray(dy.reshape(n, h, scale[0], w, scale[1], c).sum(axis=(2, 4)))


@upsample_nearest.lower("x")
def _(dx: View, dy: View, *, scale: Pair, x_shape: Shape, epilogue: Epilogue = ()) -> list[Call]:
    return pool(dx, dy, _grid(x_shape, scale), epilogue=epilogue)


def _grid(x: Shape, scale: Pair) -> Grid:
    """The pixels of y that each pixel of x becomes, as a window over y."""
    rows, columns = ([Window(a * s, 0, s, 1) for a in range(n)] for n, s in zip(x[1:3], scale, strict=True))
    return Grid(rows, columns)


upsample_nearest.cases(
    samples=[
        Sample(((2, 3, 4, 5),), {"scale": (2, 2)}),
        Sample(((2, 3, 4, 17),), {"scale": (1, 3)}),
        Sample(((1, 1, 1, 1),), {"scale": (1, 1)}),
        Sample(((0, 3, 4, 5),), {"scale": (2, 2)}),
        Sample(((3, 16, 16, 32),), {"scale": (2, 2)}),
        Sample(((2, 3, 4, 5),), {"scale": (0, 2)}, error=OptionError),
        Sample(((2, 3, 4),), {"scale": (2, 2)}, error=ShapeError),
        Sample(((2, 0, 4, 1),), {"scale": (2, 2)}, error=ShapeError),
    ],
    examples=[
        Example(
            ([[[[1.0], [2.0]]]],), [[[[1.0], [1.0], [2.0], [2.0]], [[1.0], [1.0], [2.0], [2.0]]]], {"scale": (2, 2)}
        )
    ],
)
