"""How much data is read: what the memory that is free has room for."""

from __future__ import annotations

from pathlib import Path

from chainrule.errors import DataError
from chainrule.native.machine import free_memory

SHARE = 4  # reading data and making it ready take up to four times the memory of its values


def room() -> int:
    """The most bytes of values that are read at a time: a quarter of the free memory."""
    return free_memory() // SHARE


def refuse_size(path: Path, what: str, size: int, most: int) -> DataError:
    """The error for data that needs more than `most` bytes, which `room` has returned."""
    return DataError(
        f"{path}: {what} {size_text(size)}, at most {size_text(most)} are read, a quarter of the free memory: use a "
        "part of the data, or free memory"
    )


def size_text(size: int) -> str:
    """`2 << 30` -> "2.0 GiB"."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):,.1f} {unit}"
    return f"{size} bytes"
