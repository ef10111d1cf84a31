"""The text files of a run: reports and settings written whole, and a log that grows by whole lines."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainrule.files import write_whole, writing


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; raises FileError."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; raises FileError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


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
