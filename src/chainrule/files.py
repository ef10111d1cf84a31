"""Files: written atomically, and read only if they are regular files."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chainrule.errors import FileError, OptionError

FIXES = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.EROFS: "choose a folder that can be written",
}


def as_path(place: str, path: Any) -> Path:
    """`path` as a Path; raises OptionError for anything but a name."""
    if not isinstance(path, (str, os.PathLike)):
        raise OptionError(f"{place}: path is {path!r:.80}, expected the name of a file: pass one as text or a Path")
    return Path(path)


def check_regular(path: Path) -> None:
    """Raises FileError unless `path` is a regular file or a link to one: a pipe may never send data, a device never
    end.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from None
    if not regular:
        raise FileError(f"{path}: cannot be read (it is not a regular file): copy its contents to a file")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError that names the file and how to fix it."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        fix = FIXES.get(error.errno or 0, "check the folder and its permissions, or choose another one")
        raise FileError(f"{path}: cannot be written ({error.strerror or error}): {fix}") from None


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary file next to `path`, then rename it: `path` is the old file or the complete new one.

    The new file is on disk before it gets the old one's name, so this holds even if the machine stops. Raises FileError
    if it cannot be written, leaving nothing behind.

    >>> write_whole(Path("notes.txt"), lambda beside: beside.write_text("all of it"))
    >>> Path("notes.txt").read_text()
    'all of it'
    """
    if not path.name:
        raise FileError(f'"{path}": cannot be written (it has no file name): add one')
    # The suffix stays: some writers choose the format by it.
    beside = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}{path.suffix}")
    with writing(path):
        try:
            write(beside)
            with beside.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
