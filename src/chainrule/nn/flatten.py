"""From images and sequences to rows of features."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import whole


class Flatten(Module):
    """Merges the axes from `start_dim` to `end_dim` inclusive: by default x (n, a, b, ...) becomes (n, a·b...).

    Negative numbers count from the last axis. Raises OptionError for anything but whole numbers, ShapeError if x has no
    such axes.

    >>> nn.Flatten()(np.zeros((5, 8, 8, 3))).shape
    (5, 192)
    >>> nn.Flatten(start_dim=1, end_dim=2)(np.zeros((5, 8, 8, 3))).shape
    (5, 64, 3)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = whole("Flatten", "start_dim", start_dim, least=None)
        self.end_dim = whole("Flatten", "end_dim", end_dim, least=None)

    def config(self) -> dict[str, Any]:
        return {"start_dim": self.start_dim, "end_dim": self.end_dim}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)
