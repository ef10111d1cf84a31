"""Normalization by a given mean and variance: batch normalization of a trained network."""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.channels import channel_gradients, inverse_roots, lanes, scale_channels, scale_table
from chainrule.kernels.copies import zero
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.batch_norm import SHAPES, check_channels, sum_channels
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y = scale·(x - mean)/√(variance + eps) + shift",
    offsets=("shift", "mean"),
    by_row=lambda x, **_: len(x) > 1,
    flops=lambda x, *_: 8.0 * math.prod(x),
)
def normalize(x: Array, scale: Array, shift: Array, mean: Array, variance: Array, *, eps: float = 1e-5) -> Array:
    """x (..., c) normalized by a given mean and variance per channel, then scaled and shifted (c,).

    Mean and variance have no gradient. Raises ShapeError unless each operand holds one number per channel.
    """
    y: Array = (x - mean) * (scale / _deviation(variance, eps)) + shift
    return y


def _deviation(variance: Array, eps: float) -> Array:
    """√(variance + eps), NaN for an infinite variance."""
    root: Array = np.sqrt(variance + variance.dtype.type(eps)) + 0.0 * variance
    return root


@normalize.shape
def _(x: Shape, scale: Shape, shift: Shape, mean: Shape, variance: Shape, *, eps: float) -> Shape:
    check_channels("normalize", x, scale=scale, shift=shift, mean=mean, variance=variance)
    return x


@normalize.lower
def _(
    y: View, x: View, scale: View, shift: View, mean: View, variance: View,
    *, eps: float, scratch: Scratch, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    if not x.size:
        return []
    wide = lanes(x.shape[-1], x.size // x.shape[-1])
    rstd, table = scratch(x.shape[-1]), scratch(3 * wide).reshape(3, wide)
    return [
        *inverse_roots(rstd, variance, eps),
        scale_table(1, table, mean, rstd, scale, shift),
        *scale_channels(y, x, table, epilogue),
    ]


@normalize.gradient("x", formula="dx = dy·scale/√(variance + eps)")
def _(dy: Array, scale: Array, variance: Array, *, eps: float) -> Array:
    dx: Array = dy * (scale / _deviation(variance, eps))
    return dx


@normalize.lower("x")
def _(
    dx: View, dy: View, scale: View, variance: View,
    *, eps: float, scratch: Scratch, epilogue: Epilogue = (), add: bool = False,
) -> list[Call]:  # fmt: skip
    if not dx.size:
        return []
    channels = dx.shape[-1]
    wide = lanes(channels, dx.size // channels)
    rstd, nothing, table = scratch(channels), scratch(channels), scratch(3 * wide).reshape(3, wide)
    return [
        *inverse_roots(rstd, variance, eps),
        *zero(nothing),
        scale_table(1, table, nothing, rstd, scale, nothing),
        *scale_channels(dx, dy, table, epilogue, add),
    ]


@normalize.gradient("scale", formula="dscale = Σ dy·(x - mean)/√(variance + eps)")
def _(dy: Array, x: Array, mean: Array, variance: Array, *, eps: float) -> Array:
    dscale: Array = sum_channels(dy * (x - mean)) / _deviation(variance, eps)
    return dscale


@normalize.lower("scale")
def _(
    dscale: View, dy: View, x: View, mean: View, variance: View,
    *, eps: float, scratch: Scratch, sums: View | None = None,
) -> list[Call]:  # fmt: skip
    rstd = scratch(x.shape[-1])
    return [*inverse_roots(rstd, variance, eps), *channel_gradients(dscale, sums, dy, x, mean, rstd, scratch)]


@normalize.gradient("shift", formula="dshift = Σ dy")
def _(dy: Array) -> Array:
    return sum_channels(dy)


@normalize.lower("shift")
def _(dshift: View, dy: View, *, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, dshift, dy, tuple(range(len(dy.shape) - 1)), scratch)


def _given(shape: Shape) -> tuple[Shape | Array, ...]:
    """Inputs of `normalize`: x of a shape, then scale, shift, mean, and variances, which are not negative."""
    by_channel = shape[-1:]
    variance = np.linspace(0.1, 2.0, by_channel[0])
    return shape, by_channel, by_channel, by_channel, variance


normalize.cases(
    samples=[
        *(Sample(_given(s), {"eps": 1e-3}) for s in SHAPES),
        Sample(((4, 3), (3,), (3,), (4,), (3,)), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 3), (3,), (3,), (3,), (1, 3)), {"eps": 1e-5}, error=ShapeError),
        Sample(((), (1,), (1,), (1,), (1,)), {"eps": 1e-5}, error=ShapeError),
    ],
    examples=[
        Example(([[1.0], [3.0]], [2.0], [0.5], [2.0], [1.0]), [[-1.5], [2.5]], {"eps": 0.0}),
        Example(([[7.0, 1.0]], [3.0, 2.0], [0.0, 1.0], [10.0, 3.0], [8.0, 3.0]), [[-3.0, -1.0]], {"eps": 1.0}),
    ],
)
