"""One reduction for everything that adds up or compares along axes: sum, mean, max, and the gradient of broadcasting.

Neighbouring axes are one, so an array is seen as (outer, reduced, inner) and one kernel does all. Long reductions go in
two stages, parts first and then the parts in order: the cuts depend on the shape alone, so results do not depend on the
number of workers.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeAlias

from chainrule.errors import ShapeError
from chainrule.native.kernel import Call, Int, Kernel, Real, Real1, blocks, device, kernel
from chainrule.ops.copying import Walk, copy, strides
from chainrule.ops.gemm import Scratch
from chainrule.ops.record import Shape, View

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
            run = x[row : row + count]
            value = run[0]
            for i in range(run.size):
                value = larger(run[i], value)
            y[item] = value
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
def larger(a: float, b: float) -> float:
    """The larger of two numbers; NaN if either is."""
    kept = b if b >= a else a
    return b if b != b else kept


@kernel
def max_gradient(tile: Int, dx: Real1, dy: Real1, x: Real1, y: Real1, reduced: Int, inner: Int, items: Int) -> None:
    """dx (outer, reduced, inner) is dy shared out equally among the elements that equal y (outer, inner)."""
    for item in range(tile * items, min((tile + 1) * items, y.size)):
        at = item // inner * reduced * inner + item % inner
        largest = y[item]
        ties = 0.0
        for i in range(reduced):
            if x[at + i * inner] == largest:
                ties += 1.0
        share = dy[item] / ties
        for i in range(reduced):
            dx[at + i * inner] = share if x[at + i * inner] == largest else 0.0


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
    items = TILE // reduced or 1
    return max_gradient(
        blocks(y.size, items), dx.flat(), dy.flat(), x.flat(), y.flat(), reduced, inner, items, flops=2.0 * x.size
    )


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
