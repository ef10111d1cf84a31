"""Elementwise activation layers: y has the shape of x, which can be any, and its dtype. Softmax works along an axis."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from chainrule.autodiff import functions
from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.ops import activations
from chainrule.ops.record import Op
from chainrule.settings import number, whole


class Activation(Module):
    """A layer that is a single op: its settings are named like the op's attributes; help() shows the op's formulas."""

    op: ClassVar[Op]

    def __init_subclass__(cls) -> None:
        cls.__doc__ = f"{cls.op.description}\n\n{inspect.cleandoc(cls.__doc__ or '')}"

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.op.attributes}

    def forward(self, x: Tensor) -> Tensor:
        return apply(self.op, x, **self.config())


class ReLU(Activation):
    """
    >>> nn.ReLU()([-1.0, 0.0, 2.0]).numpy()
    array([0., 0., 2.])
    """

    op = activations.relu


class LeakyReLU(Activation):
    """`slope` is at least 0, by default 0.01. Raises OptionError for a negative slope.

    >>> nn.LeakyReLU(slope=0.25)([-4.0, 0.0, 2.0]).numpy()
    array([-1.,  0.,  2.])
    """

    op = activations.leaky_relu

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = number("LeakyReLU", "slope", slope, least=0)


class ELU(Activation):
    """`alpha`, at least 0 and by default 1, sets the lower limit, -alpha. Raises OptionError for a negative alpha.

    >>> nn.ELU(alpha=2.0)([-100.0, 0.0, 2.0]).numpy()
    array([-2.,  0.,  2.])
    """

    op = activations.elu

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("ELU", "alpha", alpha, least=0)


class GELU(Activation):
    """
    >>> nn.GELU()([-100.0, 0.0, 100.0]).numpy()
    array([ -0.,   0., 100.])
    """

    op = activations.gelu


class SiLU(Activation):
    """
    >>> nn.SiLU()([-1.0, 0.0, 1.0]).numpy().round(4)
    array([-0.2689,  0.    ,  0.7311])
    """

    op = activations.silu


class Sigmoid(Activation):
    """BCEWithLogitsLoss includes it: a model trained with that loss should not end in a Sigmoid.

    >>> nn.Sigmoid()([-1000.0, 0.0, 1000.0]).numpy()
    array([0. , 0.5, 1. ])
    """

    op = activations.sigmoid


class Tanh(Activation):
    """
    >>> nn.Tanh()([-1000.0, 0.0, 1000.0]).numpy()
    array([-1.,  0.,  1.])
    """

    op = activations.tanh


class Softplus(Activation):
    """
    >>> nn.Softplus()([-1000.0, 0.0, 1000.0]).numpy().round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """

    op = activations.softplus


class Softsign(Activation):
    """
    >>> nn.Softsign()([-3.0, 0.0, 1.0]).numpy()
    array([-0.75,  0.  ,  0.5 ])
    """

    op = activations.softsign


class Softmax(Module):
    """Probabilities from scores: yⱼ = exp xⱼ / Σₖ exp xₖ along `axis`, by default the last.

    The losses take logits, so a model to be trained should not end in a Softmax. Raises OptionError for an axis that is
    not a whole number, ShapeError if x has no such axis or it is empty.

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

    Exact even if a probability itself would round to 0. The losses take logits, so a model to be trained should not end
    in a LogSoftmax. Raises OptionError for an axis that is not a whole number, ShapeError if x has no such axis or it
    is empty.

    >>> nn.LogSoftmax()([[1000.0, 0.0]]).numpy()
    array([[    0., -1000.]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = whole("LogSoftmax", "axis", axis, least=None)

    def config(self) -> dict[str, Any]:
        return {"axis": self.axis}

    def forward(self, x: Tensor) -> Tensor:
        return functions.log_softmax(x, self.axis)
