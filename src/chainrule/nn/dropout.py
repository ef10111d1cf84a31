"""Dropout."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import number


class Dropout(Module):
    """In training each element is 0 with probability p and x/(1 - p) otherwise; in evaluation x itself.

    The mask is a function of the run's seed, the step and the element, whatever the number of workers. Srivastava et
    al., JMLR 15 (2014).
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = number("Dropout", "p", p, least=0, most=1)

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def forward(self, x: Tensor) -> Tensor:
        return functions.dropout(x, self.p, self.training)
