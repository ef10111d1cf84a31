"""Text files, also gzipped: UTF-8, checked and brought to one form."""

from __future__ import annotations

import gzip
import os
import unicodedata
from pathlib import Path
from typing import Any

from chainrule.data.limits import room, size_text
from chainrule.data.reading import reading
from chainrule.data.text.text import Text
from chainrule.errors import DataError
from chainrule.files import as_path, open_regular

FORMATS = (".txt", ".txt.gz", ".md", ".md.gz")
EACH = 3  # bytes of a character and its token take up to 12 times those of the file, and `room` counts 4
MARK = "\ufeff"  # some editors write it at the start of a file


def read_text(path: Any) -> Text:
    """The text in a file: UTF-8, gzipped if its name ends in .gz.

    Equal text becomes equal characters: composed forms (Unicode normalization NFC: é is one character, however it is
    written), lines that end in a line feed, no byte order mark. What this changed is in `notes`. Raises FileError for a
    file that cannot be read, DataError for one that is empty, holds no UTF-8, or NUL characters.
    """
    path = as_path("read_text", path)
    most = room() // EACH
    with reading(path), open_regular(path) as file:
        packed = path.name.lower().endswith(".gz")
        size = 0 if packed else os.fstat(file.fileno()).st_size
        data = b"" if size > most else (gzip.GzipFile(fileobj=file) if packed else file).read(most + 1)
    if max(size, len(data)) > most:
        raise DataError(f"{path}: more text than free memory has room for, {size_text(most)}: use a part of it")
    written = _decoded(path, data).removeprefix(MARK)
    _check_characters(path, written)
    lines = written.replace("\r\n", "\n").replace("\r", "\n")
    characters = unicodedata.normalize("NFC", lines)
    notes = []
    if lines != written:
        notes.append(f"{path}: line ends are read as line feeds")
    if characters != lines:
        notes.append(f"{path}: characters are read in their composed form (Unicode normalization NFC)")
    return Text(str(path), characters, tuple(notes))


def _decoded(path: Path, data: bytes) -> str:
    """Raises DataError with the line of the first bytes that are no UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "it looks like UTF-16" if wide else f"byte 0x{data[error.start]:02x} in line {line}"
        raise DataError(f"{path}: not UTF-8 text ({encoding}): save it as UTF-8") from None


def _check_characters(path: Path, characters: str) -> None:
    if not characters.strip():
        raise DataError(f"{path}: the text is empty: choose a file with text in it")
    place = characters.find("\0")
    if place >= 0:
        line = characters.count("\n", 0, place) + 1
        raise DataError(f"{path}: a NUL character in line {line}, which text does not have: is it a text file?")
