"""The losses as functions of tensors: one number each, from outputs, targets and an optional weight per sample.

Nothing is broadcast: shapes that differ raise ShapeError. "mean" divides by the sum of the weights. Formulas are with
the ops, in `chainrule.ops.losses`, `cross_entropy` and `binary_cross_entropy`.
"""

from __future__ import annotations

from typing import Any

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.ops import binary_cross_entropy as binary
from chainrule.ops import cross_entropy as classes
from chainrule.ops import losses


def mean_squared(prediction: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The mean or sum of (x - t)²."""
    return apply(losses.mean_squared, prediction, target, _weights(weight, prediction), reduction=reduction)


def mean_absolute(prediction: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """The mean or sum of |x - t|."""
    return apply(losses.mean_absolute, prediction, target, _weights(weight, prediction), reduction=reduction)


def huber(prediction: Any, target: Any, weight: Any = None, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """The mean or sum of ½(x - t)² up to a difference of `delta`, of delta·(|x - t| - ½delta) beyond."""
    weights = _weights(weight, prediction)
    return apply(losses.huber, prediction, target, weights, delta=float(delta), reduction=reduction)


def cross_entropy(
    logits: Any,
    labels: Any,
    weight: Any = None,
    class_weights: Any = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """The mean or sum of -log softmax(logits)[label]; logits (..., c), whole labels (...) from 0 to c - 1."""
    weights, per_class = _weights(weight, logits), _weights(class_weights, logits)
    smoothing = float(label_smoothing)
    return apply(
        classes.cross_entropy, logits, labels, weights, per_class, label_smoothing=smoothing, reduction=reduction
    )


def binary_cross_entropy(
    logits: Any, targets: Any, weight: Any = None, positive_weights: Any = None, reduction: str = "mean"
) -> Tensor:
    """The mean or sum of -v·t·log σ(x) - (1 - t)·log(1 - σ(x)), targets t in 0 .. 1, positive weights v."""
    weights, positive = _weights(weight, logits), _weights(positive_weights, logits)
    return apply(binary.binary_cross_entropy, logits, targets, weights, positive, reduction=reduction)


def _weights(value: Any, like: Any) -> Tensor | None:
    """Weights as constants of the outputs' dtype: whole numbers and float64 do not change that of the loss."""
    if value is None or (isinstance(value, Tensor) and value.is_symbolic):
        return value
    array = as_array(value)
    dtype = like.dtype if isinstance(like, Tensor) else array.dtype
    return value if isinstance(value, Tensor) and value.dtype == dtype else Tensor(array.astype(dtype, copy=False))
