"""Optimizers: settings that choose an update and return its coefficients, for many steps at once.

Names, defaults and arithmetic are torch's; settings of torch's that are not here are not supported. What an update
computes stands in `chainrule.ops.updates`; its state (momentum, means of squares) belongs to the engine. As in torch
`eps` may be 0; where a gradient is 0 that divides 0 by 0, and NonFiniteError stops before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import OptionError
from chainrule.ops.updates import Update, adagrad, adam, adamw, rmsprop, sgd, sgd_momentum, sgd_nesterov
from chainrule.settings import flag, number

Steps = NDArray[np.int64]
Floats = NDArray[np.float64]


@runtime_checkable
class Optimizer(Protocol):
    """What a trainer asks of an optimizer."""

    @property
    def lr(self) -> float:
        """The learning rate, before any schedule."""

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum and Nesterov's look ahead where asked.

    Formula: d = g + λp, b ← μb + d, p ← p - lr·b (Nesterov: p ← p - lr·(d + μb)), λ = weight_decay, μ = momentum.
    Raises OptionError for negative or non-finite settings, or Nesterov without momentum.
    Example: optim.SGD(lr=0.1, momentum=0.9)
    Source: Sutskever et al., ICML 2013; torch.optim.SGD (which has dampening too).
    """

    lr: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "lr", "momentum", "weight_decay")
        if flag("SGD", "nesterov", self.nesterov) and self.momentum == 0:
            raise OptionError("SGD: nesterov=True needs momentum, which is 0: set momentum=0.9")

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""
        if self.momentum == 0:
            return sgd
        return sgd_nesterov if self.nesterov else sgd_momentum

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        return _rows(self.update, lr, weight_decay=self.weight_decay, momentum=self.momentum)


@dataclass(frozen=True)
class RMSprop:
    """Each parameter's step is divided by the root of the running mean of its squared gradient.

    Formula: d = g + λp, v ← αv + (1 - α)d², p ← p - lr·d / (√v + eps)
    Raises OptionError for negative or non-finite settings, or alpha of 1 and more.
    Example: optim.RMSprop(lr=1e-3)
    Source: Tieleman and Hinton, lecture 6.5, 2012; torch.optim.RMSprop (which has momentum and centering too).
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "lr", "eps", "weight_decay")
        number("RMSprop", "alpha", self.alpha, least=0, below=1)

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""
        return rmsprop

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        return _rows(self.update, lr, alpha=self.alpha, eps=self.eps, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Adagrad:
    """Each parameter's step is divided by the root of the sum of its squared gradients.

    Formula: d = g + λp, v ← v + d², p ← p - lr / (1 + (t - 1)·lr_decay)·d / (√v + eps) at step t = 1, 2, ...
    Raises OptionError for negative or non-finite settings.
    Example: optim.Adagrad(lr=0.01)
    Source: Duchi, Hazan and Singer, JMLR 12, 2011; torch.optim.Adagrad.
    """

    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    eps: float = 1e-10

    def __post_init__(self) -> None:
        _check(self, "lr", "lr_decay", "weight_decay", "eps")

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""
        return adagrad

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        decayed = lr / (1 + (steps - 1) * self.lr_decay)
        return _rows(self.update, decayed, eps=self.eps, weight_decay=self.weight_decay)


@dataclass(frozen=True)
class Adam:
    """Steps along the running mean of the gradient, divided by the root of the running mean of its square.

    Formula: d = g + λp, m ← β₁m + (1 - β₁)d, v ← β₂v + (1 - β₂)d²,
    p ← p - lr·m̂ / (√v̂ + eps) with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ) at step t = 1, 2, ...
    Raises OptionError for negative or non-finite settings, or betas outside 0 .. 1.
    Example: optim.Adam(lr=1e-3)
    Source: Kingma and Ba, ICLR 2015; torch.optim.Adam (which has AMSGrad too).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "lr", "eps", "weight_decay")
        _check_betas("Adam", self.betas)

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""
        return adam

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        return _adam_rows(self, steps, lr)


@dataclass(frozen=True)
class AdamW:
    """Adam whose weight decay shrinks the parameters directly and does not join the gradient.

    Formula: p ← (1 - lr·λ)·p, then Adam's step without weight decay.
    Raises OptionError for negative or non-finite settings, or betas outside 0 .. 1.
    Example: optim.AdamW(lr=1e-3, weight_decay=0.05)
    Source: Loshchilov and Hutter, ICLR 2019; torch.optim.AdamW.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2

    def __post_init__(self) -> None:
        _check(self, "lr", "eps", "weight_decay")
        _check_betas("AdamW", self.betas)

    @property
    def update(self) -> Update:
        """The rule by which parameters move."""
        return adamw

    def coefficients(self, steps: Steps, lr: Floats) -> Floats:
        """The update's coefficients (S, C) of steps numbered from 1 (S,), at learning rates (S,)."""
        return _adam_rows(self, steps, lr)


def _adam_rows(optimizer: Adam | AdamW, steps: Steps, lr: Floats) -> Floats:
    beta1, beta2 = optimizer.betas
    return _rows(
        optimizer.update,
        lr,
        beta1=beta1,
        beta2=beta2,
        eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
        bias1=1 - np.power(float(beta1), steps),
        bias2=1 - np.power(float(beta2), steps),
    )


def _rows(update: Update, lr: Floats, **values: float | Floats) -> Floats:
    """The table (S, C) of coefficients in the order of the update's columns."""
    rows = np.empty((len(lr), len(update.columns)))
    for column, name in enumerate(update.columns):
        rows[:, column] = lr if name == "lr" else values[name]
    return rows


def _check(optimizer: Any, *names: str) -> None:
    for name in names:
        number(type(optimizer).__name__, name, getattr(optimizer, name), least=0)


def _check_betas(place: str, betas: Any) -> None:
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise OptionError(f"{place}: betas is {betas!r}, expected two numbers such as (0.9, 0.999)")
    for beta in betas:
        number(place, "betas", beta, least=0, below=1)
