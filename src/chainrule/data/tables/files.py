"""Tables in files, by their suffix: CSV and TSV (also gzipped), Parquet, NPZ."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from chainrule.data.reading import reading
from chainrule.data.tables.binary import read_npz, read_parquet
from chainrule.data.tables.table import Table
from chainrule.data.tables.text import read_text
from chainrule.errors import DataError
from chainrule.files import as_path

FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".npz")


def read_table(path: str | Path, *, na: Iterable[str] | None = None) -> Table:
    """Read a table by its suffix: .csv, .tsv (each also with .gz), .parquet, .npz.

    Raises FileError if the file cannot be read, DataError if it does not contain a table. A CSV or TSV has a header
    line; the separator (comma, semicolon, tab or vertical bar) is detected.

    `na` are the words that mean a missing value, besides an empty cell; with None it is undecided whether a word such
    as NA is a name. In columns of numbers the common words are always recognized. Example:
    `read_table("iris.csv").columns["petal_width"]`.
    """
    path = as_path("read_table", path)
    words = None if na is None else frozenset([na] if isinstance(na, str) else na)
    name = path.name.lower()
    with reading(path):
        if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
            return read_text(path, words)
        if name.endswith((".parquet", ".pq")):
            return read_parquet(path, words)
        if name.endswith(".npz"):
            return read_npz(path, words)
        path.stat()
    raise DataError(f"{path}: the suffix is not a known table format: known are {', '.join(FORMATS)}")
