"""Standard output and standard error of a command, which may go away while it runs."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from chainrule.errors import FileError
from chainrule.settings import one_line

# The reader has gone: a closed pipe, socket or terminal. Nobody misses the output then.
GONE = {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN}


class Output:
    """A text stream that never fails: after an error, what is written to it is dropped. `failure` is the error, unless
    it only means that the reader has gone, as with `| head`; `lost` says that nothing is written any more.

    Characters that its encoding lacks are escaped, as in \\u4e2d. One that was closed from the start drops everything.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = _nowhere() if stream is None else stream
        self.failure: OSError | None = None
        self.lost = False
        self._terminal = self.stream.isatty()

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding
            return self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._drop(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def _drop(self, error: OSError) -> None:
        """Send the file itself nowhere too: Python flushes the stream once more when it ends."""
        if error.errno not in GONE and not (error.errno == errno.EIO and self._terminal):
            self.failure = self.failure or error
        self.lost = True
        nowhere, lost = _nowhere(), self.stream
        self.stream = nowhere
        with suppress(OSError):  # a stream of a test, say, that is no file
            os.dup2(nowhere.fileno(), lost.fileno())


def tell(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"chainrule: {one_line(message)}\n")


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def write_data(text: str) -> None:
    """Write text to standard output as it is; FileError if its encoding lacks a character."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding, "surrogateescape")  # names of files may be any bytes
    except UnicodeEncodeError as error:
        raise FileError(
            f'standard output: "{text[error.start]}" cannot be written in the encoding {encoding}: use --out FILE, or '
            "set PYTHONIOENCODING=utf-8"
        ) from None
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # a file, and not the text that a test collects
        reconfigure(errors="surrogateescape")
    sys.stdout.write(text)


@contextmanager
def standard_streams() -> Iterator[Output]:
    """Inside, `sys.stdout` and `sys.stderr` are of class Output; yields the first."""
    _fill_gaps()
    before = sys.stdout, sys.stderr
    out, err = Output(before[0]), Output(before[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _fill_gaps() -> None:
    """Open the null device in place of standard files that are closed: the next file opened would get their numbers,
    and with them what others write there."""
    while (file := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(file, True)
    os.close(file)
