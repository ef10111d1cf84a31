"""A table in memory: columns of numbers or text.

A column is float64 with NaN for missing values, or text with "" for missing values. Messages count rows from 1, without
the header.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Labels
from chainrule.data.names import suggestion
from chainrule.data.tables.cells import NUMBER
from chainrule.data.tables.columns import Column, as_column, as_written, is_text, spelled
from chainrule.errors import DataError, LabelError

MOST_COLUMNS = 1_000_000


@dataclass(frozen=True)
class Table:
    """Columns of equal length, with the name of their file."""

    source: str
    columns: dict[str, Column]
    notes: tuple[str, ...] = ()  # messages for the user about what reading changed
    written: dict[str, Column] = field(default_factory=dict)  # how numbers are written, where not clear
    padded: dict[str, Counter[str]] | None = None  # cells with blanks around them, in a text file
    na: frozenset[str] | None = None  # which words mean a missing value; None: not specified
    taken: NDArray[np.int64] | None = None  # which rows of the file these are, from 0; None: all
    validation: ClassVar[int] = 0  # a table has no parts of its own
    test: ClassVar[int] = 0

    def __post_init__(self) -> None:
        """Any array, list or series can be a column. Raises DataError for values that cannot."""
        if not isinstance(self.columns, Mapping):
            raise DataError(
                f"{self.source}: columns are {type(self.columns).__name__}, expected names and values: pass a "
                "dict such as {name: frame[name] for name in frame.columns}"
            )
        columns, written = {str(name): values for name, values in self.columns.items()}, dict(self.written)
        for name, values in columns.items():
            if type(values) is np.ndarray and values.ndim == 1 and values.dtype == np.float64:
                continue  # the usual case; a subclass may hide values
            columns[name], spelled = as_column(f'{self.source}: column "{name}"', values)
            if spelled is not None and name not in written:
                written[name] = spelled
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            first, rows = next(iter(lengths.items()))
            other = next(name for name, length in lengths.items() if length != rows)
            raise DataError(
                f'{self.source}: the columns differ in their number of rows: "{first}" has {rows:,}, '
                f'"{other}" has {lengths[other]:,}: give each column one value per row'
            )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "written", written)

    def __repr__(self) -> str:
        return f"<Table {self.source}: {self.rows:,} rows of {', '.join(map(repr, self.columns)):.200}>"

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Column:
        """The column `name`; raises DataError with the most similar name if there is none."""
        if name not in self.columns:
            known = suggestion(name, self.columns) + header_hint(self.columns)
            raise DataError(f'{self.source}: there is no column "{name}": {known}')
        return self.columns[name]

    def number(self, row: int) -> int:
        """The number of a row in the file, from 1, for messages."""
        return 1 + (row if self.taken is None else int(self.taken[row]))

    def where(self, row: int) -> str:
        """The location of a row, for messages."""
        return f"{self.source}: row {self.number(row)}"

    def cell(self, column: str, row: int) -> str:
        """The location of a value, for messages."""
        return f'{self.source}: column "{column}", row {self.number(row)}'

    def take(self, rows: NDArray[Any]) -> Table:
        """These rows, by number or by mask."""
        return replace(
            self,
            taken=(np.arange(self.rows) if self.taken is None else self.taken)[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            written={name: column[rows] for name, column in self.written.items()},
        )

    def fingerprint(self) -> str:
        """A hash of names and values, so that a run can recognize its training data."""
        digest = hashlib.sha256()
        for name, column in (*self.columns.items(), *self.written.items()):
            digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
            digest.update(
                "\0".join(map(str, column)).encode("utf-8", "surrogatepass") if is_text(column) else column.tobytes()
            )
        return digest.hexdigest()[:16]

    def labels(self, column: str | None) -> Labels:
        """The values of a column as labels, as written; raises LabelError for numbers such as 2.5."""
        assert column is not None, "a table has labels in one of its columns"
        values, where = self.column(column), f'{self.source}: column "{column}"'
        if is_text(values):
            return Labels(where, values)
        if column in self.written:
            words = [spelled(word) for word in self.written[column].tolist()]
            for row in np.flatnonzero(np.isnan(values)).tolist():
                # If the words for a missing value are specified, all others are names.
                words[row] = "" if self.na is None or words[row] in self.na else words[row]
            return Labels(where, np.array(words, dtype=object))
        wrong = (values != np.round(values)) & ~np.isnan(values)
        wrong |= np.isinf(values)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise LabelError(
                f"{self.cell(column, row)}: {values[row]:g} is not a class label: labels are whole numbers or text; "
                'for a numeric target use task="regress"'
            )
        return Labels(where, as_written(values))


def header_hint(names: Iterable[str]) -> str:
    """The end of a message about names of columns that are none, as in a file without a header."""
    names = list(names)
    if len(names) == 1 and names[0].startswith("#"):
        return "; is the first line a comment? remove it"
    values = [
        name
        for i, name in enumerate(names)
        if NUMBER.fullmatch(name) and name not in (str(i - 1), str(i), str(i + 1))  # these some programs write as names
    ]
    return "; is the header line missing?" if 2 * len(values) > len(names) else ""


def column_names(source: str, names: list[str]) -> list[str]:
    """Names on one line, for messages and options; raises DataError for duplicates."""
    check_width(source, len(names))
    names = [" ".join(name.split()) for name in names]
    counts = Counter(names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        raise DataError(
            f'{source}: two columns are called "{twice}": give each column its own name{header_hint(names)}'
        )
    return names


def check_width(source: str, columns: int) -> None:
    """Raise DataError for more columns than are read."""
    if columns > MOST_COLUMNS:
        raise DataError(
            f"{source}: has {columns:,} columns, at most {MOST_COLUMNS:,} are read: use a part of them, or save the "
            "table the other way round"
        )
