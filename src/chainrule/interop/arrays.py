"""The arrays in a safetensors file.

    8 bytes     n, the length of the header, low byte first
    n bytes     JSON: {"0.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}, "__metadata__": {...}}
    the rest    the arrays, without gaps

The header is checked against the file's size before memory is taken. The file is read, not mapped: one that is cut
short meanwhile would end the process.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeAlias

import numpy as np
from msgspec import Meta

from chainrule.errors import DataError, FileError
from chainrule.files import failure, open_regular
from chainrule.native.memory import Array
from chainrule.records import Record, convert, parse
from chainrule.settings import shown

KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BOOL": "|b1",
    "C64": "<c8",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}
MOST_BYTES = 8 << 20  # of a header, which has an entry for each array
MOST_AXES = 64  # of NumPy
AGAIN = "save the model again"
Size: TypeAlias = Annotated[int, Meta(ge=0, le=2**62)]


class Entry(Record):
    """What the header says of an array."""

    dtype: str
    shape: Annotated[list[Size], Meta(max_length=MOST_AXES)]
    data_offsets: tuple[Size, Size]

    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * np.dtype(KINDS[self.dtype]).itemsize


def read_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by name, and the metadata; raises FileError or DataError."""
    try:
        with open_regular(path) as file:
            entries, metadata = _read_header(path, file)
            return {name: _read_array(path, file, entry) for name, entry in entries.items()}, metadata
    except FileError:
        raise
    except OSError as error:
        raise failure(path, "read", error) from None


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Entry], dict[str, str]]:
    """The arrays in the order of the file, and the metadata."""
    start, size = file.read(8), os.fstat(file.fileno()).st_size
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise _incomplete(path, f"its header would take {length:,} bytes, the file has {size:,}")
    if length > MOST_BYTES:
        raise DataError(f"{path}: its header takes {length:,} bytes, at most {MOST_BYTES:,} are read: {AGAIN}")
    place = f"{path}: its header"
    header = parse(place, file.read(length), AGAIN)
    if not isinstance(header, dict):
        raise DataError(f"{place} is {shown(header)}, expected a mapping: {AGAIN}")
    metadata = convert(f"{place}: __metadata__", header.pop("__metadata__", {}), dict[str, str], AGAIN)
    found = {name: convert(f"{place}: {shown(name)}", value, Entry, AGAIN) for name, value in header.items()}
    entries = dict(sorted(found.items(), key=lambda item: item[1].data_offsets))
    end = 0
    for name, entry in entries.items():
        end = _checked_end(f"{path}: array {shown(name)}", entry, end)
    if end != size - 8 - length:
        raise _incomplete(path, f"its arrays take {end:,} bytes, the file has {size - 8 - length:,} for them")
    return entries, metadata


def _checked_end(place: str, entry: Entry, begin: int) -> int:
    """Where an array that begins at `begin` ends; raises DataError if the header says otherwise."""
    if entry.dtype not in KINDS:
        raise DataError(f"{place} has a dtype that NumPy does not support ({shown(entry.dtype)}): save it as float32")
    if math.prod(size or 1 for size in entry.shape) >= 2**59:
        raise DataError(f"{place} has shape {shown(entry.shape)}, which no array can have: {AGAIN}")
    end = begin + entry.size()
    if entry.data_offsets != (begin, end):
        raise DataError(f"{place} is said to be at bytes {entry.data_offsets}, expected {(begin, end)}: {AGAIN}")
    return end


def _read_array(path: Path, file: BinaryIO, entry: Entry) -> Array:
    array: Array = np.empty(entry.shape, KINDS[entry.dtype])
    if array.size and _fill(file, array.reshape(-1).view(np.uint8)) < array.nbytes:
        raise _incomplete(path, "it ends while it is being read")
    return array


def _fill(file: Any, values: Array) -> int:
    """Read into `values`; returns the number of bytes read."""
    return int(file.readinto(values.data))


def _incomplete(path: Path, why: str) -> DataError:
    return DataError(f"{path}: is not a complete safetensors file ({why}): {AGAIN}")
