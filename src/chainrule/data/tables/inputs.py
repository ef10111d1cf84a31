"""How the columns of a table become inputs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows
from chainrule.data.tables.gaps import leave_out_gaps, missing, refuse_gaps
from chainrule.data.tables.numbers import LIKE_TRAINING, holds_text, numbers, scaled
from chainrule.data.tables.table import Table
from chainrule.errors import DataError, OptionError


@dataclass(frozen=True)
class TableInputs:
    """Which columns, what of missing values, and the mean and deviation of each column."""

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

    def whole_rows(self, table: Table, target: str | None) -> Table:
        """The table without missing values: they are refused or their rows left out, as in training.

        Raises DataError that names the first missing value and how to mend it.
        """
        targets = () if target is None else (target,)
        if self.missing == "drop" and targets:
            return leave_out_gaps(table, (*self.features, *targets))
        names = targets if self.missing == "mean" else (*self.features, *targets)
        refuse_gaps(table, names, "fill them in, or leave such rows out")
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "features": list(self.features),
            "missing": self.missing,
            "scaling": self.scaling.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TableInputs:
        """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        if len(values["features"]) != len(values["scaling"]["mean"]):
            raise ValueError("as many features as means were expected")
        return cls(tuple(values["features"]), values["missing"], Scaling.from_dict(values["scaling"]))


def table_inputs(table: Table, features: tuple[str, ...], missing: str, rows: Rows) -> TableInputs:
    """The inputs that the columns `features` make, scaled by some rows."""
    refuse_empty(table, features, rows, "training row")
    return TableInputs(features, missing, Scaling.of(raw_features(table, features)[rows]))


def raw_features(table: Table, features: tuple[str, ...]) -> NDArray[np.float64]:
    """The columns `features` side by side: (n, f), NaN where missing; DataError for text."""
    return np.column_stack([numbers(table, name, LIKE_TRAINING) for name in features])


def choose_features(table: Table, target: str, drop: Sequence[str]) -> tuple[str, ...]:
    """All columns but the target and those to drop, in order; DataError when one of them is text or is empty."""
    for name in drop:
        table.column(name)
    if target in drop:
        raise OptionError(f'drop: "{target}" is the target: leave it in, or choose another --target')
    features = tuple(name for name in table.columns if name != target and name not in drop)
    if not features:
        raise DataError(
            f'{table.source}: no column is left beside the target "{target}": some are needed to predict from'
        )
    _refuse_text(table, features)
    refuse_empty(table, features, np.arange(table.rows), "row")
    return features


def mend_gaps(table: Table, features: tuple[str, ...], target: str, policy: str) -> Table:
    """The table to train on: gaps refused, their rows left out, or kept to be filled; a target is never filled."""
    if policy == "drop":
        return leave_out_gaps(table, (*features, target))
    if policy == "refuse":
        refuse_gaps(table, features, "--missing drop leaves such rows out, --missing mean fills them")
    refuse_gaps(table, (target,), "--missing drop leaves such rows out")
    return table


def refuse_empty(table: Table, features: tuple[str, ...], rows: Rows, what: str) -> None:
    """DataError for columns without a value in any of `rows`."""
    empty = [name for name in features if missing(table.column(name)[rows]).all()]
    if empty:
        raise DataError(
            f'{table.source}: column "{empty[0]}" has no value in any {what}: leave it out with --drop {_listed(empty)}'
        )


def _refuse_text(table: Table, features: tuple[str, ...]) -> None:
    """DataError for the first column of text, naming all of them as they are to be left out."""
    text = [name for name in features if holds_text(table.column(name))]
    if text:
        which = "the columns of text" if len(text) > 1 else "the column"
        numbers(table, text[0], f"write it as a number, or leave {which} out with --drop {_listed(text)}")


def _listed(names: list[str]) -> str:
    """Names as a shell takes them after an option."""
    return shlex.quote(",".join(names))
