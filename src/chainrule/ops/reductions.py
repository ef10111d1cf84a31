"""Sums, means and maxima over axes."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.copies import Walk, copy, strides
from chainrule.kernels.reductions import groups, reduce, row_max, rows, share, sum_parts
from chainrule.native.kernel import Call, Int, Real, Real1, blocks, device, kernel
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op

Axes: TypeAlias = tuple[int, ...] | None

TILE = 16384  # elements
COLUMNS = 512  # of a tile of the gradient of max


def _within_rows(x: Shape, *, axis: Axes, keepdims: bool) -> bool:
    """Whether each row is reduced by itself; axes count from the end, since steps, else an axis, may be rows."""
    return axis is not None and all(-len(x) < a < 0 for a in axis)


@op(
    formula="y = Σ x",
    flops=lambda x: float(math.prod(x)),
    by_row=_within_rows,
)
def sum(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    """The sum of x over the axes `axis`, or all for None; `keepdims` leaves them with size 1. An empty sum is 0."""
    return np.asarray(np.sum(x, axis=axis, keepdims=keepdims))


@sum.shape
def _(x: Shape, *, axis: Axes, keepdims: bool) -> Shape:
    return _shape("sum", x, axis, keepdims)


@sum.lower
def _(y: View, x: View, *, axis: Axes, keepdims: bool, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, y, x, axes_of("sum", axis, x.shape), scratch)


@sum.gradient("x", formula="dx = dy, repeated along the axes summed")
def _(dy: Array, *, axis: Axes, x_shape: Shape) -> Array:
    return np.broadcast_to(dy.reshape(_kept("sum", axis, x_shape)), x_shape)


@sum.lower("x")
def _(dx: View, dy: View, *, axis: Axes, x_shape: Shape) -> list[Call]:
    return _repeated("sum", dx, dy, axis, 1.0)


@op(
    formula="y = Σ x / n",
    flops=lambda x: float(math.prod(x)),
    by_row=_within_rows,
)
def mean(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    """The mean of x over the axes `axis`, or all for None. Raises ShapeError where there is nothing to average."""
    return np.asarray(np.mean(x, axis=axis, keepdims=keepdims))


@mean.shape
def _(x: Shape, *, axis: Axes, keepdims: bool) -> Shape:
    return _shape("mean", x, axis, keepdims, empty=False)


@mean.lower
def _(y: View, x: View, *, axis: Axes, keepdims: bool, scratch: Scratch) -> list[Call]:
    axes = axes_of("mean", axis, x.shape)
    return reduce(sum_parts, y, x, axes, scratch, 1.0 / _count(x.shape, axes))


@mean.gradient("x", formula="dx = dy/n, repeated along the axes averaged")
def _(dy: Array, *, axis: Axes, x_shape: Shape) -> Array:
    n = _count(x_shape, axes_of("mean", axis, x_shape))
    return np.broadcast_to(dy.reshape(_kept("mean", axis, x_shape)) / n, x_shape)


@mean.lower("x")
def _(dx: View, dy: View, *, axis: Axes, x_shape: Shape) -> list[Call]:
    return _repeated("mean", dx, dy, axis, 1.0 / _count(x_shape, axes_of("mean", axis, x_shape)))


@op(
    formula="y = max x",
    flops=lambda x: float(math.prod(x)),
    by_row=_within_rows,
)
def max(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    """The largest of x over the axes `axis`, or all for None; NaN if any is. Raises ShapeError for no elements."""
    return np.asarray(np.max(x, axis=axis, keepdims=keepdims))


@max.shape
def _(x: Shape, *, axis: Axes, keepdims: bool) -> Shape:
    return _shape("max", x, axis, keepdims, empty=False)


@max.lower
def _(y: View, x: View, *, axis: Axes, keepdims: bool, scratch: Scratch) -> list[Call]:
    return reduce(max_parts, y, x, axes_of("max", axis, x.shape), scratch)


@kernel
def max_parts(
    tile: Int, y: Real1, x: Real1, reduced: Int, inner: Int,
    part: Int, parts: Int, items: Int, columns: Int, factor: Real,
) -> None:  # fmt: skip
    """y = max x over each part of the middle axis of x (outer, reduced, inner); y is (outer, parts, inner)."""
    first, last, left, wide = share(tile, y.size, inner, items, columns)
    for item in range(first, last):
        row, count = rows(item, reduced, part, parts)
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


@max.gradient("x", formula="dx = dy/k for each of the k elements equal to y, else 0")
def _(dy: Array, x: Array, y: Array, *, axis: Axes) -> Array:
    kept, axes = _kept("max", axis, x.shape), axes_of("max", axis, x.shape)
    largest = x == y.reshape(kept)
    ties = np.sum(largest, axis=axes, keepdims=True, dtype=x.dtype)
    dx: Array = largest * (dy.reshape(kept) / ties)
    return dx


@max.lower("x")
def _(dx: View, dy: View, x: View, y: View, *, axis: Axes, scratch: Scratch) -> list[Call]:
    return share_among_largest(dx, dy, x, y, axes_of("max", axis, x.shape), scratch)


def share_among_largest(dx: View, dy: View, x: View, y: View, axes: tuple[int, ...], scratch: Scratch) -> list[Call]:
    """The calls for the gradient of y = max x over `axes`."""
    if not x.size:
        return []
    ((start, stop), *more) = groups(axes)
    if not more:
        return [_max_gradient(dx, dy, x, y, math.prod(x.shape[start:stop]), math.prod(x.shape[stop:]))]
    # Axes that are not neighbors are moved to the end, and the gradient is moved back.
    order = (*(i for i in range(len(x.shape)) if i not in axes), *axes)
    permuted = tuple(x.shape[i] for i in order)
    walk = Walk(tuple(strides(x.shape)[i] for i in order))
    x_permuted, dx_permuted = scratch(x.size), scratch(x.size)
    return [
        *copy(x_permuted, x, permuted, at=walk),
        _max_gradient(dx_permuted, dy, x_permuted, y, math.prod(x.shape[a] for a in axes), 1),
        *copy(dx, dx_permuted, permuted, to=walk),
    ]


def _max_gradient(dx: View, dy: View, x: View, y: View, reduced: int, inner: int) -> Call:
    columns = min(inner, COLUMNS)
    items = TILE // (reduced * columns) or 1
    tiles = blocks(y.size // inner * blocks(inner, columns), items)
    arrays = (v.flat() for v in (dx, dy, x, y))
    return max_gradient(tiles, *arrays, reduced, inner, items, columns, flops=2.0 * x.size)


@kernel
def max_gradient(
    tile: Int, dx: Real1, dy: Real1, x: Real1, y: Real1, reduced: Int, inner: Int, items: Int, columns: Int
) -> None:
    """dx (outer, reduced, inner): dy is divided equally among the elements that equal y (outer, inner)."""
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


def _shape(name: str, x: Shape, axis: Axes, keepdims: bool, empty: bool = True) -> Shape:
    axes = axes_of(name, axis, x)
    if not empty and any(x[a] == 0 for a in axes):
        raise ShapeError(f"{name}: shape {x} has nothing to reduce over axis {axis}: expected at least one element")
    return tuple(1 if i in axes else n for i, n in enumerate(x) if keepdims or i not in axes)


def axes_of(name: str, axis: Axes, shape: Shape) -> tuple[int, ...]:
    """The axes of `shape` that `axis` names, counted from 0; None names all. Raises ShapeError."""
    rank = len(shape)
    if axis is None:
        return tuple(range(rank))
    axes = tuple(a + rank if a < 0 else a for a in axis)
    if any(not 0 <= a < rank for a in axes) or len(set(axes)) < len(axes):
        raise ShapeError(
            f"{name}: axis {axis} of shape {shape}: expected different axes from {-rank} to {rank - 1}, or None for all"
        )
    return tuple(sorted(axes))


def _kept(name: str, axis: Axes, x: Shape) -> Shape:
    """The shape of y with the reduced axes kept as 1, so that it broadcasts to that of x."""
    return _shape(name, x, axis, keepdims=True)


def _repeated(name: str, dx: View, dy: View, axis: Axes, factor: float) -> list[Call]:
    """dx = factor · dy, repeated along the reduced axes: a copy with strides of 0 there."""
    axes = axes_of(name, axis, dx.shape)
    steps = [0 if i in axes else s for i, s in enumerate(strides(_kept(name, axis, dx.shape)))]
    return copy(dx, dy, dx.shape, at=Walk(tuple(steps)), factor=factor)


def _count(x: Shape, axes: tuple[int, ...]) -> int:
    return math.prod(x[a] for a in axes)


def _samples(*more: Sample) -> list[Sample]:
    return [
        Sample(((3, 4),), {"axis": None, "keepdims": False}),
        Sample(((3, 4),), {"axis": (0,), "keepdims": False}),
        Sample(((3, 4),), {"axis": (-1,), "keepdims": True}),
        Sample(((2, 3, 4),), {"axis": (0, 2), "keepdims": False}),
        Sample(((2, 3, 4),), {"axis": (2, 1), "keepdims": True}),
        Sample(((2, 3, 2, 2),), {"axis": (0, 2), "keepdims": False}),
        Sample(((3, 4),), {"axis": (), "keepdims": False}),
        Sample(((),), {"axis": None, "keepdims": True}),
        Sample(((1, 1),), {"axis": None, "keepdims": False}),
        Sample(((0, 3),), {"axis": (1,), "keepdims": False}),
        Sample(((2, 3),), {"axis": (2,), "keepdims": False}, error=ShapeError),
        Sample(((2, 3),), {"axis": (1, -1), "keepdims": False}, error=ShapeError),
        *more,
    ]


_LONG = [
    Sample(((9001,),), {"axis": None, "keepdims": False}),
    Sample(((1100, 7),), {"axis": (0,), "keepdims": False}),
    Sample(((2, 3, 4100),), {"axis": (1,), "keepdims": False}),
]


def _halves(x: Array) -> Array:
    """Numbers so far apart that finite differences do not change which is the largest."""
    return np.argsort(np.argsort(x, axis=None)).reshape(x.shape) / 2.0


sum.cases(
    samples=_samples(Sample(((0, 3),), {"axis": (0,), "keepdims": False}), *_LONG),
    examples=[
        Example(([[1.0, 2.0], [3.0, 4.0]],), 10.0, {"axis": None, "keepdims": False}),
        Example(([[1.0, 2.0], [3.0, 4.0]],), [[3.0], [7.0]], {"axis": (1,), "keepdims": True}),
        Example((np.ones((0, 2)),), [0.0, 0.0], {"axis": (0,), "keepdims": False}),
    ],
)

mean.cases(
    samples=_samples(Sample(((0, 3),), {"axis": (0,), "keepdims": False}, error=ShapeError), *_LONG),
    examples=[
        Example(([[1.0, 2.0], [3.0, 4.0]],), 2.5, {"axis": None, "keepdims": False}),
        Example(([[1.0, 2.0], [3.0, 4.0]],), [2.0, 3.0], {"axis": (0,), "keepdims": False}),
    ],
)

max.cases(
    samples=[
        *(Sample(s.shapes, s.attributes, _halves, s.error) for s in _samples(*_LONG)),
        Sample((np.array([[1.0, 2.0, 2.0], [3.0, -1.0, 3.0]]),), {"axis": (1,), "keepdims": False}),
        Sample(((0, 3),), {"axis": (0,), "keepdims": False}, error=ShapeError),
    ],
    examples=[
        Example(([[1.0, 5.0], [3.0, 4.0]],), 5.0, {"axis": None, "keepdims": False}),
        Example(([[1.0, 5.0], [3.0, 4.0]],), [[5.0], [4.0]], {"axis": (1,), "keepdims": True}),
        Example(([1.0, float("nan"), 2.0],), float("nan"), {"axis": None, "keepdims": False}),
    ],
)
