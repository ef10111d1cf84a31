"""Sums, means and maxima over axes."""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.copies import Walk, copy, strides
from chainrule.kernels.reductions import Axes, axes_of, max_parts, reduce, share_among_largest, sum_parts
from chainrule.native.kernel import Call
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


def _shape(name: str, x: Shape, axis: Axes, keepdims: bool, empty: bool = True) -> Shape:
    axes = axes_of(name, axis, x)
    if not empty and any(x[a] == 0 for a in axes):
        raise ShapeError(f"{name}: shape {x} has nothing to reduce over axis {axis}: expected at least one element")
    return tuple(1 if i in axes else n for i, n in enumerate(x) if keepdims or i not in axes)


def _kept(name: str, axis: Axes, x: Shape) -> Shape:
    """The shape of y with the reduced axes kept as 1, so that it broadcasts to that of x."""
    return _shape(name, x, axis, keepdims=True)


def _spread(name: str, dx: View, dy: View, axis: Axes, factor: float) -> list[Call]:
    """dx = factor · dy along the reduced axes: a copy that stands still in them."""
    axes = axes_of(name, axis, dx.shape)
    steps = [0 if i in axes else s for i, s in enumerate(strides(_kept(name, axis, dx.shape)))]
    return copy(dx, dy, dx.shape, at=Walk(tuple(steps)), factor=factor)


def _count(x: Shape, axes: tuple[int, ...]) -> int:
    return math.prod(x[a] for a in axes)


def _flops(x: Shape) -> float:
    return float(math.prod(x))


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


@op(formula="y = Σ x", flops=_flops)
def sum(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    """The sum of x over the axes `axis`, or all for None; `keepdims` leaves them with size 1. An empty sum is 0."""
    return np.asarray(np.sum(x, axis=axis, keepdims=keepdims))


@sum.shape
def _(x: Shape, *, axis: Axes, keepdims: bool) -> Shape:
    return _shape("sum", x, axis, keepdims)


@sum.lower
def _(y: View, x: View, *, axis: Axes, keepdims: bool, scratch: Scratch) -> list[Call]:
    return reduce(sum_parts, y, x, axes_of("sum", axis, x.shape), scratch)


@sum.gradient("x", formula="dx = dy along the axes summed")
def _(dy: Array, *, axis: Axes, x_shape: Shape) -> Array:
    return np.broadcast_to(dy.reshape(_kept("sum", axis, x_shape)), x_shape)


@sum.lower("x")
def _(dx: View, dy: View, *, axis: Axes, x_shape: Shape) -> list[Call]:
    return _spread("sum", dx, dy, axis, 1.0)


@op(formula="y = 1/n Σ x", flops=_flops)
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


@mean.gradient("x", formula="dx = dy/n along the axes averaged")
def _(dy: Array, *, axis: Axes, x_shape: Shape) -> Array:
    n = _count(x_shape, axes_of("mean", axis, x_shape))
    return np.broadcast_to(dy.reshape(_kept("mean", axis, x_shape)) / n, x_shape)


@mean.lower("x")
def _(dx: View, dy: View, *, axis: Axes, x_shape: Shape) -> list[Call]:
    return _spread("mean", dx, dy, axis, 1.0 / _count(x_shape, axes_of("mean", axis, x_shape)))


def _halves(x: Array) -> Array:
    """Numbers a finite difference apart, so that no step of it changes which is the largest."""
    return np.argsort(np.argsort(x, axis=None)).reshape(x.shape) / 2.0


@op(formula="y = max x", flops=_flops)
def max(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    """The largest of x over the axes `axis`, or all for None; NaN if any is. Raises ShapeError for no elements."""
    return np.asarray(np.max(x, axis=axis, keepdims=keepdims))


@max.shape
def _(x: Shape, *, axis: Axes, keepdims: bool) -> Shape:
    return _shape("max", x, axis, keepdims, empty=False)


@max.lower
def _(y: View, x: View, *, axis: Axes, keepdims: bool, scratch: Scratch) -> list[Call]:
    return reduce(max_parts, y, x, axes_of("max", axis, x.shape), scratch)


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
