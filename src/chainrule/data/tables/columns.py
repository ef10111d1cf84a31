"""Arrays to columns: float64 or text, and how numbers are written if that is not clear from their values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.arrays import to_array
from chainrule.errors import DataError

Column: TypeAlias = NDArray[Any]
WORD = 64  # bytes of a short cell of text, besides its characters
EXACT = 2**53  # all whole numbers up to here are distinct as float64


def is_text(column: Column) -> bool:
    return column.dtype == object


def as_column(where: str, values: Any) -> tuple[Column, Column | None]:
    """`values` (n,) as a column, and how its numbers are written if that is needed to distinguish them.

    None and NaN are missing values. Raises DataError for other objects, and for more dimensions than one.
    """
    if hasattr(values, "null_count") and values.null_count():  # NumPy would turn whole numbers into floats
        values = np.array(values.to_list(), dtype=object)
    array = to_array(where, values, DataError)
    if array.ndim != 1:
        raise DataError(f"{where} has shape {array.shape}, expected one value for each row: use a column for each")
    if array.dtype == object:
        return _of_objects(where, array.tolist())
    if array.dtype.kind in "USM":  # text, bytes, and dates, which can then be left out or be labels
        words = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array.astype(np.str_)
        return words.astype(object), None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where} holds {array.dtype}, expected numbers or text: convert it")
    column = array.astype(np.float64, copy=False)
    if array.dtype.kind == "b":
        return column, truths(column)
    return column, exact(column, array.tolist()) if array.dtype.kind in "iu" else None


def exact(column: Column, values: list[Any]) -> Column | None:
    """How whole numbers are written, if float64 has too few digits for them; None is a missing value."""
    known = column[~np.isnan(column)]
    if not np.any(np.abs(known) > EXACT) or not np.array_equal(known, np.round(known)):
        return None
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def spelled(cell: str | bytes) -> str:
    """A cell as text: those of numbers are kept as bytes."""
    return cell.decode() if isinstance(cell, bytes) else cell


def truths(column: Column) -> Column:
    """How booleans, 1 and 0, are written."""
    words = {0.0: "False", 1.0: "True"}
    return np.array([words.get(value, "") for value in column.tolist()], dtype=object)


def as_written(whole: Column) -> Column:
    """How whole numbers, NaN where one is missing, are commonly written."""
    return np.array(["" if np.isnan(value) else str(int(value)) for value in whole.tolist()], dtype=object)


def _of_objects(where: str, values: list[Any]) -> tuple[Column, Column | None]:
    """A column of Python objects: text or numbers, with None or NaN for missing values."""
    if all(type(value) is str for value in values):
        return np.array(values, dtype=object), None
    values = [None if _is_missing(v) else v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {str}:
        return np.array([value or "" for value in values], dtype=object), None
    if not kinds <= {int, float, bool, Decimal}:
        row = next(i for i, value in enumerate(values) if type(value) not in (int, float, bool, Decimal, type(None)))
        raise DataError(
            f"{where}, row {row + 1}: {values[row]!r:.60} is neither a number nor text like the others: convert it"
        )
    column = np.array([np.nan if value is None else float(value) for value in values])
    return column, truths(column) if kinds == {bool} else exact(column, values)


def _is_missing(value: Any) -> bool:
    """Whether an object stands for no value: None, NaN, or pandas's NA and NaT, which are compared with nothing."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)
