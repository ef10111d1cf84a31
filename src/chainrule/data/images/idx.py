"""IDX, the format of MNIST: what kind of values and how many, then the values, high byte first; gzipped or not.

    bytes 0, 1    zero
    byte 2        the kind of values, see KINDS
    byte 3        d, the number of axes
    4 d bytes     the length of each axis
    the rest      the values, last axis fastest

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.pixels import MOST_BYTES
from chainrule.data.limits import room, size_text
from chainrule.data.reading import reading
from chainrule.errors import DataError
from chainrule.files import open_regular

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 32
GZIP = b"\x1f\x8b"
DEFLATE = 1032  # the most bytes that one byte of a gzip file can decompress to
CHUNK = 1 << 20


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, in this machine's byte order.

    Memory is allocated according to the header, but only if the file is long enough for it. Raises FileError if the
    file cannot be read, DataError if the header is invalid or does not match the rest of the file.

    >>> header = bytes([0, 0, 8, 1]) + (3).to_bytes(4, "big")  # unsigned bytes, one axis of 3
    >>> _ = Path("labels-idx1-ubyte").write_bytes(header + bytes([7, 0, 9]))
    >>> read_idx("labels-idx1-ubyte")
    array([7, 0, 9], dtype=uint8)
    """
    path = Path(path)
    with reading(path), open_regular(path) as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        length = os.fstat(raw.fileno()).st_size
        if packed:
            with gzip.GzipFile(fileobj=raw) as file:
                return _read(path, file, length * DEFLATE)
        return _read(path, raw, length)


def looks_like_idx(path: Path) -> bool:
    """Whether a file begins like an IDX file; raises FileError if it cannot be read."""
    with reading(path), open_regular(path) as raw:
        start = raw.read(4)
        if start[:2] != GZIP:
            return _is_magic(start)
        raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                return _is_magic(file.read(4))
        except (OSError, EOFError):
            return False


def _is_magic(start: bytes) -> bool:
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in KINDS and start[3] > 0


def _read(path: Path, file: IO[bytes] | gzip.GzipFile, most: int) -> NDArray[Any]:
    """The array in an open file of at most `most` bytes."""
    start = file.read(4)
    if not _is_magic(start):
        raise DataError(
            f"{path}: not an IDX file, it begins with {start.hex(' ') or 'nothing'}: check which file it is"
        )
    kind, axes = np.dtype(KINDS[start[2]]), start[3]
    if axes > MOST_AXES:
        raise DataError(f"{path}: the header announces {axes} axes, at most {MOST_AXES} were expected: it is damaged")
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: the file ends inside its header: copy or download it again")
    shape = struct.unpack(f">{axes}I", lengths)
    size = math.prod(shape) * kind.itemsize
    announced = f"the header announces {_by(shape)} values, {size_text(size)}"
    limit = min(MOST_BYTES, room())
    if size > limit:
        raise DataError(f"{path}: {announced}; at most {size_text(limit)} are read: use a part of the data")
    if size + 4 + 4 * axes > most:
        raise DataError(f"{path}: {announced}, more than the file can hold: copy or download it again")
    values = np.empty(size, np.uint8)
    done = _fill(file, values)
    if done < size:
        raise DataError(f"{path}: {announced}, the file ends after {done:,} bytes: copy or download it again")
    if file.read(1):
        raise DataError(f"{path}: {announced}, the file holds more: copy or download it again")
    return values.view(kind).reshape(shape).astype(kind.newbyteorder("="), copy=False)


def _fill(file: IO[bytes] | gzip.GzipFile, values: NDArray[np.uint8]) -> int:
    """Read into `values`; returns the number of bytes read."""
    target, done = values.data, 0
    while done < len(values):
        part = file.read(min(CHUNK, len(values) - done))
        if not part:
            break
        target[done : done + len(part)] = part
        done += len(part)
    return done


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
