"""Table -> arrays to train on, and the record by which later tables are treated the same way."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.gaps import POLICIES, leave_out_gaps, missing, refuse_gaps
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
    holds_text,
    numbers,
)
from chainrule.errors import DataError, OptionError

Array = NDArray[Any]
AS_CLASSES = "use --task classify, or another --target"
LIKE_TRAINING = "write it as a number, as in the table of the training"


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
        raw = raw_features(table, self.features)
        return np.nan_to_num(_scaled(table, self.features, self.inputs, raw), nan=0.0)

    def y(self, table: Table) -> Array:
        """The targets of `table`: classes (n,) int64, or scaled quantities (n, 1) float32."""
        if self.quantity is None:
            return class_numbers(table, self.target, self.classes)
        raw = numbers(table, self.target, LIKE_TRAINING)[:, None]
        return _scaled(table, (self.target,), self.quantity, raw)

    def whole_rows(self, table: Table, with_target: bool) -> Table:
        """The table this preparation can use: rows with missing values refused or left out, as it was in training.

        Raises DataError that names the first missing value and how to mend it.
        """
        target = (self.target,) if with_target else ()
        if self.missing == "drop" and with_target:
            return leave_out_gaps(table, (*self.features, self.target))
        names = target if self.missing == "mean" else (*self.features, *target)
        refuse_gaps(table, names, "fill them in, or leave such rows out")
        return table

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
    def data(self) -> Table:
        return self.table

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
    _refuse_text(table, features)
    _refuse_empty(table, features, np.ones(table.rows, dtype=np.bool_), "row")
    table = _mend_gaps(table, features, target, missing)
    task = task or guess_task(table, target)
    check_task(task)
    classes = find_classes(table, target) if task == "classify" else ()
    y: Array = numbers(table, target, AS_CLASSES) if task == "regress" else class_numbers(table, target, classes)
    split = split_rows(table.rows, validation=validation, test=test, seed=seed, classes=y if classes else None)
    _refuse_empty(table, features, split.train, "training row")
    inputs = Scaling.of(raw_features(table, features)[split.train])
    quantity = None if classes else Scaling.of(y[split.train])
    preparation = Preparation(task, target, features, missing, inputs, classes, quantity)
    return preparation, Parts(table, split, preparation.x(table), preparation.y(table))


def raw_features(table: Table, features: tuple[str, ...]) -> NDArray[np.float64]:
    """The columns `features` side by side: (n, f), NaN where missing; DataError for text."""
    return np.column_stack([numbers(table, name, LIKE_TRAINING) for name in features])


def _scaled(table: Table, names: tuple[str, ...], scaling: Scaling, raw: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # refused below
        x = scaling.apply(raw)
    far = np.isinf(x)
    if far.any():
        row, column = np.argwhere(far)[0]
        raise DataError(
            f'{table.source}: column "{names[column]}", row {row + 1}: {raw[row, column]:g} is too far from the values '
            f"of the training, which lie around {scaling.mean.ravel()[column]:g}: mend it, or leave the row out"
        )
    return x


def _mend_gaps(table: Table, features: tuple[str, ...], target: str, policy: str) -> Table:
    """The table to train on: gaps refused, their rows left out, or kept to be filled; a target is never filled."""
    if policy == "drop":
        return leave_out_gaps(table, (*features, target))
    if policy == "refuse":
        refuse_gaps(table, features, "--missing drop leaves such rows out, --missing mean fills them")
    refuse_gaps(table, (target,), "--missing drop leaves such rows out")
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


def _refuse_text(table: Table, features: tuple[str, ...]) -> None:
    """DataError for the first column of text, naming all of them as they are to be left out."""
    text = [name for name in features if holds_text(table.column(name))]
    if text:
        which = "the columns of text" if len(text) > 1 else "the column"
        numbers(table, text[0], f"write it as a number, or leave {which} out with --drop {_listed(text)}")


def _refuse_empty(table: Table, features: tuple[str, ...], rows: Array, what: str) -> None:
    """DataError for columns without a value in any of `rows`."""
    empty = [name for name in features if missing(table.column(name)[rows]).all()]
    if empty:
        raise DataError(
            f'{table.source}: column "{empty[0]}" has no value in any {what}: leave it out with --drop {_listed(empty)}'
        )


def _listed(names: list[str]) -> str:
    """Names as a shell takes them after an option."""
    return shlex.quote(",".join(names))
