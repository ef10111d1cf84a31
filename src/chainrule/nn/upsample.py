"""Images made larger."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.convolutions import pair
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module


class Upsample(Module):
    """Every pixel repeated scale_factor times down and across: (n, h, w, c) becomes (n, s·h, s·w, c).

    torch's mode "nearest", for whole factors.

    >>> Upsample(scale_factor=2)(np.zeros((1, 4, 6, 3), np.float32)).shape
    (1, 8, 12, 3)
    """

    def __init__(self, scale_factor: int | tuple[int, int]) -> None:
        self.scale_factor = pair("Upsample", "scale_factor", scale_factor, 1)

    def config(self) -> dict[str, Any]:
        return {"scale_factor": self.scale_factor}

    def forward(self, x: Tensor) -> Tensor:
        return functions.upsample_nearest(x, self.scale_factor)
