"""Rows with missing values: found, rejected or dropped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import listed, quoted
from chainrule.data.tables.cells import NEVER_NAMES, is_missing
from chainrule.data.tables.columns import Column, is_text, spelled
from chainrule.data.tables.table import Table
from chainrule.errors import DataError

FEW = 8  # columns that a note names
POLICIES = ("refuse", "mean", "drop")  # what to do with missing values
Gaps: TypeAlias = dict[str, NDArray[np.bool_]]  # for each column, the rows without a value


def missing(column: Column) -> NDArray[np.bool_]:
    """Which rows of the column have no value."""
    return np.asarray(column == "", dtype=np.bool_) if is_text(column) else np.isnan(column)


def missing_labels(table: Table, name: str, classes: Iterable[object] = ()) -> NDArray[np.bool_]:
    """Which rows have no label: an empty one, or where the `classes` are known, a word for a missing value."""
    words, known = table.labels(name).words, {str(c) for c in classes}
    return np.array([not w or bool(known and w not in known and is_missing(w)) for w in words], dtype=np.bool_)


def refuse_gaps(table: Table, gaps: Gaps, fix: str) -> None:
    """Raise DataError, ending in `fix`, for the first column with a missing value."""
    for name, gap in gaps.items():
        if gap.any():
            row = int(np.argmax(gap))
            raise DataError(
                f'{table.source}: column "{name}" is missing {int(gap.sum()):,} of {table.rows:,} values, '
                f"the first in row {table.number(row)}{_as_it_is_written(table, name, row)}: {fix}"
            )


def refuse_words(table: Table, target: str, policy: str) -> None:
    """Raise DataError for labels such as NA, which may be names or missing values, unless that was specified.

    Among numbers they are missing values for those who leave out rows without a value.
    """
    column = table.column(target)
    if table.na is not None or (policy == "drop" and not is_text(column)):
        return
    cells = column if is_text(column) else table.written.get(target, column[:0])
    words, counts = np.unique([spelled(cell) for cell in cells], return_counts=True)
    certain = {""} if is_text(column) else NEVER_NAMES | {"nan"}
    doubtful = {
        str(word): int(count)
        for word, count in zip(words, counts, strict=True)
        if is_missing(word) and word.casefold() not in certain
    }
    if doubtful:
        rows = sum(doubtful.values())
        held = quoted([*doubtful])
        raise DataError(
            f'{table.source}: column "{target}" holds {held} in {rows:,} of {table.rows:,} rows, names of '
            f"classes or missing values: na=[] says they are names, na={list(doubtful)} says they are missing"
        )


def tell_filled(table: Table, gaps: Gaps) -> Table:
    """The table with a note of how many values are missing and become the mean of their column."""
    columns = [name for name, gap in gaps.items() if gap.any()]
    if not columns:
        return table
    count = sum(int(gaps[name].sum()) for name in columns)
    which = quoted(columns) if len(columns) <= FEW else f"{len(columns):,} columns"
    what = "1 missing value becomes" if count == 1 else f"{count:,} missing values become"
    note = f"{table.source}: {what} the mean of the training rows, in {which}"
    return replace(table, notes=(*table.notes, note))


def leave_out_gaps(table: Table, gaps: Gaps) -> Table:
    """The table without rows with missing values, and a message with their number; raises DataError if none is left."""
    keep = ~np.logical_or.reduce(list(gaps.values()))
    if not keep.any():
        emptiest = max(gaps, key=lambda name: int(gaps[name].sum()))
        raise DataError(
            f'{table.source}: every row is missing some value, most often that of "{emptiest}": use '
            f'missing="mean", or leave such columns out, this one with drop={[emptiest]}'
        )
    if keep.all():
        return table
    note = f"{table.source}: {int((~keep).sum()):,} of {table.rows:,} rows are missing some value and are left out"
    words = {f'"{word}" in {name}' for name, gap in gaps.items() for word in _words(table, name, gap)}
    note += f" ({listed(sorted(words))})" if words else ""
    return replace(table.take(keep), notes=(*table.notes, note))


def _as_it_is_written(table: Table, name: str, row: int) -> str:
    word = next(iter(_words(table, name, np.array([row]))), "")
    return f' (written "{word}")' if word else ""


def _words(table: Table, name: str, rows: NDArray[np.bool_] | NDArray[np.int64]) -> set[str]:
    """How missing values of some rows are written, where the table knows it."""
    written = table.written.get(name)
    return set() if written is None else {spelled(cell) for cell in written[rows].tolist()} - {""}
