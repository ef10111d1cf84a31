"""CSV and TSV files, also gzipped, to columns."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainrule.data.limits import refuse_size, room
from chainrule.data.tables.cells import NUMBER, Cells, join, numbers_or_text, text_cells
from chainrule.data.tables.columns import WORD, Column, is_text
from chainrule.data.tables.lines import Lines, open_lines, unpacked_size
from chainrule.data.tables.table import Table, check_width, column_names
from chainrule.errors import DataError

CHUNK = 8192  # rows held as Python text at once
CHARACTERS = 1 << 25  # characters of these rows, each of which may take 20 bytes
SAMPLE = 1 << 16  # characters from which the separator is determined
ROWS = 100
SEPARATORS = ",|;\t"  # if two fit equally well, the later one: commas occur in numbers and names


def read_text(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a text file; `na` are words for a missing value, besides the common ones in columns of numbers."""
    most = room()
    size = unpacked_size(path, most)
    with _cells_of_any_size():
        chunks = _read_chunks(path, size, most, frozenset(), na)
        # A column may turn from numbers to text late in the file; its text is then read again from the start.
        mixed = frozenset(n for n, parts in chunks.items() if len({is_text(p.values) for p in parts}) > 1)
        if mixed:
            chunks = _read_chunks(path, size, most, mixed, na)
    columns: dict[str, Column] = {}
    written: dict[str, Column] = {}
    padded: dict[str, Counter[str]] = {}
    for name in list(chunks):
        parts = chunks.pop(name)  # so that no more than one column is held twice
        columns[name], spelled = join(parts)
        if spelled is not None:
            written[name] = spelled
        padded[name] = sum((part.padded for part in parts), Counter[str]())
    return Table(str(path), columns, written=written, padded=padded, na=na)


def _read_chunks(
    path: Path, size: int, most: int, as_text: frozenset[str], na: frozenset[str] | None
) -> dict[str, list[Cells]]:
    """The columns in parts; raises DataError if they take more than `most` bytes."""
    with open_lines(path, size) as (file, lines):
        start = file.read(SAMPLE)
        if not start.strip():
            raise DataError(f"{path}: the file is empty: expected a header line and rows of values")
        file.seek(0)
        told = re.match("sep=(.)\r?\n", start)  # for Excel
        separator = told[1] if told else "\t" if ".tsv" in path.name.lower() else find_separator(start)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        if told:
            next(reader)
        rows = _rows(path, reader, lines)
        names = _header(path, next(rows))
        chunks: dict[str, list[Cells]] = {name: [] for name in names}
        taken = 0
        for part in _parts(_checked_rows(path, reader, rows, len(names)), lines):
            for name, cells in zip(names, zip(*part, strict=True), strict=True):
                chunks[name].append((text_cells if name in as_text else numbers_or_text)(cells, na))
                taken += _size(chunks[name][-1])
            _check_size(path, taken, lines.share, most)
    if not chunks[names[0]]:
        raise DataError(f"{path}: a header but no rows: add some rows of values")
    return chunks


def _parts(rows: Iterable[list[str]], lines: Lines) -> Iterator[list[list[str]]]:
    """Rows in groups that fit in memory as Python text."""
    part: list[list[str]] = []
    stop = lines.characters + CHARACTERS
    for row in rows:
        part.append(row)
        if len(part) == CHUNK or lines.characters >= stop:
            yield part
            part, stop = [], lines.characters + CHARACTERS
    if part:
        yield part


def _size(cells: Cells) -> int:
    """About how many bytes the cells take."""
    written = 0 if cells.written is None else cells.written.nbytes
    return written + (WORD if is_text(cells.values) else 8) * len(cells.values)


def _check_size(path: Path, taken: int, share: float, most: int) -> None:
    """Raise DataError if the columns take too much memory, or clearly will when the rest of the file is read."""
    if taken > most:
        raise refuse_size(path, "its columns take more than", most, most)
    if taken > most // 32 and taken > 2 * most * share:
        raise refuse_size(path, "its columns would take about", int(taken / share), most)


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a C long, of 32 bits on Windows
    try:
        yield
    finally:
        csv.field_size_limit(before)


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
    check_width(str(path), len(row))  # before each gets a name
    if len(row) == 1 and row[0].count('"') % 2 and any(one in row[0] for one in SEPARATORS):
        raise DataError(f"{path}: the header: a quote is opened and never closed: close it, or remove it")
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


def _rows(path: Path, reader: Any, lines: Lines) -> Iterator[list[str]]:
    """The rows of a file that are not blank, the header first; raises DataError for one whose quotes are wrong."""
    number, line = 0, 0  # of the rows and lines so far
    try:
        for row in reader:
            lines.row = 0
            if row:
                yield row
                number += 1
            line = reader.line_num
    except csv.Error as error:
        where = f"row {number} (line {line + 1})" if number else "the header"
        if "unexpected end" in str(error):
            raise DataError(f"{path}: {where}: a quote is opened and never closed: close it, or remove it") from None
        raise DataError(
            f"{path}: {where}: text follows a closing quote in line {reader.line_num}: write quotes inside a quoted "
            'value twice, as in "5"" pipe", and close those before'
        ) from None


def _checked_rows(path: Path, reader: Any, rows: Iterable[list[str]], width: int) -> Iterator[list[str]]:
    """Rows as wide as the header; raises DataError for any other."""
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            fix = "correct that line" if number > 1 else "name every column in the header, or correct that line"
            raise DataError(
                f"{path}: row {number} (line {reader.line_num}) has {len(row):,} values, the header has {width:,}: "
                f"{fix}, or quote text that holds a separator"
            )
        yield row
