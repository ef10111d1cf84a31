"""Ops that only move elements: reshape, transpose, broadcast, slice_, concatenate."""

from __future__ import annotations

import math
from operator import index as whole
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.copies import Walk, copy, strides, zero
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.native.kernel import Call
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op

Index: TypeAlias = tuple[slice | int, ...]


@op(formula="y = x in another shape", moves=True, flops=0.0, by_row=lambda x, shape: shape[:1] == x[:1])
def reshape(x: Array, *, shape: Shape) -> Array:
    """The elements of x, last axis fastest, under `shape`; no copy. Raises ShapeError unless the sizes agree."""
    return x.reshape(shape)


@reshape.shape
def _(x: Shape, *, shape: Shape) -> Shape:
    if min(shape, default=0) < 0 or math.prod(x) != math.prod(shape):
        raise ShapeError(
            f"reshape: {x} has {math.prod(x)} elements, {shape} has {math.prod(shape)}: expected a shape of as many"
        )
    return shape


@reshape.lower
def _(y: View, x: View, *, shape: Shape) -> View:
    return x.reshape(*shape)


@reshape.gradient("x", formula="dx = dy in the shape of x")
def _(dy: Array, *, x_shape: Shape) -> Array:
    return dy.reshape(x_shape)


@reshape.lower("x")
def _(dx: View, dy: View, *, x_shape: Shape) -> View:
    return dy.reshape(*x_shape)


@op(formula="y[iₐ, iᵦ, ...] = x[i₀, i₁, ...]", moves=True, flops=0.0, by_row=lambda x, axes: axes[0] == 0)
def transpose(x: Array, *, axes: tuple[int, ...]) -> Array:
    """x with its axes in another order: axis i of y is axis axes[i] of x. Raises ShapeError unless each occurs once."""
    return x.transpose(axes)


@transpose.shape
def _(x: Shape, *, axes: tuple[int, ...]) -> Shape:
    if sorted(axes) != list(range(len(x))):
        raise ShapeError(f"transpose: axes {axes} for shape {x}: expected each of 0 .. {len(x) - 1} once")
    return tuple(x[a] for a in axes)


@transpose.lower
def _(y: View, x: View, *, axes: tuple[int, ...]) -> View | list[Call]:
    return _transpose(y, x, axes)


@transpose.gradient("x", formula="dx[i₀, i₁, ...] = dy[iₐ, iᵦ, ...]")
def _(dy: Array, *, axes: tuple[int, ...]) -> Array:
    return dy.transpose(np.argsort(axes))


@transpose.lower("x")
def _(dx: View, dy: View, *, axes: tuple[int, ...]) -> View | list[Call]:
    return _transpose(dx, dy, tuple(axes.index(i) for i in range(len(axes))))


def _transpose(y: View, x: View, axes: tuple[int, ...]) -> View | list[Call]:
    moved = [a for a in axes if x.shape[a] != 1]
    if moved == sorted(moved):  # only axes of size 1 move: the elements stay where they are
        return x.reshape(*y.shape)
    return copy(y, x, y.shape, at=Walk(tuple(strides(x.shape)[a] for a in axes)))


@op(
    formula="y = x, repeated along axes of size 1",
    moves=True,
    flops=0.0,
    by_row=lambda x, shape: len(x) == len(shape) and x[0] == shape[0],
)
def broadcast(x: Array, *, shape: Shape) -> Array:
    """x stretched to `shape` by NumPy's rule: axes of size 1 repeat, missing ones come first. Raises ShapeError."""
    return np.broadcast_to(x, shape)


@broadcast.shape
def _(x: Shape, *, shape: Shape) -> Shape:
    if len(x) > len(shape) or any(n not in (1, m) for n, m in zip(x[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"broadcast: shape {x} does not stretch to {shape}: from the last axis on, its sizes must be equal or 1"
        )
    return shape


@broadcast.lower
def _(y: View, x: View, *, shape: Shape) -> View | list[Call]:
    if x.size == y.size:
        return x.reshape(*shape)
    stretched = _stretched(x.shape, shape)
    aligned = (1,) * (len(shape) - len(x.shape)) + x.shape
    steps = tuple(0 if i in stretched else s for i, s in enumerate(strides(aligned)))
    return copy(y, x, shape, at=Walk(steps))


@broadcast.gradient("x", formula="dx = Σ dy over the repeated axes")
def _(dy: Array, *, shape: Shape, x_shape: Shape) -> Array:
    return np.asarray(np.sum(dy, axis=_stretched(x_shape, shape))).reshape(x_shape)


@broadcast.lower("x")
def _(dx: View, dy: View, *, shape: Shape, x_shape: Shape, scratch: Scratch) -> View | list[Call]:
    if dx.size == dy.size:
        return dy.reshape(*x_shape)
    return reduce(sum_parts, dx, dy, _stretched(x_shape, shape), scratch)


def _stretched(x: Shape, shape: Shape) -> tuple[int, ...]:
    """The axes of `shape` along which x repeats."""
    more = len(shape) - len(x)
    return tuple(i for i, n in enumerate(shape) if i < more or (x[i - more] == 1 and n != 1))


@op(formula="y = x[index]", moves=True, flops=0.0, by_row=lambda x, index: index[0] == slice(None))
def slice_(x: Array, *, index: Index) -> Array:
    """Part of x: for each of the first axes, `index` holds a slice, or a position, which removes the axis.

    Negative positions count from the end, as in NumPy. Raises ShapeError for a position outside or too many of them.
    """
    return np.asarray(x[index])


@slice_.shape
def _(x: Shape, *, index: Index) -> Shape:
    return tuple(len(r) for r in _ranges(x, index) if isinstance(r, range))


@slice_.lower
def _(y: View, x: View, *, index: Index) -> View | list[Call]:
    at = _walk(x.shape, index)
    if _without_gaps(y.shape, at.strides):
        return View(x.storage, y.shape, x.offset + at.offset)
    return copy(y, x, y.shape, at=at)


@slice_.gradient("x", formula="dx[index] = dy, 0 elsewhere")
def _(dy: Array, *, index: Index, x_shape: Shape) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    dx[index] = dy
    return dx


@slice_.lower("x")
def _(dx: View, dy: View, *, index: Index, x_shape: Shape) -> list[Call]:
    cleared = [] if dy.size == dx.size else zero(dx)
    return [*cleared, *copy(dx, dy, dy.shape, to=_walk(x_shape, index))]


def _ranges(x: Shape, index: Index) -> list[range | int]:
    """For each axis of x the selected positions, or the one position that removes the axis. Raises ShapeError."""
    if len(index) > len(x):
        raise ShapeError(f"slice_: {len(index)} indices for shape {x}: expected at most {len(x)}")
    taken: list[range | int] = []
    for axis, n in enumerate(x):
        part: Any = index[axis] if axis < len(index) else slice(None)
        if isinstance(part, slice):
            taken.append(range(n)[part])
            continue
        try:
            taken.append(range(n)[whole(part)])
        except (IndexError, TypeError):
            raise ShapeError(
                f"slice_: {part} on axis {axis} of shape {x}: expected a slice or a position from {-n} to {n - 1}"
            ) from None
    return taken


def _walk(x: Shape, index: Index) -> Walk:
    """How the selected elements lie in x."""
    taken = list(zip(_ranges(x, index), strides(x), strict=True))
    offset = sum((r.start if isinstance(r, range) else r) * s for r, s in taken)
    return Walk(tuple(r.step * s for r, s in taken if isinstance(r, range)), offset)


def _without_gaps(shape: Shape, steps: tuple[int, ...]) -> bool:
    return 0 not in shape and all(n == 1 or s == e for n, s, e in zip(shape, steps, strides(shape), strict=True))


@op(formula="y = a followed by b along an axis", moves=True, flops=0.0, by_row=lambda a, axis: -len(a) < axis < 0)
def concatenate(a: Array, b: Array, *, axis: int) -> Array:
    """b after a along `axis`; more arrays are joined two by two. Raises ShapeError unless their other sizes agree."""
    return np.concatenate((a, b), axis)


@concatenate.shape
def _(a: Shape, b: Shape, *, axis: int) -> Shape:
    if not -len(a) <= axis < len(a):
        raise ShapeError(f"concatenate: axis {axis} of shape {a}: expected one from {-len(a)} to {len(a) - 1}")
    at = axis % len(a)
    if len(a) != len(b) or a[:at] + a[at + 1 :] != b[:at] + b[at + 1 :]:
        raise ShapeError(f"concatenate: shapes {a} and {b} along axis {axis}: all other sizes must be equal")
    return (*a[:at], a[at] + b[at], *a[at + 1 :])


@concatenate.lower
def _(y: View, a: View, b: View, *, axis: int) -> list[Call]:
    return [
        *copy(y, a, a.shape, to=Walk(strides(y.shape))),
        *copy(y, b, b.shape, to=Walk(strides(y.shape), a.shape[axis] * strides(y.shape)[axis])),
    ]


@concatenate.gradient("a", formula="da = dy[:n] along the axis, n the size of a")
def _(dy: Array, *, axis: int, a_shape: Shape) -> Array:
    return np.split(dy, [a_shape[axis]], axis)[0]


@concatenate.lower("a")
def _(da: View, dy: View, *, axis: int, a_shape: Shape) -> list[Call]:
    return copy(da, dy, a_shape, at=Walk(strides(dy.shape)))


@concatenate.gradient("b", formula="db = dy[n:] along the axis, n the size of a")
def _(dy: Array, *, axis: int, b_shape: Shape) -> Array:
    return np.split(dy, [dy.shape[axis] - b_shape[axis]], axis)[1]


@concatenate.lower("b")
def _(db: View, dy: View, *, axis: int, b_shape: Shape) -> list[Call]:
    start = (dy.shape[axis] - b_shape[axis]) * strides(dy.shape)[axis]
    return copy(db, dy, b_shape, at=Walk(strides(dy.shape), start))


reshape.cases(
    samples=[
        Sample(((2, 6),), {"shape": (3, 4)}),
        Sample(((2, 3, 4),), {"shape": (24,)}),
        Sample(((1,),), {"shape": ()}),
        Sample(((0, 3),), {"shape": (3, 0)}),
        Sample(((2, 3),), {"shape": (2, 3)}),
        Sample(((2, 3),), {"shape": (4, 2)}, error=ShapeError),
        Sample(((2, 3),), {"shape": (-1, 3)}, error=ShapeError),
    ],
    examples=[Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], {"shape": (3, 2)})],
)

transpose.cases(
    samples=[
        Sample(((3, 4),), {"axes": (1, 0)}),
        Sample(((70, 65),), {"axes": (1, 0)}),
        Sample(((2, 3, 4),), {"axes": (2, 0, 1)}),
        Sample(((2, 3, 4),), {"axes": (0, 1, 2)}),
        Sample(((2, 3, 2, 3, 2, 2),), {"axes": (5, 3, 1, 4, 2, 0)}),
        Sample(((1, 3),), {"axes": (1, 0)}),
        Sample(((0, 3),), {"axes": (1, 0)}),
        Sample(((),), {"axes": ()}),
        Sample(((2, 3),), {"axes": (0, 0)}, error=ShapeError),
        Sample(((2, 3),), {"axes": (0,)}, error=ShapeError),
        Sample(((2, 3),), {"axes": (-1, 0)}, error=ShapeError),
    ],
    examples=[Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]], {"axes": (1, 0)})],
)

broadcast.cases(
    samples=[
        Sample(((4,),), {"shape": (3, 4)}),
        Sample(((3, 1),), {"shape": (3, 4)}),
        Sample(((1, 3, 1),), {"shape": (2, 3, 4)}),
        Sample(((3, 1, 2, 1),), {"shape": (2, 3, 4, 2, 3)}),
        Sample(((),), {"shape": (2, 3)}),
        Sample(((3,),), {"shape": (1, 3)}),
        Sample(((1, 3),), {"shape": (0, 3)}),
        Sample(((0, 3),), {"shape": (2, 0, 3)}),
        Sample(((7,),), {"shape": (1100, 7)}),
        Sample(((3,),), {"shape": (3, 4)}, error=ShapeError),
        Sample(((2, 3),), {"shape": (3,)}, error=ShapeError),
    ],
    examples=[Example(([[1.0], [2.0]],), [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], {"shape": (2, 3)})],
)

slice_.cases(
    samples=[
        Sample(((5, 6),), {"index": (slice(1, 4), slice(None, None, 2))}),
        Sample(((5, 6),), {"index": (slice(None), slice(2, 4))}),
        Sample(((5, 6),), {"index": (slice(1, 3),)}),
        Sample(((5, 6),), {"index": (-1, 2)}),
        Sample(((5, 6),), {"index": (slice(None), 0)}),
        Sample(((5, 6),), {"index": (slice(None, None, -2), slice(4, 0, -1))}),
        Sample(((5, 6),), {"index": (slice(3, 3), slice(None))}),
        Sample(((2, 3, 4),), {"index": (1, slice(0, 2), slice(1, None, 2))}),
        Sample(((0, 3),), {"index": (slice(None), 1)}),
        Sample(((),), {"index": ()}),
        Sample(((2, 3),), {"index": (2,)}, error=ShapeError),
        Sample(((2, 3),), {"index": (0, 0, 0)}, error=ShapeError),
        Sample(((2, 3),), {"index": (None, 0)}, error=ShapeError),
    ],
    examples=[Example(([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), [4.0, 6.0], {"index": (1, slice(None, None, 2))})],
)

concatenate.cases(
    samples=[
        Sample(((2, 3), (4, 3)), {"axis": 0}),
        Sample(((2, 3), (2, 1)), {"axis": 1}),
        Sample(((2, 3, 2), (2, 2, 2)), {"axis": -2}),
        Sample(((0, 3), (2, 3)), {"axis": 0}),
        Sample(((0, 3), (0, 2)), {"axis": 1}),
        Sample(((1,), (1,)), {"axis": 0}),
        Sample(((40, 300), (40, 500)), {"axis": 1}),
        Sample(((2, 3), (2, 4)), {"axis": 0}, error=ShapeError),
        Sample(((2, 3), (3,)), {"axis": 0}, error=ShapeError),
        Sample(((2, 3), (2, 3)), {"axis": 2}, error=ShapeError),
        Sample(((), ()), {"axis": 0}, error=ShapeError),
    ],
    examples=[Example(([[1.0], [2.0]], [[3.0], [4.0]]), [[1.0, 3.0], [2.0, 4.0]], {"axis": 1})],
)
