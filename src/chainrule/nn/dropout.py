"""Dropout, of elements or of whole channels."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import number


class Dropout(Module):
    """In training each element is 0 with probability p and x/(1 - p) otherwise; in evaluation x itself.

    y has the shape of x, which can be any. The mask depends only on the run's seed, the step and the element, not on
    the number of workers. `p` is 0.5 by default. Raises OptionError for p outside 0 .. 1. Srivastava et al., JMLR 15
    (2014).

    >>> layer = nn.Dropout(p=0.25)
    >>> sorted(set(layer(np.ones(1000)).numpy().round(4).tolist()))
    [0.0, 1.3333]
    >>> layer.eval()([1.0, 2.0]).numpy()
    array([1., 2.])
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = number("Dropout", "p", p, least=0, most=1)

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def forward(self, x: Tensor) -> Tensor:
        return functions.dropout(x, self.p, self.training)


class Dropout2d(Module):
    """In training each channel of each image is 0 with probability p and x/(1 - p) otherwise; in evaluation x itself.

    y has the shape of x (batch, ..., channels). Neighboring pixels are similar, so dropping single ones would remove
    little information. The mask is drawn as in `Dropout`. `p` is 0.5 by default. Raises OptionError for p outside 0 ..
    1, ShapeError for fewer than two axes. Tompson et al., CVPR 2015.

    >>> y = nn.Dropout2d(p=0.5)(np.ones((2, 4, 4, 3)))
    >>> bool(np.all(y.data == y.data[:, :1, :1]))
    True
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = number("Dropout2d", "p", p, least=0, most=1)

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def forward(self, x: Tensor) -> Tensor:
        return functions.dropout_channels(x, self.p, self.training)
