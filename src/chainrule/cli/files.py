"""Writing files so that none is ever seen half-written."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainrule.errors import FileError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal into a FileError that names the file and how to mend it."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        mends = {
            errno.ENOSPC: "free some space, or choose another folder",
            errno.EDQUOT: "free some space, or choose another folder",
            errno.EROFS: "choose a folder that can be written",
        }
        mend = mends.get(error.errno or 0, "check the folder and its rights, or choose another one")
        raise FileError(f"{path}: cannot be written ({error.strerror or error}): {mend}") from None


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file beside `path`, then move it there: `path` is the old file or the whole new one.

    Raises FileError, leaving nothing behind.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with writing(path):
            write(beside)
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8; see `write_whole`."""
    write_whole(path, lambda beside: _write_text(beside, text))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)


class Log:
    """A file of one JSON object a line, each written at once and whole; NaN and infinities become null."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._size = 0

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a line; on a full disk what was written of it is taken back and FileError raised."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        line = (json.dumps(plain) + "\n").encode()
        with writing(self.path):
            try:
                if os.write(self._file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(line)

    def close(self) -> None:
        os.close(self._file)
