"""Rows of a table, chosen by whole numbers: embedding.

Source: Bengio et al., A neural probabilistic language model, Journal of Machine Learning Research 3 (2003).
"""

from __future__ import annotations

import numpy as np

from chainrule.errors import LabelError, ShapeError
from chainrule.kernels.copies import zero
from chainrule.kernels.integers import within
from chainrule.native.kernel import Call, Int, Int1, Real2, blocks, kernel
from chainrule.native.memory import Array, Shape, View
from chainrule.native.state import STOP, WRONG_LABEL
from chainrule.ops.record import Example, Limit, Sample, op

TILE = 4096  # elements of y
LINE = 16  # columns that a tile of the gradient has at least: a cache line of float32


@op(formula="y[r] = table[index[r]]", integers=("index",), flops=0.0, by_row=True)
def embedding(index: Array, table: Array, *, padding_idx: int = -1) -> Array:
    """Row index[r] of a table (n, f) for each whole number: index (...), y (..., f).

    Row `padding_idx` of the table is taken like any other, but no gradient flows to it; -1, the default, is no row.
    Raises ShapeError unless the table has two axes, LabelError unless the index holds whole numbers from 0 to n - 1.
    """
    _limit(table.shape).check("embedding", index)
    return np.asarray(table[index])


@embedding.shape
def _(index: Shape, table: Shape, *, padding_idx: int) -> Shape:
    if len(table) != 2 or 0 in table:
        raise ShapeError(f"embedding: the table has shape {table}, expected (rows, features), at least one of each")
    if not -1 <= padding_idx < table[0]:
        raise ShapeError(f"embedding: padding_idx is {padding_idx}, expected a row of the table, 0 .. {table[0] - 1}")
    return (*index, table[1])


@embedding.limit("index")
def _(index: Shape, table: Shape, *, padding_idx: int) -> Limit:
    return _limit(table)


def _limit(table: Shape) -> Limit:
    fix = "number what is embedded from 0, or give the table a row for each number (num_embeddings)"
    return Limit("index", "indices", table[0], f"the table has {table[0]} rows", fix)


@embedding.lower
def _(y: View, index: View, table: View, *, state: View) -> list[Call]:
    if not index.size:
        return []
    each = max(1, TILE // table.shape[1])
    rows = y.reshape(index.size, table.shape[1])
    return [take_rows(blocks(index.size, each), rows, index.flat(), table, each, state, stops=True)]


@kernel
def take_rows(tile: Int, y: Real2, index: Int1, table: Real2, rows: Int, state: Int1) -> None:
    """`rows` rows of y; a number that is no row of the table stops the program."""
    for i in range(tile * rows, min((tile + 1) * rows, index.size)):
        at = within(index[i], table.shape[0])
        if at != index[i]:
            state[STOP] = WRONG_LABEL
        row, to = table[at], y[i]
        for j in range(to.size):
            to[j] = row[j]


@embedding.gradient("table", formula="dtable[k] = Σ dy[r] over r with index[r] = k ≠ padding_idx")
def _(dy: Array, index: Array, *, padding_idx: int, table_shape: Shape) -> Array:
    dtable = np.zeros(table_shape, dy.dtype)
    np.add.at(dtable, index.ravel(), dy.reshape(-1, table_shape[1]))
    if padding_idx >= 0:
        dtable[padding_idx] = 0.0
    return dtable


@embedding.lower("table")
def _(
    dtable: View, dy: View, index: View, *, padding_idx: int, table_shape: Shape, add: bool = False
) -> list[Call]:  # fmt: skip
    cleared = [] if add else zero(dtable)
    if not index.size:
        return cleared
    columns = table_shape[1]
    wide = LINE * min(4, max(1, columns // (8 * LINE)))
    rows = dy.reshape(index.size, columns)
    call = add_rows(blocks(columns, wide), dtable, rows, index.flat(), padding_idx, wide, flops=1.0 * dy.size)
    return [*cleared, call]


@kernel
def add_rows(tile: Int, dtable: Real2, dy: Real2, index: Int1, padding: Int, wide: Int) -> None:
    """`wide` columns of dtable[index[r]] += dy[r]: all rows in order, so that no two tiles add to the same element."""
    left = tile * wide
    right = min(left + wide, dtable.shape[1])
    for r in range(index.size):
        if index[r] != padding:
            to = dtable[within(index[r], dtable.shape[0]), left:right]
            row = dy[r, left:right]
            for j in range(to.size):
                to[j] += row[j]


_INDEX = np.array([2, 0, 2, 1])
_MANY = np.arange(1500) * 7 % 40
embedding.cases(
    samples=[
        Sample((_INDEX, (3, 5)), {"padding_idx": -1}),
        Sample((_INDEX.reshape(2, 2), (4, 5)), {"padding_idx": 3}),  # finite differences know of no padding
        Sample((np.array(1), (2, 3)), {"padding_idx": -1}),
        Sample((np.array([0]), (1, 1)), {"padding_idx": -1}),
        Sample((np.zeros((0, 3), np.int64), (2, 3)), {"padding_idx": -1}),
        Sample((_MANY, (41, 17)), {"padding_idx": 40}),
        Sample((_MANY.reshape(3, 500), (41, 300)), {"padding_idx": -1}),
        Sample((np.array([0, 3]), (3, 5)), {"padding_idx": -1}, error=LabelError),
        Sample((np.array([-1, 0]), (3, 5)), {"padding_idx": -1}, error=LabelError),
        Sample((np.array([0.0, 1.0]), (3, 5)), {"padding_idx": -1}, error=LabelError),
        Sample((_INDEX, (3,)), {"padding_idx": -1}, error=ShapeError),
        Sample((_INDEX, (3, 0)), {"padding_idx": -1}, error=ShapeError),
        Sample((_INDEX, (3, 5)), {"padding_idx": 3}, error=ShapeError),
    ],
    examples=[Example(([2, 0], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [[5.0, 6.0], [1.0, 2.0]])],
)
