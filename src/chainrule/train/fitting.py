"""One run of `fit`: epochs of steps, run in groups short enough to react to Ctrl-C and to show progress."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError
from chainrule.interrupt import Interrupt
from chainrule.native import compiling
from chainrule.optim.plateau import Watcher, watcher
from chainrule.train.batches import Rows
from chainrule.train.data import Data
from chainrule.train.early_stopping import monitored
from chainrule.train.evaluation import sums
from chainrule.train.events import Events
from chainrule.train.history import History
from chainrule.train.pace import Pace
from chainrule.train.training import Training

Floats = NDArray[np.float64]


class Stopped(Exception):  # noqa: N818 - a signal, like StopIteration
    """A callback ended the run."""


class Fitting:
    """One run: `run` trains until the plan is done, a callback stops it, or something fails."""

    def __init__(self, training: Training, data: Data, validation: Data | None, events: Events) -> None:
        self._training, self._data, self._validation, self._events = training, data, validation, events
        self._plan = training.plan
        self._watcher: Watcher | None = watcher(training.schedule)
        self._paces: dict[int, Pace] = {}  # of steps, by batch size
        self._epochs = Pace()
        self._interrupt = Interrupt()
        looking = validation is not None or self._watcher is not None
        self._together = not looking and not events.listens("epoch_begin", "epoch_end", "step")
        self._singly = events.listens("step")

    def run(self) -> History:
        """Train; returns the history, even after Ctrl-C. `on_fit_end` is called in any case."""
        history = self._training.history
        try:
            with self._interrupt:
                try:
                    self._events.emit("fit_begin", self._training)
                    while history.epochs < self._plan.epochs and not history.stopped:
                        self._run_epochs(history)
                except KeyboardInterrupt:
                    history.interrupted, history.stopped = True, "interrupted"
                except Stopped:
                    pass  # history.stopped holds the reason
                finally:
                    with self._interrupt.shield():  # so that the best weights are restored completely
                        self._events.emit_to_all("fit_end", history)
        except KeyboardInterrupt:  # pressed during on_fit_end: there is nothing left to stop
            history.interrupted = True
        return history

    def _run_epochs(self, history: History) -> None:
        """One epoch, or as many as fit into one group of steps if nothing needs them one by one."""
        epochs = min(self._epochs.steps, self._plan.epochs - history.epochs) if self._together else 1
        self._events.emit("epoch_begin", self._training.epochs)
        with self._interrupt.shield() if epochs > 1 else nullcontext():  # no longer than one group
            self._measure_epochs(history, epochs)
        if self._watcher is not None:
            self._watcher.observe(monitored(history, self._watcher.monitor, type(self._watcher).__name__))
        self._events.emit("epoch_end", self._training.epochs - 1, history)

    def _measure_epochs(self, history: History, epochs: int) -> None:
        """Train some epochs and record their metrics in the history; their time is that without compilation."""
        training, batches = self._training, self._plan.batches
        started, first = time.perf_counter() - compiling.seconds(), training.steps
        losses = self._train(epochs)
        lasts = first + batches.steps * np.arange(1, epochs + 1) - 1
        metrics = {"loss": losses.tolist(), "lr": training.rates(lasts).tolist()}
        if self._validation is not None:
            with training.turns.lock:
                self._validation.refuse_resized()
                measured = training.measure(self._validation, "validation ")
            metrics |= {f"val_{name}": [value] for name, value in measured.items()}
        seconds = time.perf_counter() - compiling.seconds() - started
        self._epochs.measure(epochs, seconds)
        with self._interrupt.shield():  # all columns and the trainer's count, or none
            history.extend({**metrics, "seconds": [seconds / epochs] * epochs})
            training.epochs += epochs

    def _train(self, epochs: int) -> Floats:
        """Run the steps of some epochs; returns the loss of each: its batches' mean, weighted by divisor, or sum."""
        batches = self._plan.batches
        self._data.refuse_resized()
        full, rest = batches.rows(self._training.epochs, epochs)
        divisors = self._divisors(full, rest)
        if epochs == 1:
            parts = [self._run_steps(full)] + ([self._run_steps(rest)] if batches.left else [])
            losses = np.concatenate(parts)
        else:
            losses = self._run_stretch(batches.in_order(full, rest), Pace())
        by_epoch = losses.reshape(epochs, batches.steps)
        if sums(self._training.loss):
            return np.asarray(by_epoch.sum(axis=1))
        return np.asarray((by_epoch * divisors).sum(axis=1) / divisors.sum(axis=-1))

    def _divisors(self, full: Rows, rest: Rows) -> Floats:
        """What the mean loss of each batch is divided by, up to a factor; raises DataError if that is 0."""
        batches, each = self._plan.batches, self._data.divisor
        if each is None:
            return np.array([batches.size] * batches.full + [batches.left] * (batches.left > 0), dtype=np.float64)
        divisors: Floats = each[full].sum(axis=1, dtype=np.float64).reshape(len(rest), batches.full)
        if batches.left:
            divisors = np.concatenate([divisors, each[rest].sum(axis=1, dtype=np.float64)[:, None]], axis=1)
        if not divisors.all():
            epoch, batch = np.argwhere(divisors == 0)[0]
            raise DataError(
                f"fit: batch {batch} of epoch {self._training.epochs + epoch} has only rows of classes of weight 0, "
                "so its mean loss would be divided by 0: give these classes a weight above 0, or remove their rows"
            )
        return divisors

    def _run_steps(self, rows: Rows) -> Floats:
        """One step for each row of `rows`, in groups; returns the losses."""
        losses = np.empty(len(rows))
        pace = self._paces.setdefault(rows.shape[1], Pace())
        done = 0
        while done < len(rows):
            count = 1 if self._singly else min(pace.steps, len(rows) - done)
            losses[done : done + count] = self._run_stretch([rows[done : done + count]], pace)
            done += count
            if self._training.history.stopped and done < len(rows):
                raise Stopped
        return losses

    def _run_stretch(self, batches: list[Rows], pace: Pace) -> Floats:
        """Steps run without a break. Ctrl-C waits for them if they end soon, so that weights and step count agree."""
        first = self._training.steps
        with self._interrupt.shield() if pace.short else nullcontext():
            started = time.perf_counter()
            with self._training.turns.lock:
                self._data.refuse_resized()
                losses = self._training.run(self._data, batches)
            pace.measure(len(losses), time.perf_counter() - started)
        self._events.emit("steps", first, losses)
        if self._singly:
            self._events.emit("step", first, float(losses[0]))
        return losses
