"""Batches of sequences of different lengths: which rows of the data each step gathers, and how many it has room for.

A program has a fixed number of rows. That of a batch, the sum of its lengths, is rounded up by at most a sixteenth, so
that few programs serve all batches. Rows left over repeat the batch's last one, which is as finite as the data; a
weight of 0 keeps them out of the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Layout, Tensor, symbol
from chainrule.native.memory import Array
from chainrule.sequences import Sequences, rows_of

LEAST = 16  # rows


def capacity(rows: int) -> int:
    """The rows of a program for batches of this many: rounded up to a sixteenth of the power of two below."""
    unit = max(1, (1 << max(rows - 1, 1).bit_length() - 1) // 16)
    return max(LEAST, -(-rows // unit) * unit)


@dataclass(frozen=True)
class Tables:
    """For S steps of B sequences: `rows` (S, capacity) of the data, `offsets` (S, B + 1), `order` (S, B), and `weight`
    (S, capacity) of each row.
    """

    rows: Array
    offsets: Array
    order: Array
    weight: Array


def alike(data: Sequences, indices: Array) -> Iterator[tuple[slice, int]]:
    """The steps of `indices` (S, B) in runs that one program serves, each with its capacity."""
    found = [capacity(int(rows)) for rows in data.lengths[indices].sum(axis=1)]
    first = 0
    for step in range(1, len(found) + 1):
        if step == len(found) or found[step] != found[first]:
            yield slice(first, step), found[first]
            first = step


def symbolic(x: Array | Sequences) -> Tensor:
    """A symbol of x's shape; of sequences of different lengths, of the rows of all their steps."""
    if not isinstance(x, Sequences):
        return symbol(x.shape, x.dtype, "x")
    rows = symbol(x.values.shape, x.dtype, "x")
    rows.sequences = Layout(symbol((len(x) + 1,), np.int64, "offsets"), symbol((len(x),), np.int64, "order"))
    return rows


def tables(data: Sequences, indices: Array, room: int, weight: Array | None, dtype: np.dtype[Any]) -> Tables:
    """The tables of steps that one program serves; `weight` (n,) is that of each sequence of the data."""
    steps, batch = indices.shape
    rows, weights = np.empty((steps, room), np.int64), np.zeros((steps, room), dtype)
    lengths = data.lengths[indices]
    offsets = np.zeros((steps, batch + 1), np.int64)
    np.cumsum(lengths, axis=1, out=offsets[:, 1:])
    for step, numbers in enumerate(indices):
        taken = rows_of(data.offsets, numbers)
        rows[step, : len(taken)], rows[step, len(taken) :] = taken, taken[-1]
        weights[step, : len(taken)] = 1.0 if weight is None else np.repeat(weight[numbers], lengths[step])
    return Tables(rows, offsets, np.argsort(-lengths, axis=1, kind="stable"), weights)
