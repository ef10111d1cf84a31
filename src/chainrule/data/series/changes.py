"""Levels to changes and back: a price is forecast as its change, for its level in training is not that of tomorrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Changes:
    """For each column the change of a value x to a later one y: log(y/x) if `relative`, otherwise y - x.

    >>> changes = Changes((True, False))
    >>> changes.between(np.array([[100.0, 1.0]]), np.array([[110.0, 3.0]])).round(4).tolist()
    [[0.0953, 2.0]]
    """

    relative: tuple[bool, ...]

    @classmethod
    def of(cls, values: Array) -> Changes:
        """Relative changes for the columns of `values` (n, c) that are positive throughout."""
        return cls(tuple(bool((column > 0).all()) for column in values.T))

    def between(self, before: Array, after: Array) -> NDArray[np.float64]:
        """The changes of (n, c) values to later ones."""
        ratio = np.array(self.relative)
        with np.errstate(all="ignore"):  # the ratio is not used where it is not defined
            relative = np.log(after / before)
        found: NDArray[np.float64] = np.where(ratio, relative, after - before)
        return found

    def after(self, before: Array, changes: Array) -> NDArray[np.float64]:
        """The inverse: the values after changes (n, c) of values (n, c)."""
        found: NDArray[np.float64] = np.where(np.array(self.relative), before * np.exp(changes), before + changes)
        return found
