"""Parquet files and NumPy archives to columns. The file marks missing values itself: words are just words."""

from __future__ import annotations

import io
import itertools
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.data.archives import Header, open_archive
from chainrule.data.limits import refuse_size, room
from chainrule.data.names import listed
from chainrule.data.tables.cells import NUMBER
from chainrule.data.tables.columns import WORD, Column, exact, is_text, truths
from chainrule.data.tables.table import Table, check_width, column_names
from chainrule.errors import DataError, FileError
from chainrule.files import open_regular

SHOWN = 12  # arrays in a message


def read_parquet(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a Parquet file; `na` are words and numbers for a missing value."""
    frame = _read_frame(path)
    import polars

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


def _read_frame(path: Path) -> Any:
    """The polars.DataFrame in a Parquet file; raises DataError if it is damaged or would take too much memory."""
    try:
        import polars
    except ImportError:
        raise FileError(f"{path}: reading Parquet needs polars: pip install polars") from None
    most = room()
    with open_regular(path) as file:  # first raise the system's errors, since polars has others for them
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise refuse_size(path, "holds", size, most)
        content = file.read()
    try:
        kinds = polars.read_parquet_schema(io.BytesIO(content)).values()
        check_width(str(path), len(kinds))
        rows = polars.scan_parquet(io.BytesIO(content)).select(polars.len()).collect().item()
        size = rows * sum(8 if kind.is_numeric() else WORD for kind in kinds)
        if size <= most:
            frame = polars.read_parquet(content)
            texts = frame.select(polars.col(polars.String).str.len_bytes().sum())
            size += sum(texts.row(0)) if texts.width else 0  # each cell becomes a text of its own
            size = max(size, frame.estimated_size())  # of lists, whose lengths are not known before
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        why = next(iter(str(error).splitlines()), "damaged")
        raise DataError(f"{path}: not a Parquet table ({why:.100}): write it again") from None
    if size > most:
        raise refuse_size(path, "its columns would take", size, most)
    return frame


def read_npz(path: Path, na: frozenset[str] | None) -> Table:
    """The table in a NumPy archive; `na` are words and numbers for a missing value."""
    with open_archive(path) as archive:
        headers = {name: archive.header(name) for name in archive.names}
        _check_rows(path, {name: header.shape for name, header in headers.items()})
        check_width(str(path), sum(math.prod(header.shape[1:]) for header in headers.values()))
        size, most = sum(map(_size, headers.values())), room()
        if size > most:
            raise refuse_size(path, "its columns would take", size, most)
        arrays = {name: archive.array(name) for name in headers}
        others = archive.others
    named: list[tuple[str, Column]] = []
    for name, array in arrays.items():
        if array.ndim == 1:
            named.append((name, array))
            continue
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        named += [(f"{name}{i}", column) for i, column in enumerate(flat.T)]
    names = column_names(str(path), [name for name, _ in named])
    table = _table(path, dict(zip(names, [column for _, column in named], strict=True)), {}, na)
    return replace(table, notes=(f"{path}: skipped {listed(others)}",) if others else ())


def _check_rows(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise DataError unless every array has the same number of rows."""
    lengths = {shape[:1] for shape in shapes.values()}
    if len(lengths) > 1 or () in lengths:
        told = "; ".join(f"{name} {shape}" for name, shape in itertools.islice(shapes.items(), SHOWN))
        raise DataError(f"{path}: the arrays differ in their number of rows: {told}: each needs one row per sample")


def _size(header: Header) -> int:
    """About how many bytes the columns of an array take."""
    if header.kind.kind in "USM":
        return header.size + WORD * header.values
    return max(header.size, header.values * 8)


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
