"""Progress of a run on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, TextIO

from chainrule.errors import OptionError
from chainrule.train.history import History
from chainrule.train.training import Training

REFRESH = 0.1  # seconds between two updates of the bar
LINES = 20  # approximate number of plain lines in a run
SILENCE = 10.0  # seconds after which a plain line is printed in any case
HIDDEN = ("seconds", "lr")
TIME_LEFT = 7  # characters: 0:12:34
SHORT, LONG = 8, 24  # characters of the bar


def make_progress(verbose: int | None) -> LiveBar | PlainLines | None:
    """The callback for `verbose`: 0 none, 1 a bar or lines, None (the default) a bar on a terminal and nothing
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
    """A line per epoch, about LINES in all, and one every SILENCE seconds of a long epoch, for log files and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._trainer: Training | None = None
        self._shown = 0
        self._when = 0.0

    def on_fit_begin(self, trainer: Training) -> None:
        self._trainer, self._shown, self._when = trainer, 0, time.monotonic()

    def on_steps(self, step: int, losses: Any) -> None:
        assert self._trainer is not None
        done, every = self._trainer.history.epochs, max(1, self._trainer.plan.epochs // LINES)
        silent = time.monotonic() - self._when > SILENCE
        if done > self._shown and (done // every > self._shown // every or silent or self._shown == 0):
            self._write(self._trainer.history)
        elif silent:
            self._write_step(self._trainer, float(losses[-1]))

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

    def _write_step(self, trainer: Training, loss: float) -> None:
        """The progress of a long epoch."""
        plan = trainer.plan
        step = (trainer.steps - plan.first_step) % plan.batches.steps
        epoch = f"epoch {trainer.history.epochs + 1:>{len(str(plan.epochs))}}/{plan.epochs}"
        self._line(f"{epoch}  step {step:,}/{plan.batches.steps:,}  loss {loss:.4g}")
        self._when = time.monotonic()

    def _line(self, text: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(text + "\n")
        stream.flush()


class LiveBar:
    """A bar over all steps with the latest metrics, one line redrawn in place; see `fit_line` for narrow terminals."""

    def __init__(self, console: Any = None) -> None:
        self._console = console
        self._bar: Any = None
        self._task: Any = None
        self._trainer: Training | None = None
        self._begun = self._drawn = 0.0
        self._lengths: dict[str, int] = {}

    def on_fit_begin(self, trainer: Training) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._trainer = trainer
        self._begun, self._drawn, self._lengths = time.monotonic(), 0.0, {}
        console = self._console or Console(stderr=True)
        self._bar = Progress(console=console, auto_refresh=False)  # no extra thread next to the workers
        self._bar.columns = ()  # chosen again for each update: the terminal's width may change
        self._task = self._bar.add_task("", total=trainer.plan.steps)
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
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        assert self._trainer is not None
        plan, done = self._trainer.plan, self._trainer.steps - self._trainer.plan.first_step
        values = {name: value for name, value in history.last.items() if name not in HIDDEN}
        if not values and loss is not None:
            values = {"loss": loss}
        count = min(history.epochs + (loss is not None), plan.epochs)
        epoch = f"epoch {count:>{len(str(plan.epochs))}}/{plan.epochs}"
        speed = f"{done / max(time.monotonic() - self._begun, 1e-9):,.0f} steps/s"
        texts = {name: f"{name} {value:.4g}" for name, value in values.items()}
        for name, text in texts.items():
            self._lengths[name] = max(len(text), self._lengths.get(name, 0))  # never shorter: no jitter
        line = fit_line(self._bar.console.width, len(epoch), self._lengths, len(speed))
        shown = [texts[name] for name in line.metrics] + [speed] * line.speed
        columns: list[Any] = [TextColumn(epoch, markup=False)]
        columns += [BarColumn(bar_width=line.bar)] if line.bar else []
        columns += [TimeRemainingColumn(compact=True, elapsed_when_finished=True)] if line.time else []
        self._bar.columns = [*columns, *(TextColumn(text, markup=False) for text in shown)]
        self._bar.update(self._task, completed=done)
        self._bar.refresh()


class Line(NamedTuple):
    """What fits in one line after the epoch: metrics by name, the time left, a bar of `bar` characters, the speed."""

    metrics: list[str]
    time: bool
    bar: int
    speed: bool


def fit_line(width: int, epoch: int, metrics: Mapping[str, int], speed: int) -> Line:
    """The parts that fit in `width` characters, with spaces between them; the other arguments are lengths of texts.

    The epoch comes first, then the metrics in their order, the time left, a short bar, the speed; remaining space makes
    the bar longer.

    >>> fit_line(80, epoch=12, metrics={"loss": 11, "val_loss": 15}, speed=14)
    Line(metrics=['loss', 'val_loss'], time=True, bar=16, speed=True)
    >>> fit_line(50, epoch=12, metrics={"loss": 11, "val_loss": 15}, speed=14)
    Line(metrics=['loss', 'val_loss'], time=True, bar=0, speed=False)
    """
    left = width - epoch

    def take(length: int) -> bool:
        nonlocal left
        enough = length < left  # there is a space before it
        left -= length + 1 if enough else 0
        return enough

    shown = [name for name, length in metrics.items() if take(length)]
    time_left, short_bar, fast = take(TIME_LEFT), take(SHORT), take(speed)
    return Line(shown, time_left, min(LONG, SHORT + left) if short_bar else 0, fast)


def _ending(history: History) -> str:
    return f"stopped after {history.epochs} epoch{'s' if history.epochs != 1 else ''}: {history.stopped}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
