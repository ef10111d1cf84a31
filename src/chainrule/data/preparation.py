"""Table -> arrays to train on, and the record by which later tables are treated the same way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import suggestion
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows, Split, split_rows
from chainrule.data.tables import Table
from chainrule.data.target import (
    Class,
    check_task,
    class_numbers,
    find_classes,
    guess_task,
    missing,
    numbers,
    quantities,
)
from chainrule.errors import DataError, OptionError

Array = NDArray[Any]
POLICIES = ("refuse", "mean", "drop")


@dataclass(frozen=True)
class Preparation:
    """How a table becomes arrays: which columns, which classes, which scaling, what of missing values."""

    task: str  # "classify" or "regress"
    target: str
    features: tuple[str, ...]
    missing: str  # "refuse", "mean" or "drop"
    inputs: Scaling
    classes: tuple[Class, ...] = ()  # for "classify"
    quantity: Scaling | None = None  # for "regress"

    @property
    def outputs(self) -> int:
        """How many numbers a network for this task puts out."""
        return len(self.classes) if self.task == "classify" else 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return (len(self.features),)

    def x(self, table: Table) -> NDArray[np.float32]:
        """The features of `table`, scaled: (n, f) float32. A missing value becomes its column's mean, which is 0."""
        return np.nan_to_num(self.inputs.apply(raw_features(table, self.features)), nan=0.0)

    def y(self, table: Table) -> Array:
        """The targets of `table`: classes (n,) int64, or scaled quantities (n, 1) float32."""
        if self.quantity is None:
            return class_numbers(table, self.target, self.classes)
        return self.quantity.apply(quantities(table, self.target))[:, None]

    def whole_rows(self, table: Table, with_target: bool) -> Table:
        """The table this preparation can use: rows with missing values refused or left out, as it was in training.

        Raises DataError that names the first missing value and how to mend it.
        """
        policy = self.missing if with_target or self.missing == "mean" else "refuse"
        return mend_missing(table, self.features, self.target if with_target else None, policy)

    def split(self, table: Table, y: Array, *, validation: float, test: float, seed: int) -> Split:
        """The parts of a table with targets y (n, ...), by class where there are classes."""
        classes = y if self.classes else None
        return split_rows(table.rows, validation=validation, test=test, seed=seed, classes=classes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "target": self.target,
            "features": list(self.features),
            "missing": self.missing,
            "classes": list(self.classes),
            "inputs": self.inputs.to_dict(),
            "quantity": self.quantity.to_dict() if self.quantity else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preparation:
        """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        if len(values["features"]) != len(values["inputs"]["mean"]):
            raise ValueError("as many features as means were expected")
        return cls(
            task=values["task"],
            target=values["target"],
            features=tuple(values["features"]),
            missing=values["missing"],
            inputs=Scaling.from_dict(values["inputs"]),
            classes=tuple(values["classes"]),
            quantity=Scaling.from_dict(values["quantity"]) if values["quantity"] else None,
        )


@dataclass(frozen=True)
class Parts:
    """A table made ready: its whole rows, their split, and the arrays of all of them."""

    table: Table
    split: Split
    x: NDArray[np.float32]
    y: Array

    @property
    def notes(self) -> tuple[str, ...]:
        return self.table.notes

    def arrays(self, rows: Rows) -> tuple[NDArray[np.float32], Array]:
        """x and y of some rows."""
        return self.x[rows], self.y[rows]


def prepare(
    table: Table,
    target: str,
    *,
    task: str | None = None,
    drop: tuple[str, ...] = (),
    missing: str = "refuse",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Preparation, Parts]:
    """Choose columns, split rows, scale by the training rows.

    `task` None is guessed from the target. `missing` is "refuse" (an error), "mean" (of the training rows) or "drop"
    (such rows are left out). Raises DataError, LabelError or OptionError. Example: `prepare(digits_table(), "digit")`.
    """
    if missing not in POLICIES:
        raise OptionError(f'missing: "{missing}" is unknown: {suggestion(missing, POLICIES)}')
    table.column(target)
    features = _features(table, target, drop)
    raw_features(table, features)  # text is refused before gaps are filled
    table = mend_missing(table, features, target, missing)
    task = task or guess_task(table, target)
    check_task(task)
    classes = find_classes(table, target) if task == "classify" else ()
    y = class_numbers(table, target, classes) if classes else quantities(table, target)
    split = split_rows(table.rows, validation=validation, test=test, seed=seed, classes=y if classes else None)
    x = raw_features(table, features)
    _nothing_known(table, features, x[split.train])
    quantity = None if classes else Scaling.of(y[split.train])
    preparation = Preparation(task, target, features, missing, Scaling.of(x[split.train]), classes, quantity)
    return preparation, Parts(table, split, preparation.x(table), preparation.y(table))


def raw_features(table: Table, features: tuple[str, ...]) -> NDArray[np.float64]:
    """The columns `features` side by side: (n, f), NaN where missing."""
    mend = "write it as a number, or leave the column out with --drop"
    return np.column_stack([numbers(table, name, mend) for name in features])


def mend_missing(table: Table, features: tuple[str, ...], target: str | None, policy: str) -> Table:
    """Apply the policy to rows with missing values; a missing target can only be dropped or refused."""
    gaps = {name: missing(table.column(name)) for name in (*features, *([target] if target else []))}
    if policy == "drop":
        keep = ~np.logical_or.reduce(list(gaps.values()))
        if not keep.any():
            raise DataError(
                f"{table.source}: every row misses some value: use --missing mean, or --drop sparse columns"
            )
        left_out = table.rows - int(keep.sum())
        note = f"{table.source}: {left_out} of {table.rows} rows miss some value and are left out"
        notes = (*table.notes, note) if left_out else table.notes
        return replace(table.take(keep), notes=notes)
    for name, gap in gaps.items():
        if gap.any() and (policy == "refuse" or name == target):
            row = int(np.argmax(gap))
            mend = "--missing drop leaves such rows out" + ("" if name == target else ", --missing mean fills them")
            raise DataError(
                f'{table.source}: column "{name}" misses {int(gap.sum())} of {table.rows} values, '
                f"first in row {row + 1}: {mend}"
            )
    return table


def _features(table: Table, target: str, drop: tuple[str, ...]) -> tuple[str, ...]:
    for name in drop:
        table.column(name)
    if target in drop:
        raise OptionError(f'drop: "{target}" is the target: leave it in, or choose another --target')
    features = tuple(name for name in table.columns if name != target and name not in drop)
    if not features:
        raise DataError(
            f'{table.source}: no column is left beside the target "{target}": some are needed to predict from'
        )
    return features


def _nothing_known(table: Table, features: tuple[str, ...], train: Array) -> None:
    empty = np.isnan(train).all(axis=0)
    if empty.any():
        name = features[int(np.argmax(empty))]
        raise DataError(f'{table.source}: column "{name}" has no value in any training row: leave it out with --drop')
