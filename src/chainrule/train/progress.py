"""Progress of a run on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from chainrule.errors import OptionError
from chainrule.train.history import History

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

REFRESH = 0.1  # seconds between two pictures of the bar
LINES = 20  # about so many plain lines in a run
SILENCE = 10.0  # seconds after which a plain line comes in any case
HIDDEN = ("seconds", "lr")


def make_progress(verbose: int | None) -> LiveBar | PlainLines | None:
    """The observer for `verbose`: 0 none, 1 a bar or lines, None (the default) a bar on a terminal and nothing
    elsewhere.

    Raises OptionError for another value.
    """
    if verbose is not None and verbose not in (0, 1):
        raise OptionError(
            f"fit: verbose is {verbose!r}, expected 0 (silent), 1 (bar or lines), or None (bar on a terminal)"
        )
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if verbose == 0 or (verbose is None and not terminal):
        return None
    return LiveBar() if terminal else PlainLines()


class PlainLines:
    """One line for an epoch, about LINES in all, for log files and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._trainer: Trainer | None = None
        self._shown = 0
        self._when = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._trainer, self._shown, self._when = trainer, 0, time.monotonic()

    def on_steps(self, step: int, losses: Any) -> None:
        assert self._trainer is not None
        done, every = self._trainer.history.epochs, max(1, self._trainer.plan.epochs // LINES)
        due = done // every > self._shown // every or time.monotonic() - self._when > SILENCE
        if done > self._shown and (due or self._shown == 0):
            self._write(self._trainer.history)

    def on_fit_end(self, history: History) -> None:
        if history.epochs > self._shown:
            self._write(history)
        if history.stopped:
            self._line(_ending(history))
        self._trainer = None

    def _write(self, history: History) -> None:
        assert self._trainer is not None
        total = self._trainer.plan.epochs
        values = "  ".join(f"{name} {value:.4g}" for name, value in history.last.items() if name not in HIDDEN)
        self._line(f"epoch {history.epochs:>{len(str(total))}}/{total}  {values}  {_duration(history.last['seconds'])}")
        self._shown, self._when = history.epochs, time.monotonic()

    def _line(self, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(text + "\n")
        stream.flush()


class LiveBar:
    """A bar over all steps with the newest metrics, redrawn in place."""

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._bar: Any = None
        self._task: Any = None
        self._trainer: Trainer | None = None
        self._begun = self._drawn = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._trainer = trainer
        self._begun = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[metrics]}"),
        )
        console = self._console or Console(stderr=True)
        self._bar = Progress(*columns, console=console, auto_refresh=False)  # no thread beside the workers
        self._task = self._bar.add_task("", total=trainer.plan.steps, metrics="")
        self._bar.start()

    def on_steps(self, step: int, losses: Any) -> None:
        now = time.monotonic()
        if now - self._drawn >= REFRESH:
            self._drawn = now
            assert self._trainer is not None
            self._draw(self._trainer.history, float(losses[-1]))

    def on_fit_end(self, history: History) -> None:
        if self._bar is None:
            return
        self._draw(history, None)
        self._bar.stop()
        if history.stopped:
            self._bar.console.print(_ending(history), highlight=False, markup=False)
        self._bar = self._trainer = None

    def _draw(self, history: History, loss: float | None) -> None:
        assert self._trainer is not None
        plan, done = self._trainer.plan, self._trainer.steps - self._trainer.plan.first_step
        values = {name: value for name, value in history.last.items() if name not in HIDDEN}
        if not values and loss is not None:
            values = {"loss": loss}
        speed = done / max(time.monotonic() - self._begun, 1e-9)
        text = "  ".join([f"{name} {value:.4g}" for name, value in values.items()] + [f"{speed:,.0f} steps/s"])
        epoch = min(history.epochs + (loss is not None), plan.epochs)
        self._bar.update(self._task, completed=done, description=f"epoch {epoch}/{plan.epochs}", metrics=text)
        self._bar.refresh()


def _ending(history: History) -> str:
    return f"stopped after {history.epochs} epoch{'s' if history.epochs != 1 else ''}: {history.stopped}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
