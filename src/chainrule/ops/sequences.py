"""One row for each sequence, from its steps: sequence_sum, sequence_mean, sequence_max, sequence_last.

x (rows, ...) holds the steps of n sequences, one after the other; `offsets`, n + 1 whole numbers, say where each begins
and where the last one ends. Rows after that do not count, and get no gradient. A sequence without steps gives 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.integers import within
from chainrule.native.kernel import Call, Int, Int1, Kernel, Real2, device, kernel, real
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(formula="y[s] = Σ x over the steps of s", integers=("offsets",), flops=lambda x, _: float(math.prod(x)))
def sequence_sum(x: Array, offsets: Array) -> Array:
    """The sum of each sequence's steps. Raises ShapeError where shapes do not fit."""
    y = [x[a:b].sum(axis=0) for a, b in _bounds(offsets)]
    return _stacked(y, x)


@sequence_sum.shape
def _(x: Shape, offsets: Shape) -> Shape:
    return _shape("sequence_sum", x, offsets)


@sequence_sum.lower
def _(y: View, x: View, offsets: View) -> list[Call]:
    return _calls(sum_steps, y, x, offsets)


@kernel
def sum_steps(tile: Int, y: Real2, x: Real2, offsets: Int1) -> None:
    """Sequence `tile`."""
    first, last = part_of(offsets, tile, x.shape[0])
    to = y[tile]
    for j in range(to.size):
        to[j] = 0.0
    for r in range(first, last):
        row = x[r]
        for j in range(to.size):
            to[j] += row[j]


@sequence_sum.gradient("x", formula="dx = dy[s] for each of the steps of s")
def _(dy: Array, offsets: Array, *, x_shape: Shape) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    for s, (a, b) in enumerate(_bounds(offsets)):
        dx[a:b] = dy[s]
    return dx


@sequence_sum.lower("x")
def _(dx: View, dy: View, offsets: View) -> list[Call]:
    return _calls(repeat_steps, dx, dy, offsets)


@kernel
def repeat_steps(tile: Int, dx: Real2, dy: Real2, offsets: Int1) -> None:
    """The steps of sequence `tile`; the last tile clears the rows after the last sequence."""
    first, last = part_of(offsets, tile, dx.shape[0])
    if tile == offsets.size - 1:
        clear_rows(dx, first, last)
        return
    row = dy[tile]
    for r in range(first, last):
        to = dx[r]
        for j in range(to.size):
            to[j] = row[j]


@op(formula="y[s] = Σ x / n over the n steps of s", integers=("offsets",), flops=lambda x, _: float(math.prod(x)))
def sequence_mean(x: Array, offsets: Array) -> Array:
    """The mean of each sequence's steps. Raises ShapeError where shapes do not fit."""
    y = [x[a:b].mean(axis=0) if b > a else np.zeros(x.shape[1:], x.dtype) for a, b in _bounds(offsets)]
    return _stacked(y, x)


@sequence_mean.shape
def _(x: Shape, offsets: Shape) -> Shape:
    return _shape("sequence_mean", x, offsets)


@sequence_mean.lower
def _(y: View, x: View, offsets: View) -> list[Call]:
    return _calls(mean_steps, y, x, offsets)


@kernel
def mean_steps(tile: Int, y: Real2, x: Real2, offsets: Int1) -> None:
    """Sequence `tile`."""
    first, last = part_of(offsets, tile, x.shape[0])
    to = y[tile]
    for j in range(to.size):
        to[j] = 0.0
    for r in range(first, last):
        row = x[r]
        for j in range(to.size):
            to[j] += row[j]
    share = 1.0 / real(max(last - first, 1))
    for j in range(to.size):
        to[j] *= share


@sequence_mean.gradient("x", formula="dx = dy[s] / n for each of the n steps of s")
def _(dy: Array, offsets: Array, *, x_shape: Shape) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    for s, (a, b) in enumerate(_bounds(offsets)):
        dx[a:b] = dy[s] / max(b - a, 1)
    return dx


@sequence_mean.lower("x")
def _(dx: View, dy: View, offsets: View) -> list[Call]:
    return _calls(mean_steps_gradient, dx, dy, offsets)


@kernel
def mean_steps_gradient(tile: Int, dx: Real2, dy: Real2, offsets: Int1) -> None:
    """The steps of sequence `tile`; the last tile clears the rows after the last sequence."""
    first, last = part_of(offsets, tile, dx.shape[0])
    if tile == offsets.size - 1:
        clear_rows(dx, first, last)
        return
    share = 1.0 / real(max(last - first, 1))
    row = dy[tile]
    for r in range(first, last):
        to = dx[r]
        for j in range(to.size):
            to[j] = row[j] * share


@op(formula="y[s] = max x over the steps of s", integers=("offsets",), flops=lambda x, _: float(math.prod(x)))
def sequence_max(x: Array, offsets: Array) -> Array:
    """The largest of each sequence's steps; NaN if any is. Raises ShapeError where shapes do not fit."""
    y = [x[a:b].max(axis=0) if b > a else np.zeros(x.shape[1:], x.dtype) for a, b in _bounds(offsets)]
    return _stacked(y, x)


@sequence_max.shape
def _(x: Shape, offsets: Shape) -> Shape:
    return _shape("sequence_max", x, offsets)


@sequence_max.lower
def _(y: View, x: View, offsets: View) -> list[Call]:
    return _calls(max_steps, y, x, offsets)


@kernel
def max_steps(tile: Int, y: Real2, x: Real2, offsets: Int1) -> None:
    """Sequence `tile`."""
    first, last = part_of(offsets, tile, x.shape[0])
    to = y[tile]
    for j in range(to.size):
        to[j] = x[first, j] if last > first else 0.0
    for r in range(first + 1, last):
        row = x[r]
        for j in range(to.size):
            if not row[j] <= to[j] and to[j] == to[j]:  # NaN stays
                to[j] = row[j]


@sequence_max.gradient("x", formula="dx = dy[s] where x is the largest, shared by equal ones")
def _(dy: Array, x: Array, y: Array, offsets: Array) -> Array:
    dx = np.zeros_like(x)
    for s, (a, b) in enumerate(_bounds(offsets)):
        chosen = x[a:b] == y[s]
        dx[a:b] = chosen * (dy[s] / np.maximum(chosen.sum(axis=0), 1))
    return dx


@sequence_max.lower("x")
def _(dx: View, dy: View, x: View, y: View, offsets: View) -> list[Call]:
    return _calls(max_steps_gradient, dx, dy, offsets, _flat(x), _flat(y))


@kernel
def max_steps_gradient(tile: Int, dx: Real2, dy: Real2, offsets: Int1, x: Real2, y: Real2) -> None:
    """The steps of sequence `tile`; the last tile clears the rows after the last sequence."""
    first, last = part_of(offsets, tile, dx.shape[0])
    if tile == offsets.size - 1:
        clear_rows(dx, first, last)
        return
    for j in range(dx.shape[1]):
        count = 0.0
        for r in range(first, last):
            if x[r, j] == y[tile, j]:
                count += 1.0
        for r in range(first, last):
            dx[r, j] = dy[tile, j] / count if x[r, j] == y[tile, j] else 0.0


@op(formula="y[s] = x of the last step of s", integers=("offsets",), flops=0.0)
def sequence_last(x: Array, offsets: Array) -> Array:
    """Each sequence's last step. Raises ShapeError where shapes do not fit."""
    y = [x[b - 1] if b > a else np.zeros(x.shape[1:], x.dtype) for a, b in _bounds(offsets)]
    return _stacked(y, x)


@sequence_last.shape
def _(x: Shape, offsets: Shape) -> Shape:
    return _shape("sequence_last", x, offsets)


@sequence_last.lower
def _(y: View, x: View, offsets: View) -> list[Call]:
    return _calls(last_steps, y, x, offsets)


@kernel
def last_steps(tile: Int, y: Real2, x: Real2, offsets: Int1) -> None:
    """Sequence `tile`."""
    first, last = part_of(offsets, tile, x.shape[0])
    to = y[tile]
    for j in range(to.size):
        to[j] = x[last - 1, j] if last > first else 0.0


@sequence_last.gradient("x", formula="dx = dy[s] at the last step of s, 0 elsewhere")
def _(dy: Array, offsets: Array, *, x_shape: Shape) -> Array:
    dx = np.zeros(x_shape, dy.dtype)
    for s, (a, b) in enumerate(_bounds(offsets)):
        dx[b - 1 : b if b > a else b - 1] = dy[s]
    return dx


@sequence_last.lower("x")
def _(dx: View, dy: View, offsets: View) -> list[Call]:
    return _calls(last_steps_gradient, dx, dy, offsets)


@kernel
def last_steps_gradient(tile: Int, dx: Real2, dy: Real2, offsets: Int1) -> None:
    """The steps of sequence `tile`; the last tile clears the rows after the last sequence."""
    first, last = part_of(offsets, tile, dx.shape[0])
    clear_rows(dx, first, last)
    if tile < offsets.size - 1 and last > first:
        row, to = dy[tile], dx[last - 1]
        for j in range(to.size):
            to[j] = row[j]


@device
def part_of(offsets: Int1, sequence: Int, rows: Int) -> Any:
    """The first row of a sequence and the one after its last; behind the last sequence, of all rows that are left."""
    first = within(offsets[sequence], rows + 1)
    last = rows if sequence == offsets.size - 1 else within(offsets[sequence + 1], rows + 1)
    return first, last


@device
def clear_rows(dx: Real2, first: Int, last: Int) -> None:
    """Rows of 0."""
    for r in range(first, last):
        to = dx[r]
        for j in range(to.size):
            to[j] = 0.0


def _calls(chosen: Kernel, to: View, given: View, offsets: View, *others: View) -> list[Call]:
    """A tile for each sequence, and for rows (the gradient's) one for what is behind the last."""
    if not to.size:
        return []
    tiles = offsets.size - (chosen in FORWARD)
    flops = 1.0 * max(to.size, given.size)
    return [chosen(tiles, _flat(to), _flat(given), offsets, *others, flops=flops)]


FORWARD = (sum_steps, mean_steps, max_steps, last_steps)


def _flat(x: View) -> View:
    return x.reshape(x.shape[0], x.size // max(1, x.shape[0]))


def _bounds(offsets: Array) -> list[tuple[int, int]]:
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))


def _stacked(rows: list[Array], x: Array) -> Array:
    y: Array = np.array(rows, x.dtype).reshape(len(rows), *x.shape[1:])
    return y


def _shape(name: str, x: Shape, offsets: Shape) -> Shape:
    if not x or len(offsets) != 1 or offsets[0] == 0:
        raise ShapeError(f"{name}: x has shape {x}, offsets {offsets}: expected (rows, ...) and (sequences + 1,)")
    return (offsets[0] - 1, *x[1:])


_OFFSETS = np.array([0, 3, 4, 9])


def _samples() -> list[Sample]:
    return [
        Sample(((9, 5), _OFFSETS)),
        Sample(((12, 2, 3), _OFFSETS)),  # rows behind the last sequence
        Sample(((9,), _OFFSETS)),
        Sample(((1, 1), np.array([0, 1]))),
        Sample(((3, 2), np.array([0, 3, 3]))),  # one without steps
        Sample(((0, 2), np.array([0]))),
        Sample(((4, 3), np.array([0]))),  # no sequence
        Sample(((700, 33), np.arange(0, 701, 7))),
        Sample(((), _OFFSETS), error=ShapeError),
        Sample(((9, 5), np.zeros((2, 2), np.int64)), error=ShapeError),
    ]


_X = [[1.0, 5.0], [3.0, 2.0], [4.0, 4.0]]
sequence_sum.cases(samples=_samples(), examples=[Example((_X, [0, 2, 3]), [[4.0, 7.0], [4.0, 4.0]])])
sequence_mean.cases(samples=_samples(), examples=[Example((_X, [0, 2, 3]), [[2.0, 3.5], [4.0, 4.0]])])
sequence_max.cases(samples=_samples(), examples=[Example((_X, [0, 2, 3]), [[3.0, 5.0], [4.0, 4.0]])])
sequence_last.cases(samples=_samples(), examples=[Example((_X, [0, 2, 3]), [[3.0, 2.0], [4.0, 4.0]])])
