"""The coefficients of coming steps, from an optimizer and a schedule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule.optim.optimizers import Optimizer, OptimizerBase
from chainrule.optim.schedules import Schedule, factors

AHEAD = 64  # steps whose coefficients are computed together, which takes no longer than those of one

Floats = NDArray[np.float64]


def rates(optimizer: Optimizer, schedule: Schedule | None, steps: NDArray[np.int64]) -> Floats:
    """The learning rate of each step in `steps`, counted from 0."""
    return optimizer.lr * factors(schedule, steps)


class Coefficients:
    """Coefficients by step; those of single steps are computed in advance if nothing can change them."""

    def __init__(self) -> None:
        self._of: Optimizer | None = None  # of which there are rows for the steps from `_first` on
        self._first, self._rows = 0, np.empty((0, 0))

    def of(self, optimizer: Optimizer, schedule: Schedule | None, first: int, count: int) -> Floats:
        """The rows (count, C) of the steps from `first` on, counted from 0."""
        if count > 1 or schedule is not None or not _is_fixed(optimizer):
            return _rows(optimizer, schedule, first, count)
        at = first - self._first
        if optimizer is not self._of or not 0 <= at < AHEAD:
            rows, at = _rows(optimizer, None, first, AHEAD), 0
            self._of = None  # where an interrupt comes now, the next call computes them again
            self._first, self._rows = first, rows
            self._of = optimizer
        return self._rows[at : at + 1]


def _rows(optimizer: Optimizer, schedule: Schedule | None, first: int, count: int) -> Floats:
    steps = np.arange(first, first + count, dtype=np.int64)
    return optimizer.coefficients(steps + 1, rates(optimizer, schedule, steps))


def _is_fixed(optimizer: Optimizer) -> bool:
    """Whether it is one of ours, whose settings cannot change; a subclass may compute anything at each step."""
    return isinstance(optimizer, OptimizerBase) and type(optimizer).__module__ == OptimizerBase.__module__
