"""Early stopping: end a run that no longer improves and restore its best weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import OptionError
from chainrule.optim.monitor import Monitor
from chainrule.settings import flag, whole
from chainrule.train.history import History
from chainrule.train.training import Training


class EarlyStopping:
    """Stop after `patience` epochs in a row in which `monitor` did not improve by more than `min_delta`.

    With `restore_best` the weights of the best epoch are restored when the run ends, for whatever reason. `mode` "auto"
    is "max" for accuracies, AUC, F1, R² and similar, otherwise "min". After the run, see `best` and
    `best_epoch`: like the history's lists it counts from 0, while messages and `history.stopped` count from 1.
    Raises OptionError for patience < 1, a negative min_delta, or a metric the history does not have.
    Example: trainer.fit(x, y, epochs=500, validation_data=(xv, yv), callbacks=[EarlyStopping(patience=20)])
    Source: Prechelt, Early Stopping - But When?, 1998 (his criterion UP with strips of one epoch, and a tolerance).
    """

    def __init__(
        self,
        patience: int = 10,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.patience = whole("EarlyStopping", "patience", patience)
        self.monitor = monitor
        self.restore_best = flag("EarlyStopping", "restore_best", restore_best)
        self.best_epoch = -1
        self._metric = Monitor(monitor, min_delta, mode)
        self._weights: dict[str, Any] = {}
        self._bad = 0
        self._trainer: Training | None = None

    @property
    def best(self) -> float:
        """The best value seen; NaN before the first epoch has ended."""
        return self._metric.best

    def on_fit_begin(self, trainer: Training) -> None:
        self._trainer = trainer
        self._metric.reset()
        self._weights, self._bad, self.best_epoch = {}, 0, -1

    def on_epoch_end(self, epoch: int, history: History) -> None:
        assert self._trainer is not None, "on_fit_begin comes first"
        if self._metric.better(monitored(history, self.monitor, "EarlyStopping")):
            self._bad, self.best_epoch = 0, epoch
            if self.restore_best:
                self._weights = {n: np.array(a) for n, a in self._trainer.model.state_dict().items()}
            return
        self._bad += 1
        if self._bad >= self.patience:
            best = f"best {self.best:.6g} in epoch {self.best_epoch + 1}" if self.best_epoch >= 0 else "never a number"
            epochs = "an epoch" if self.patience == 1 else f"{self.patience} epochs"
            self._trainer.stop(f"{self.monitor} has not improved for {epochs}, {best}")

    def on_fit_end(self, history: History) -> None:
        if self._weights and self._trainer is not None:
            self._trainer.model.load_state_dict(self._weights)
        self._trainer, self._weights = None, {}  # the run is over: release its trainer and the copy of its weights


def monitored(history: History, name: str, place: str) -> float:
    """The latest value of a metric; raises OptionError if the history has no such metric."""
    if name not in history:
        fix = "pass validation_data to fit" if name.startswith("val_") else "monitor one of these"
        raise OptionError(f"{place}: monitor is {name!r}, the history has {', '.join(history)}: {fix}")
    return history[name][-1]
