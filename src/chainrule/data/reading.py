"""Files that cannot be read: one kind of error, which names the file."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainrule.data.names import nearest_file
from chainrule.errors import DataError, FileError
from chainrule.files import failure

UNPACKING = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile)  # raised by decompression


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of the system and of decompression into FileError or DataError with the file and how to fix it."""
    try:
        yield
    except FileError:
        raise
    except FileNotFoundError:
        near = nearest_file(path, (path.suffix.lower(),))
        fix = "check the path" if near is None else f'did you mean "{near}"?'
        raise FileError(f"{path}: no such file: {fix}") from None
    except UNPACKING as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is None:  # not from the system: bz2 has no exception of its own
            raise _damaged(path, error) from None
        raise failure(path, "read", error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged or cut short ({error!s:.200}): copy or download it again")
