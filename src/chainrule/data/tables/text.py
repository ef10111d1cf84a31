"""CSV and TSV files, also gzipped, to columns."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from chainrule.data.tables.cells import NUMBER, Cells, join, numbers_or_text, text_cells
from chainrule.data.tables.columns import Column, is_text
from chainrule.data.tables.table import Table, column_names
from chainrule.errors import DataError

CHUNK = 8192  # rows held as Python text at once
SAMPLE = 1 << 16  # characters from which the separator is determined
ROWS = 100
END = "\ue000 end of file \ue000"  # a last line, which becomes part of a cell whose quote is never closed
SEPARATORS = ",|;\t"  # if two fit equally well, the later one: commas occur in numbers and names


def read_text(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a text file; `na` are words for a missing value, besides the common ones in columns of numbers."""
    with _cells_of_any_size():
        chunks = _read_chunks(path, frozenset(), na)
        # A column may turn from numbers to text late in the file; its text is then read again from the start.
        mixed = frozenset(n for n, parts in chunks.items() if len({is_text(p.values) for p in parts}) > 1)
        if mixed:
            chunks = _read_chunks(path, mixed, na)
    columns: dict[str, Column] = {}
    written: dict[str, Column] = {}
    for name, parts in chunks.items():
        columns[name], spelled = join(parts)
        if spelled is not None:
            written[name] = spelled
    padded = {name: sum((part.padded for part in parts), Counter[str]()) for name, parts in chunks.items()}
    return Table(str(path), columns, written=written, padded=padded, na=na)


def _read_chunks(path: Path, as_text: frozenset[str], na: frozenset[str] | None) -> dict[str, list[Cells]]:
    with _open_text(path) as file:
        start = file.read(SAMPLE)
        if not start.strip():
            raise DataError(f"{path}: the file is empty: expected a header line and rows of values")
        file.seek(0)
        told = re.match("sep=(.)\r?\n", start)  # for Excel
        separator = told[1] if told else "\t" if ".tsv" in path.name.lower() else find_separator(start)
        reader = csv.reader(itertools.chain(file, [END]), delimiter=separator)
        if told:
            next(reader)
        names = _header(path, next(row for row in reader if row))
        chunks: dict[str, list[Cells]] = {name: [] for name in names}
        rows = _checked_rows(path, reader, len(names))
        while part := list(itertools.islice(rows, CHUNK)):
            for name, cells in zip(names, zip(*part, strict=True), strict=True):
                chunks[name].append((text_cells if name in as_text else numbers_or_text)(cells, na))
    if not chunks[names[0]]:
        raise DataError(f"{path}: a header but no rows: add some rows of values")
    return chunks


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a C long, of 32 bits on Windows
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _open_text(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def find_separator(start: str) -> str:
    """The separator that gives the first rows of a file the same number of values, more than one if possible."""
    return max(SEPARATORS, key=lambda separator: (*_fit(start, separator), SEPARATORS.index(separator)))


def _fit(start: str, separator: str) -> tuple[float, int]:
    """The fraction of the first rows that are as wide as the header, and that width; zeros for a single column."""
    widths = []
    try:
        for row in csv.reader(io.StringIO(start, newline=""), delimiter=separator, strict=True):
            if row:
                widths.append(len(row))
            if len(widths) > ROWS:
                break
    except csv.Error:
        widths.append(0)
    if len(start) == SAMPLE and 2 < len(widths) <= ROWS:
        widths.pop()  # cut off by the end of the sample
    if widths[0] < 2:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def _header(path: Path, row: list[str]) -> list[str]:
    if END in row[-1] or (len(row) == 1 and row[0].count('"') % 2 and any(one in row[0] for one in SEPARATORS)):
        raise DataError(f"{path}: a quote in the header is never closed: close it, or remove it")
    names = [name.strip() for name in row]
    if _all_numbers(names):
        raise DataError(
            f"{path}: the first line holds numbers only, expected column names: add a header line such as "
            + ",".join(f"x{i}" for i in range(min(len(names), 3)))
        )
    # An unnamed first column is what pandas and R write for row numbers.
    return column_names(str(path), [name or f"unnamed {i + 1}" for i, name in enumerate(names)])


def _all_numbers(names: list[str]) -> bool:
    """Whether a first line is data: numbers only, and not the column numbers 0, 1, 2 ... that some programs write."""
    if not all(NUMBER.fullmatch(name) for name in names):
        return False
    values = [float(name) for name in names]
    return values not in ([float(i) for i in range(len(names))], [float(i + 1) for i in range(len(names))])


def _checked_rows(path: Path, reader: Any, width: int) -> Iterator[list[str]]:
    number = 0
    for row in reader:
        if not row:
            continue
        if row == [END]:
            return
        number += 1
        if row[-1].endswith(END):
            raise DataError(f"{path}: row {number}: a quote is opened and never closed: close it, or remove it")
        if len(row) != width:
            raise DataError(
                f"{path}: row {number} (line {reader.line_num}) has {len(row)} values, the header has {width}: "
                "correct that line, or quote text that holds a separator"
            )
        yield row
