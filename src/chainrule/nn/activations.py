"""Activations as layers, element by element: y has the shape of x, any, and its dtype. Softmax goes along an axis."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import number, whole


class ReLU(Module):
    """The positive part: y = max(x, 0), whose gradient at 0 is 0; Nair and Hinton, ICML 2010.

    >>> nn.ReLU()([-1.0, 0.0, 2.0]).numpy()
    array([0., 0., 2.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.relu(x)


class LeakyReLU(Module):
    """The positive part, and a little of the rest: y = x where x > 0, else slope·x; Maas et al., ICML 2013.

    `slope` is at least 0, by default 0.01; its gradient at 0 is slope. Raises OptionError for another slope.

    >>> nn.LeakyReLU(slope=0.25)([-4.0, 0.0, 2.0]).numpy()
    array([-1.,  0.,  2.])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = number("LeakyReLU", "slope", slope, least=0)

    def config(self) -> dict[str, Any]:
        return {"slope": self.slope}

    def forward(self, x: Tensor) -> Tensor:
        return functions.leaky_relu(x, self.slope)


class ELU(Module):
    """Exponential linear unit: y = x where x > 0, else alpha·(eˣ - 1); Clevert et al., ICLR 2016.

    `alpha`, at least 0 and by default 1, is how far below 0 it goes. Raises OptionError for another alpha.

    >>> nn.ELU(alpha=2.0)([-100.0, 0.0, 2.0]).numpy()
    array([-2.,  0.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha, least=0)

    def config(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: Tensor) -> Tensor:
        return functions.elu(x, self.alpha)


class GELU(Module):
    """Gaussian error linear unit: y = x·Φ(x), Φ(x) = (1 + erf(x/√2))/2, not the form with tanh; Hendrycks and Gimpel,
    2016.

    >>> nn.GELU()([-100.0, 0.0, 100.0]).numpy()
    array([ -0.,   0., 100.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.gelu(x)


class SiLU(Module):
    """Sigmoid linear unit, also called swish: y = x·σ(x); Elfwing et al., Neural Networks 107 (2018).

    >>> nn.SiLU()([-1.0, 0.0, 1.0]).numpy().round(4)
    array([-0.2689,  0.    ,  0.7311])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.silu(x)


class Sigmoid(Module):
    """The logistic function: y = σ(x) = 1/(1 + e⁻ˣ), from 0 to 1. BCEWithLogitsLoss contains it: see there.

    >>> nn.Sigmoid()([-1000.0, 0.0, 1000.0]).numpy()
    array([0. , 0.5, 1. ])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent: y = (eˣ - e⁻ˣ)/(eˣ + e⁻ˣ), from -1 to 1.

    >>> nn.Tanh()([-1000.0, 0.0, 1000.0]).numpy()
    array([-1.,  0.,  1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.tanh(x)


class Softplus(Module):
    """A smooth ReLU: y = log(1 + eˣ), for every x; torch returns x itself above 20, where the two agree to 2e-9.

    >>> nn.Softplus()([-1000.0, 0.0, 1000.0]).numpy().round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.softplus(x)


class Softmax(Module):
    """Probabilities from scores: yⱼ = exp xⱼ / Σₖ exp xₖ along `axis`, by default the last.

    The losses take logits: a model to train ends before it. Raises OptionError for an axis that is not a whole number,
    ShapeError where x has no such axis or nothing along it.

    >>> nn.Softmax()([[0.0, 0.0], [1000.0, 0.0]]).numpy()
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = whole("Softmax", "axis", axis, least=None)

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def forward(self, x: Tensor) -> Tensor:
        return functions.softmax(x, self.axis)


class LogSoftmax(Module):
    """Logarithms of probabilities: yⱼ = xⱼ - log Σₖ exp xₖ along `axis`, by default the last.

    Exact where a probability itself would round to 0. The losses take logits: a model to train ends before it. Raises
    OptionError for an axis that is not a whole number, ShapeError where x has no such axis or nothing along it.

    >>> nn.LogSoftmax()([[1000.0, 0.0]]).numpy()
    array([[    0., -1000.]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = whole("LogSoftmax", "axis", axis, least=None)

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def forward(self, x: Tensor) -> Tensor:
        return functions.log_softmax(x, self.axis)
