"""Which rows each step trains on, and how many steps a run has."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule.kernels.shuffle import permutations

Rows = NDArray[np.int64]
POOL = 50  # batches that are sorted by length together


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
    lengths: NDArray[np.int64] | None = field(default=None, compare=False)  # of sequences that differ in length

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
        if self.lengths is not None and self.shuffle and self.size < self.samples:
            order = self._by_length(order.copy(), first_epoch, cut)
        full = np.ascontiguousarray(order[:, :cut]).reshape(epochs * self.full, self.size)
        return full, np.ascontiguousarray(order[:, cut:])

    def _by_length(self, order: Rows, first_epoch: int, cut: int) -> Rows:
        """Full batches of sequences of similar lengths, which cost less: each pool of 50 is sorted by length, then the
        batches are shuffled, as without this one would follow from the other.
        """
        assert self.lengths is not None
        epochs = len(order)
        for first in range(0, cut, POOL * self.size):
            part = order[:, first : min(first + POOL * self.size, cut)]
            part[...] = np.take_along_axis(part, np.argsort(self.lengths[part], axis=1, kind="stable"), axis=1)
        shuffled = permutations(self.seed + 1, first_epoch, epochs, self.full)
        batches = order[:, :cut].reshape(epochs, self.full, self.size)
        order[:, :cut] = np.take_along_axis(batches, shuffled[:, :, None], axis=1).reshape(epochs, cut)
        return order

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
