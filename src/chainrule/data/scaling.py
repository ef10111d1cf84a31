"""Scaling of columns to mean 0 and standard deviation 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SMALL = 1e-150  # the square of a smaller number is 0


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / deviation for each column, from training rows only, so that no test data leaks in."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, x: Array) -> Scaling:
        """The scaling of x (n, f) or (n,); NaN is ignored. A constant column is centered but not scaled."""
        mean, deviation = np.nanmean(x, axis=0, dtype=np.float64), _deviation(x)
        # Rounding gives a constant column a deviation of about 1e-16 of its size: dividing by it would amplify noise.
        constant = deviation <= 1e-12 * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
        return cls(np.asarray(mean), np.where(constant, 1.0, deviation))

    def apply(self, x: Array) -> NDArray[np.float32]:
        """x scaled, as float32."""
        return ((x - self.mean) / self.deviation).astype(np.float32)

    def undo(self, x: Array) -> NDArray[np.float64]:
        """The inverse of `apply`."""
        return x * self.deviation + self.mean

    def to_dict(self) -> dict[str, list[float]]:
        return {"mean": self.mean.ravel().tolist(), "deviation": self.deviation.ravel().tolist()}


def _deviation(x: Array) -> NDArray[np.float64]:
    """The standard deviation of each column; values whose squares would be 0 are measured in their own unit."""
    deviation = np.asarray(np.nanstd(x, axis=0, dtype=np.float64))
    if (deviation < SMALL).any():
        spread = np.nanmax(x, axis=0) - np.nanmin(x, axis=0)
        unit = np.where((deviation < SMALL) & (spread > 0.0), spread, 1.0)
        deviation = np.asarray(np.nanstd(x / unit, axis=0, dtype=np.float64) * unit)
    return deviation
