"""Losses: objects with their settings, called with (output, target, sample_weight=None), that return one number.

`output` and `target` have one shape (n, ...) unless a loss says otherwise. `reduction` is "mean", the default (divided
by the number of elements, or by the sum of their weights), or "sum". `sample_weight` (n,) has one weight per sample.
Nothing is broadcast: different shapes raise ShapeError, and so does the mean of an empty array. An invalid setting
raises OptionError when the loss is created.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import OptionError
from chainrule.native.memory import Array
from chainrule.settings import choice, number, whole


@dataclass(frozen=True)
class MSELoss:
    """Mean squared error: the mean of (x - t)²; for quantities.

    x and t (n, ...). Raises ShapeError if their shapes differ.

    >>> loss = nn.MSELoss()
    >>> loss(cr.tensor([1.0, 3.0]), [1.0, 1.0]).item()
    2.0
    >>> loss(cr.tensor([1.0, 3.0]), [1.0, 1.0], sample_weight=[3.0, 1.0]).item()
    1.0
    >>> loss(cr.tensor([1.0, 3.0]), [[1.0], [1.0]])
    Traceback (most recent call last):
    chainrule.errors.ShapeError: mean_squared: the prediction has shape (2,), the target (2, 1): must be equal: ...
    """

    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self)

    def __call__(self, output: Tensor, target: Any, sample_weight: Any = None) -> Tensor:
        return functions.mean_squared(output, target, sample_weight, self.reduction)


@dataclass(frozen=True)
class L1Loss:
    """Mean absolute error: the mean of |x - t|; for quantities with outliers.

    x and t (n, ...). Its gradient is 0 where they are equal. Raises ShapeError if their shapes differ.

    >>> nn.L1Loss()(cr.tensor([1.0, 3.0]), [1.0, 1.0]).item()
    1.0
    >>> nn.L1Loss(reduction="sum")(cr.tensor([1.0, 3.0]), [1.0, 1.0]).item()
    2.0
    """

    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self)

    def __call__(self, output: Tensor, target: Any, sample_weight: Any = None) -> Tensor:
        return functions.mean_absolute(output, target, sample_weight, self.reduction)


@dataclass(frozen=True)
class HuberLoss:
    """½(x - t)² up to a difference of `delta`, delta·(|x - t| - ½delta) beyond; Huber, Ann. Math. Statist. 35 (1964).

    x and t (n, ...); for quantities with some outliers. `delta` is 1 by default. Raises OptionError unless it is
    positive, ShapeError where the shapes differ.

    >>> nn.HuberLoss()(cr.tensor([1.0, 3.0]), [0.0, 0.0]).item()      # the mean of 0.5 and 2.5
    1.5
    """

    delta: float = 1.0
    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self)
        number("HuberLoss", "delta", self.delta, above=0)

    def __call__(self, output: Tensor, target: Any, sample_weight: Any = None) -> Tensor:
        return functions.huber(output, target, sample_weight, self.delta, self.reduction)


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss:
    """-log softmax(x)[label] for logits x (..., c) and whole labels (...) from 0 to c - 1; for several classes.

    `weight` (c,), by default None, multiplies the rows of each class, and "mean" divides by the sum of the rows'
    weights, as in torch. Label smoothing e, by default 0, trains towards e/c for every class plus 1 - e for the label.
    Labels equal to `ignore_index`, by default -100, count for nothing. For sequences x is (n, t, c), labels (n, t).
    Raises OptionError for negative weights or smoothing outside 0 .. 1, ShapeError for labels or weights of another
    shape, LabelError for labels that are not whole numbers from 0 to c - 1. Szegedy et al., CVPR 2016, section 7, for
    the smoothing.

    >>> loss = nn.CrossEntropyLoss()
    >>> loss(cr.tensor([[0.0, 0.0], [1000.0, 0.0]]), [1, 0], sample_weight=[1.0, 0.0]).item()      # log 2
    0.6931471824645996
    >>> loss(cr.tensor([[0.0, 0.0]]), [2])
    Traceback (most recent call last):
    chainrule.errors.LabelError: cross_entropy: label 2 in row 0, expected 0 .. 1 as the logits have 2 columns: ...
    """

    weight: Array | None = None
    label_smoothing: float = 0.0
    reduction: str = "mean"
    ignore_index: int = -100

    def __post_init__(self) -> None:
        _check_reduction(self)
        _check_weights(self, "weight")
        whole("CrossEntropyLoss", "ignore_index", self.ignore_index, least=None)
        number("CrossEntropyLoss", "label_smoothing", self.label_smoothing, least=0, most=1)

    def __call__(self, output: Tensor, target: Any, sample_weight: Any = None) -> Tensor:
        settings = self.label_smoothing, self.reduction, self.ignore_index
        return functions.cross_entropy(output, target, sample_weight, self.weight, *settings)


@dataclass(frozen=True, eq=False)
class BCEWithLogitsLoss:
    """-t·log σ(x) - (1 - t)·log(1 - σ(x)) for logits x and targets t in 0 .. 1, of the same shape; for yes or no.

    x and t (n, ...). `pos_weight`, by default None, one number for all or one per column, multiplies the first term:
    above 1 the model finds more of the positives. Raises OptionError for negative weights, ShapeError if shapes differ.

    >>> nn.BCEWithLogitsLoss()(cr.tensor([0.0]), [1.0]).item()      # log 2
    0.6931471824645996
    >>> nn.BCEWithLogitsLoss(pos_weight=3.0)(cr.tensor([-1000.0]), [1.0]).item()
    3000.0
    """

    pos_weight: Array | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self)
        _check_weights(self, "pos_weight")

    def __call__(self, output: Tensor, target: Any, sample_weight: Any = None) -> Tensor:
        return functions.binary_cross_entropy(output, target, sample_weight, self.pos_weight, self.reduction)


def _check_reduction(loss: Any) -> None:
    choice(type(loss).__name__, "reduction", loss.reduction, ("mean", "sum"))


def _check_weights(loss: Any, name: str) -> None:
    """Make the weights an array of one axis. Raises OptionError unless they are finite and at least 0."""
    value = getattr(loss, name)
    if value is None:
        return
    array = np.atleast_1d(as_array(value)).astype(np.float64)
    if array.ndim != 1 or not (np.isfinite(array).all() and (array >= 0).all()):
        raise OptionError(f"{type(loss).__name__}: {name} is {value!r}, expected numbers of at least 0, one per class")
    object.__setattr__(loss, name, array)  # the dataclass is frozen
