"""From images and sequences to rows of features."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.tensor import Tensor
from chainrule.errors import ShapeError
from chainrule.nn.module import Module
from chainrule.settings import whole


class Flatten(Module):
    """All axes from `start` on, made one: x (n, a, b, ...) becomes y (n, a·b·...) for the default of 1.

    Raises OptionError for a start below 0, ShapeError where x has no axis to start from.

    >>> nn.Flatten()(np.zeros((5, 8, 8, 3))).shape
    (5, 192)
    >>> nn.Flatten(start=2)(np.zeros((5, 8, 8, 3))).shape
    (5, 8, 24)
    """

    def __init__(self, start: int = 1) -> None:
        self.start = whole("Flatten", "start", start, least=0)

    def config(self) -> dict[str, Any]:
        return {"start": self.start}

    def forward(self, x: Tensor) -> Tensor:
        if self.start >= max(1, x.ndim):
            raise ShapeError(
                f"flatten: x has shape {x.shape}, no axis {self.start} to start from: pass a batch of arrays"
            )
        return x.flatten(self.start)
