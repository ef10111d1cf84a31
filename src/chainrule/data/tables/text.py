"""CSV and TSV files, also gzipped -> columns."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from chainrule.data.tables.table import Column, Table, is_text
from chainrule.errors import DataError

MISSING = frozenset({"", "?", "NA", "N/A", "NaN", "nan", "NULL", "null"})
CHUNK = 8192  # rows held as Python text at once


def read_text(path: Path) -> Table:
    chunks = _read_chunks(path, frozenset())
    # A column may turn from numbers to text late in the file; its text is then read once more, from the start.
    mixed = frozenset(n for n, parts in chunks.items() if len({is_text(p) for p in parts}) > 1)
    if mixed:
        chunks = _read_chunks(path, mixed)
    columns = {name: np.concatenate(parts) for name, parts in chunks.items()}
    return _without_row_numbers(path, columns)


def _read_chunks(path: Path, as_text: frozenset[str]) -> dict[str, list[Column]]:
    with _open_text(path) as file:
        start = file.read(1 << 16)
        if not start.strip():
            raise DataError(f"{path}: the file is empty: a header line and rows of values were expected")
        file.seek(0)
        reader = csv.reader(file, delimiter=_delimiter(path, start))
        names = _header(path, next(row for row in reader if row))
        chunks: dict[str, list[Column]] = {name: [] for name in names}
        rows = _checked_rows(path, reader, len(names))
        while part := list(itertools.islice(rows, CHUNK)):
            for name, cells in zip(names, zip(*part, strict=True), strict=True):
                chunks[name].append(text_column(cells) if name in as_text else _numbers_or_text(cells))
    if not chunks[names[0]]:
        raise DataError(f"{path}: there is a header but no row below it: add at least a few rows of values")
    return chunks


def _open_text(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(path: Path, start: str) -> str:
    line = next(line for line in start.splitlines() if line.strip())
    if ".tsv" in path.name.lower():
        return "\t"
    return max(",;\t", key=line.count)


def _header(path: Path, row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    if _all_numbers(names):
        raise DataError(
            f"{path}: the first line holds numbers only, where column names were expected: add a header line such as "
            + ",".join(f"x{i}" for i in range(min(len(names), 3)))
        )
    # An unnamed first column is what pandas and R write for row numbers.
    names = [name or f"unnamed {i + 1}" for i, name in enumerate(names)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DataError(f'{path}: two columns are called "{twice}": give each column its own name')
    return names


def _all_numbers(names: list[str]) -> bool:
    """Whether a first line is data: numbers only, and not the column numbers 0, 1, 2 ... that some programs write."""
    try:
        values = [float(name) for name in names]
    except ValueError:
        return False
    return values not in ([float(i) for i in range(len(names))], [float(i + 1) for i in range(len(names))])


def _checked_rows(path: Path, reader: Any, width: int) -> Iterator[list[str]]:
    number = 0
    for row in reader:
        if not row:
            continue
        number += 1
        if len(row) != width:
            raise DataError(
                f"{path}: row {number} (line {reader.line_num}) has {len(row)} values, the header has {width}: "
                "mend that line, or quote text that holds a separator"
            )
        yield row


def _numbers_or_text(cells: tuple[str, ...]) -> Column:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass  # something is missing or text: look at each cell
    stripped = [cell.strip() for cell in cells]
    try:
        return np.array([np.nan if cell in MISSING else float(cell) for cell in stripped])
    except ValueError:
        return text_column(cells)


def text_column(cells: tuple[str, ...]) -> Column:
    stripped = (cell.strip() for cell in cells)
    return np.array(["" if cell in MISSING else cell for cell in stripped], dtype=object)


def _without_row_numbers(path: Path, columns: dict[str, Column]) -> Table:
    first = next(iter(columns))
    if first == "unnamed 1" and len(columns) > 1 and not is_text(columns[first]):
        numbers = columns[first]
        if np.array_equal(numbers, np.arange(len(numbers)) + numbers[0]):
            rest = {name: column for name, column in columns.items() if name != first}
            return Table(str(path), rest, (f"{path}: the unnamed first column of row numbers is left out",))
    return Table(str(path), columns)
