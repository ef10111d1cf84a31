"""Sums and passes over arrays whose last axis is channels, for normalization.

An array is one run of elements, in which channel c comes at c, c + C, c + 2C, ... Loops over a few channels would be
all overhead, so several rows of channels form one row of `lanes`, a multiple of C: sums are made lane by lane and
folded at the end of a tile, and numbers by channel are repeated for all lanes beforehand.
"""

from __future__ import annotations

import numpy as np

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
    run_epilogue,
)
from chainrule.native.memory import Scratch, View

LANES = 512  # elements of a row, about: 32 vectors of AVX-512, and a few such rows stay in the first-level cache
FEW = 8  # rows of lanes that an array has at least: repeating numbers for all lanes must not cost more than the array
TILE = 16384  # elements, about, of a tile that is summed: read twice, the second time from the second-level cache
PASS = 8192  # elements, about, of a tile that is written: in the first-level cache for the epilogue


def lanes(channels: int, rows: int) -> int:
    """How many elements form one row, in an array with `rows` rows of channels: fewer if there are few."""
    return channels * max(1, min(LANES // channels, rows // FEW))


def tile_size(wide: int, about: int) -> int:
    """Elements of one tile: whole rows of `wide` lanes."""
    return wide * max(1, about // wide)


@device
def clear(row: Real1) -> None:
    """row = 0."""
    for j in range(row.size):
        row[j] = 0.0


@device
def add_rows(total: Real1, x: Real1) -> None:
    """total[j] += Σ x[j + rows·lanes], for as many lanes as `total` has."""
    for at in range(0, x.size, total.size):
        run = x[at : min(at + total.size, x.size)]
        for j in range(run.size):
            total[j] += run[j]


@device
def add_squares(total: Real1, x: Real1, centre: Real1) -> None:
    """total += Σ (x - centre)²."""
    for at in range(0, x.size, total.size):
        run = x[at : min(at + total.size, x.size)]
        for j in range(run.size):
            distance = run[j] - centre[j]
            total[j] += distance * distance


@device
def add_products(total: Real1, dy: Real1, x: Real1, centre: Real1) -> None:
    """total += Σ dy·(x - centre)."""
    for at in range(0, x.size, total.size):
        run = x[at : min(at + total.size, x.size)]
        flow = dy[at : min(at + total.size, x.size)]
        for j in range(run.size):
            total[j] += flow[j] * (run[j] - centre[j])


@device
def fold(total: Real1, channels: Int) -> None:
    """Each of the first `channels` lanes becomes the sum of all lanes of its channel."""
    kept = total[:channels]
    for at in range(channels, total.size, channels):
        more = total[at : at + channels]
        for c in range(kept.size):
            kept[c] += more[c]


@device
def repeat(row: Real1, channels: Int) -> None:
    """Repeat the first `channels` lanes for all other lanes of their channel."""
    given = row[:channels]
    for at in range(channels, row.size, channels):
        more = row[at : at + channels]
        for c in range(given.size):
            more[c] = given[c]


@kernel
def scale_table(tile: Int, table: Real2, mean: Real1, rstd: Real1, scale: Real1, shift: Real1) -> None:
    """Centre, factor and offset, lane by lane, of y = (x - mean)·rstd·scale + shift."""
    centre, factor, offset = table[0], table[1], table[2]
    for c in range(mean.size):
        centre[c] = mean[c]
        factor[c] = rstd[c] * scale[c]
        offset[c] = shift[c]
    for i in range(3):
        repeat(table[i], mean.size)


@kernel
def scale_lanes(
    tile: Int, y: Real1, x: Real1, table: Real2, size: Int, add: Int, y_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """y (+)= (x - centre)·factor + offset, the rows of the table; then the epilogue."""
    start = tile * size
    stop = min(y.size, start + size)
    centre, factor, offset = table[0], table[1], table[2]
    for at in range(start, stop, centre.size):
        run = x[at : min(at + centre.size, stop)]
        to = y[at : min(at + centre.size, stop)]
        if add:
            for j in range(to.size):
                to[j] += (run[j] - centre[j]) * factor[j] + offset[j]
        else:
            for j in range(to.size):
                to[j] = (run[j] - centre[j]) * factor[j] + offset[j]
    run_epilogue(epilogue, y_at, start, stop - start)


def scale_channels(y: View, x: View, table: View, epilogue: Epilogue, add: bool = False) -> list[Call]:
    """The call for y (+)= (x - centre)·factor + offset, a table of three rows of lanes, and the epilogue."""
    size = tile_size(table.shape[1], PASS)
    tiles = blocks(y.size, size)
    flops = 3.0 * y.size
    return [scale_lanes(tiles, y.flat(), x.flat(), table, size, int(add), y, epilogue, flops=flops)]


def inverse_roots(rstd: View, variance: View, eps: float) -> list[Call]:
    """The call for rstd = 1/√(variance + eps)."""
    return [inverse_root(1, rstd, variance, eps)] if rstd.size else []


@kernel
def inverse_root(tile: Int, rstd: Real1, variance: Real1, eps: Real) -> None:
    """rstd = 1/√(variance + eps), NaN for an infinite variance."""
    for c in range(rstd.size):
        rstd[c] = 1.0 / np.sqrt(variance[c] + eps) + 0.0 * variance[c]


def channel_gradients(
    dscale: View, dshift: View | None, dy: View, x: View, mean: View, rstd: View, scratch: Scratch
) -> list[Call]:
    """The calls for dscale = Σ dy·(x - mean)·rstd and, if wanted, dshift = Σ dy, in one pass."""
    channels = x.shape[-1]
    if not x.size:
        return [*zero(dscale), *(zero(dshift) if dshift else [])]
    wide = lanes(channels, x.size // channels)
    size = tile_size(wide, TILE)
    tiles = blocks(x.size, size)
    scaled, plain = (partial_sums(total, tiles, channels, scratch) for total in (dscale, dshift))
    room = scratch(tiles * 2 * wide).reshape(tiles, 2 * wide)
    calls = [channel_sums(tiles, scaled, plain, dy.flat(), x.flat(), mean, rstd, room, size, flops=4.0 * x.size)]
    return calls + add_partial_sums(dscale, scaled, scratch) + add_partial_sums(dshift, plain, scratch)


@kernel
def channel_sums(
    tile: Int, scaled: Real2, plain: Real2, dy: Real1, x: Real1, mean: Real1, rstd: Real1, room: Real2, size: Int
) -> None:  # fmt: skip
    """Row `tile` of scaled = Σ dy·(x - mean)·rstd and of plain = Σ dy, by channel over the tile."""
    start, stop = tile * size, min(x.size, (tile + 1) * size)
    run, flow = x[start:stop], dy[start:stop]
    wide = room.shape[1] // 2
    centre, total = room[tile][:wide], room[tile][wide:]
    for c in range(mean.size):
        centre[c] = mean[c]
    repeat(centre, mean.size)
    clear(total)
    add_products(total, flow, run, centre)
    fold(total, mean.size)
    row = scaled[tile]
    for c in range(row.size):
        row[c] = total[c] * rstd[c]
    clear(total)
    add_rows(total, flow)
    fold(total, mean.size)
    row = plain[tile]
    for c in range(row.size):
        row[c] = total[c]


def partial_sums(total: View | None, tiles: int, channels: int, scratch: Scratch) -> View:
    """Memory for the sums by channel of each tile: the total itself if there is only one tile."""
    memory = total if total is not None and tiles == 1 else scratch(tiles * channels)
    return memory.reshape(tiles, channels)


def add_partial_sums(total: View | None, parts: View, scratch: Scratch) -> list[Call]:
    """The calls that add the sums of all tiles, if the total is wanted."""
    return reduce(sum_parts, total.flat(), parts, (0,), scratch) if total is not None and parts.shape[0] > 1 else []
