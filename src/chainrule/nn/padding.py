"""Zero padding of images."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.padding import frame
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module


class ZeroPad2d(Module):
    """Pads images x (n, h, w, c) with zeros: `padding` on each side, or (left, right, top, bottom) as in torch; y has
    shape (n, top + h + bottom, left + w + right, c).

    Raises OptionError for negative numbers, ShapeError unless x has four axes.

    >>> nn.ZeroPad2d((1, 1, 0, 2))(np.ones((1, 4, 4, 3))).shape
    (1, 6, 6, 3)
    """

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        self.padding = frame("ZeroPad2d", padding)

    def config(self) -> dict[str, Any]:
        return {"padding": self.padding}

    def forward(self, x: Tensor) -> Tensor:
        return functions.zero_pad2d(x, self.padding)
