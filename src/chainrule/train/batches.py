"""Which rows each step trains on, and how many steps a run has."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.kernels.shuffle import permutations

Rows = NDArray[np.int64]


@functools.lru_cache(maxsize=8)
def all_rows(samples: int) -> Rows:
    """A single batch of all rows, in order; cached, so that programs need not be given a new address."""
    rows = np.arange(samples, dtype=np.int64)[None]
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True)
class Batches:
    """A data set of `samples` rows, cut into batches; the last batch of an epoch contains the remaining rows.

    With `shuffle` the order of epoch e depends only on (seed, e), so that a run can continue where another one ended.
    A single batch of all rows is not shuffled: the order would only affect rounding.
    """

    samples: int
    size: int
    seed: int
    shuffle: bool

    @property
    def full(self) -> int:
        """Full batches in an epoch."""
        return self.samples // self.size

    @property
    def left(self) -> int:
        """Rows in the last, smaller batch; 0 if all batches are full."""
        return self.samples % self.size

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.full + (self.left > 0)

    def rows(self, first_epoch: int, epochs: int) -> tuple[Rows, Rows]:
        """The rows of `epochs` epochs: full batches (epochs·full, size) and last ones (epochs, left)."""
        if self.shuffle and self.size < self.samples:
            order = permutations(self.seed, first_epoch, epochs, self.samples)
        else:
            order = np.broadcast_to(np.arange(self.samples), (epochs, self.samples))
        cut = self.full * self.size
        full = np.ascontiguousarray(order[:, :cut]).reshape(epochs * self.full, self.size)
        return full, np.ascontiguousarray(order[:, cut:])

    def in_order(self, full: Rows, rest: Rows) -> list[Rows]:
        """The result of `rows` as blocks of batches of equal size, in the order of training."""
        if not self.left:
            return [full]
        blocks = []
        for epoch in range(len(rest)):
            blocks += [full[epoch * self.full : (epoch + 1) * self.full], rest[epoch : epoch + 1]]
        return blocks


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
