"""What is predicted: one of several classes, or a quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset, Labels
from chainrule.data.names import suggestion
from chainrule.data.scaling import Scaling
from chainrule.data.tables.numbers import LIKE_TRAINING, numbers, scaled
from chainrule.data.tables.table import Table, is_text
from chainrule.errors import DataError, LabelError, OptionError

Class: TypeAlias = str | int
TASKS = ("classify", "regress")
FEW = 20  # whole numbers of at most this many different values are taken for classes


@dataclass(frozen=True)
class Classes:
    """Labels become the places of their classes."""

    names: tuple[Class, ...]
    column: str | None = None  # of a table
    task: ClassVar[str] = "classify"

    @classmethod
    def of(cls, labels: Labels, column: str | None = None) -> Classes:
        """The classes of labels without gaps, sorted: whole numbers, or text.

        Raises DataError for fewer than two classes, or hardly fewer classes than rows.
        """
        words = np.unique(labels.words)
        if len(words) < 2:
            raise DataError(f"{labels.where} holds one class only, {words[0]}: there is nothing to tell apart")
        if labels.names:
            return cls(labels.names, column)
        if len(words) > max(2, len(labels.words) // 2):
            raise DataError(
                f"{labels.where} holds {len(words):,} different labels in {len(labels.words):,} rows, too many for "
                "classes: is it the right one?"
                + (" A quantity is predicted with --task regress" if column is not None else "")
            )
        numbers = _whole_numbers(words.tolist())
        return cls(tuple(sorted(numbers) if numbers is not None else words.tolist()), column)

    @property
    def outputs(self) -> int:
        return len(self.names)

    def y(self, data: Dataset) -> NDArray[np.int64]:
        """Each row's class as its place: (n,); LabelError names the first row with another one."""
        labels = data.labels(self.column)
        places = {str(name): place for place, name in enumerate(self.names)}
        words, inverse = np.unique(labels.words, return_inverse=True)
        if labels.numbered and isinstance(self.names[0], str) and not set(words) <= places.keys():
            places |= {str(place): place for place in range(len(self.names))}
        found = np.array([places.get(word, -1) for word in words], np.int64)[inverse]
        if (found < 0).any():
            row = int(np.argmax(found < 0))
            word = labels.words[row]
            raise LabelError(
                f'{labels.where}, row {row + 1}: "{word}" is not one of the classes: '
                + suggestion(word, map(str, self.names))
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.task, "column": self.column, "names": list(self.names)}


@dataclass(frozen=True)
class Quantity:
    """Numbers become scaled numbers."""

    scaling: Scaling
    column: str
    task: ClassVar[str] = "regress"
    outputs: ClassVar[int] = 1

    @classmethod
    def of(cls, values: NDArray[np.float64], column: str) -> Quantity:
        """The quantity whose values (n,) are these."""
        return cls(Scaling.of(values), column)

    def y(self, table: Table) -> NDArray[np.float32]:
        """The quantities of `table`, scaled: (n, 1) float32."""
        raw = numbers(table, self.column, LIKE_TRAINING)[:, None]
        return scaled(table, (self.column,), self.scaling, raw)

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.task, "column": self.column, "scaling": self.scaling.to_dict()}


Target: TypeAlias = Classes | Quantity


def read_target(values: dict[str, Any]) -> Target:
    """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
    if values["task"] == Classes.task:
        return Classes(tuple(values["names"]), values["column"])
    return Quantity(Scaling.from_dict(values["scaling"]), values["column"])


def guess_task(table: Table, target: str) -> str:
    """ "classify" for text and for whole numbers of few different values, else "regress"."""
    column = table.column(target)
    if is_text(column):
        return Classes.task
    values = np.unique(column[~np.isnan(column)])
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    return Classes.task if whole and len(values) <= min(FEW, table.rows // 2) else Quantity.task


def check_task(task: str) -> None:
    if task not in TASKS:
        raise OptionError(f'task: "{task}" is unknown: {suggestion(task, TASKS)}')


def _whole_numbers(words: list[str]) -> list[int] | None:
    """The words as numbers, where that is how numbers are written: not for 007, +7 or 1_1."""
    try:
        values = [int(word) for word in words]
    except ValueError:
        return None
    return values if list(map(str, values)) == words else None
