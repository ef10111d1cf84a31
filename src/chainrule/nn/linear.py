"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.nn import weights
from chainrule.nn.module import Module
from chainrule.settings import flag, whole


class Linear(Module):
    """y = x·W + b for x (..., in_features), weight W (in_features, out_features), bias b (out_features,); y has shape
    (..., out_features).

    Weights and bias start uniform in ±1/sqrt(in_features), as in torch (which keeps W transposed), in float32. With
    bias=False, y = x·W. Raises OptionError for sizes below 1, ShapeError if the last axis of x is not in_features.

    >>> layer = nn.Linear(3, 2)
    >>> layer(np.ones((4, 3))).shape
    (4, 2)
    >>> layer.weight.shape, layer.bias.shape
    ((3, 2), (2,))
    >>> layer(np.ones((4, 5)))
    Traceback (most recent call last):
    chainrule.errors.ShapeError: linear "weight": x has 5 features, ...
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = whole("Linear", "in_features", in_features)
        self.out_features = whole("Linear", "out_features", out_features)
        bound = self.in_features**-0.5
        self.weight = weights.uniform((self.in_features, self.out_features), bound)
        self.bias: Parameter | None = None
        if flag("Linear", "bias", bias):
            self.bias = weights.uniform((self.out_features,), bound)

    def config(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "out_features": self.out_features, "bias": self.bias is not None}

    def forward(self, x: Tensor) -> Tensor:
        return functions.linear(x, self.weight, self.bias)
