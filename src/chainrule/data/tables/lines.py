"""The lines of a text file, gzipped or not, as a parser may take them: decoded, and none without end."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from chainrule.data.limits import refuse_size
from chainrule.errors import DataError
from chainrule.files import open_regular

LONGEST = 1 << 26  # characters of a line, and of a row
BLANKS = 1_000_000  # blank lines one after another
BLOCK = 1 << 20
AS_TEXT = "save the table as UTF-8 text"


class Lines:
    """An iterator over the lines of an open file, with how far it has got."""

    def __init__(self, path: Path, file: TextIO, size: int) -> None:
        self.path, self.size = path, size  # in bytes, unpacked
        self.characters = 0  # read so far
        self.row = 0  # characters of the current row, which the parser sets to 0 at the end of a row
        self._file, self._number, self._blank = file, 0, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST):
            self._number += 1
            self.characters += len(line)
            self.row += len(line)
            if self.row >= LONGEST:
                raise DataError(
                    f"{self.path}: a row goes on for {LONGEST:,} characters and more, to line {self._number:,}: close "
                    "the quote that is open, or end the lines"
                )
            if "\0" in line:
                raise DataError(f"{self.path}: line {self._number:,} holds the character NUL: {AS_TEXT}")
            self._blank = self._blank + 1 if line.isspace() else 0
            if self._blank > BLANKS:
                raise DataError(f"{self.path}: more than {BLANKS:,} blank lines follow one another: remove them")
            yield line

    @property
    def share(self) -> float:
        """The share of the file that has been read."""
        return min(1.0, self._file.buffer.tell() / self.size) if self.size else 1.0


@contextmanager
def open_lines(path: Path, size: int) -> Iterator[tuple[TextIO, Lines]]:
    """The text file `path` and its lines; raises DataError with the first line that is not UTF-8."""
    with _open(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        try:
            yield file, Lines(path, file, size)
        except UnicodeDecodeError:
            raise _not_text(path) from None


def unpacked_size(path: Path, most: int) -> int:
    """The bytes of text in a file; raises DataError if there are more than `most`, and whatever unpacking raises."""
    if not _is_packed(path):
        with open_regular(path) as raw:
            size = os.fstat(raw.fileno()).st_size
        if size > most:
            raise refuse_size(path, "holds", size, most)
        return size
    size = 0
    with _open(path) as file:
        while part := file.read(BLOCK):
            size += len(part)
            if size > most:
                raise refuse_size(path, "unpacks to more than", most, most)
    return size


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The bytes of text in a file."""
    with open_regular(path) as raw:
        if not _is_packed(path):
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            yield file


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _not_text(path: Path) -> DataError:
    """The error about the first line that is not UTF-8; decoding says only where it is in a block."""
    number = 1
    with _open(path) as file:
        while line := file.readline(LONGEST):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return DataError(
                    f"{path}: line {number:,} is not UTF-8 text (its byte {error.start + 1:,} is "
                    f"{line[error.start]:#04x}): {AS_TEXT}"
                )
            number += 1
    return DataError(f"{path}: the file is not UTF-8 text: {AS_TEXT}")
