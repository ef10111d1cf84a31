"""What can go wrong in a training without ending it: files that cannot be written, figures that cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chainrule.cli.output import tell
from chainrule.errors import FileError

UNDRAWN, UNWRITTEN = 1, 2  # exit statuses


class Troubles:
    """Tells each trouble in one line; `status` is the exit status of a command that goes on after them."""

    def __init__(self) -> None:
        self.status = 0
        self._told: set[tuple[Path, bool]] = set()

    @contextmanager
    def writing(self, path: Path, *, lost: bool = True) -> Iterator[None]:
        """Go on after a FileError in the body, which is told once for each path. A file that is not `lost` is written
        again later, and the line says so."""
        try:
            yield
        except FileError as error:
            if (path, lost) not in self._told:
                tell(str(error) if lost else f"{error}; training goes on, and writes it again")
                self._told.add((path, lost))
            if lost:
                self.status = UNWRITTEN

    def undrawn(self, what: str, why: Exception) -> None:
        """A figure that cannot be drawn for a reason that is no file's."""
        tell(f"{what}: cannot be drawn ({type(why).__name__}: {why}): the run is complete without it")
        self.status = self.status or UNDRAWN
