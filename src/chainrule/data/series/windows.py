"""Windows of a series: the changes of some steps, and the change of the target after them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.data.series.changes import Changes
from chainrule.data.series.series import Series
from chainrule.data.series.times import told_time
from chainrule.data.split import Rows, Split
from chainrule.data.tables.numbers import numbers
from chainrule.errors import DataError, OptionError

AS_NUMBERS = "write it as a number, or leave the column out"


@dataclass(frozen=True)
class Forecasts:
    """A forecast for each window of `length` changes that ends in row t: the change from row t to row t + `horizon`.

    `columns` are what a window shows, the target among them. Changes are scaled by those of the training rows. Parts
    are cut by time, the same for all groups: a window belongs to the part in which its target lies, and no training
    target lies after a validation or test window's last row.
    """

    series: Series
    columns: tuple[str, ...]
    target: str
    length: int
    horizon: int
    values: NDArray[np.float64]  # (n, c): the columns of all rows
    rows: Rows  # the last row of each window
    changes: Changes
    scaling: Scaling  # of the changes from row to row
    goal: Scaling  # of the target's change over the horizon
    split: Split  # of the windows

    @classmethod
    def of(
        cls,
        series: Series,
        target: str,
        columns: Sequence[str] = (),
        *,
        length: int = 32,
        horizon: int = 1,
        validation: float = 0.1,
        test: float = 0.2,
    ) -> Forecasts:
        """Windows over the whole series; `validation` and `test` are the last fractions of its times.

        `columns` are the other columns to show, by default none. Raises DataError if a value is missing, if the target
        never changes, or for a part without a window, OptionError for fractions that leave nothing to train on.
        """
        if validation + test >= 1.0:
            raise OptionError(
                f"split: validation {validation} and test {test} leave nothing to train on: use smaller parts"
            )
        stamps = np.unique(series.times)
        ends = np.round(np.cumsum([1.0 - validation - test, validation]) * len(stamps)).astype(int)
        cuts = [stamps[min(end, len(stamps) - 1)] for end in ends]
        return cls.until(series, target, columns, length=length, horizon=horizon, cuts=(cuts[0], cuts[1], None))

    @classmethod
    def until(
        cls,
        series: Series,
        target: str,
        columns: Sequence[str] = (),
        *,
        length: int,
        horizon: int,
        cuts: tuple[object, object, object],
    ) -> Forecasts:
        """The same, the parts cut at times: validation begins at the first, testing at the second, and ends before the
        third, or, if it is None, with the series.
        """
        names = tuple(dict.fromkeys((target, *columns)))
        values = np.column_stack([_complete(series, name) for name in names])
        rows = _ends(series, length, horizon)
        ahead = series.times[rows + horizon]
        part = np.searchsorted(np.array(cuts[:2]), ahead, side="right")
        if cuts[2] is not None:
            part[ahead >= cuts[2]] = len(cuts)
        parts = [np.flatnonzero(part == number) for number in range(3)]
        wanted = (True, cuts[0] != cuts[1], bool((series.times >= cuts[1]).any()))
        for name, windows, is_wanted in zip(("training", "validation", "test"), parts, wanted, strict=True):
            if is_wanted and not len(windows):
                raise DataError(
                    f"{series.table.source}: its {name} part has no window of {length} steps and a target "
                    f"{horizon} later: use a longer series, a smaller length, or a larger part"
                )
        seen = series.times < cuts[0]
        changes = Changes.of(values[seen])
        _refuse_signs(series, names, values, changes)
        found = cls(
            series, names, target, length, horizon, values, rows, changes, Scaling.of(np.zeros((1, len(names)))),
            Scaling.of(np.zeros(1)), Split(parts[0], parts[1], parts[2]),
        )  # fmt: skip
        return found._scaled(seen)

    def _scaled(self, seen: NDArray[np.bool_]) -> Forecasts:
        """With the scaling of the rows `seen` in training."""
        steps = self._steps()
        steps[~seen] = np.nan
        goals = self._goals()[self.split.train]
        if np.ptp(goals) == 0:
            raise DataError(
                f'{self.series.table.source}: column "{self.target}" changes by {goals[0]:g} in every training step, '
                "which leaves nothing to learn: choose another target"
            )
        return replace(self, scaling=Scaling.of(steps), goal=Scaling.of(goals))

    def _steps(self) -> NDArray[np.float64]:
        """The change of each row from the one before, NaN in the first row of a group: (n, c)."""
        steps = np.full(self.values.shape, np.nan)
        steps[1:] = self.changes.between(self.values[:-1], self.values[1:])
        steps[self.series.bounds[:-1]] = np.nan
        return steps

    def _goals(self) -> NDArray[np.float64]:
        """The change of the target over the horizon, for each window."""
        last, later = self.values[self.rows, :1], self.values[self.rows + self.horizon, :1]
        return Changes(self.changes.relative[:1]).between(last, later)[:, 0]

    @property
    def x(self) -> NDArray[np.float32]:
        """The changes each window shows, scaled: (windows, length, columns)."""
        scaled = self.scaling.apply(self._steps())
        found: NDArray[np.float32] = scaled[self.rows[:, None] + np.arange(1 - self.length, 1)]
        return found

    @property
    def y(self) -> NDArray[np.float32]:
        """The change of the target after each window, scaled: (windows, 1)."""
        return self.goal.apply(self._goals()[:, None])

    def levels(self, outputs: NDArray[np.float32], windows: Rows) -> NDArray[np.float64]:
        """Outputs (n, q) for some windows as values of the target."""
        last = self.values[self.rows[windows], :1]
        return Changes(self.changes.relative[:1]).after(last, self.goal.undo(outputs))

    def where(self, window: int) -> str:
        """The location of a window, for messages."""
        return f"{self.series.where(int(self.rows[window]))} and the {self.length - 1} rows before"


def walk_forward(
    series: Series, target: str, columns: Sequence[str] = (), *, folds: int, length: int, horizon: int, test: float
) -> Iterator[Forecasts]:
    """The last fraction `test` of the times in `folds` parts, each with all windows before it to train on.

    The validation part of each is as long as its test part, and comes right before it.
    """
    stamps = np.unique(series.times)
    edges = np.round(np.linspace(1.0 - test, 1.0, folds + 1) * len(stamps)).astype(int)
    size = edges[1] - edges[0]
    if folds < 1 or size < 1 or edges[0] - size < 1:
        raise OptionError(
            f"walk_forward: {folds} folds of the last {test} of {len(stamps):,} times leave nothing to train on: use "
            "fewer folds, or a smaller part"
        )
    for start, end in itertools.pairwise(edges):
        last = stamps[end] if end < len(stamps) else None
        cuts = (stamps[start - size], stamps[start], last)
        yield Forecasts.until(series, target, columns, length=length, horizon=horizon, cuts=cuts)


def _complete(series: Series, name: str) -> NDArray[np.float64]:
    """A column of numbers without gaps; raises DataError with the first missing value."""
    column = numbers(series.table, name, AS_NUMBERS)
    missing = np.isnan(column)
    if missing.any():
        row = int(np.argmax(missing))
        raise DataError(
            f"{series.table.cell(name, row)}: no value at {told_time(series.times[row])}: a series needs one in every "
            "row: fill it in, or leave the row out"
        )
    return column


def _refuse_signs(series: Series, names: tuple[str, ...], values: NDArray[np.float64], changes: Changes) -> None:
    """Raise DataError for a value that is not positive in a column that is so in all training rows."""
    wrong = (values <= 0) & np.array(changes.relative)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{series.table.cell(names[column], row)}: {values[row, column]:g} at {told_time(series.times[row])}, but "
            "the column is above 0 in all training rows, so its changes are ratios: correct it, or leave it out"
        )


def _ends(series: Series, length: int, horizon: int) -> Rows:
    """The last row of every window that has `length` changes and a target `horizon` rows later."""
    parts = [np.arange(start + length, end - horizon) for start, end in itertools.pairwise(series.bounds)]
    rows = np.concatenate(parts).astype(np.int64)
    if not len(rows):
        longest = int(np.diff(series.bounds).max())
        raise DataError(
            f"{series.table.source}: the longest series has {longest:,} rows, too few for a window of {length} steps "
            f"and a target {horizon} later: use a longer one, or a smaller length"
        )
    return rows
