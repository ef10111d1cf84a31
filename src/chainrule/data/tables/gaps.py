"""Rows without a value in some column: found, refused, or left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables.table import Column, Table, is_text
from chainrule.errors import DataError

POLICIES = ("refuse", "mean", "drop")  # what to do with missing values


def missing(column: Column) -> NDArray[np.bool_]:
    """Which rows of the column have no value."""
    return np.asarray(column == "", dtype=np.bool_) if is_text(column) else np.isnan(column)


def refuse_gaps(table: Table, names: tuple[str, ...], mend: str) -> None:
    """DataError, ending in `mend`, for the first of the columns `names` that misses a value."""
    for name in names:
        gap = missing(table.column(name))
        if gap.any():
            raise DataError(
                f'{table.source}: column "{name}" misses {int(gap.sum()):,} of {table.rows:,} values, '
                f"first in row {int(np.argmax(gap)) + 1}: {mend}"
            )


def leave_out_gaps(table: Table, names: tuple[str, ...]) -> Table:
    """The table without the rows that miss one of `names`, and a note of how many; DataError when none is left."""
    gaps = {name: missing(table.column(name)) for name in names}
    keep = ~np.logical_or.reduce(list(gaps.values()))
    if not keep.any():
        emptiest = max(gaps, key=lambda name: int(gaps[name].sum()))
        raise DataError(
            f'{table.source}: every row misses some value, most often that of "{emptiest}": train with --missing '
            "mean, or without such columns (--drop)"
        )
    if keep.all():
        return table
    note = f"{table.source}: {int((~keep).sum()):,} of {table.rows:,} rows miss some value and are left out"
    return replace(table.take(keep), notes=(*table.notes, note))
