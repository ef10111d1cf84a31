"""Sums and passes over arrays whose last axis is channels, as batch and group normalization need them.

An array is seen as one stretch of elements, in which channel c comes at c, c + C, c + 2C, ... Loops over a handful of
channels would be all overhead, so several rows of channels are taken as one row of `lanes`, a multiple of C: sums run
lane by lane and are folded at the end of a tile, numbers by channel are written out lane by lane beforehand.
"""

from __future__ import annotations

from typing import Any

from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.native.kernel import (
    Call,
    Epilogue,
    Int,
    Pointer,
    Real1,
    Real2,
    blocks,
    device,
    kernel,
    run_epilogue,
)
from chainrule.native.memory import Scratch, View

LANES = 512  # elements of a row, about: 32 vectors of AVX-512, and a few such rows stay in the first-level cache
FEW = 8  # rows of lanes that an array has at least: writing numbers out lane by lane must not cost more than the array
TILE = 16384  # elements of a tile that is summed, about: it is read twice, the second time from the second-level cache
PASS = 8192  # elements of a tile that is written, about: in the first-level cache for the epilogue


def lanes(channels: int, rows: int) -> int:
    """How many elements are taken as one row, of an array with so many rows of channels: fewer where there are few."""
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
    """The first `channels` lanes become the sums of all lanes of their channel."""
    kept = total[:channels]
    for at in range(channels, total.size, channels):
        more = total[at : at + channels]
        for c in range(kept.size):
            kept[c] += more[c]


@device
def spread(row: Real1, channels: Int) -> None:
    """All lanes become what the first of their channel is."""
    given = row[:channels]
    for at in range(channels, row.size, channels):
        more = row[at : at + channels]
        for c in range(given.size):
            more[c] = given[c]


@kernel
def scale_lanes(
    tile: Int, y: Real1, x: Real1, table: Real2, size: Int, add: Int, place: Pointer,
    epilogue: Epilogue,
) -> None:  # fmt: skip
    """y (+)= (x - centre)·factor + offset, the rows of the table; then the epilogue. `place` is y's address."""
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
    run_epilogue(epilogue, place, start, stop - start)


def scale_channels(y: View, x: View, table: View, epilogue: Epilogue, add: bool = False) -> list[Call]:
    """The call for y (+)= (x - centre)·factor + offset, a table of three rows of lanes, and the epilogue."""
    size = tile_size(table.shape[1], PASS)
    tiles = blocks(y.size, size)
    flops = 3.0 * y.size
    return [scale_lanes(tiles, y.flat(), x.flat(), table, size, int(add), y, epilogue, flops=flops)]


@kernel
def scaled_difference(
    tile: Int, dx: Real1, dy: Real1, x: Real1, table: Real2, size: Int, add: Int, place: Pointer,
    epilogue: Epilogue,
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
    run_epilogue(epilogue, place, start, stop - start)


def differ_channels(dx: View, dy: View, x: View, table: View, epilogue: Epilogue, add: bool) -> list[Call]:
    """The call for dx (+)= factor·dy - slope·(x - centre) - offset, a table of four rows, and the epilogue."""
    size = tile_size(table.shape[1], PASS)
    tiles = blocks(dx.size, size)
    last: tuple[Any, ...] = (size, int(add), dx, epilogue)
    return [scaled_difference(tiles, dx.flat(), dy.flat(), x.flat(), table, *last, flops=5.0 * dx.size)]


def parts_of(total: View | None, tiles: int, channels: int, scratch: Scratch) -> View:
    """Memory for a sum by channel of each tile: the total's own where there is one tile."""
    memory = total if total is not None and tiles == 1 else scratch(tiles * channels)
    return memory.reshape(tiles, channels)


def sum_of_parts(total: View | None, parts: View, scratch: Scratch) -> list[Call]:
    """The calls that add up the sums of all tiles, where somebody asks for the total."""
    return reduce(sum_parts, total.flat(), parts, (0,), scratch) if total is not None and parts.shape[0] > 1 else []
