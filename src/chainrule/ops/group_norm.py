"""Group normalization: each group of channels of each sample is brought to mean 0 and variance 1 by itself.

A tile is some whole samples, each in cache for its three passes. With one group it is layer normalization
over all but the first axis; with as many groups as channels, instance normalization.

Source: Wu and He, Group normalization, ECCV 2018.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.channels import (
    PASS,
    add_partial_sums,
    add_products,
    add_rows,
    add_squares,
    clear,
    fold,
    lanes,
    partial_sums,
    repeat,
)
from chainrule.kernels.copies import zero
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.native.kernel import (
    Call,
    Epilogue,
    Int,
    Pointer,
    Real,
    Real1,
    Real2,
    blocks,
    device,
    kernel,
    real,
    run_epilogue,
)
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.batch_norm import check_channels, statistics
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y = scale·(x - mean)/√(variance + eps) + shift, mean and variance of each group of a sample's channels",
    saves=("mean", "rstd"),
    by_row=lambda x, **_: len(x) > 1,
    flops=lambda x, *_: 8.0 * math.prod(x),
)
def group_norm(x: Array, scale: Array, shift: Array, *, groups: int, eps: float) -> tuple[Array, Array, Array]:
    """x (n, ..., c) with each group of neighboring channels of each sample brought to mean 0 and variance 1, then
    scaled and shifted (c,).

    The variance is the biased one, over all pixels and channels of the group. Raises OptionError unless c is a multiple
    of `groups`, ShapeError unless scale and shift hold one number per channel.
    """
    values = _grouped(x, groups)
    mean, _, rstd = statistics(values, (1, 3), eps)
    return ((values - mean[:, None, :, None]) * rstd[:, None, :, None]).reshape(x.shape) * scale + shift, mean, rstd


@group_norm.shape
def _(x: Shape, scale: Shape, shift: Shape, *, groups: int, eps: float) -> list[Shape]:
    if len(x) < 2 or 0 in x[1:]:
        raise ShapeError(f"group_norm: x has shape {x}, expected (samples, ..., channels), none of them empty")
    check_channels("group_norm", x, scale=scale, shift=shift)
    if groups < 1 or x[-1] % groups:
        raise OptionError(f"group_norm: groups is {groups}, expected a whole number that divides the {x[-1]} channels")
    return [x, (x[0], groups), (x[0], groups)]


@group_norm.lower
def _(
    y: View, mean: View, rstd: View, x: View, scale: View, shift: View,
    *, eps: float, scratch: Scratch, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    if not x.size:
        return []
    size, samples, tiles = _cut(x, PASS)
    room = _room(scratch, tiles, 3, x)
    arrays = (y.flat(), mean, rstd, x.flat(), scale, shift, room)
    return [normalize_groups(tiles, *arrays, eps, size, samples, y, epilogue, flops=8.0 * x.size)]


@kernel
def normalize_groups(
    tile: Int, y: Real1, mean: Real2, rstd: Real2, x: Real1, scale: Real1, shift: Real1, room: Real2, eps: Real,
    size: Int, samples: Int, y_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """Samples tile·samples and on, of `size` elements, of y = (x - mean)·rstd·scale + shift; then the epilogue."""
    channels, wide = scale.size, room.shape[1] // 3
    centre, factor, offset = room[tile][:wide], room[tile][wide : 2 * wide], room[tile][2 * wide :]
    share = real(mean.shape[1]) / real(size)
    begin, end = tile * samples, min(mean.shape[0], (tile + 1) * samples)
    for c in range(channels):
        offset[c] = shift[c]
    repeat(offset, channels)
    for i in range(begin, end):
        run, to = x[i * size : (i + 1) * size], y[i * size : (i + 1) * size]
        clear(factor)
        add_rows(factor, run)
        fold(factor, channels)
        group_means(mean[i], factor, channels, share)
        by_channel(centre, mean[i], channels)
        clear(factor)
        add_squares(factor, run, centre)
        fold(factor, channels)
        inverse = rstd[i]
        group_means(inverse, factor, channels, share)
        for g in range(inverse.size):
            inverse[g] = 1.0 / np.sqrt(inverse[g] + eps) + 0.0 * inverse[g]  # NaN where that overflowed the dtype
        by_channel(factor, inverse, channels)
        for c in range(channels):
            factor[c] *= scale[c]
        repeat(factor, channels)
        for at in range(0, run.size, wide):
            part, put = run[at : min(at + wide, run.size)], to[at : min(at + wide, run.size)]
            for j in range(part.size):
                put[j] = (part[j] - centre[j]) * factor[j] + offset[j]
    run_epilogue(epilogue, y_at, begin * size, (end - begin) * size)


@device
def group_means(mean: Real1, total: Real1, channels: Int, share: Real) -> None:
    """The mean of each group from the sums of its channels, which are the first lanes of `total`."""
    inside = channels // mean.size
    for g in range(mean.size):
        run = total[g * inside : (g + 1) * inside]
        sums = 0.0
        for c in range(run.size):
            sums += run[c]
        mean[g] = sums * share


@device
def by_channel(row: Real1, by_group: Real1, channels: Int) -> None:
    """Each lane of `row` becomes the number of its channel's group."""
    inside = channels // by_group.size
    for g in range(by_group.size):
        run = row[g * inside : (g + 1) * inside]
        for c in range(run.size):
            run[c] = by_group[g]
    repeat(row, channels)


@group_norm.gradient("x", formula="dx = rstd·(g - mean(g) - x̂·mean(g·x̂)), g = dy·scale, x̂ = (x - mean)·rstd")
def _(dy: Array, x: Array, scale: Array, mean: Array, rstd: Array, *, groups: int) -> Array:
    g, count = _grouped(dy * scale, groups), max(1, math.prod(x.shape[1:]) // groups)
    inverse = rstd[:, None, :, None]
    normal = (_grouped(x, groups) - mean[:, None, :, None]) * inverse
    along = (g * normal).sum((1, 3), keepdims=True) / count
    dx: Array = inverse * (g - g.sum((1, 3), keepdims=True) / count - normal * along)
    return dx.reshape(x.shape)


@group_norm.lower("x")
def _(
    dx: View, dy: View, x: View, scale: View, mean: View, rstd: View,
    *, scratch: Scratch, epilogue: Epilogue = (), add: bool = False,
) -> list[Call]:  # fmt: skip
    if not dx.size:
        return []
    size, samples, tiles = _cut(dx, PASS)
    room = _room(scratch, tiles, 4, dx)
    arrays = (dx.flat(), dy.flat(), x.flat(), scale, mean, rstd, room)
    last = (size, samples, int(add), dx, epilogue)
    return [normalize_groups_gradient(tiles, *arrays, *last, flops=10.0 * x.size)]


@kernel
def normalize_groups_gradient(
    tile: Int, dx: Real1, dy: Real1, x: Real1, scale: Real1, mean: Real2, rstd: Real2, room: Real2,
    size: Int, samples: Int, add: Int, dx_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """Samples tile·samples and on of dx (+)= rstd·(g - mean(g) - x̂·mean(g·x̂)), g = dy·scale; then the epilogue."""
    channels, groups, wide = scale.size, mean.shape[1], room.shape[1] // 4
    centre, factor = room[tile][:wide], room[tile][wide : 2 * wide]
    slope, offset = room[tile][2 * wide : 3 * wide], room[tile][3 * wide :]
    share = real(groups) / real(size)
    begin, end = tile * samples, min(mean.shape[0], (tile + 1) * samples)
    for i in range(begin, end):
        run, flow, to = x[i * size : (i + 1) * size], dy[i * size : (i + 1) * size], dx[i * size : (i + 1) * size]
        by_channel(centre, mean[i], channels)
        clear(slope)
        clear(offset)
        add_products(slope, flow, run, centre)
        add_rows(offset, flow)
        fold(slope, channels)
        fold(offset, channels)
        inside = channels // groups
        for g in range(groups):
            inverse = rstd[i, g]
            along = 0.0
            plain = 0.0
            for c in range(g * inside, (g + 1) * inside):
                along += slope[c] * scale[c]
                plain += offset[c] * scale[c]
            for c in range(g * inside, (g + 1) * inside):
                factor[c] = scale[c] * inverse
                slope[c] = real(along * share * np.float64(inverse) ** 3)  # the cube may be too small for float32
                offset[c] = plain * share * inverse
        repeat(factor, channels)
        repeat(slope, channels)
        repeat(offset, channels)
        for at in range(0, run.size, wide):
            stop = min(at + wide, run.size)
            part, given, put = run[at:stop], flow[at:stop], to[at:stop]
            if add:
                for j in range(part.size):
                    put[j] += factor[j] * given[j] - slope[j] * (part[j] - centre[j]) - offset[j]
            else:
                for j in range(part.size):
                    put[j] = factor[j] * given[j] - slope[j] * (part[j] - centre[j]) - offset[j]
    run_epilogue(epilogue, dx_at, begin * size, (end - begin) * size)


@group_norm.gradient("scale", formula="dscale = Σ dy·x̂, x̂ = (x - mean)·rstd")
def _(dy: Array, x: Array, mean: Array, rstd: Array, *, groups: int) -> Array:
    normal = (_grouped(x, groups) - mean[:, None, :, None]) * rstd[:, None, :, None]
    dscale: Array = (_grouped(dy, groups) * normal).sum((0, 1)).reshape(x.shape[-1:])
    return dscale


@group_norm.lower("scale")
def _(
    dscale: View, dy: View, x: View, mean: View, rstd: View, *, scratch: Scratch, sums: View | None = None
) -> list[Call]:  # fmt: skip
    if not x.size:
        return [*zero(dscale), *(zero(sums) if sums else [])]
    size, samples, tiles = _cut(x, 2 * PASS)
    channels = x.shape[-1]
    scaled, plain = (partial_sums(total, tiles, channels, scratch) for total in (dscale, sums))
    arrays = (scaled, plain, dy.flat(), x.flat(), mean, rstd, _room(scratch, tiles, 2, x))
    calls = [group_sums(tiles, *arrays, size, samples, flops=4.0 * x.size)]
    return calls + add_partial_sums(dscale, scaled, scratch) + add_partial_sums(sums, plain, scratch)


@kernel
def group_sums(
    tile: Int, scaled: Real2, plain: Real2, dy: Real1, x: Real1, mean: Real2, rstd: Real2, room: Real2, size: Int,
    samples: Int,
) -> None:  # fmt: skip
    """Row `tile` of scaled = Σ dy·(x - mean)·rstd and of plain = Σ dy, by channel over samples tile·samples and on."""
    channels, groups, wide = plain.shape[1], mean.shape[1], room.shape[1] // 2
    centre, total = room[tile][:wide], room[tile][wide:]
    along, sums = scaled[tile], plain[tile]
    inside = channels // groups
    clear(along)
    clear(sums)
    for i in range(tile * samples, min(mean.shape[0], (tile + 1) * samples)):
        run, flow = x[i * size : (i + 1) * size], dy[i * size : (i + 1) * size]
        by_channel(centre, mean[i], channels)
        clear(total)
        add_products(total, flow, run, centre)
        fold(total, channels)
        for g in range(groups):
            for c in range(g * inside, (g + 1) * inside):
                along[c] += total[c] * rstd[i, g]
        clear(total)
        add_rows(total, flow)
        fold(total, channels)
        for c in range(channels):
            sums[c] += total[c]


@group_norm.gradient("shift", formula="dshift = Σ dy")
def _(dy: Array) -> Array:
    dshift: Array = dy.sum(tuple(range(dy.ndim - 1)))
    return dshift


@group_norm.lower("shift")
def _(dshift: View, dy: View, *, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, dshift, dy, tuple(range(len(dy.shape) - 1)), scratch)


def _cut(x: View, about: int) -> tuple[int, int, int]:
    """Elements of a sample, samples of a tile, and tiles."""
    size = math.prod(x.shape[1:])
    samples = max(1, about // size)
    return size, samples, blocks(x.shape[0], samples)


def _room(scratch: Scratch, tiles: int, rows: int, x: View) -> View:
    """Memory for each tile: `rows` rows of lanes, as many as suit one sample."""
    size = rows * lanes(x.shape[-1], math.prod(x.shape[1:-1]))
    return scratch(tiles * size).reshape(tiles, size)


def _grouped(x: Array, groups: int) -> Array:
    """x as (n, pixels, groups, channels of a group)."""
    inside = x.shape[-1] // groups
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), groups, inside)


def _with(groups: int, eps: float = 1e-3) -> dict[str, float]:
    return {"groups": groups, "eps": eps}


group_norm.cases(
    samples=[
        *(
            Sample((shape, shape[-1:], shape[-1:]), _with(groups))
            for shape, groups in [
                ((4, 6), 2),
                ((2, 3, 3, 4), 2),
                ((2, 3, 3, 4), 4),
                ((3, 5, 4), 1),
                ((1, 1), 1),
                ((0, 3), 3),
                ((2, 33, 40, 16), 4),
                ((5, 7, 600), 3),
                ((2000, 12), 3),
            ]
        ),
        Sample(((4, 6), (6,), (6,)), _with(4), error=OptionError),
        Sample(((4, 6), (6,), (6,)), _with(0), error=OptionError),
        Sample(((4, 6), (3,), (6,)), _with(3), error=ShapeError),
        Sample(((6,), (6,), (6,)), _with(3), error=ShapeError),
        Sample(((2, 0, 6), (6,), (6,)), _with(3), error=ShapeError),
    ],
    examples=[
        # Groups (1, 3) and (7, 13): means 2 and 10, variances 1 and 9.
        Example(
            ([[1.0, 3.0, 7.0, 13.0]], [2.0, 3.0, 1.0, 1.0], [0.5, 0.0, 0.0, 1.0]),
            [[-1.5, 3.0, -1.0, 2.0]],
            _with(2, 0.0),
        ),
        Example(([[[1.0], [3.0]]], [1.0], [0.0]), [[[-0.5], [0.5]]], _with(1, 3.0)),
    ],
)
