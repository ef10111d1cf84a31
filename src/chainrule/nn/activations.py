"""Activations as layers, element by element; softmax along an axis."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import number, whole


class ReLU(Module):
    """y = max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.relu(x)


class LeakyReLU(Module):
    """y = x where x > 0, else slope·x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = number("LeakyReLU", "slope", slope, least=0)

    def config(self) -> dict[str, Any]:
        return {"slope": self.slope}

    def forward(self, x: Tensor) -> Tensor:
        return functions.leaky_relu(x, self.slope)


class ELU(Module):
    """y = x where x > 0, else alpha·(eˣ - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha, least=0)

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: Tensor) -> Tensor:
        return functions.elu(x, self.alpha)


class GELU(Module):
    """y = x·Φ(x), Φ(x) = (1 + erf(x/√2))/2."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.gelu(x)


class SiLU(Module):
    """y = x·σ(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.silu(x)


class Sigmoid(Module):
    """y = σ(x) = 1/(1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.sigmoid(x)


class Tanh(Module):
    """y = tanh x."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.tanh(x)


class Softplus(Module):
    """y = log(1 + eˣ), for every x; torch answers x itself above 20, where the two agree to 2e-9."""

    def forward(self, x: Tensor) -> Tensor:
        return functions.softplus(x)


class Softmax(Module):
    """yⱼ = exp xⱼ / Σₖ exp xₖ along an axis. The losses take logits: a model to train ends before it."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = whole("Softmax", "axis", axis, least=None)

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def forward(self, x: Tensor) -> Tensor:
        return functions.softmax(x, self.axis)


class LogSoftmax(Module):
    """yⱼ = xⱼ - log Σₖ exp xₖ along an axis. The losses take logits: a model to train ends before it."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = whole("LogSoftmax", "axis", axis, least=None)

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def forward(self, x: Tensor) -> Tensor:
        return functions.log_softmax(x, self.axis)
