"""Images amid zeros."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError
from chainrule.nn.module import Module
from chainrule.settings import whole


class ZeroPad2d(Module):
    """Zeros around images x (n, h, w, c): `padding` on each side, or (left, right, top, bottom) in torch's order; y has
    shape (n, top + h + bottom, left + w + right, c).

    Raises OptionError for negative numbers, ShapeError unless x has four axes.

    >>> nn.ZeroPad2d((1, 1, 0, 2))(np.ones((1, 4, 4, 3))).shape
    (1, 6, 6, 3)
    """

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        sides = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * 4
        if len(sides) != 4:
            raise OptionError(f"ZeroPad2d: padding is {padding!r}, expected one number or (left, right, top, bottom)")
        left, right, top, bottom = (whole("ZeroPad2d", "padding", side, least=0) for side in sides)
        self.padding = (left, right, top, bottom)

    def config(self) -> dict[str, Any]:
        return {"padding": self.padding}

    def forward(self, x: Tensor) -> Tensor:
        return functions.zero_pad2d(x, self.padding)
