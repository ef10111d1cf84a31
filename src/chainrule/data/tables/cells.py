"""Cells of a text file -> numbers or text, without losing how they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables.columns import EXACT, Column, as_written, is_text

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
PLAIN = frozenset("0123456789+-.eE")  # of numbers whose spelling float() alone may judge
NEVER_NAMES = frozenset({"", "?", "#n/a", "<na>", "\\n"})  # in a column of text
MISSING = NEVER_NAMES | {"na", "n/a", "nan", "none", "null", ".", "-"}  # among numbers, whatever their case


@dataclass(frozen=True)
class Cells:
    """A stretch of a column: its values, and the cells where whole numbers do not say how they are written."""

    values: Column
    written: Column | None = None
    whole: bool = False  # all numbers are whole, so they may be labels

    def spelled(self) -> Column:
        """The cells as bytes or text."""
        return as_written(self.values) if self.written is None else self.written


def is_missing(word: str) -> bool:
    """Whether a cell among numbers stands for no value."""
    return word.casefold() in MISSING


def numbers_or_text(cells: tuple[str, ...], na: frozenset[str] | None) -> Cells:
    """Numbers where all cells are numbers or missing, else text; `na` are further words for a missing value."""
    stripped = [cell.strip() for cell in cells]
    joined = "".join(stripped)
    values = _numbers(stripped, joined, na or frozenset())
    if values is None:
        return Cells(text(stripped, na))
    known = values[~np.isnan(values)]
    if not np.array_equal(known, np.round(known)) or np.isinf(known).any():
        return Cells(values)
    plain = len(joined) == _length(known) and "e" not in joined.lower() and not np.any(np.abs(known) > EXACT)
    return Cells(values, None if plain else _compact(stripped), whole=True)


def text(stripped: list[str], na: frozenset[str] | None) -> Column:
    """Text with "" for a missing value: for the words `na`, or where None are named, for those that are never names."""
    if na is None:
        return np.array(["" if cell.casefold() in NEVER_NAMES else cell for cell in stripped], dtype=object)
    return np.array(["" if cell in na else cell for cell in stripped], dtype=object)


def join(parts: list[Cells]) -> tuple[Column, Column | None]:
    """The values of a whole column, and its cells as they are written, where its numbers do not say it."""
    values = np.concatenate([part.values for part in parts])
    kept = not is_text(values) and all(part.whole for part in parts) and any(part.written is not None for part in parts)
    return values, np.concatenate([part.spelled() for part in parts]) if kept else None


def _numbers(stripped: list[str], joined: str, na: frozenset[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, NaN where one is missing; None when one is neither."""
    if not na and PLAIN.issuperset(joined):
        try:
            return np.array([cell or "nan" for cell in stripped], dtype=np.float64)
        except ValueError:
            pass  # something is written as a word: look at each cell
    values = np.empty(len(stripped))
    for i, cell in enumerate(stripped):
        if cell in na or is_missing(cell):
            values[i] = np.nan
        elif NUMBER.fullmatch(cell):
            values[i] = float(cell)
        else:
            return None
    return values


def _length(whole: NDArray[np.float64]) -> int:
    """How many characters whole numbers take when written plainly: without an exponent, any other way takes more."""
    powers = 10.0 ** np.arange(1, 17)
    return int(len(whole) + np.searchsorted(powers, np.abs(whole), side="right").sum() + (whole < 0).sum())


def _compact(stripped: list[str]) -> Column:
    """The cells in little memory."""
    try:
        return np.array(stripped, dtype=np.bytes_)
    except UnicodeEncodeError:
        return np.array(stripped, dtype=object)
