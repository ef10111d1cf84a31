"""Cells of a text file to numbers or text, without losing how they are written."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables.columns import EXACT, Column, as_written, is_text

LONG = 50  # characters, from which a cell of text takes less than as many bytes in each row
LABELS = 1000  # in a part of a file; more are no labels
# Each part can match in one way only: digits that two parts might share would take the square of a cell's length.
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
PLAIN = frozenset("0123456789+-.eE")  # characters of numbers that float() can judge by itself
NEVER_NAMES = frozenset({"", "?", "#n/a", "<na>", "\\n"})  # in a column of text
MISSING = NEVER_NAMES | {"na", "n/a", "nan", "none", "null", ".", "-"}  # in a column of numbers, in upper or lower case


@dataclass(frozen=True)
class Cells:
    """Part of a column: its values, and its cells if whole numbers do not determine how they are written."""

    values: Column
    written: Column | None = None
    padded: Counter[str] = field(default_factory=Counter)  # cells with blanks around them
    whole: bool = False  # all numbers are whole, so they may be labels

    def spelled(self) -> Column:
        """The cells as bytes or text."""
        return as_written(self.values) if self.written is None else self.written


def is_missing(word: str) -> bool:
    """Whether a cell in a column of numbers means a missing value."""
    return word.casefold() in MISSING


def numbers_or_text(cells: tuple[str, ...], na: frozenset[str] | None) -> Cells:
    """Numbers if all cells are numbers or missing, otherwise text; `na` are additional words for a missing value."""
    stripped = [cell.strip() for cell in cells]
    joined = "".join(stripped)
    values = _numbers(stripped, joined, na or frozenset())
    if values is None:
        return text_cells(cells, na)
    known = values[~np.isnan(values)]
    if not np.array_equal(known, np.round(known)) or np.isinf(known).any():
        return Cells(values)
    plain = len(joined) == _length(known) and "e" not in joined.lower() and not np.any(np.abs(known) > EXACT)
    return Cells(values, None if plain else _compact(stripped), padded(cells, stripped), whole=True)


def text_cells(cells: tuple[str, ...], na: frozenset[str] | None) -> Cells:
    """Cells of a column of text."""
    stripped = [cell.strip() for cell in cells]
    return Cells(text(stripped, na), padded=padded(cells, stripped))


def padded(cells: tuple[str, ...], stripped: list[str]) -> Counter[str]:
    """How often each cell with blanks around it occurs; none of them if they are too many to be labels."""
    if [*cells] == stripped:  # fast, as these are mostly the same objects
        return Counter()
    found = Counter(cell for cell, bare in zip(cells, stripped, strict=True) if cell != bare)
    return found if len(found) <= LABELS else Counter()


def text(stripped: list[str], na: frozenset[str] | None) -> Column:
    """Text with "" for missing values: for the words `na`, or, if it is None, for words that are never names."""
    if na is None:
        return np.array(["" if cell.casefold() in NEVER_NAMES else cell for cell in stripped], dtype=object)
    return np.array(["" if cell in na else cell for cell in stripped], dtype=object)


def join(parts: list[Cells]) -> tuple[Column, Column | None]:
    """The values of a whole column, and its cells as written if its numbers do not determine that."""
    values = np.concatenate([part.values for part in parts])
    kept = not is_text(values) and all(part.whole for part in parts) and any(part.written is not None for part in parts)
    return values, np.concatenate([part.spelled() for part in parts]) if kept else None


def _numbers(stripped: list[str], joined: str, na: frozenset[str]) -> NDArray[np.float64] | None:
    """The cells as numbers, NaN where one is missing; None if one is neither."""
    if not na and PLAIN.issuperset(joined):
        try:
            return np.array([cell or "nan" for cell in stripped], dtype=np.float64)
        except ValueError:
            pass  # some cell is a word: check each one
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
    """The number of characters of whole numbers in plain notation: without an exponent, any other notation is
    longer.
    """
    powers = 10.0 ** np.arange(1, 17)
    return int(len(whole) + np.searchsorted(powers, np.abs(whole), side="right").sum() + (whole < 0).sum())


def _compact(stripped: list[str]) -> Column:
    """The cells in little memory: as bytes, which all take as many as the longest."""
    if max(map(len, stripped)) > LONG:
        return np.array(stripped, dtype=object)
    try:
        return np.array(stripped, dtype=np.bytes_)
    except UnicodeEncodeError:
        return np.array(stripped, dtype=object)
