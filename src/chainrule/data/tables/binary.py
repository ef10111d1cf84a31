"""Parquet files and NumPy archives -> columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chainrule.data.tables.table import Column, Table
from chainrule.data.tables.text import text_column
from chainrule.errors import DataError, FileError


def read_parquet(path: Path) -> Table:
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
            columns[series.name] = text_column(tuple(series.cast(polars.String).fill_null("").to_list()))
        else:
            raise DataError(f'{path}: column "{series.name}" holds {kind}, numbers or text were expected: convert it')
    return _not_empty(path, columns)


def read_npz(path: Path) -> Table:
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
        return text_column(tuple(array.tolist()))
    raise DataError(f'{path}: array "{name}" holds {array.dtype}, numbers or text were expected: convert it')


def _not_empty(path: Path, columns: dict[str, Column]) -> Table:
    if not columns:
        raise DataError(f"{path}: there is no column in it: columns of values were expected")
    table = Table(str(path), columns)
    if table.rows == 0:
        raise DataError(f"{path}: there are columns but no rows: add at least a few rows of values")
    return table
