"""Files: written atomically, and read through one door that opens regular files only."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from chainrule.errors import FileError, OptionError

FIXES = {
    errno.ENOSPC: "free some space, or choose another folder",
    errno.EDQUOT: "free some space, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or write less",
    errno.EROFS: "choose a folder that can be written",
}
LONGEST = 255  # bytes of a name in a folder, on every common file system
SHOWN = 80  # characters of a name that is too long for the system


def as_path(place: str, path: Any) -> Path:
    """`path` as a Path; raises OptionError for anything but a name."""
    if not isinstance(path, (str, os.PathLike)):
        raise OptionError(f"{place}: path is {path!r:.80}, expected the name of a file: pass one as text or a Path")
    if not is_file_name(path):
        raise OptionError(f"{place}: path is {path!r:.80}, which no file can be called: correct it")
    return Path(path)


def is_file_name(path: str | os.PathLike[str]) -> bool:
    """Whether the system accepts a name: no character 0, none that it cannot encode, no part of more than 255 bytes."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return b"\0" not in name and max(map(len, name.split(b"/"))) <= LONGEST


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, to read its bytes. Every file that a user names is opened here.

    A pipe may never send data, a device never end. The file is checked once it is open, so that none can take its
    place, and it is opened without waiting for a pipe's other end. Raises the system's OSError, or FileError for
    anything but a regular file.
    """
    file = path.open("rb") if os.name == "nt" else open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    try:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileError(f"{path}: cannot be read (it is not a regular file): copy its contents to a file")
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_whole(path: Path, most: int) -> bytes:
    """The bytes of a regular file; raises FileError if it cannot be read, or holds more than `most` bytes."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > most else file.read(size + 1)  # not `most`: as much memory would be taken
    except FileError:
        raise
    except OSError as error:
        raise failure(path, "read", error) from None
    if size > most:
        raise FileError(f"{path}: larger than {most:,} bytes, the most that are read: check which file it is")
    if len(data) > size:
        raise FileError(f"{path}: cannot be read (it grows): wait until it is complete")
    return data


def failure(path: Path | str, deed: str, error: OSError, fix: str = "check the path and its permissions") -> FileError:
    """The error of a file that cannot be "read" or "written", with how to fix it; too long a name loses its end."""
    name = f"{str(path)[: SHOWN - 4]} ..." if error.errno == errno.ENAMETOOLONG else str(path)
    fix = FIXES.get(error.errno or 0, fix)
    return FileError(f"{name}: cannot be {deed} ({error.strerror or error}): {fix}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a FileError that names the file and how to fix it."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise failure(path, "written", error, "check the folder and its permissions, or choose another one") from None


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
