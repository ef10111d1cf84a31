"""Splitting rows into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.arrays import to_array
from chainrule.errors import DataError, OptionError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Sorted row numbers of each part; every row is in exactly one part."""

    train: Rows
    validation: Rows
    test: Rows


def split_rows(n: int, *, validation: float, test: float, seed: int, classes: NDArray[Any] | None = None) -> Split:
    """Split rows 0 .. n - 1 at random: `validation` and `test` are fractions of n, the rest is for training.

    With `classes` (n,), each class is split in the same proportions, as far as whole rows allow, and keeps at least one
    row for training. The parts depend only on the arguments, not on the platform or the version of NumPy. Raises
    OptionError for invalid fractions, DataError if a requested part would be empty.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0.0 <= fraction < 1.0:
            raise OptionError(
                f"split: the {name} part is {fraction}, expected a fraction of the rows from 0 to below 1"
            )
    if validation + test >= 1.0:
        raise OptionError(
            f"split: validation {validation} and test {test} leave nothing to train on: use smaller parts"
        )
    classes = None if classes is None else to_array("split: classes", classes, DataError)
    # Sorting by random keys: a bit generator's raw stream is the same in every version of NumPy.
    keys = np.random.Philox(key=seed).random_raw(n)
    order = np.argsort(keys, kind="stable").astype(np.int64)
    groups = [order] if classes is None else _by_class(order, classes)
    parts = _share_out(groups, (validation, test))
    for name, fraction, rows in (("validation", validation, parts[0]), ("test", test, parts[1])):
        if fraction > 0.0 and len(rows) == 0:
            raise DataError(
                f"split: {n} rows are too few for a {name} part of {fraction}: use more rows, or a larger part"
            )
    rest = np.setdiff1d(order, np.concatenate(parts))
    return Split(rest, parts[0], parts[1])


def _by_class(order: Rows, classes: NDArray[Any]) -> list[Rows]:
    """The rows of each class, in their order."""
    _, of_row, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    return np.split(order[np.argsort(of_row, kind="stable")], np.cumsum(counts)[:-1])


def _share_out(groups: list[Rows], fractions: tuple[float, float]) -> list[Rows]:
    """For each fraction, the rows taken from each group, by largest remainder, leaving at least one row."""
    left = [len(group) - 1 for group in groups]  # rows a group can give up
    total = sum(len(group) for group in groups)
    start = [0] * len(groups)
    parts = []
    for fraction in fractions:
        wanted = [fraction * len(group) for group in groups]
        counts = [min(int(w), room) for w, room in zip(wanted, left, strict=True)]
        short = round(fraction * total) - sum(counts)
        by_remainder = sorted(range(len(groups)), key=lambda g: (counts[g] - wanted[g], g))
        for g in by_remainder:
            if short > 0 and counts[g] < left[g]:
                counts[g] += 1
                short -= 1
        parts.append(np.sort(np.concatenate([g[s : s + c] for g, s, c in zip(groups, start, counts, strict=True)])))
        start = [s + c for s, c in zip(start, counts, strict=True)]
        left = [room - c for room, c in zip(left, counts, strict=True)]
    return parts
