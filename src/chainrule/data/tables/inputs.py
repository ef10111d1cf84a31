"""How the columns of a table become inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows
from chainrule.data.tables.features import refuse_empty
from chainrule.data.tables.gaps import (
    Gaps,
    leave_out_gaps,
    missing,
    missing_labels,
    refuse_gaps,
    refuse_words,
    tell_filled,
)
from chainrule.data.tables.numbers import AS_CLASSES, LIKE_TRAINING, na_advice, numbers, scaled
from chainrule.data.tables.table import Table

OTHERWISE = "fill them in, or leave such rows out"


class WithGaps(Protocol):
    """A target that says which rows of a table do not have it."""

    def gaps(self, table: Table) -> Gaps: ...


@dataclass(frozen=True)
class TableInputs:
    """The columns, the policy for missing values, and the mean and standard deviation of each column."""

    features: tuple[str, ...]
    missing: str  # "refuse", "mean" or "drop"
    scaling: Scaling
    kind: ClassVar[str] = "table"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return (len(self.features),)

    def x(self, table: Table) -> NDArray[np.float32]:
        """The features of `table`, scaled: (n, f) float32. A missing value becomes its column's mean, which is 0."""
        raw = raw_features(table, self.features)
        return np.nan_to_num(scaled(table, self.features, self.scaling, raw), nan=0.0)

    def whole_rows(self, table: Table, target: WithGaps | None) -> Table:
        """The table without missing values: they are rejected or their rows dropped, as in training.

        Raises DataError with the first missing value and how to fix it.
        """
        gaps = {name: missing(numbers(table, name, LIKE_TRAINING)) for name in self.features}
        goal: Gaps = {} if target is None else target.gaps(table)
        if self.missing == "drop" and goal:
            return leave_out_gaps(table, gaps | goal)
        if self.missing == "mean":
            refuse_gaps(table, goal, OTHERWISE)
            return tell_filled(table, gaps)
        refuse_gaps(table, gaps, f'{OTHERWISE}; a network trained with missing="mean" fills them itself')
        refuse_gaps(table, goal, OTHERWISE)
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "features": list(self.features),
            "missing": self.missing,
            "scaling": self.scaling.to_dict(),
        }


def table_inputs(table: Table, features: tuple[str, ...], missing: str, rows: Rows) -> TableInputs:
    """The inputs from the columns `features`, scaled by some rows."""
    refuse_empty(table, features, rows, "training row")
    return TableInputs(features, missing, Scaling.of(raw_features(table, features)[rows]))


def raw_features(table: Table, features: tuple[str, ...]) -> NDArray[np.float64]:
    """The columns `features` as one array: (n, f), NaN for missing values; raises DataError for text."""
    return np.column_stack([numbers(table, name, LIKE_TRAINING) for name in features])


def handle_gaps(table: Table, features: tuple[str, ...], target: str, task: str, policy: str) -> Table:
    """The table to train on: missing values are rejected, dropped with their rows, or kept to be filled; targets are
    never filled.
    """
    classes = task == "classify"
    if classes:
        refuse_words(table, target, policy)
    gaps = {name: missing(numbers(table, name, LIKE_TRAINING)) for name in features}
    if classes:
        gaps_of_target = {target: missing_labels(table, target)}
    else:
        gaps_of_target = {target: missing(numbers(table, target, na_advice(table, [target]) or AS_CLASSES))}
    if policy == "drop":
        return leave_out_gaps(table, gaps | gaps_of_target)
    if policy == "refuse":
        refuse_gaps(
            table,
            gaps,
            'missing="drop" leaves such rows out, and cannot predict them later; missing="mean" fills them, then too',
        )
    refuse_gaps(table, gaps_of_target, 'missing="drop" leaves such rows out')
    return tell_filled(table, gaps)
