"""Tables in files -> columns: CSV and TSV (also gzipped), Parquet, NPZ.

A column is float64 with NaN where a value is missing, or text with "" where one is missing. Rows are counted from 1 in
messages, the header left out.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import suggestion
from chainrule.data.reading import reading
from chainrule.errors import DataError, FileError

Column: TypeAlias = NDArray[Any]

FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".npz")
MISSING = frozenset({"", "?", "NA", "N/A", "NaN", "nan", "NULL", "null"})
CHUNK = 8192  # rows held as Python text at once


@dataclass(frozen=True)
class Table:
    """Columns of one length, under the name of their file."""

    source: str
    columns: dict[str, Column]
    notes: tuple[str, ...] = ()  # what reading it changed, for the user

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Column:
        """The column `name`; DataError with the nearest name when there is none."""
        if name not in self.columns:
            raise DataError(f'{self.source}: there is no column "{name}": {suggestion(name, self.columns)}')
        return self.columns[name]

    def take(self, rows: NDArray[Any]) -> Table:
        """These rows, by number or by mask."""
        return replace(self, columns={name: column[rows] for name, column in self.columns.items()})

    def fingerprint(self) -> str:
        """A hash of names and values, by which a run knows the data it was trained on."""
        digest = hashlib.sha256()
        for name, column in self.columns.items():
            digest.update(name.encode() + b"\0")
            digest.update("\0".join(column).encode() if is_text(column) else np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:16]


def is_text(column: Column) -> bool:
    return column.dtype == object


def read_table(path: str | Path) -> Table:
    """Read a table by its suffix: .csv, .tsv (each also with .gz), .parquet, .npz.

    Raises FileError when the file cannot be read and DataError when it holds no table. A CSV or TSV has a header line;
    commas, semicolons and tabs are told apart. Example: `read_table("iris.csv").columns["petal_width"]`.
    """
    path = Path(path)
    name = path.name.lower()
    with _reading(path):
        if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
            return _read_text(path)
        if name.endswith((".parquet", ".pq")):
            return _read_parquet(path)
        if name.endswith(".npz"):
            return _read_npz(path)
        path.stat()
    raise DataError(f"{path}: the suffix names no known table format: known are {', '.join(FORMATS)}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the system and the parsers raise into one error that names the file."""
    with reading(path):
        try:
            yield
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: byte {error.start} is not UTF-8 text: save the table as UTF-8") from None
        except csv.Error as error:
            raise DataError(f"{path}: not a readable table ({error}): save it again as plain CSV") from None


# Text ---------------------------------------------------------------------------------------------------------------


def _read_text(path: Path) -> Table:
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
                chunks[name].append(_text(cells) if name in as_text else _numbers_or_text(cells))
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
        return _text(cells)


def _text(cells: tuple[str, ...]) -> Column:
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


# Binary -------------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> Table:
    try:
        import polars
    except ImportError:
        raise FileError(f"{path}: reading Parquet needs polars: pip install polars") from None
    with path.open("rb") as file:  # the system's own errors first, as polars has others for them
        content = file.read()
    try:
        frame = polars.read_parquet(content)
    except polars.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a Parquet table ({str(error).splitlines()[0]}): write it again") from None
    columns: dict[str, Column] = {}
    for series in frame.iter_columns():
        kind = series.dtype
        if kind.is_numeric() or kind in (polars.Boolean, polars.Null):
            columns[series.name] = series.cast(polars.Float64).fill_null(float("nan")).to_numpy()
        elif kind in (polars.String, polars.Categorical, polars.Enum):
            columns[series.name] = _text(tuple(series.cast(polars.String).fill_null("").to_list()))
        else:
            raise DataError(f'{path}: column "{series.name}" holds {kind}, numbers or text were expected: convert it')
    return _not_empty(path, columns)


def _read_npz(path: Path) -> Table:
    try:
        with path.open("rb") as file:  # ours to close, also when the archive is damaged
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: one bare array, an archive was expected: use np.savez(path, x=x, y=y)")
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a readable NumPy archive ({error}): use np.savez(path, x=x, y=y)") from None
    lengths = {name: a.shape[0] if a.ndim else None for name, a in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        raise DataError(f"{path}: the arrays differ in their number of rows: {shapes}: each needs one row a sample")
    columns: dict[str, Column] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = _array_column(path, name, array)
            continue
        for i, column in enumerate(array.reshape(len(array), int(np.prod(array.shape[1:]))).T):
            columns[f"{name}{i}"] = _array_column(path, name, column)
    return _not_empty(path, columns)


def _array_column(path: Path, name: str, array: Column) -> Column:
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    if array.dtype.kind == "U":
        return _text(tuple(array.tolist()))
    raise DataError(f'{path}: array "{name}" holds {array.dtype}, numbers or text were expected: convert it')


def _not_empty(path: Path, columns: dict[str, Column]) -> Table:
    if not columns:
        raise DataError(f"{path}: there is no column in it: columns of values were expected")
    table = Table(str(path), columns)
    if table.rows == 0:
        raise DataError(f"{path}: there are columns but no rows: add at least a few rows of values")
    return table
