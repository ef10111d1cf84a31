"""Columns as numbers for computation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.data.tables.cells import NUMBER, is_missing
from chainrule.data.tables.columns import Column, is_text
from chainrule.data.tables.table import Table
from chainrule.errors import DataError

LARGEST = 1e150  # its square, and a sum of many squares, are still finite
WORDS = 5  # at most this many different words of a column of numbers may mean missing values
TRUTHS = {"true": 1.0, "false": 0.0}  # as pandas and others write a column of booleans, some capitalized
AS_CLASSES = 'use task="classify", or another target'
LIKE_TRAINING = "write it as a number, as in the table of the training"


def numbers(table: Table, name: str, fix: str) -> NDArray[np.float64]:
    """The column `name` as finite numbers, NaN for missing values, 1 and 0 for true and false.

    Raises DataError with the first row that is none of these, ending in `fix`.
    """
    column = table.column(name)
    if is_text(column):
        truths = _truths(column)
        if truths is not None:
            return truths
        row = next((i for i, cell in enumerate(column) if not is_missing(cell) and not NUMBER.fullmatch(cell)), 0)
        if "," in column[row] and NUMBER.fullmatch(column[row].replace(",", "")):
            fix = "write decimals with a point, and thousands without a comma"
        raise DataError(f'{table.cell(name, row)}: "{column[row]:.200}" is text, expected a number: {fix}')
    wrong = np.abs(column) > LARGEST
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "not a finite number" if np.isinf(column[row]) else f"too large, {LARGEST:g} is the most"
        raise DataError(f"{table.cell(name, row)}: {column[row]:g} is {what}: correct it")
    return column


def scaled(table: Table, names: tuple[str, ...], scaling: Scaling, raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """The values `raw` (n, c) of the columns `names`, scaled; raises DataError for one that is then too large."""
    with np.errstate(over="ignore"):  # refused below
        x = scaling.apply(raw)
    far = np.isinf(x)
    if far.any():
        row, column = np.argwhere(far)[0]
        raise DataError(
            f"{table.cell(names[column], row)}: {raw[row, column]:g} is too far from the training values, which "
            f"lie around {scaling.mean.ravel()[column]:g}: correct it, or leave the row out"
        )
    return x


def na_advice(table: Table, names: Iterable[str]) -> str:
    """How to read a few words among the numbers of these columns as missing values; empty if there are none.

    Only a text file has numbers and words in one column that can be told apart.
    """
    odd: dict[str, None] = {}
    for name in names:
        cells = table.column(name).tolist()
        words = [
            cell for cell in cells if isinstance(cell, str) and not is_missing(cell) and not NUMBER.fullmatch(cell)
        ]
        if 2 * len(words) < len(cells) and len(set(words)) <= WORDS and not any("," in word for word in words):
            odd |= dict.fromkeys(words)
    if not odd or table.padded is None:
        return ""
    return f"if it means a missing value, read it with na={[*sorted(table.na or ()), *odd]}"


def holds_text(column: Column) -> bool:
    """Whether the column contains anything but numbers and booleans."""
    return is_text(column) and _truths(column) is None


def _truths(column: Column) -> NDArray[np.float64] | None:
    """1 and 0, NaN for missing values; None if there is anything else."""
    words = {word: TRUTHS.get(word.lower(), np.nan if is_missing(word) else None) for word in set(column.tolist())}
    if None in words.values():
        return None
    return np.array([words[word] for word in column.tolist()], dtype=np.float64)
