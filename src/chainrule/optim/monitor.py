"""Whether a metric has improved, for early stopping and the plateau schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from chainrule.settings import choice, flag, number

RISING = ("accuracy", "auc", "f1", "precision", "r2", "recall", "top_k")  # more is better; for all others less is


@dataclass
class Monitor:
    """Keeps the best value of one metric and tells whether a new value is better.

    Formula (mode "min"): better if value < best - min_delta, or value < best - min_delta·|best| if `relative`.
    `mode` "auto" is "max" for metrics whose name ends in one of RISING, else "min". NaN and infinity are never better.
    Raises OptionError for a negative or non-finite min_delta or an unknown mode.
    Example: Monitor("val_accuracy").better(0.9)   # True: the first value always is
    """

    name: str = "val_loss"
    min_delta: float = 0.0
    mode: str = "auto"
    relative: bool = False
    best: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self.min_delta = number("Monitor", "min_delta", self.min_delta, least=0)
        flag("Monitor", "relative", self.relative)
        if choice("Monitor", "mode", self.mode, ("auto", "min", "max")) == "auto":
            self.mode = "max" if self.name.endswith(RISING) else "min"

    def better(self, value: float) -> bool:
        """Record `value`; returns True if it is the best so far."""
        if not math.isfinite(value):
            return False
        if not math.isnan(self.best):
            margin = self.min_delta * (abs(self.best) if self.relative else 1.0)
            gain = self.best - value if self.mode == "min" else value - self.best
            if not gain > margin:
                return False
        self.best = value
        return True

    def reset(self) -> None:
        """Forget the best value."""
        self.best = math.nan
