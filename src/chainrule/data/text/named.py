"""Texts by name, in a folder of data sets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from chainrule.data.images.named import FOLDER
from chainrule.data.text.reading import FORMATS, read_text
from chainrule.data.text.text import Text
from chainrule.errors import FileError

NAMED = {
    "tinyshakespeare": "text/tinyshakespeare.txt.gz",
    "jane-austen": "text/jane_austen.txt.gz",
    "tang-poems": "text/zh_poems_tang_song.txt.gz",
}


def holds_text(source: str) -> bool:
    """Whether a source is a text: one by name, or a file whose name says so."""
    return source in NAMED or source.lower().endswith(FORMATS)


def load_text(source: str, data_dir: str | None = None) -> Text:
    """The text in a file, or the one of that name: from `data_dir`, else the folder that $CHAINRULE_DATA names.

    "tinyshakespeare" is part of his plays (Karpathy, char-rnn, 2015), "jane-austen" six novels, "tang-poems" 408 poems
    of the Tang and Song dynasties. Raises FileError that says where it looked.
    """
    if source not in NAMED:
        return read_text(source)
    folder = data_dir or os.environ.get(FOLDER)
    if folder is None:
        raise FileError(f"{source}: not found, as neither data_dir=... nor {FOLDER} says where it is: name a text file")
    places = [Path(folder, NAMED[source]), Path(folder, Path(NAMED[source]).name)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileError(f"{source}: not found in {', '.join(map(str, places))}: name a text file")
    return replace(read_text(found), source=source)
