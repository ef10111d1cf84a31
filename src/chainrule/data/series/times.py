"""A column of dates or numbers as times that can be sorted."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables.columns import is_text
from chainrule.data.tables.table import Table
from chainrule.errors import DataError

DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")
NAMES = {"D": "day", "us": "microsecond"}
EXPECTED = "expected dates such as 2013-03-01 or 2013-03-01T14:30, or numbers: rewrite the column"


def times_of(table: Table, name: str) -> NDArray[Any]:
    """The times in a column: dates (datetime64), or finite numbers (float64).

    Dates are read in one form only, ISO 8601 without a time zone: 03/04/2013 is March in some countries and April in
    others. Raises DataError with the first row that is none of these.
    """
    column = table.column(name)
    if not is_text(column):
        wrong = ~np.isfinite(column)
        if wrong.any():
            raise DataError(f"{table.cell(name, int(np.argmax(wrong)))}: {column[wrong][0]} is not a time: {EXPECTED}")
        return column
    words = column.tolist()
    for row, word in enumerate(words):
        if not DATE.fullmatch(word.strip()):
            raise DataError(f'{table.cell(name, row)}: "{word}" is not a time: {EXPECTED}')
    days = all(len(word.strip()) == len("2013-03-01") for word in words)
    unit = "D" if days else "us"
    try:
        return np.array([word.strip().replace(" ", "T") for word in words], dtype=f"datetime64[{unit}]")
    except ValueError:
        row = next(i for i, word in enumerate(words) if not _exists(word))
        raise DataError(f'{table.cell(name, row)}: there is no date "{words[row]}": correct it') from None


def told_time(time: Any) -> str:
    """A time as it is written."""
    if isinstance(time, np.datetime64):
        return str(time).removesuffix(".000000")
    return f"{time:.15g}"


def told_step(step: Any) -> str:
    """A difference of two times: `"1 day"`."""
    if not isinstance(step, np.timedelta64):
        return f"{step:.15g}"
    for unit in ("D", "h", "m", "s"):
        count = step / np.timedelta64(1, unit)
        if count == int(count):
            name = {"D": "day", "h": "hour", "m": "minute", "s": "second"}[unit]
            return f"{int(count):,} {name}{'' if count == 1 else 's'}"
    return f"{step / np.timedelta64(1, 's'):g} seconds"


def _exists(word: str) -> bool:
    try:
        np.datetime64(word.strip().replace(" ", "T"))
    except ValueError:
        return False
    return True
