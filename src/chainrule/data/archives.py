"""NumPy archives (.npz): what their headers announce is checked before anything is unpacked.

Nothing in an archive is ever executed, as no pickles are read.
"""

from __future__ import annotations

import math
import sys
import tokenize
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chainrule.data.reading import reading
from chainrule.errors import ChainruleError, DataError
from chainrule.files import open_regular

# What NumPy and zipfile raise on invalid bytes.
DAMAGE = (
    *(ValueError, RuntimeError, OverflowError, MemoryError, SyntaxError, TypeError, LookupError, AttributeError),
    tokenize.TokenError,
)
BARE = b"\x93NUMPY"
SHOWN = 100  # characters of an error
ENCRYPTED = 1  # the flag of a member
SAVE = "use np.savez(path, x=x, y=y)"


@dataclass(frozen=True)
class Header:
    """What an archive says of one of its arrays."""

    shape: tuple[int, ...]
    kind: np.dtype[Any]
    size: int  # in bytes

    @property
    def values(self) -> int:
        return math.prod(self.shape)


class Archive:
    """An open archive: its arrays by name, and the other files in it."""

    def __init__(self, path: Path, members: zipfile.ZipFile) -> None:
        """Raises DataError if two arrays have one name."""
        self.path, self._members = path, members
        self.names = [name.removesuffix(".npy") for name in members.namelist() if _is_array(name)]
        self.others = [name for name in members.namelist() if not _is_array(name)]
        name, count = max(Counter(self.names).items(), key=lambda item: item[1], default=("", 0))
        if count > 1:
            raise DataError(f'{path}: holds {count} arrays called "{name}": give each its own name')

    def header(self, name: str) -> Header:
        """What is announced; raises DataError for objects, for an encrypted array, and if header and archive differ."""
        member = self._members.getinfo(f"{name}.npy")
        if member.flag_bits & ENCRYPTED:
            raise DataError(f'{self.path}: array "{name}" is encrypted: save it without a password')
        with self._members.open(member) as file, _quiet():
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(file)
            start = file.tell()
        if kind.hasobject:
            fix = f"save {name}.astype(str), or {name}.astype(float) for numbers"
            raise DataError(f'{self.path}: array "{name}" holds Python objects: {fix}')
        size = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or start + size != member.file_size:
            raise DataError(
                f'{self.path}: array "{name}" announces shape {_shape_text(shape)} of {kind}, {size:,} bytes, its file '
                f"has {member.file_size - start:,}: save it again"
            )
        return Header(shape, kind, size)

    def array(self, name: str) -> NDArray[Any]:
        """An array whose header has been read: how much it may take is for the caller to check before."""
        with self._members.open(f"{name}.npy") as file, _quiet():
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        if array.dtype.kind == "U" and not _is_unicode(array):
            raise DataError(f'{self.path}: array "{name}" holds text that is not Unicode: save it again')
        return array


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The archive in a file. Raises FileError if it cannot be read, DataError if it is damaged."""
    with reading(path), open_regular(path) as file:
        _check_start(path, file)
        try:
            with zipfile.ZipFile(file) as members:
                yield Archive(path, members)
        except ChainruleError:
            raise
        except DAMAGE as error:
            why = " ".join(str(error).split())[:SHOWN] or "damaged"
            raise DataError(f"{path}: not a readable NumPy archive ({why}): {SAVE}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without NumPy's advice to save again what Python 2 saved, which is read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _check_start(path: Path, file: BinaryIO) -> None:
    """Raise DataError for a file that does not begin like an archive."""
    start = file.read(len(BARE))
    if start == BARE:
        raise DataError(f"{path}: one bare array, expected an archive: {SAVE}")
    if not start.startswith(b"PK"):
        raise DataError(f"{path}: not a readable NumPy archive, it begins with {start.hex(' ') or 'nothing'}: {SAVE}")
    file.seek(0)


def _is_unicode(text: NDArray[Any]) -> bool:
    """Whether an array of text consists of characters: Python ends with a SystemError for some other numbers."""
    if not text.size or not text.dtype.itemsize:
        return True
    codes = np.ascontiguousarray(text).view(np.dtype(np.uint32).newbyteorder(text.dtype.byteorder))
    return not bool(np.any((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes < 0xE000))))


def _is_array(name: str) -> bool:
    """Whether a member is an array; those of macOS are its attributes."""
    return name.endswith(".npy") and not name.startswith("__MACOSX/")


def _shape_text(shape: Iterable[int]) -> str:
    return f"({', '.join(str(length)[:30] for length in shape)})"
