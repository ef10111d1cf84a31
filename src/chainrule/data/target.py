"""What is predicted: one of several classes, or a quantity."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset, Labels
from chainrule.data.names import listed, suggestion
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows
from chainrule.data.tables.cells import NUMBER
from chainrule.data.tables.columns import is_text
from chainrule.data.tables.gaps import Gaps, missing, missing_labels
from chainrule.data.tables.numbers import AS_CLASSES, LIKE_TRAINING, numbers, scaled
from chainrule.data.tables.table import Table
from chainrule.errors import DataError, LabelError, OptionError

Class: TypeAlias = str | int
TASKS = ("classify", "regress")
CODE = re.compile("[+-]?0[0-9]+")  # numbers are not written like this
PLAIN = re.compile("0|-?[1-9][0-9]{0,99}")  # as int() and str() write them
FEW = 20  # whole numbers with at most this many distinct values are classes


@dataclass(frozen=True)
class Classes:
    """Labels become class indices."""

    names: tuple[Class, ...]
    column: str | None = None  # of a table
    task: ClassVar[str] = "classify"

    @classmethod
    def of(cls, labels: Labels, column: str | None = None) -> Classes:
        """The sorted classes of complete labels: whole numbers or text.

        Raises DataError for fewer than two classes, or hardly fewer classes than rows.
        """
        words = np.unique(labels.words)
        if len(words) < 2:
            raise DataError(f"{labels.where} holds one class only, {words[0]}: at least two are needed")
        if labels.names:
            return cls(labels.names, column)
        if len(words) > max(2, len(labels.words) // 2):
            raise DataError(
                f"{labels.where} holds {len(words):,} different labels in {len(labels.words):,} rows, too many for "
                "classes: is it the right one?"
                + (' For a numeric target use task="regress"' if column is not None else "")
            )
        return cls(_in_order(words.tolist()), column)

    @property
    def outputs(self) -> int:
        return len(self.names)

    def y(self, data: Dataset) -> NDArray[np.int64]:
        """Each row's class index: (n,); raises LabelError with the first row of an unknown class."""
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
                f'{labels.where}, row {data.number(row)}: "{word}" is not one of the classes: '
                + suggestion(word, map(str, self.names))
            )
        return found

    def notes(self, where: str) -> tuple[str, ...]:
        """A note where classes are one name or number in several spellings, such as 7 and 007, or Cat and cat."""
        spellings: dict[Decimal | str, list[str]] = {}
        for word in map(str, self.names):
            spellings.setdefault(Decimal(word) if NUMBER.fullmatch(word) else _folded(word), []).append(word)
        alike = next((words for words in spellings.values() if len(words) > 1), None)
        if alike is None:
            return ()
        alike = alike if all(map(str.isascii, alike)) else [ascii(word) for word in alike]  # they may look the same
        return (f"{where}: {listed(alike)} are different classes, as they are written differently",)

    def gaps(self, table: Table) -> Gaps:
        """Which rows of `table` have no label."""
        assert self.column is not None, "classes of a table"
        return {self.column: missing_labels(table, self.column, self.names)}

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
    def of(cls, table: Table, column: str, rows: Rows) -> Quantity:
        """The quantity in a column, scaled by some rows; raises DataError if it is the same in all of them."""
        values = numbers(table, column, AS_CLASSES)[rows]
        if len(values) > 1 and np.ptp(values) == 0:
            raise DataError(
                f'{table.source}: column "{column}" is {values[0]:g} in every training row, which leaves nothing to '
                "learn: choose another target"
            )
        return cls(Scaling.of(values), column)

    def y(self, table: Table) -> NDArray[np.float32]:
        """The quantities of `table`, scaled: (n, 1) float32."""
        raw = numbers(table, self.column, LIKE_TRAINING)[:, None]
        return scaled(table, (self.column,), self.scaling, raw)

    def text(self, outputs: NDArray[Any]) -> list[str]:
        """Outputs (n, 1) in the quantity's own units, with all digits that float32 has of the scaled ones."""
        values, deviation = self.scaling.undo(outputs)[:, 0], float(self.scaling.deviation.ravel()[0])
        in_common = np.ceil(np.log10(np.maximum(np.abs(values) / deviation, 1.0)))  # digits the values have in common
        digits = np.minimum(9 + in_common, 17).astype(int)
        return [f"{value:.{n}g}" for value, n in zip(values.tolist(), digits.tolist(), strict=True)]

    def gaps(self, table: Table) -> Gaps:
        """Which rows of `table` have no value."""
        return {self.column: missing(numbers(table, self.column, LIKE_TRAINING))}

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.task, "column": self.column, "scaling": self.scaling.to_dict()}


Target: TypeAlias = Classes | Quantity


def guess_task(table: Table, target: str) -> str:
    """ "classify" for text, codes such as 007, and whole numbers of few different values, else "regress"."""
    column = table.column(target)
    if is_text(column):
        return Classes.task
    values = column[~np.isnan(column)]
    if not np.isfinite(values).all() or not np.array_equal(values, np.round(values)):
        return Quantity.task
    words = set(table.labels(target).words)
    few = len(words - {""}) <= min(FEW, table.rows // 2)
    return Classes.task if few or any(CODE.fullmatch(word) for word in words) else Quantity.task


def check_task(task: str) -> None:
    if task not in TASKS:
        raise OptionError(f'task: "{task}" is unknown: {suggestion(task, TASKS)}')


def _folded(word: str) -> str:
    """A name without what readers do not tell apart: case, Unicode's forms of a letter, kinds of blanks, invisible
    characters.
    """
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKC", word) if unicodedata.category(c) != "Cf")
    return " ".join(word.split()).casefold()


def _in_order(words: list[str]) -> tuple[Class, ...]:
    """Distinct labels as classes: numbers in order, as int if they are written that way, or text."""
    if not all(NUMBER.fullmatch(word) for word in words):
        return tuple(sorted(words))
    words = sorted(words, key=lambda word: (Decimal(word), word))
    plain = all(map(PLAIN.fullmatch, words))
    return tuple(map(int, words)) if plain else tuple(words)
