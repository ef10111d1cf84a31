"""A bar on the terminal while many pictures are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chainrule.data.images.dataset import Told


@contextmanager
def reading_bar(*, quiet: bool = False, console: Console | None = None) -> Iterator[Told | None]:
    """Context with what to tell of the reading; None, and no bar, when `quiet` and where no terminal is."""
    console = console or Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", visible=False)  # until there are pictures: it may be a table

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, visible=True)

        yield tell
