"""One reduction for everything that adds up or compares along axes: sum, mean, max, and the gradient of broadcasting.

Neighbouring axes are one, so an array is seen as (outer, reduced, inner) and one kernel does all. Long reductions go in
two stages, parts first and then the parts in order: the cuts depend on the shape alone, so results do not depend on the
number of workers.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, TypeAlias

from chainrule.errors import ShapeError
from chainrule.kernels.copies import Walk, copy, strides
from chainrule.native.kernel import Call, Int, Kernel, Real, Real1, blocks, device, kernel
from chainrule.native.memory import Scratch, Shape, View

Axes: TypeAlias = tuple[int, ...] | None

TILE = 16384  # elements
RUN = 4096  # elements of one part; longer reductions make several parts
ROWS = 512  # the same where whole rows are added up: each is one term of a sum, whose rounding errors add up too


@kernel
def sum_parts(
    tile: Int, y: Real1, x: Real1, reduced: Int, inner: Int,
    part: Int, parts: Int, items: Int, columns: Int, factor: Real,
) -> None:  # fmt: skip
    """y = factor · Σ x over each part of the middle axis of x (outer, reduced, inner); y is (outer, parts, inner)."""
    across = (inner + columns - 1) // columns
    first = (tile // across) * items
    left = (tile % across) * columns
    wide = min(columns, inner - left)
    for item in range(first, min(first + items, y.size // inner)):
        row = item // parts * reduced + item % parts * part
        count = min(part, reduced - item % parts * part)
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


@kernel
def max_parts(
    tile: Int, y: Real1, x: Real1, reduced: Int, inner: Int,
    part: Int, parts: Int, items: Int, columns: Int, factor: Real,
) -> None:  # fmt: skip
    """y = max x over each part of the middle axis of x (outer, reduced, inner); y is (outer, parts, inner)."""
    across = (inner + columns - 1) // columns
    first = (tile // across) * items
    left = (tile % across) * columns
    wide = min(columns, inner - left)
    for item in range(first, min(first + items, y.size // inner)):
        row = item // parts * reduced + item % parts * part
        count = min(part, reduced - item % parts * part)
        if inner == 1:
            y[item] = largest_or_nan(x[row : row + count])
            continue
        largest = y[item * inner + left : item * inner + left + wide]
        start = x[row * inner + left : row * inner + left + wide]
        for j in range(largest.size):
            largest[j] = start[j]
        for i in range(1, count):
            at = (row + i) * inner + left
            run = x[at : at + wide]
            for j in range(largest.size):
                largest[j] = larger(run[j], largest[j])


@device
def row_max(row: Real1) -> Any:
    """The largest element; compared in four strands, because each comparison waits for the one before."""
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
def largest_or_nan(row: Real1) -> Any:
    """The largest element; NaN if any is."""
    unordered = 0
    for j in range(row.size):
        unordered += 1 if row[j] != row[j] else 0
    largest = row_max(row)
    if unordered > 0:
        for j in range(row.size):
            largest = row[j] if row[j] != row[j] else largest
    return largest


@device
def larger(a: float, b: float) -> float:
    """The larger of two numbers; NaN if either is."""
    kept = b if b >= a else a
    return b if b != b else kept


@kernel
def max_gradient(
    tile: Int, dx: Real1, dy: Real1, x: Real1, y: Real1, reduced: Int, inner: Int, items: Int, columns: Int
) -> None:
    """dx (outer, reduced, inner) is dy shared out equally among the elements that equal y (outer, inner)."""
    across = (inner + columns - 1) // columns
    for item in range(tile * items, min((tile + 1) * items, y.size // inner * across)):
        left = item % across * columns
        wide = min(columns, inner - left)
        at = item // across * inner + left
        largest, flow = y[at : at + wide], dy[at : at + wide]
        at = item // across * reduced * inner + left
        if inner == 1:
            run, to = x[at : at + reduced], dx[at : at + reduced]
            count = 0.0
            for i in range(run.size):
                count += 1.0 if run[i] == largest[0] else 0.0
            for i in range(run.size):
                to[i] = flow[0] / count if run[i] == largest[0] else 0.0
        else:
            ties = dx[at : at + wide]  # counted in the first row, which gets its own value last
            for j in range(ties.size):
                ties[j] = 0.0
            for i in range(reduced):
                run = x[at + i * inner : at + i * inner + wide]
                for j in range(ties.size):
                    ties[j] += 1.0 if run[j] == largest[j] else 0.0
            for i in range(reduced - 1, -1, -1):
                run, to = x[at + i * inner : at + i * inner + wide], dx[at + i * inner : at + i * inner + wide]
                for j in range(to.size):
                    to[j] = flow[j] / ties[j] if run[j] == largest[j] else 0.0


def reduce(
    kernel: Kernel, y: View, x: View, axes: tuple[int, ...], scratch: Scratch, factor: float = 1.0
) -> list[Call]:
    """The calls that reduce x over `axes` into y, one group of neighbouring axes after the other, innermost first."""
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


def share_among_largest(dx: View, dy: View, x: View, y: View, axes: tuple[int, ...], scratch: Scratch) -> list[Call]:
    """The calls for the gradient of y = max x over `axes`."""
    if not x.size:
        return []
    ((start, stop), *more) = groups(axes)
    if not more:
        return [_max_gradient(dx, dy, x, y, math.prod(x.shape[start:stop]), math.prod(x.shape[stop:]))]
    # Axes that are not neighbours: brought to the end, and the gradient carried back.
    order = (*(i for i in range(len(x.shape)) if i not in axes), *axes)
    turned = tuple(x.shape[i] for i in order)
    walk = Walk(tuple(strides(x.shape)[i] for i in order))
    x_turned, dx_turned = scratch(x.size), scratch(x.size)
    return [
        *copy(x_turned, x, turned, at=walk),
        _max_gradient(dx_turned, dy, x_turned, y, math.prod(x.shape[a] for a in axes), 1),
        *copy(dx, dx_turned, turned, to=walk),
    ]


def _max_gradient(dx: View, dy: View, x: View, y: View, reduced: int, inner: int) -> Call:
    columns = min(inner, ROWS)
    items = max(1, TILE // (reduced * columns))
    tiles = blocks(y.size // inner * blocks(inner, columns), items)
    arrays = (v.flat() for v in (dx, dy, x, y))
    return max_gradient(tiles, *arrays, reduced, inner, items, columns, flops=2.0 * x.size)


def groups(axes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Ranges of neighbouring axes, in order; one empty range where there are no axes."""
    ordered = sorted(axes)
    if not ordered:
        return [(0, 0)]
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a + 1)]
    stops = [*(a + 1 for a, b in pairwise(ordered) if b != a + 1), ordered[-1] + 1]
    return list(zip(starts, stops, strict=True))


def axes_of(name: str, axis: Axes, shape: Shape) -> tuple[int, ...]:
    """The axes of `shape` that `axis` means, counted from 0; None means all. Raises ShapeError."""
    rank = len(shape)
    if axis is None:
        return tuple(range(rank))
    axes = tuple(a + rank if a < 0 else a for a in axis)
    if any(not 0 <= a < rank for a in axes) or len(set(axes)) < len(axes):
        raise ShapeError(
            f"{name}: axis {axis} of shape {shape}: expected different axes from {-rank} to {rank - 1}, or None for all"
        )
    return tuple(sorted(axes))
