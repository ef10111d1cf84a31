"""Which columns of a table are features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import quoted
from chainrule.data.tables.columns import EXACT, Column, is_text, spelled
from chainrule.data.tables.gaps import missing
from chainrule.data.tables.numbers import holds_text, na_advice, numbers
from chainrule.data.tables.table import Table
from chainrule.errors import DataError, OptionError

# Names of columns that identify rows, as used by people, pandas and R, with spaces for other separators.
NAMES = re.compile(r"(?:index )?level \d+|(?:.* )?(?:index|idx|id|uuid|key)|row ?names?|rn", re.IGNORECASE)
NAMELESS = re.compile(r"(?:unnamed:?(?:[ ._]?\d)+|\.{2,3}\d+)?", re.IGNORECASE)  # by this reader, pandas and R
NAME_ID = re.compile(r".*[a-z]I[dD]")  # PassengerId
COUNTERS = re.compile(
    r"#|X|V?1|(?i:rows?|rownum|sl|serial|obs|observation|sample|case|record|entry|item|(?:.* )?(?:no|nr|num|number))"
)

MANY = 100  # columns that are too many to be dropped by name


def choose_features(
    table: Table, target: str, drop: Sequence[str] = (), *, keep_index: bool = False
) -> tuple[Table, tuple[str, ...]]:
    """The table with messages about its columns, and its features: all columns except the target, dropped ones and,
    unless kept, row numbers.

    Raises DataError if one of them is text or empty, or if none is left.
    """
    if isinstance(drop, str):
        raise OptionError(f"drop: is text, {drop!r}, expected a list of columns: use drop={[drop]}")
    for name in drop:
        table.column(name)
    if target in drop:
        raise OptionError(f'drop: "{target}" is the target: leave it in, or choose another target')
    left_out = {target, *drop}
    features = tuple(name for name in table.columns if name not in left_out)
    numbering, notes = ([], []) if keep_index else find_row_numbers(table, features)
    left_out.update(numbering)
    features = tuple(name for name in features if name not in left_out)
    if not features:
        others = f" and the row numbers in {quoted(numbering)}, which keep_index=True keeps" if numbering else ""
        raise DataError(
            f'{table.source}: no column is left besides the target "{target}"{others}: at least one is needed'
        )
    _refuse_text(table, features)
    refuse_empty(table, features, np.ones(table.rows, np.bool_), "row")
    return replace(table, notes=(*table.notes, *notes)), features


def tell_lost_digits(table: Table, names: Sequence[str]) -> Table:
    """The table with a message about the columns `names` whose whole numbers have more digits than float64."""
    rounded = [name for name in names if _loses_digits(table, name)]
    if not rounded:
        return table
    hold = "hold" if len(rounded) > 1 else "holds"
    note = f"{table.source}: {quoted(rounded)} {hold} whole numbers beyond 2^53, whose last digits are lost"
    return replace(table, notes=(*table.notes, note))


def tell_joined_labels(table: Table, target: str) -> Table:
    """The table with a message about labels that differ only in the blanks around them, and so are one class."""
    padded = (table.padded or {}).get(target)
    if not padded:
        return table
    spellings: dict[str, list[str]] = {}
    for cell in padded:
        spellings.setdefault(cell.strip(), []).append(cell)
    for word, count in Counter(table.labels(target).words.tolist()).items():
        if word in spellings and count > sum(padded[cell] for cell in spellings[word]):
            spellings[word].append(word)
    same = next((cells for word, cells in spellings.items() if word and len(cells) > 1), None)
    if same is None:
        return table
    which = f"such as {quoted(sorted(same))}"
    note = f'{table.source}: column "{target}": labels that differ only in blanks around them, {which}, are one class'
    return replace(table, notes=(*table.notes, note))


def split_names(names: Sequence[str], table: Table) -> tuple[str, ...]:
    """Names of columns; a name that does not exist is split at its commas."""
    parts: list[str] = []
    for name in names:
        parts += [name] if name in table.columns else [part.strip() for part in name.split(",") if part.strip()]
    return tuple(parts)


def find_row_numbers(table: Table, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which of the columns identify rows, and messages that they are left out."""
    nameless = [name for name in names if NAMELESS.fullmatch(name)]
    named = [name for name in names if not NAMELESS.fullmatch(name)]
    counting = [name for name in named if numbers_rows(name, table.column(name))]
    notes = []
    for found, one, several in (
        (nameless, "has no name, as row numbers have none,", "have no names, as row numbers have none,"),
        (counting, "numbers the rows", "number the rows"),
    ):
        if found:
            why, are, them = (one, "is", "it") if len(found) == 1 else (several, "are", "them")
            notes.append(f"{table.source}: {quoted(found)} {why} and {are} left out: keep_index=True keeps {them}")
    return [*nameless, *counting], notes


def numbers_rows(name: str, column: Column) -> bool:
    """Whether a column identifies rows, because the order of the rows may give the answer away.

    It does if it has distinct whole numbers and a name such as index or id, or consecutive numbers and a name such as
    row, no or sample.
    """
    plain = re.sub(r"[\s_.-]+", " ", name).strip()
    names, counts = NAMES.fullmatch(plain) or NAME_ID.fullmatch(name), COUNTERS.fullmatch(plain)
    if is_text(column) or len(column) < 2 or not (names or counts):
        return False
    values = np.sort(column)
    if not np.array_equal(values, np.round(values)) or not (values[1:] > values[:-1]).all():
        return False
    return bool(names or (values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1))


def refuse_empty(
    table: Table, features: tuple[str, ...], rows: NDArray[np.bool_] | NDArray[np.int64], what: str
) -> None:
    """Raise DataError for columns without a value in any of `rows`."""
    empty = [name for name in features if missing(table.column(name)[rows]).all()]
    if empty:
        raise DataError(f'{table.source}: column "{empty[0]}" has no value in any {what}: {_leave_out(empty, "it")}')


def _refuse_text(table: Table, features: tuple[str, ...]) -> None:
    """Raise DataError for the first column of text, with the options that drop all of them."""
    text = [name for name in features if holds_text(table.column(name))]
    if text:
        which = "the columns of text" if len(text) > 1 else "the column"
        na = na_advice(table, text[:1]) and na_advice(table, text)
        numbers(table, text[0], na or f"write it as a number, or {_leave_out(text, which)}")


def _leave_out(names: list[str], which: str) -> str:
    """How to train without these columns."""
    if len(names) > MANY:
        return f"make a table without these {len(names):,} columns: {quoted(names)}"
    return f"leave {which} out with drop={names}"


def _loses_digits(table: Table, name: str) -> bool:
    """Whether float64 has too few digits for the whole numbers of a column."""
    if name not in table.written:
        return False
    values, cells = table.columns[name], table.written[name]
    return any(Decimal(spelled(cells[row])) != int(values[row]) for row in np.flatnonzero(np.abs(values) > EXACT))
