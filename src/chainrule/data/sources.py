"""Data by name: a bundled data set or a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from chainrule.data.dataset import Dataset
from chainrule.data.digits import digits_table
from chainrule.data.images.dataset import Reading
from chainrule.data.images.named import NAMED
from chainrule.data.images.source import holds_images, read_images
from chainrule.data.names import bare_name, listed, nearest, nearest_file
from chainrule.data.tables import FORMATS, Table, read_table
from chainrule.data.tables.table import header_hint
from chainrule.errors import DataError
from chainrule.files import as_path

BUNDLED: dict[str, tuple[Callable[[], Table], str]] = {"digits": (digits_table, "digit")}  # table, target column


def load_data(
    source: str,
    options: Reading,
    *,
    images: bool | None = None,
    data_dir: str | None = None,
    na: Iterable[str] | None = None,
) -> Dataset:
    """Load the bundled or well-known data set, folder or file `source`, as a table or as images.

    With `images` None it is detected. Raises the same errors as `read_table` and `read_images`.
    """
    if images is None:
        images = source not in BUNDLED and holds_images(source)
    there = source in (*BUNDLED, *NAMED) or os.path.exists(source)
    if images and there:
        return read_images(source, options, data_dir)
    return load_table(source, na=na)  # raises the error about what is missing


def load_table(source: str, *, na: Iterable[str] | None = None) -> Table:
    """The bundled data set `source` ("digits"), or the file of that name; raises the same errors as `read_table`."""
    if source in BUNDLED:
        return BUNDLED[source][0]()
    path = as_path("load_table", source)
    if not path.suffix and not path.exists():
        known = (*BUNDLED, *NAMED)
        file = nearest_file(path, FORMATS)
        near = nearest(path.name, known if file is None else (*known, bare_name(file)))
        files = f"files ({', '.join(FORMATS)}, IDX) and folders of pictures"
        meant = near if near in known else str(file)
        hint = f'did you mean "{meant}"?' if near else f"known are {', '.join(known)}, {files}"
        raise DataError(f'"{source}" is neither a bundled data set nor a file: {hint}')
    return read_table(source, na=na)


def default_target(source: str, table: Table) -> str:
    """The default target: that of a bundled data set, or the array `y` of an archive.

    Otherwise raises DataError with the columns to choose from.
    """
    if source in BUNDLED:
        return BUNDLED[source][1]
    if source.endswith(".npz") and "y" in table.columns:
        return "y"
    names = list(table.columns)
    columns = listed(names) + header_hint(names)
    raise DataError(f"{source}: no target column given: name it with --target COLUMN; the columns are {columns}")
