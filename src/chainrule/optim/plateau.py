"""The only schedule with state: it watches a metric, one value per epoch."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.optim.monitor import Monitor
from chainrule.optim.schedules import LinearWarmup
from chainrule.settings import number, whole


@runtime_checkable
class Watcher(Protocol):
    """A schedule that needs one metric after each epoch: any object with `monitor` (its name) and `observe`."""

    monitor: str

    def observe(self, value: float) -> None:
        """Record the metric of the epoch just ended."""


class ReduceOnPlateau:
    """Lower the learning rate when a metric has stopped improving.

    Formula: after `patience` epochs in a row without improvement, the next epoch without one sets
    factor ← max(factor·`factor`, min_factor); the following `cooldown` epochs are not counted. An improvement must
    be at least `threshold`, relative to the best value. `mode` "auto" is "max" for accuracies, AUC, F1, R² and similar,
    otherwise "min". `min_factor` bounds the factor, whereas torch's min_lr bounds the learning rate.
    Raises OptionError for a factor outside (0, 1), negative counts or bounds.
    Example: cr.Trainer(..., schedule=optim.ReduceOnPlateau("val_loss", patience=5))
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau, with its defaults.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        mode: str = "auto",
        cooldown: int = 0,
        min_factor: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = number("ReduceOnPlateau", "factor", factor, above=0, below=1)
        self.patience = whole("ReduceOnPlateau", "patience", patience, least=0)
        self.cooldown = whole("ReduceOnPlateau", "cooldown", cooldown, least=0)
        self.min_factor = number("ReduceOnPlateau", "min_factor", min_factor, least=0, most=1)
        self.threshold = number("ReduceOnPlateau", "threshold", threshold, least=0)
        self.current = 1.0  # the factor of the next step
        self._metric = Monitor(monitor, self.threshold, mode, relative=True)
        self._bad = 0
        self._resting = 0

    def __call__(self, step: ArrayLike) -> NDArray[np.float64]:
        return np.full(np.shape(step), self.current)

    def __repr__(self) -> str:
        return (
            f"ReduceOnPlateau({self.monitor!r}, factor={self.factor}, patience={self.patience}, now {self.current:g})"
        )

    def observe(self, value: float) -> None:
        """Record the metric of the epoch just ended."""
        self._bad = 0 if self._metric.better(value) else self._bad + 1
        if self._resting > 0:
            self._resting -= 1
            self._bad = 0
        if self._bad > self.patience:
            self.current = max(self.current * self.factor, self.min_factor)
            self._resting = self.cooldown
            self._bad = 0


def watcher(schedule: Any) -> Watcher | None:
    """The schedule that watches a metric: `schedule` itself, or the one that follows a warm-up; None if there is
    none.
    """
    while isinstance(schedule, LinearWarmup):
        schedule = schedule.then
    return schedule if isinstance(schedule, Watcher) else None
