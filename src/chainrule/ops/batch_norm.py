"""Batch normalization by the statistics of the batch, as in training; `chainrule.ops.normalize` uses given ones.

Channels are the last axis; means are over all others. Each tile computes its mean and variance in two passes while it
is in cache. They are combined in tile order by the formula of Chan, Golub and LeVeque (1983), so no digits are lost
where the mean is far from 0. A second pass over x normalizes it and runs the epilogue.

Source: Ioffe and Szegedy, Batch normalization, ICML 2015.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.channels import (
    PASS,
    TILE,
    add_rows,
    add_squares,
    channel_gradients,
    clear,
    fold,
    inverse_roots,
    lanes,
    repeat,
    scale_channels,
    scale_table,
    tile_size,
)
from chainrule.kernels.copies import zero
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.native.kernel import Call, Epilogue, Int, Pointer, Real, Real1, Real2, blocks, kernel, real, run_epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op

CHANNELS = 256  # of a tile of `join_moments`


@op(
    formula="y = scale·(x - mean)/√(variance + eps) + shift, mean and variance over all axes but the last",
    saves=("mean", "variance", "rstd"),
    flops=lambda x, *_: 8.0 * math.prod(x),
)
def batch_norm(x: Array, scale: Array, shift: Array, *, eps: float) -> tuple[Array, ...]:
    """x (..., c) with each channel brought to mean 0 and variance 1 over the batch, then scaled and shifted (c,).

    The variance is the biased one, Σ (x - mean)²/m with m values per channel; y is NaN where that sum overflows. Raises
    ShapeError unless scale and shift hold one number per channel.
    """
    mean, variance, rstd = statistics(x, axes_before(x), eps)
    return (x - mean) * rstd * scale + shift, mean, variance, rstd


def statistics(x: Array, axes: tuple[int, ...], eps: float) -> tuple[Array, Array, Array]:
    """Mean, variance Σ (x - mean)²/m and 1/√(variance + eps) over some axes.

    The last is NaN where Σ x or Σ (x - mean)² overflows the dtype, in which kernels add: no right value could follow.
    """
    count = max(1, math.prod(x.shape[axis] for axis in axes))
    total = x.sum(axes, np.float64)
    mean = (total / count).astype(x.dtype)
    squares = np.square(x - np.expand_dims(mean, axes)).sum(axes, np.float64)
    variance = (squares / count).astype(x.dtype)
    beyond = 0.0 * (squares + total).astype(x.dtype)
    return mean, variance, (1.0 / np.sqrt(variance + x.dtype.type(eps)) + beyond).astype(x.dtype)


@batch_norm.shape
def _(x: Shape, scale: Shape, shift: Shape, *, eps: float) -> list[Shape]:
    check_channels("batch_norm", x, scale=scale, shift=shift)
    return [x, *([x[-1:]] * 3)]


@batch_norm.lower
def _(
    y: View, mean: View, variance: View, rstd: View, x: View, scale: View, shift: View,
    *, eps: float, scratch: Scratch, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    channels = x.shape[-1]
    if not x.size:
        return [*zero(mean), *zero(variance), *inverse_roots(rstd, variance, eps)]
    rows, wide = x.size // channels, lanes(channels, x.size // channels)
    size = tile_size(wide, TILE)
    tiles, block, part = blocks(x.size, size), min(channels, CHANNELS), size // channels
    means, squares = (scratch(tiles * channels).reshape(tiles, channels) for _ in range(2))
    room = scratch(tiles * 2 * wide).reshape(tiles, 2 * wide)
    table = scratch(3 * wide).reshape(3, wide)
    return [
        moments(tiles, means, squares, x.flat(), room, channels, size, flops=4.0 * x.size),
        join_moments(blocks(channels, block), mean, variance, rstd, means, squares, rows, part, eps, block),
        scale_table(1, table, mean, rstd, scale, shift),
        *scale_channels(y, x, table, epilogue),
    ]


@kernel
def moments(tile: Int, means: Real2, squares: Real2, x: Real1, room: Real2, channels: Int, size: Int) -> None:
    """Row `tile` of means and squares: the mean of each channel over the tile, and Σ (x - mean)²."""
    run = x[tile * size : min(x.size, (tile + 1) * size)]
    wide = room.shape[1] // 2
    centre, total = room[tile][:wide], room[tile][wide:]
    mean, square = means[tile], squares[tile]
    share = 1.0 / real(run.size // channels)
    clear(total)
    add_rows(total, run)
    fold(total, channels)
    for c in range(mean.size):
        mean[c] = total[c] * share
        centre[c] = mean[c]
    repeat(centre, channels)
    clear(total)
    add_squares(total, run, centre)
    fold(total, channels)
    for c in range(square.size):
        square[c] = total[c]


@kernel
def join_moments(
    tile: Int, mean: Real1, variance: Real1, rstd: Real1, means: Real2, squares: Real2, rows: Int, part: Int, eps: Real,
    block: Int,
) -> None:  # fmt: skip
    """Mean and variance over all `rows` from those of parts of `part` rows, and 1/√(variance + eps).

    The last is NaN where Σ x or Σ (x - mean)² is beyond the dtype, as in `statistics`.
    """
    left = tile * block
    right = min(mean.size, left + block)
    centre, var, inverse = mean[left:right], variance[left:right], rstd[left:right]
    clear(centre)
    clear(var)
    clear(inverse)
    for i in range(means.shape[0]):
        weight = real(min(part, rows - i * part)) / real(rows)
        row = means[i][left:right]
        for c in range(row.size):
            centre[c] += weight * row[c]
    for i in range(means.shape[0]):
        count = real(min(part, rows - i * part))
        weight = count / real(rows)
        row, square = means[i][left:right], squares[i][left:right]
        for c in range(row.size):
            distance = row[c] - centre[c]
            var[c] += square[c] / real(rows) + weight * (distance * distance)
            inverse[c] += square[c] + count * (distance * distance)
    for c in range(inverse.size):
        beyond = 0.0 * (inverse[c] + real(rows) * centre[c])
        inverse[c] = 1.0 / np.sqrt(var[c] + eps) + beyond


@batch_norm.gradient(
    "x", formula="dx = scale·rstd·(dy - Σ dy/m - x̂·Σ(dy·x̂)/m), x̂ = (x - mean)·rstd, rstd = 1/√(variance + eps)"
)
def _(dy: Array, x: Array, scale: Array, mean: Array, rstd: Array, dscale: Array, dshift: Array) -> Array:
    count = max(1, math.prod(x.shape[:-1]))
    dx: Array = scale * rstd * (dy - dshift / count - (x - mean) * (rstd * dscale / count))
    return dx


@batch_norm.lower("x")
def _(
    dx: View, dy: View, x: View, scale: View, mean: View, rstd: View, dscale: View, dshift: View,
    *, scratch: Scratch, epilogue: Epilogue = (), add: bool = False,
) -> list[Call]:  # fmt: skip
    if not dx.size:
        return []
    rows = dx.size // dx.shape[-1]
    wide = lanes(dx.shape[-1], rows)
    table = scratch(4 * wide).reshape(4, wide)
    return [
        gradient_table(1, table, mean, rstd, scale, dscale, dshift, rows),
        *differ_channels(dx, dy, x, table, epilogue, add),
    ]


@kernel
def gradient_table(
    tile: Int, table: Real2, mean: Real1, rstd: Real1, scale: Real1, dscale: Real1, dshift: Real1, rows: Int
) -> None:  # fmt: skip
    """Centre, factor, slope and offset, lane by lane, of dx = factor·dy - slope·(x - mean) - offset."""
    centre, factor, slope, offset = table[0], table[1], table[2], table[3]
    share = 1.0 / real(rows)
    for c in range(mean.size):
        centre[c] = mean[c]
        factor[c] = scale[c] * rstd[c]
        slope[c] = factor[c] * rstd[c] * dscale[c] * share
        offset[c] = factor[c] * dshift[c] * share
    for i in range(4):
        repeat(table[i], mean.size)


def differ_channels(dx: View, dy: View, x: View, table: View, epilogue: Epilogue, add: bool) -> list[Call]:
    """The call for dx (+)= factor·dy - slope·(x - centre) - offset, a table of four rows, and the epilogue."""
    size = tile_size(table.shape[1], PASS)
    tiles = blocks(dx.size, size)
    last: tuple[Any, ...] = (size, int(add), dx, epilogue)
    return [scaled_difference(tiles, dx.flat(), dy.flat(), x.flat(), table, *last, flops=5.0 * dx.size)]


@kernel
def scaled_difference(
    tile: Int, dx: Real1, dy: Real1, x: Real1, table: Real2, size: Int, add: Int, dx_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """dx (+)= factor·dy - slope·(x - centre) - offset, the rows of the table; then the epilogue."""
    start = tile * size
    stop = min(dx.size, start + size)
    centre, factor, slope, offset = table[0], table[1], table[2], table[3]
    for at in range(start, stop, centre.size):
        run = x[at : min(at + centre.size, stop)]
        flow = dy[at : min(at + centre.size, stop)]
        to = dx[at : min(at + centre.size, stop)]
        if add:
            for j in range(to.size):
                to[j] += factor[j] * flow[j] - slope[j] * (run[j] - centre[j]) - offset[j]
        else:
            for j in range(to.size):
                to[j] = factor[j] * flow[j] - slope[j] * (run[j] - centre[j]) - offset[j]
    run_epilogue(epilogue, dx_at, start, stop - start)


@batch_norm.gradient("scale", formula="dscale = Σ dy·x̂, x̂ = (x - mean)·rstd")
def _(dy: Array, x: Array, mean: Array, rstd: Array) -> Array:
    dscale: Array = sum_channels(dy * (x - mean)) * rstd
    return dscale


@batch_norm.lower("scale")
def _(
    dscale: View, dy: View, x: View, mean: View, rstd: View, *, scratch: Scratch, sums: View | None = None
) -> list[Call]:  # fmt: skip
    return channel_gradients(dscale, sums, dy, x, mean, rstd, scratch)


@batch_norm.gradient("shift", formula="dshift = Σ dy")
def _(dy: Array) -> Array:
    return sum_channels(dy)


@batch_norm.lower("shift")
def _(dshift: View, dy: View, *, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, dshift, dy, tuple(range(len(dy.shape) - 1)), scratch)


def sum_channels(x: Array) -> Array:
    """The sum over all axes but the last."""
    total: Array = x.sum(axes_before(x), np.float64).astype(x.dtype)
    return total


def axes_before(x: Array) -> tuple[int, ...]:
    """All axes but the last."""
    return tuple(range(x.ndim - 1))


def check_channels(name: str, x: Shape, **by_channel: Shape) -> None:
    """Raise ShapeError unless the named operands have one number for each channel of x."""
    if not x:
        raise ShapeError(f"{name}: x is a single number, expected an array whose last axis is its channels")
    for given, shape in by_channel.items():
        if shape != x[-1:]:
            raise ShapeError(
                f"{name}: x of shape {x} has {x[-1]} channels, {given} has shape {shape}: expected ({x[-1]},), "
                "one number per channel, which is x's last axis"
            )


SHAPES: list[Shape] = [
    (6, 3), (4, 5, 3), (2, 3, 3, 4), (1, 1), (0, 3), (3, 0), (5,), (9000, 2), (3, 700), (2, 33, 40, 16), (1030, 31),
]  # fmt: skip

batch_norm.cases(
    samples=[
        *(Sample((s, s[-1:], s[-1:]), {"eps": 1e-3}) for s in SHAPES),
        Sample(((4, 3), (4,), (3,)), {"eps": 1e-5}, error=ShapeError),
        Sample(((4, 3), (3,), (1, 3)), {"eps": 1e-5}, error=ShapeError),
        Sample(((), (1,), (1,)), {"eps": 1e-5}, error=ShapeError),
    ],
    examples=[
        # Means 2 and 10, variances 1 and 9.
        Example(([[1.0, 7.0], [3.0, 13.0]], [2.0, 3.0], [0.5, 0.0]), [[-1.5, -3.0], [2.5, 3.0]], {"eps": 0.0}),
        Example(([[1.0], [3.0]], [2.0], [1.0]), [[0.0], [2.0]], {"eps": 3.0}),
    ],
)
