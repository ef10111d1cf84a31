"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.nn import init
from chainrule.nn.module import Module
from chainrule.settings import whole


class Linear(Module):
    """y = x·W + b for x (..., in_features), weight W (in_features, out_features) and bias b (out_features,).

    Weights and bias start uniform in ±1/sqrt(in_features), as in torch (which keeps W transposed).

    >>> Linear(3, 2)(np.ones((4, 3), np.float32)).shape
    (4, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = whole("Linear", "in_features", in_features)
        self.out_features = whole("Linear", "out_features", out_features)
        bound = self.in_features**-0.5
        shape = (self.in_features, self.out_features)
        self.weight = Parameter(init.uniform(np.empty(shape, np.float32), -bound, bound))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(init.uniform(np.empty(self.out_features, np.float32), -bound, bound))

    def config(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "out_features": self.out_features, "bias": self.bias is not None}

    def forward(self, x: Tensor) -> Tensor:
        return functions.linear(x, self.weight, self.bias)
