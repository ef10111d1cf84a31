"""Upsampling of images."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import choice, pair


class Upsample(Module):
    """Every pixel of x (n, h, w, c) repeated scale_factor times down and across; y has shape (n, s·h, s·w, c).

    `scale_factor` is a whole number or a pair (down, across), keyword-only because torch's first argument is a size.
    The only `mode` is "nearest". Raises OptionError for factors below 1 and for other modes, ShapeError unless x has
    four axes.

    >>> nn.Upsample(scale_factor=2)(np.ones((1, 4, 6, 3))).shape
    (1, 8, 12, 3)
    """

    def __init__(self, *, scale_factor: int | tuple[int, int], mode: str = "nearest") -> None:
        self.scale_factor = pair("Upsample", "scale_factor", scale_factor, 1)
        self.mode = choice("Upsample", "mode", mode, ("nearest",))

    def config(self) -> dict[str, Any]:
        return {"scale_factor": self.scale_factor, "mode": self.mode}

    def forward(self, x: Tensor) -> Tensor:
        return functions.upsample_nearest(x, self.scale_factor)
