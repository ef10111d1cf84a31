"""A table as series: its rows in order of time, one series for each group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.series.times import times_of, told_step, told_time
from chainrule.data.split import Rows
from chainrule.data.tables.table import Table
from chainrule.errors import DataError


@dataclass(frozen=True)
class Series:
    """Rows in order of group, then time."""

    table: Table
    time: str  # the column of times
    times: NDArray[Any]  # (n,): dates or numbers
    names: tuple[str, ...]  # of the groups; one empty name without groups
    bounds: Rows  # where each group begins, and the end

    def __repr__(self) -> str:
        return f"<Series {self.table.source}: {len(self.names):,} of {self.table.rows:,} rows>"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.table.notes

    def where(self, row: int) -> str:
        """The location of a row, for messages: `"prices.csv: row 3 (2013-03-01)"`."""
        return f"{self.table.where(row)} ({told_time(self.times[row])})"


def as_series(table: Table, time: str, group: str | None = None) -> Series:
    """The series in a table: `time` is its column of times, `group` that of names, by default one series.

    Rows are sorted by group and time; notes tell if they were not in order, and where steps are longer than usual.
    Raises DataError for a time that occurs twice in a group, and for columns that are not there or not times.
    """
    times = times_of(table, time)
    words = np.zeros(table.rows, np.int64) if group is None else _groups(table, group)
    order = np.lexsort((times, words))
    names = ("",) if group is None else tuple(sorted(set(table.labels(group).words.tolist())))
    sizes = np.bincount(words, minlength=len(names))
    notes = list(table.notes)
    if _out_of_order(times, words):
        notes.append(f'{table.source}: rows are sorted by "{time}", as they were not in order')
    ordered = replace(table.take(order), notes=())
    series = Series(ordered, time, times[order], names, np.concatenate([[0], np.cumsum(sizes)]))
    _refuse_repeated(series, group)
    notes += _told_gaps(series)
    return replace(series, table=replace(ordered, notes=tuple(notes)))


def _groups(table: Table, group: str) -> Rows:
    """The number of each row's group; raises DataError for a missing name."""
    words = table.labels(group).words
    empty = words == ""
    if empty.any():
        raise DataError(f"{table.cell(group, int(np.argmax(empty)))}: no name of a group: fill it in, or drop the row")
    return np.unique(words.astype(str), return_inverse=True)[1].astype(np.int64)


def _out_of_order(times: NDArray[Any], words: Rows) -> bool:
    """Whether the rows of some group are not in order of time."""
    by_group = np.argsort(words, kind="stable")
    same = np.diff(words[by_group]) == 0
    return bool((np.diff(times[by_group])[same] < np.zeros(1, np.diff(times[:1]).dtype)).any())


def _refuse_repeated(series: Series, group: str | None) -> None:
    steps = series.times[1:] == series.times[:-1]
    steps[series.bounds[1:-1] - 1] = False
    if steps.any():
        row = int(np.argmax(steps))
        fix = "keep one" if group is not None else "keep one, or, if the table has several series, use --group COLUMN"
        raise DataError(
            f"{series.table.cell(series.time, row + 1)}: {told_time(series.times[row])} occurs a second time, after "
            f"row {series.table.number(row)}: {fix}"
        )


def _told_gaps(series: Series) -> list[str]:
    """A note on steps of time that are longer than the usual one."""
    steps = np.diff(series.times)
    inside = np.ones(len(steps), np.bool_)
    inside[series.bounds[1:-1] - 1] = False
    if not inside.any():
        return []
    found, counts = np.unique(steps[inside], return_counts=True)
    usual = found[counts.argmax()]
    longer = inside & (steps > usual)
    if not longer.any():
        return []
    row = int(np.where(longer, steps, found[0]).argmax())
    return [
        f"{series.table.source}: a row follows the one before after {told_step(usual)}, {longer.sum():,} of "
        f"{inside.sum():,} times after more, at most {told_step(steps[row])} ({told_time(series.times[row])} to "
        f"{told_time(series.times[row + 1])}): each row counts as one step"
    ]
