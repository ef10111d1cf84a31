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


def guess_task(table: Table, target: str) -> str:
    """ "classify" for text and for whole numbers of few different values, else "regress"."""
    column = table.column(target)
    if is_text(column):
        return "classify"
    values = np.unique(column[~np.isnan(column)])
    whole = bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    return "classify" if whole and len(values) <= min(FEW, table.rows // 2) else "regress"


def missing(column: Column) -> NDArray[np.bool_]:
    """Which rows of the column have no value."""
    return np.asarray(column == "", dtype=np.bool_) if is_text(column) else np.isnan(column)


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
            f'{table.source}: column "{target}" holds one class only, {values[0]!s}: there is nothing to tell apart'
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


def quantities(table: Table, target: str) -> NDArray[np.float64]:
    """The column as numbers to predict; DataError names the first row that holds text or an infinity."""
    return numbers(table, target, "use --task classify, or another --target")


def numbers(table: Table, name: str, mend: str) -> NDArray[np.float64]:
    """The column `name` as finite numbers, NaN where missing; DataError names the first row that is neither."""
    column = table.column(name)
    if is_text(column):
        row = next((i for i, cell in enumerate(column) if cell and not _is_number(cell)), 0)
        raise DataError(
            f'{table.source}: column "{name}", row {row + 1}: "{column[row]}" is text where a number belongs: {mend}'
        )
    infinite = np.isinf(column)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise DataError(
            f'{table.source}: column "{name}", row {row + 1}: {column[row]} is not a finite number: mend it'
        )
    return column


def check_task(task: str) -> None:
    if task not in TASKS:
        raise OptionError(f'task: "{task}" is unknown: {suggestion(task, TASKS)}')


def _whole_numbers(table: Table, target: str, column: Column) -> None:
    wrong = column != np.round(column)
    wrong |= np.isinf(column)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(
            f'{table.source}: column "{target}", row {row + 1}: {column[row]:g} is no class: classes are whole numbers '
            "or text; a quantity is predicted with --task regress"
        )


def _as_text(column: Column) -> Column:
    return np.array([_shown(v) for v in column], dtype=object)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _listed(classes: tuple[Class, ...]) -> str:
    return ", ".join(map(str, classes[:12])) + (" ..." if len(classes) > 12 else "")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
