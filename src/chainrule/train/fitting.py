"""One run of `fit`: epochs of steps, driven in stretches short enough to answer Ctrl-C and to show progress."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.optim.plateau import Watcher, watcher
from chainrule.train.batches import Batches, Rows
from chainrule.train.early_stopping import monitored
from chainrule.train.events import Events
from chainrule.train.history import History
from chainrule.train.interrupt import Interrupt
from chainrule.train.pace import Pace

if TYPE_CHECKING:
    from chainrule.ops.record import Array
    from chainrule.train.trainer import Trainer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """Arrays that have been checked."""

    x: Array
    y: Array
    weight: Array | None

    def counted(self) -> Data:
        """Without the samples of weight 0: a batch of them alone would have no mean loss."""
        if self.weight is None or self.weight.all():
            return self
        rows = np.flatnonzero(self.weight)
        return Data(self.x[rows], self.y[rows], self.weight[rows])


@dataclass(frozen=True)
class Plan:
    """What a run is going to do."""

    epochs: int
    batches: Batches
    first_epoch: int
    first_step: int

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.batches.steps


class Stopped(Exception):  # noqa: N818 - a signal, as StopIteration is
    """A run was asked to end."""


class Fitting:
    """One run: `run` trains until the plan is done, somebody stops it, or something fails."""

    def __init__(self, trainer: Trainer, data: Data, validation: Data | None, events: Events) -> None:
        self._trainer, self._data, self._validation, self._events = trainer, data, validation, events
        self._plan = trainer.plan
        self._watcher: Watcher | None = watcher(trainer.schedule)
        self._paces: dict[int, Pace] = {}
        self._interrupt = Interrupt()
        looking = validation is not None or self._watcher is not None
        self._together = not looking and not events.listens("epoch_begin", "epoch_end", "step")
        self._singly = events.listens("step")

    def run(self) -> History:
        """Train; answers the history, also after Ctrl-C. Whatever ends the run, `on_fit_end` is told."""
        history = self._trainer.history
        try:
            with self._interrupt:
                self._events.emit("fit_begin", self._trainer)
                while history.epochs < self._plan.epochs and not history.stopped:
                    self._run_epochs(history)
        except KeyboardInterrupt:
            history.interrupted, history.stopped = True, "interrupted"
        except Stopped:
            pass  # history.stopped holds the reason
        finally:
            self._events.emit("fit_end", history)
        return history

    def _run_epochs(self, history: History) -> None:
        """One epoch, or as many as fill a stretch when nobody looks in between."""
        epochs = 1
        batches = self._plan.batches
        if self._together and batches.left == 0:
            fitting = self._pace(batches.size).steps // batches.steps
            epochs = min(max(fitting, 1), self._plan.epochs - history.epochs)
        self._events.emit("epoch_begin", self._trainer.epochs)
        with self._interrupt.shield() if epochs > 1 else nullcontext():  # no longer than a stretch
            self._measure_epochs(history, epochs)
        if self._watcher is not None:
            self._watcher.observe(monitored(history, self._watcher.monitor, type(self._watcher).__name__))
        self._events.emit("epoch_end", self._trainer.epochs - 1, history)

    def _measure_epochs(self, history: History, epochs: int) -> None:
        """Train some epochs and put their metrics into the history."""
        trainer, batches = self._trainer, self._plan.batches
        started, first = time.perf_counter(), trainer.steps
        losses = self._train(*batches.rows(trainer.epochs, epochs))
        lasts = first + batches.steps * np.arange(1, epochs + 1) - 1
        metrics = {"loss": losses, "lr": trainer.rates(lasts)}
        if self._validation is not None:
            measured = trainer.measure(self._validation)
            metrics |= {f"val_{name}": np.array([value]) for name, value in measured.items()}
        metrics["seconds"] = np.full(epochs, (time.perf_counter() - started) / epochs)
        history.extend({name: values.tolist() for name, values in metrics.items()})
        trainer.epochs += epochs

    def _train(self, full: Rows, rest: Rows) -> Floats:
        """The steps of some epochs; answers each epoch's mean loss over its samples."""
        losses, sizes = [self._run_steps(full).reshape(len(rest), -1)], [self._share(full).reshape(len(rest), -1)]
        if rest.size:
            losses.append(self._run_steps(rest)[:, None])
            sizes.append(self._share(rest)[:, None])
        weights = np.concatenate(sizes, axis=1)
        total = weights.sum(axis=1)  # never 0: samples of weight 0 have been left out
        return np.asarray((np.concatenate(losses, axis=1) * weights).sum(axis=1) / total)

    def _share(self, rows: Rows) -> Floats:
        """How much each batch counts in the mean loss of its epoch: the weight of its samples."""
        weight = self._data.weight
        if weight is None:
            return np.full(len(rows), float(rows.shape[1]))
        return np.asarray(weight[rows].sum(axis=1, dtype=np.float64))

    def _run_steps(self, rows: Rows) -> Floats:
        """One step for each row of `rows`, in stretches; answers the losses."""
        losses = np.empty(len(rows))
        pace = self._pace(rows.shape[1])
        done = 0
        while done < len(rows):
            count = 1 if self._singly else min(pace.steps, len(rows) - done)
            first = self._trainer.steps
            losses[done : done + count] = self._run_stretch(rows[done : done + count], pace)
            self._events.emit("steps", first, losses[done : done + count])
            if self._singly:
                self._events.emit("step", first, float(losses[done]))
            done += count
            if self._trainer.history.stopped and done < len(rows):
                raise Stopped
        return losses

    def _run_stretch(self, rows: Rows, pace: Pace) -> Floats:
        """One native call. Ctrl-C waits for its end if that is near, so that the weights and the step count agree."""
        with self._interrupt.shield() if pace.short else nullcontext():
            started = time.perf_counter()
            losses = self._trainer.run(self._data, rows)
            pace.measure(len(rows), time.perf_counter() - started)
        return losses

    def _pace(self, size: int) -> Pace:
        return self._paces.setdefault(size, Pace())
