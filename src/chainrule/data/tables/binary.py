"""Parquet files and NumPy archives to columns. The file marks missing values itself: words are just words."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables.cells import NUMBER
from chainrule.data.tables.columns import Column, exact, is_text, truths
from chainrule.data.tables.table import Table, column_names
from chainrule.errors import DataError, FileError
from chainrule.files import open_regular

SHOWN = 12  # arrays in a message


def read_parquet(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a Parquet file; `na` are words and numbers for a missing value."""
    try:
        import polars
    except ImportError:
        raise FileError(f"{path}: reading Parquet needs polars: pip install polars") from None
    with open_regular(path) as file:  # first raise the system's errors, since polars has others for them
        content = file.read()
    try:
        frame = polars.read_parquet(content)
    except polars.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a Parquet table ({str(error).splitlines()[0]}): write it again") from None
    columns: dict[str, Column] = {}
    written: dict[str, Column] = {}
    for name, series in zip(column_names(str(path), frame.columns), frame.iter_columns(), strict=True):
        kind = series.dtype
        if kind.is_numeric() or kind in (polars.Boolean, polars.Null):
            columns[name] = series.cast(polars.Float64).fill_null(float("nan")).to_numpy()
            if kind == polars.Boolean:
                written[name] = truths(columns[name])
            elif kind.is_integer() or kind.is_decimal():
                spelled = exact(columns[name], series.cast(polars.String).to_list())
                written |= {} if spelled is None else {name: spelled}
        else:  # dates and others become text, so that they can be left out or be labels
            words = ["" if value is None else str(value) for value in series.to_list()]
            columns[name] = np.array(words, dtype=object)
    return _table(path, columns, written, na)


def read_npz(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a NumPy archive; `na` are words and numbers for a missing value."""
    try:
        with open_regular(path) as file:  # so that it is closed even if the archive is damaged
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: one bare array, expected an archive: use np.savez(path, x=x, y=y)")
            arrays = {name: _member(path, archive, name) for name in archive.files}
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a readable NumPy archive ({error}): use np.savez(path, x=x, y=y)") from None
    lengths = {name: a.shape[0] if a.ndim else None for name, a in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        shapes = "; ".join(f"{name} {a.shape}" for name, a in itertools.islice(arrays.items(), SHOWN))
        raise DataError(f"{path}: the arrays differ in their number of rows: {shapes}: each needs one row per sample")
    columns: dict[str, Column] = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            columns[name] = array
            continue
        for i, column in enumerate(array.reshape(len(array), int(np.prod(array.shape[1:]))).T):
            columns[f"{name}{i}"] = column
    names = column_names(str(path), list(columns))
    return _table(path, dict(zip(names, columns.values(), strict=True)), {}, na)


def _member(path: Path, archive: Any, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = archive[name]
    except ValueError as error:
        if not str(error).startswith("Object arrays"):
            raise
        fix = f"save {name}.astype(str), or {name}.astype(float) for numbers"
        raise DataError(f'{path}: array "{name}" holds Python objects: {fix}') from None
    return array


def _table(path: Path, columns: dict[str, Column], written: dict[str, Column], na: frozenset[str] | None) -> Table:
    """The table of these columns, without what the words and numbers `na` mean to be missing."""
    if not columns:
        raise DataError(f"{path}: no columns: expected columns of values")
    table = Table(str(path), columns, written=written, na=na)
    if table.rows == 0:
        raise DataError(f"{path}: columns but no rows: add some rows of values")
    numbers = [float(word) for word in na or () if NUMBER.fullmatch(word)]
    for name, column in table.columns.items():
        if na and is_text(column):
            table.columns[name] = np.array(["" if cell in na else cell for cell in column.tolist()], dtype=object)
        elif np.isin(column, numbers).any():
            table.columns[name] = np.where(np.isin(column, numbers), np.nan, column)
    return table
