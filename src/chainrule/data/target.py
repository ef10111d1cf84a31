"""The column to predict: is it a class or a quantity, and which classes are there?"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import suggestion
from chainrule.data.tables import Column, Table, is_text
from chainrule.errors import DataError, LabelError, OptionError

Class: TypeAlias = str | int
TASKS = ("classify", "regress")
FEW = 20  # whole numbers of at most this many different values are taken for classes
LARGEST = 1e150  # of a value: its square, and a sum of many, are still numbers
TRUTHS = {"true": 1.0, "false": 0.0, "": np.nan}  # what pandas and others write for a column of truth values


def guess_task(table: Table, target: str) -> str:
    """ "classify" for text and for whole numbers of few different values, else "regress"."""
    column = table.column(target)
    if is_text(column):
        return "classify"
    values = np.unique(column[~np.isnan(column)])
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    return "classify" if whole and len(values) <= min(FEW, table.rows // 2) else "regress"


def find_classes(table: Table, target: str) -> tuple[Class, ...]:
    """The classes of a column without missing values, sorted: text, or whole numbers.

    Raises LabelError for numbers such as 2.5, DataError for fewer than two classes, or hardly fewer classes than rows.
    """
    column = table.column(target)
    if not is_text(column):
        _whole_numbers(table, target, column)
    values = np.unique(column)
    if len(values) < 2:
        raise DataError(
            f'{table.source}: column "{target}" holds one class only, {_shown(values[0])}: there is nothing to tell '
            "apart"
        )
    if len(values) > table.rows // 2:
        raise DataError(
            f'{table.source}: column "{target}" has {len(values)} different values in {table.rows} rows, too many for '
            "classes: is it the right column? A quantity is predicted with --task regress"
        )
    return tuple(str(v) if is_text(column) else int(v) for v in values)


def class_numbers(table: Table, target: str, classes: tuple[Class, ...]) -> NDArray[np.int64]:
    """Each row's class as its place in `classes`; LabelError names the first row with another one."""
    column = table.column(target)
    if is_text(column) != isinstance(classes[0], str):
        # Names such as "1" and "2" are numbers in a table without the others.
        column = _as_text(column) if isinstance(classes[0], str) else column
    known = np.array(classes, dtype=object if isinstance(classes[0], str) else np.float64)
    if is_text(column) != is_text(known):
        raise LabelError(f'{table.source}: column "{target}" holds text, the classes are {_listed(classes)}')
    places = np.minimum(np.searchsorted(known, column), len(known) - 1)
    wrong = known[places] != column
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(
            f'{table.source}: column "{target}", row {row + 1}: {_shown(column[row])} is not one of the classes: '
            + suggestion(_shown(column[row]), map(str, classes))
        )
    return places.astype(np.int64)


def numbers(table: Table, name: str, mend: str) -> NDArray[np.float64]:
    """The column `name` as finite numbers, NaN where missing, 1 and 0 for true and false.

    DataError names the first row that is none of these, and ends in `mend`.
    """
    column = table.column(name)
    if is_text(column):
        truths = _truths(column)
        if truths is not None:
            return truths
        row = next((i for i, cell in enumerate(column) if cell and not _is_number(cell)), 0)
        if "," in column[row] and _is_number(column[row].replace(",", "")):
            mend = "write decimals with a point, and thousands without a comma"
        raise DataError(
            f'{table.source}: column "{name}", row {row + 1}: "{column[row]}" is text where a number belongs: {mend}'
        )
    wrong = np.abs(column) > LARGEST
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "not a finite number" if np.isinf(column[row]) else f"too large, {LARGEST:g} is the most"
        raise DataError(f'{table.source}: column "{name}", row {row + 1}: {column[row]:g} is {what}: mend it')
    return column


def holds_text(column: Column) -> bool:
    """Whether the column holds something else than numbers and truth values."""
    return is_text(column) and _truths(column) is None


def check_task(task: str) -> None:
    if task not in TASKS:
        raise OptionError(f'task: "{task}" is unknown: {suggestion(task, TASKS)}')


def _whole_numbers(table: Table, target: str, column: Column) -> None:
    wrong = column != np.round(column)
    wrong |= np.isinf(column)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(
            f'{table.source}: column "{target}", row {row + 1}: {_shown(column[row])} is no class: classes are whole '
            "numbers or text; a quantity is predicted with --task regress"
        )


def _as_text(column: Column) -> Column:
    return np.array([_shown(v) for v in column], dtype=object)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _listed(classes: tuple[Class, ...]) -> str:
    return ", ".join(map(str, classes[:12])) + (" ..." if len(classes) > 12 else "")


def _truths(column: Column) -> NDArray[np.float64] | None:
    if not all(cell.lower() in TRUTHS for cell in column):
        return None
    return np.array([TRUTHS[cell.lower()] for cell in column], dtype=np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
