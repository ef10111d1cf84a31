"""Losses over elements, mean_squared, mean_absolute and huber, and what the losses over classes share with them.

Every loss takes an optional weight per sample, shaped like the leading axes, and a reduction: loss = Σ wᵢ·ℓᵢ / N, where
i runs over all elements, and those of a sample share its weight. N, which is saved for the gradient, is Σ wᵢ for "mean"
and 1 for "sum". Losses never broadcast.
"""

from __future__ import annotations

import math

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.losses import gradient_calls, loss_calls
from chainrule.native.kernel import Call, Pointwise, Real
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(
    formula="L = Σ w·(x - t)² / N, N = Σ w, or 1 for a sum",
    saves=("denominator",),
    averages=True,
    flops=lambda x, *_: 4.0 * math.prod(x),
)
def mean_squared(
    prediction: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> tuple[Array, Array]:
    """The mean or sum of squared differences of two arrays. Raises ShapeError unless shapes are equal."""
    return mean_or_sum((prediction - target) ** 2, weight, None, reduction)


@mean_squared.shape
def _(prediction: Shape, target: Shape, weight: Shape | None = None, *, reduction: str) -> list[Shape]:
    return _difference_shapes("mean_squared", prediction, target, weight, reduction)


@mean_squared.lower
def _(
    y: View, denominator: View, prediction: View, target: View, weight: View | None, *, reduction: str, scratch: Scratch
) -> list[Call]:
    return loss_calls(_SQUARED, y, denominator, (prediction, target), weight, reduction, scratch)


def _squared(x: Real, target: Real) -> Real:
    return (x - target) * (x - target)


_SQUARED = Pointwise("mean_squared_element", _squared, arrays=2, numbers=0)


@mean_squared.gradient("prediction", formula="dx = dL/N · w·2(x - t)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array) -> Array:
    dx: Array = dy / denominator * broadcastable(weight, prediction.ndim) * 2.0 * (prediction - target)
    return dx


@mean_squared.lower("prediction")
def _(dx: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View) -> list[Call]:
    return gradient_calls(_SQUARED_SLOPE, dx, dy, denominator, (prediction, target), weight)


def _squared_slope(x: Real, target: Real) -> Real:
    return 2.0 * (x - target)


_SQUARED_SLOPE = Pointwise("mean_squared_slope", _squared_slope, arrays=2, numbers=0)


@mean_squared.gradient("target", formula="dt = dL/N · w·2(t - x)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array) -> Array:
    dt: Array = dy / denominator * broadcastable(weight, target.ndim) * 2.0 * (target - prediction)
    return dt


@mean_squared.lower("target")
def _(dt: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View) -> list[Call]:
    return gradient_calls(_SQUARED_SLOPE, dt, dy, denominator, (target, prediction), weight)


@op(
    formula="L = Σ w·|x - t| / N, N = Σ w, or 1 for a sum",
    saves=("denominator",),
    averages=True,
    flops=lambda x, *_: 4.0 * math.prod(x),
)
def mean_absolute(
    prediction: Array, target: Array, weight: Array | None = None, *, reduction: str = "mean"
) -> tuple[Array, Array]:
    """The mean or sum of absolute differences, with slope 0 where x = t. Raises ShapeError unless shapes are equal."""
    return mean_or_sum(np.abs(prediction - target), weight, None, reduction)


@mean_absolute.shape
def _(prediction: Shape, target: Shape, weight: Shape | None = None, *, reduction: str) -> list[Shape]:
    return _difference_shapes("mean_absolute", prediction, target, weight, reduction)


@mean_absolute.lower
def _(
    y: View, denominator: View, prediction: View, target: View, weight: View | None, *, reduction: str, scratch: Scratch
) -> list[Call]:
    return loss_calls(_ABSOLUTE, y, denominator, (prediction, target), weight, reduction, scratch)


def _absolute(x: Real, target: Real) -> Real:
    return abs(x - target)


_ABSOLUTE = Pointwise("mean_absolute_element", _absolute, arrays=2, numbers=0)


@mean_absolute.gradient("prediction", formula="dx = dL/N · w·sign(x - t)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array) -> Array:
    dx: Array = dy / denominator * broadcastable(weight, prediction.ndim) * np.sign(prediction - target)
    return dx


@mean_absolute.lower("prediction")
def _(dx: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View) -> list[Call]:
    return gradient_calls(_SIGN, dx, dy, denominator, (prediction, target), weight)


def _sign(x: Real, target: Real) -> Real:
    d = x - target
    return 1.0 if d > 0.0 else (-1.0 if d < 0.0 else 0.0 * d)


_SIGN = Pointwise("mean_absolute_slope", _sign, arrays=2, numbers=0)


@mean_absolute.gradient("target", formula="dt = dL/N · w·sign(t - x)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array) -> Array:
    dt: Array = dy / denominator * broadcastable(weight, target.ndim) * np.sign(target - prediction)
    return dt


@mean_absolute.lower("target")
def _(dt: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View) -> list[Call]:
    return gradient_calls(_SIGN, dt, dy, denominator, (target, prediction), weight)


@op(
    formula="L = Σ w·h / N, h = ½(x - t)² where |x - t| ≤ δ, else δ(|x - t| - ½δ), N = Σ w, or 1 for a sum",
    saves=("denominator",),
    averages=True,
    flops=lambda x, *_: 4.0 * math.prod(x),
)
def huber(
    prediction: Array, target: Array, weight: Array | None = None, *, delta: float = 1.0, reduction: str = "mean"
) -> tuple[Array, Array]:
    """Quadratic up to a difference of `delta`, then linear (Huber 1964). Raises ShapeError unless shapes are equal."""
    d = np.abs(prediction - target)
    return mean_or_sum(np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)), weight, None, reduction)


@huber.shape
def _(prediction: Shape, target: Shape, weight: Shape | None = None, *, delta: float, reduction: str) -> list[Shape]:
    if not 0.0 < delta < math.inf:
        raise OptionError(f"huber: delta is {delta}, expected a positive number")
    return _difference_shapes("huber", prediction, target, weight, reduction)


@huber.lower
def _(
    y: View, denominator: View, prediction: View, target: View, weight: View | None,
    *, delta: float, reduction: str, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    return loss_calls(_HUBER, y, denominator, (prediction, target), weight, reduction, scratch, delta)


def _huber(x: Real, target: Real, delta: Real) -> Real:
    d = abs(x - target)
    return 0.5 * d * d if d <= delta else delta * (d - 0.5 * delta)


_HUBER = Pointwise("huber_element", _huber, arrays=2, numbers=1)


@huber.gradient("prediction", formula="dx = dL/N · w·clip(x - t, -δ, δ)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array, *, delta: float) -> Array:
    dx: Array = dy / denominator * broadcastable(weight, prediction.ndim) * np.clip(prediction - target, -delta, delta)
    return dx


@huber.lower("prediction")
def _(
    dx: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View, *, delta: float
) -> list[Call]:
    return gradient_calls(_HUBER_SLOPE, dx, dy, denominator, (prediction, target), weight, delta)


def _huber_slope(x: Real, target: Real, delta: Real) -> Real:
    d = x - target
    return delta if d > delta else (-delta if d < -delta else d)


_HUBER_SLOPE = Pointwise("huber_slope", _huber_slope, arrays=2, numbers=1)


@huber.gradient("target", formula="dt = dL/N · w·clip(t - x, -δ, δ)")
def _(dy: Array, prediction: Array, target: Array, weight: Array | None, denominator: Array, *, delta: float) -> Array:
    dt: Array = dy / denominator * broadcastable(weight, target.ndim) * np.clip(target - prediction, -delta, delta)
    return dt


@huber.lower("target")
def _(
    dt: View, dy: View, prediction: View, target: View, weight: View | None, denominator: View, *, delta: float
) -> list[Call]:
    return gradient_calls(_HUBER_SLOPE, dt, dy, denominator, (target, prediction), weight, delta)


def _difference_shapes(
    name: str, prediction: Shape, target: Shape, weight: Shape | None, reduction: str
) -> list[Shape]:
    check_equal(name, ("prediction", prediction), ("target", target))
    return loss_shapes(name, prediction, weight, reduction)


def mean_or_sum(losses: Array, weight: Array | None, counts: Array | None, reduction: str) -> tuple[Array, Array]:
    """The weighted mean or sum of the losses, and its denominator N; `counts` are further weights, which N sums too."""
    if reduction == "sum":
        denominator = losses.dtype.type(1)
    elif weight is None and counts is None:
        denominator = losses.dtype.type(losses.size)
    else:
        each = np.ones_like(losses) if counts is None else counts
        denominator = np.sum(each * broadcastable(weight, losses.ndim))
    loss = np.sum(losses * broadcastable(weight, losses.ndim)) / denominator
    return np.asarray(loss), np.asarray(denominator)


def broadcastable(weight: Array | None, ndim: int) -> Array | int:
    """Weights of the leading axes in a shape that broadcasts to `ndim` axes; 1 without weights."""
    return 1 if weight is None else weight.reshape(weight.shape + (1,) * (ndim - weight.ndim))


def loss_shapes(name: str, elements: Shape, weight: Shape | None, reduction: str) -> list[Shape]:
    """The shapes of a loss and its denominator. Raises ShapeError and OptionError, which name the op `name`."""
    if reduction not in ("mean", "sum"):
        raise OptionError(f'{name}: reduction is {reduction!r}, expected "mean" or "sum"')
    if reduction == "mean" and 0 in elements:
        raise ShapeError(f"{name}: shape {elements} has no elements to average: pass at least one sample")
    if weight is not None and (not weight or weight != elements[: len(weight)]):
        raise ShapeError(
            f"{name}: the weights have shape {weight}, the samples {elements}: pass one weight per sample, "
            f"shape {elements[:1]}"
        )
    return [(), ()]


def check_equal(name: str, x: tuple[str, Shape], target: tuple[str, Shape]) -> None:
    """Raise ShapeError unless both shapes are the same: a loss never broadcasts."""
    if x[1] != target[1]:
        advice = f"reshape the {target[0]} to {x[1]}" if math.prod(x[1]) == math.prod(target[1]) else "check both"
        raise ShapeError(f"{name}: the {x[0]} has shape {x[1]}, the {target[0]} {target[1]}: must be equal: {advice}")


_MEAN, _SUM = {"reduction": "mean"}, {"reduction": "sum"}


def _samples(**attributes: float) -> list[Sample]:
    """Samples of a loss of (prediction, target, weight)."""
    mean, total = {**_MEAN, **attributes}, {**_SUM, **attributes}
    weights = np.array([0.5, 2.0, 0.0, 1.0])
    return [
        Sample(((4,), (4,), None), mean),
        Sample(((4, 3), (4, 3), None), total),
        Sample(((4, 3), (4, 3), weights), mean),
        Sample(((4,), (4,), weights), total),
        Sample(((4, 2, 3), (4, 2, 3), np.arange(8.0).reshape(4, 2)), mean),
        Sample(((1, 1), (1, 1), None), mean),
        Sample(((0, 3), (0, 3), None), total),
        Sample(((), (), None), mean),
        Sample(((50, 331), (50, 331), None), mean),
        Sample(((9000,), (9000,), np.linspace(0.0, 1.0, 9000)), mean),
        Sample(((4,), (4, 1), None), mean, error=ShapeError),
        Sample(((4, 1), (4,), None), mean, error=ShapeError),
        Sample(((4,), (4,), np.ones((4, 1))), mean, error=ShapeError),
        Sample(((4, 3), (4, 3), np.ones(3)), mean, error=ShapeError),
        Sample(((0, 3), (0, 3), None), mean, error=ShapeError),
        Sample(((4,), (4,), None), {**attributes, "reduction": "none"}, error=OptionError),
    ]


mean_squared.cases(
    samples=_samples(),
    examples=[
        Example(([1.0, 2.0, 4.0], [1.0, 0.0, 1.0], None), 13.0 / 3.0, _MEAN),
        Example(([1.0, 2.0, 4.0], [1.0, 0.0, 1.0], [1.0, 3.0, 0.0]), 3.0, _MEAN),
        Example(([[1.0, 2.0], [4.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [1.0, 3.0]), 31.0, _SUM),
    ],
)

mean_absolute.cases(
    samples=_samples(),
    examples=[
        Example(([1.0, 2.0, 4.0], [1.0, 0.0, 5.0], None), 1.0, _MEAN),
        Example(([1.0, 2.0, 4.0], [1.0, 0.0, 5.0], [1.0, 3.0, 4.0]), 10.0, _SUM),
    ],
)

huber.cases(
    samples=[
        *_samples(delta=0.7),
        Sample(((4,), (4,), None), {**_MEAN, "delta": 0.0}, error=OptionError),
        Sample(((4,), (4,), None), {**_MEAN, "delta": math.nan}, error=OptionError),
    ],
    examples=[
        Example(([1.0, 2.0, 4.0], [0.5, 0.0, 9.0], None), (0.125 + 1.5 + 4.5) / 3.0, {**_MEAN, "delta": 1.0}),
        Example(([1.0, 2.0], [0.0, 0.0], [2.0, 1.0]), 3.0, {**_SUM, "delta": 4.0}),
    ],
)
