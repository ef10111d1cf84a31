"""The loss over independent classes, each true or false: binary_cross_entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.copies import Walk, copy
from chainrule.kernels.losses import gradient_calls, loss_calls
from chainrule.native.kernel import Call, Pointwise, Real
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.native.vecmath import log1p_exp, sigmoid
from chainrule.ops.cross_entropy import huge
from chainrule.ops.losses import broadcastable, check_equal, loss_shapes, mean_or_sum
from chainrule.ops.record import Example, Sample, op


@op(
    formula="L = Σ w·(v·t·log(1 + e⁻ˣ) + (1 - t)·log(1 + eˣ)) / N, N = Σ w, or 1 for a sum",
    saves=("denominator",),
    averages=True,
    flops=lambda logits, *others: 4.0 * math.prod(logits),
)
def binary_cross_entropy(
    logits: Array,
    targets: Array,
    weight: Array | None = None,
    positive_weights: Array | None = None,
    *,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """-v·t·log σ(x) - (1 - t)·log(1 - σ(x)) of logits x and targets t from 0 to 1, both of one shape.

    Positive weights v are one number, or one per column; without them v is 1. Raises ShapeError unless shapes agree.
    """
    positive = 1.0 if positive_weights is None else positive_weights
    # log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|): the linear part is kept apart, or small losses would be rounded away
    straight = np.where(logits > 0, (1.0 - targets) * logits, -positive * targets * logits)
    losses = straight + (1.0 - targets + positive * targets) * np.log1p(np.exp(-np.abs(logits)))
    return mean_or_sum(losses, weight, None, reduction)


@binary_cross_entropy.shape
def _(
    logits: Shape,
    targets: Shape,
    weight: Shape | None = None,
    positive_weights: Shape | None = None,
    *,
    reduction: str,
) -> list[Shape]:
    name = "binary_cross_entropy"
    check_equal(name, ("logits", logits), ("targets", targets))
    columns = logits[1:][-1:] or (1,)
    if positive_weights is not None and positive_weights not in ((1,), columns):
        raise ShapeError(f"{name}: positive weights have shape {positive_weights}, expected {columns}: one per column")
    return loss_shapes(name, logits, weight, reduction)


@binary_cross_entropy.lower
def _(
    y: View, denominator: View, logits: View, targets: View, weight: View | None, positive_weights: View | None,
    *, reduction: str, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    if positive_weights is None:
        return loss_calls(_BINARY, y, denominator, (logits, targets), weight, reduction, scratch)
    positive, calls = _per_element(positive_weights, logits, scratch)
    operands = (logits, targets, positive)
    return [*calls, *loss_calls(_WEIGHTED, y, denominator, operands, weight, reduction, scratch)]


def _binary(x: Real, target: Real) -> Any:
    straight = (1.0 - target) * x if x > 0.0 else -target * x
    return straight + log1p_exp(-abs(x))


_BINARY = Pointwise("binary_cross_entropy_element", _binary, arrays=2, numbers=0)


def _binary_weighted(x: Real, target: Real, positive: Real) -> Any:
    straight = (1.0 - target) * x if x > 0.0 else -positive * target * x
    return straight + (1.0 - target + positive * target) * log1p_exp(-abs(x))


_WEIGHTED = Pointwise("binary_cross_entropy_weighted_element", _binary_weighted, arrays=3, numbers=0)


@binary_cross_entropy.gradient("logits", formula="dx = dL/N · w·((1 - t)·σ(x) - v·t·σ(-x))")
def _(
    dy: Array,
    logits: Array,
    targets: Array,
    weight: Array | None,
    positive_weights: Array | None,
    denominator: Array,
) -> Array:
    positive = 1.0 if positive_weights is None else positive_weights
    yes, no = np.exp(-np.logaddexp(0.0, -logits)), np.exp(-np.logaddexp(0.0, logits))
    dx: Array = (
        dy / denominator * broadcastable(weight, logits.ndim) * ((1.0 - targets) * yes - positive * targets * no)
    )
    return dx


@binary_cross_entropy.lower("logits")
def _(
    dx: View, dy: View, logits: View, targets: View, weight: View | None, positive_weights: View | None,
    denominator: View, *, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    if positive_weights is None:
        return gradient_calls(_BINARY_SLOPE, dx, dy, denominator, (logits, targets), weight)
    positive, calls = _per_element(positive_weights, logits, scratch)
    return [*calls, *gradient_calls(_WEIGHTED_SLOPE, dx, dy, denominator, (logits, targets, positive), weight)]


def _binary_slope(x: Real, target: Real) -> Any:
    return (1.0 - target) * sigmoid(x) - target * sigmoid(-x)


_BINARY_SLOPE = Pointwise("binary_cross_entropy_slope", _binary_slope, arrays=2, numbers=0)


def _binary_weighted_slope(x: Real, target: Real, positive: Real) -> Any:
    return (1.0 - target) * sigmoid(x) - positive * target * sigmoid(-x)


_WEIGHTED_SLOPE = Pointwise("binary_cross_entropy_weighted_slope", _binary_weighted_slope, arrays=3, numbers=0)


def _per_element(positive_weights: View, logits: View, scratch: Scratch) -> tuple[View, list[Call]]:
    """Positive weights repeated for every element, and the calls that do it."""
    positive = scratch(logits.size)
    step = 1 if positive_weights.size > 1 else 0
    columns = logits.shape[-1]
    rows = logits.size // columns if columns else 0
    return positive, copy(positive, positive_weights, (rows, columns), at=Walk((0, step)))


_WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0])
_TARGETS = np.array([1.0, 0.0, 0.25, 1.0])
_TABLE = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.25]])
_POSITIVE = np.array([2.0, 0.5, 1.0])

binary_cross_entropy.cases(
    samples=[
        Sample(((4,), _TARGETS, None, None), {"reduction": "mean"}),
        Sample(((4,), _TARGETS, _WEIGHTS, None), {"reduction": "mean"}),
        Sample(((4,), _TARGETS, _WEIGHTS, np.array([3.0])), {"reduction": "sum"}),
        Sample(((2, 3), _TABLE, None, None), {"reduction": "sum"}),
        Sample(((2, 3), _TABLE, None, _POSITIVE), {"reduction": "mean"}),
        Sample(((2, 3), _TABLE, np.array([0.5, 2.0]), _POSITIVE), {"reduction": "mean"}),
        Sample(((4,), _TARGETS, None, None), {"reduction": "mean"}, domain=huge),
        Sample(((1, 1), np.ones((1, 1)), None, None), {"reduction": "mean"}),
        Sample(((0, 3), np.zeros((0, 3)), None, None), {"reduction": "sum"}),
        Sample(((100, 90), np.tile(_TABLE, (50, 30)), None, None), {"reduction": "mean"}),
        Sample(((4,), _TARGETS.reshape(4, 1), None, None), {"reduction": "mean"}, error=ShapeError),
        Sample(((2, 3), _TABLE, None, np.ones(2)), {"reduction": "mean"}, error=ShapeError),
        Sample(((2, 3), _TABLE, np.ones(3), None), {"reduction": "mean"}, error=ShapeError),
        Sample(((0, 3), np.zeros((0, 3)), None, None), {"reduction": "mean"}, error=ShapeError),
    ],
    examples=[
        Example(([0.0, math.log(3.0)], [1.0, 0.0], None, None), math.log(8.0) / 2.0, {"reduction": "mean"}),
        Example(([0.0, math.log(3.0)], [1.0, 0.0], None, [2.0]), math.log(16.0), {"reduction": "sum"}),
        Example(([0.0, math.log(3.0)], [1.0, 0.0], [1.0, 3.0], None), math.log(128.0) / 4.0, {"reduction": "mean"}),
        Example(([-25.0, 25.0], [0.0, 1.0], None, None), math.log1p(math.exp(-25.0)), {"reduction": "mean"}),
        Example(([1e4, 1e4, -1e4, -1e4], [0.0, 1.0, 0.0, 1.0], None, None), 5e3, {"reduction": "mean"}),
    ],
)
