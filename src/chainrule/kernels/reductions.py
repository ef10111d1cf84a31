"""One reduction over axes for all: sum, mean, max, the gradient of broadcasting, and partial sums of kernels.

Neighboring axes are merged, so that an array is (outer, reduced, inner). Long reductions take two stages: parts, then
the parts in order. The cuts depend on the shape alone, so results do not depend on the number of workers.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from chainrule.native.kernel import Call, Int, Kernel, Real, Real1, blocks, device, kernel
from chainrule.native.memory import Scratch, View

TILE = 16384  # elements
RUN = 4096  # elements of one part; longer reductions make several parts
ROWS = 512  # the same if whole rows are added: shorter, since rounding errors grow with the number of terms


@device
def share(tile: Int, size: Int, inner: Int, items: Int, columns: Int) -> tuple[Int, Int, Int, Int]:
    """What a tile writes of results (items, inner) of this size: items from first to last, columns from `left` on."""
    across = (inner + columns - 1) // columns
    first = (tile // across) * items
    left = (tile % across) * columns
    return first, min(first + items, size // inner), left, min(columns, inner - left)


@device
def rows(item: Int, reduced: Int, part: Int, parts: Int) -> tuple[Int, Int]:
    """The first row of an item's part of x, and how many rows it has."""
    at = item % parts * part
    return item // parts * reduced + at, min(part, reduced - at)


@kernel
def sum_parts(
    tile: Int, y: Real1, x: Real1, reduced: Int, inner: Int,
    part: Int, parts: Int, items: Int, columns: Int, factor: Real,
) -> None:  # fmt: skip
    """y = factor · Σ x over each part of the middle axis of x (outer, reduced, inner); y is (outer, parts, inner)."""
    first, last, left, wide = share(tile, y.size, inner, items, columns)
    for item in range(first, last):
        row, count = rows(item, reduced, part, parts)
        if inner == 1:
            run = x[row : row + count]
            total = 0.0
            for i in range(run.size):
                total += run[i]
            y[item] = factor * total
        else:
            sums = y[item * inner + left : item * inner + left + wide]
            for j in range(sums.size):
                sums[j] = 0.0
            for i in range(count):
                at = (row + i) * inner + left
                run = x[at : at + wide]
                for j in range(sums.size):
                    sums[j] += run[j]
            for j in range(sums.size):
                sums[j] = factor * sums[j]


@device
def row_max(row: Real1) -> Any:
    """The largest element, compared in four chains, because each comparison waits for the one before."""
    a = b = c = d = row[0]
    whole = row.size // 4 * 4
    for j in range(0, whole, 4):
        a = row[j] if row[j] > a else a
        b = row[j + 1] if row[j + 1] > b else b
        c = row[j + 2] if row[j + 2] > c else c
        d = row[j + 3] if row[j + 3] > d else d
    for j in range(whole, row.size):
        a = row[j] if row[j] > a else a
    a = b if b > a else a
    c = d if d > c else c
    return c if c > a else a


@device
def row_sum(row: Real1) -> Any:
    """The sum of the elements."""
    total = 0.0
    for j in range(row.size):
        total += row[j]
    return total


def reduce(
    kernel: Kernel, y: View, x: View, axes: tuple[int, ...], scratch: Scratch, factor: float = 1.0
) -> list[Call]:
    """The calls that reduce x over `axes` into y, one group of neighboring axes after another, innermost first."""
    calls: list[Call] = []
    shape = list(x.shape)
    ranges = groups(axes)
    for i, (start, stop) in enumerate(reversed(ranges)):
        outer, inner = math.prod(shape[:start]), math.prod(shape[stop:])
        reduced = math.prod(shape[start:stop])
        shape[start:stop] = [1] * (stop - start)
        last = i == len(ranges) - 1
        target = y if last else scratch(outer * inner)
        calls += _reduce(kernel, target, x, (outer, reduced, inner), scratch, factor if last else 1.0)
        x = target
    return calls


def _reduce(
    kernel: Kernel, y: View, x: View, sizes: tuple[int, int, int], scratch: Scratch, factor: float
) -> list[Call]:
    outer, reduced, inner = sizes
    if outer * inner == 0:
        return []
    part = RUN if inner == 1 else ROWS
    parts = max(1, blocks(reduced, part))
    target = y if parts == 1 else scratch(outer * parts * inner)
    columns = min(inner, RUN)
    items = max(1, TILE // max(1, min(part, reduced) * columns))
    tiles = blocks(outer * parts, items) * blocks(inner, columns)
    scale = factor if parts == 1 else 1.0
    call = kernel(
        tiles, target.flat(), x.flat(), reduced, inner, part, parts, items, columns, scale,
        flops=float(outer * reduced * inner),
    )  # fmt: skip
    return [call] if parts == 1 else [call, *_reduce(kernel, y, target, (outer, parts, inner), scratch, factor)]


def groups(axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Ranges of neighboring axes, in order; one empty range where there are no axes."""
    ordered = sorted(axes)
    if not ordered:
        return [(0, 0)]
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a + 1)]
    stops = [*(a + 1 for a, b in pairwise(ordered) if b != a + 1), ordered[-1] + 1]
    return list(zip(starts, stops, strict=True))
