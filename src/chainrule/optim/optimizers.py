"""Optimizers: rules that update parameters from their gradients.

Each is a rule for one element (`chainrule.kernels.updates` turns it into kernels) and a class that turns settings into
the rule's coefficients, for many steps at once. Their state (momentum, means of squares) belongs to the engine.
Names, defaults, arithmetic and the position of eps are the same as in torch; torch settings that are missing here are
not supported. An eps of 0 is replaced by 1e-19, so that a parameter whose gradients are all 0 does not change.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import OptionError
from chainrule.kernels.updates import UPDATES as UPDATES
from chainrule.kernels.updates import Update, update
from chainrule.settings import flag, number

LEAST_EPS = 2.0**-63  # square root of float32's smallest normal number: squares of smaller gradients underflow

Steps = NDArray[np.int64]
Floats = NDArray[np.float64]


@runtime_checkable
class Optimizer(Protocol):
    """What a trainer needs from an optimizer."""

    @property
    def lr(self) -> float:
        """The learning rate, before any schedule."""

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The rule's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""


class OptimizerBase(ABC):
    """The base class of the optimizers here: coefficients are named columns.

    They hold settings alone; a trainer gives them the parameters and takes the steps.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Raises OptionError for parameters or a model in the place of the learning rate."""
        given = kwargs.get("params", args[0] if args else None)
        if hasattr(given, "parameters") or (isinstance(given, Iterable) and not isinstance(given, (str, np.ndarray))):
            raise OptionError(
                f"{cls.__name__}: optimizers take no parameters, the Trainer hands them over: "
                f"cr.Trainer(model, loss, optim.{cls.__name__}(lr=1e-3))"
            )
        return super().__new__(cls)

    def __getattr__(self, name: str) -> NoReturn:
        kind = type(self).__name__
        raise AttributeError(
            f"{kind} has no {name!r}: an optimizer holds settings alone, and the trainer takes the steps: make "
            f"trainer = cr.Trainer(model, loss, optim.{kind}(lr=1e-3)), then call trainer.step(x, y) or trainer.fit",
            name=name,
            obj=self,
        )

    @property
    @abstractmethod
    def update(self) -> Update:
        """The rule by which parameters move."""

    @abstractmethod
    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        """Each of the rule's coefficients by name: one number, or one for each step (S,)."""

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The rule's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        columns, names = self.columns(steps, lr), self.update.columns
        table = np.empty((len(steps), len(names)))
        for i, name in enumerate(names):
            table[:, i] = columns[name]
        return table

    def _check(self, *names: str, below: float | None = None) -> None:
        """Raise OptionError unless these settings are finite numbers of at least 0. An array of one becomes a number,
        since an array could be changed later.
        """
        for name in names:
            given = getattr(self, name)
            value = number(type(self).__name__, name, given, least=0, below=below)
            if not isinstance(given, (int, float)):
                object.__setattr__(self, name, value)


@update(formula="p ← p - lr·(g + λp)", flops=4)
def sgd(p: Any, g: Any, /, lr: Any, weight_decay: Any) -> Any:
    return (p - lr * (g + weight_decay * p),)


@update(formula="b ← μb + g + λp,  p ← p - lr·b", flops=6)
def sgd_momentum(p: Any, g: Any, b: Any, /, lr: Any, weight_decay: Any, momentum: Any) -> Any:
    b = momentum * b + g + weight_decay * p
    return p - lr * b, b


@update(formula="d = g + λp,  b ← μb + d,  p ← p - lr·(d + μb)", flops=8)
def sgd_nesterov(p: Any, g: Any, b: Any, /, lr: Any, weight_decay: Any, momentum: Any) -> Any:
    d = g + weight_decay * p
    b = momentum * b + d
    return p - lr * (d + momentum * b), b


@dataclass(frozen=True)
class SGD(OptimizerBase):
    """Stochastic gradient descent, optionally with momentum and Nesterov's look-ahead.

    Formula: d = g + λp, b ← μb + d, p ← p - lr·b (Nesterov: p ← p - lr·(d + μb)), λ = weight_decay, μ = momentum.
    Raises OptionError for negative or non-finite settings, or Nesterov without momentum.
    Example: optim.SGD(lr=0.1, momentum=0.9)
    Source: Polyak (1964); Nesterov (1983); as in Sutskever et al., ICML 2013, without lr in b; torch.optim.SGD (which
    also has dampening).
    """

    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._check("lr", "momentum", "weight_decay")
        if flag("SGD", "nesterov", self.nesterov) and self.momentum == 0:
            raise OptionError("SGD: nesterov=True needs momentum, which is 0: set momentum=0.9")

    @property
    def update(self) -> Update:
        if self.momentum == 0:
            return sgd
        return sgd_nesterov if self.nesterov else sgd_momentum

    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        return {"lr": lr, "weight_decay": self.weight_decay, "momentum": self.momentum}


@update(formula="d = g + λp,  v ← αv + (1 - α)d²,  p ← p - lr·d / (√v + ε)", flops=11)
def rmsprop(p: Any, g: Any, v: Any, /, lr: Any, alpha: Any, rest: Any, eps: Any, weight_decay: Any) -> Any:
    d = g + weight_decay * p
    v = alpha * v + rest * (d * d)
    return p - lr * d / (np.sqrt(v) + eps), v


@dataclass(frozen=True)
class RMSprop(OptimizerBase):
    """Each parameter's step is divided by the square root of the running mean of its squared gradient.

    Formula: d = g + λp, v ← αv + (1 - α)d², p ← p - lr·d / (√v + eps)
    Raises OptionError for negative or non-finite settings, or alpha of 1 or more.
    Example: optim.RMSprop(lr=1e-3)
    Source: Tieleman and Hinton, lecture 6.5, 2012; torch.optim.RMSprop (which also has momentum and centering).
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0

    update = rmsprop

    def __post_init__(self) -> None:
        self._check("lr", "eps", "weight_decay")
        self._check("alpha", below=1)

    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        mean = {"alpha": self.alpha, "rest": 1 - self.alpha}
        return {"lr": lr, **mean, "eps": max(self.eps, LEAST_EPS), "weight_decay": self.weight_decay}


@update(formula="d = g + λp,  v ← v + d²,  p ← p - lr·d / (√v + ε)", flops=9)
def adagrad(p: Any, g: Any, v: Any, /, lr: Any, eps: Any, weight_decay: Any) -> Any:
    d = g + weight_decay * p
    v = v + d * d
    return p - lr * d / (np.sqrt(v) + eps), v


@dataclass(frozen=True)
class Adagrad(OptimizerBase):
    """Each parameter's step is divided by the square root of the sum of its squared gradients.

    Formula: d = g + λp, v ← v + d², p ← p - lr / (1 + (t - 1)·lr_decay)·d / (√v + eps) at step t = 1, 2, ...
    Raises OptionError for negative or non-finite settings.
    Example: optim.Adagrad(lr=0.01)
    Source: Duchi, Hazan and Singer, JMLR 12, 2011; torch.optim.Adagrad.
    """

    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    eps: float = 1e-10

    update = adagrad

    def __post_init__(self) -> None:
        self._check("lr", "lr_decay", "weight_decay", "eps")

    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        decayed = lr / (1 + (steps - 1) * self.lr_decay)
        return {"lr": decayed, "eps": max(self.eps, LEAST_EPS), "weight_decay": self.weight_decay}


@update(
    formula="d = g + λp,  m ← m + (1 - β₁)(d - m),  v ← β₂v + (1 - β₂)d²,  p ← p - lr/bias₁·m / (√v/√bias₂ + ε)",
    flops=15,
)
def adam(
    p: Any, g: Any, m: Any, v: Any, /,
    rate: Any, rest1: Any, beta2: Any, rest2: Any, scale: Any, eps: Any, weight_decay: Any,
) -> Any:  # fmt: skip
    d = g + weight_decay * p
    m = m + rest1 * (d - m)
    v = beta2 * v + rest2 * (d * d)
    return p - rate * m / (scale * np.sqrt(v) + eps), m, v


@dataclass(frozen=True)
class Adam(OptimizerBase):
    """Steps along the running mean of the gradient, divided by the square root of the running mean of its square.

    Formula: d = g + λp, m ← β₁m + (1 - β₁)d, v ← β₂v + (1 - β₂)d²,
    p ← p - lr·m̂ / (√v̂ + eps) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at step t = 1, 2, ...
    Raises OptionError for negative or non-finite settings, or betas outside 0 .. 1.
    Example: optim.Adam(lr=1e-3)
    Source: Kingma and Ba, ICLR 2015, algorithm 1; torch.optim.Adam (which also has AMSGrad).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    update = adam

    def __post_init__(self) -> None:
        self._check("lr", "eps", "weight_decay")
        name, betas = type(self).__name__, self.betas
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise OptionError(f"{name}: betas is {betas!r}, expected two numbers such as (0.9, 0.999)")
        object.__setattr__(self, "betas", tuple(number(name, "betas", beta, least=0, below=1) for beta in betas))

    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        beta1, beta2 = map(float, self.betas)
        bias1, bias2 = 1 - np.power(beta1, steps), 1 - np.power(beta2, steps)
        means = {"rest1": 1 - beta1, "beta2": beta2, "rest2": 1 - beta2, "scale": 1 / np.sqrt(bias2)}
        return {"rate": lr / bias1, **means, "eps": max(self.eps, LEAST_EPS), "weight_decay": self.weight_decay}


@update(
    formula="m ← m + (1 - β₁)(g - m),  v ← β₂v + (1 - β₂)g²,  p ← (1 - lr·λ)p - lr/bias₁·m / (√v/√bias₂ + ε)",
    flops=14,
)
def adamw(
    p: Any, g: Any, m: Any, v: Any, /, rate: Any, rest1: Any, beta2: Any, rest2: Any, scale: Any, eps: Any, keep: Any
) -> Any:
    m = m + rest1 * (g - m)
    v = beta2 * v + rest2 * (g * g)
    return keep * p - rate * m / (scale * np.sqrt(v) + eps), m, v


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay that shrinks the parameters directly instead of being added to the gradient.

    Formula: p ← (1 - lr·λ)·p, then Adam's step without weight decay.
    Raises OptionError for negative or non-finite settings, or betas outside 0 .. 1.
    Example: optim.AdamW(lr=1e-3, weight_decay=0.05)
    Source: Loshchilov and Hutter, ICLR 2019; torch.optim.AdamW.
    """

    weight_decay: float = 1e-2

    update = adamw

    def columns(self, steps: Steps, lr: Floats) -> Mapping[str, float | Floats]:
        return {**super().columns(steps, lr), "keep": 1 - lr * self.weight_decay}
