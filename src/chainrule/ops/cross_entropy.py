"""The loss over classes of which one is true in each row: cross_entropy.

It takes logits, not probabilities, so it stays exact for logits of any size. The probabilities of the forward pass are
saved for the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import LabelError, OptionError, ShapeError
from chainrule.kernels.integers import within
from chainrule.kernels.losses import absent, combine, combine_calls, partial_losses
from chainrule.kernels.reductions import row_max, row_sum
from chainrule.native.kernel import Call, Int, Int1, Real, Real1, blocks, device, kernel, real
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.native.state import STOP, WRONG_LABEL
from chainrule.native.vecmath import exp, log
from chainrule.ops.losses import broadcastable, loss_shapes, mean_or_sum
from chainrule.ops.record import Example, Limit, Sample, op

TILE = 4096  # elements of logits
ROWS = 512  # at most


@op(
    formula="L = Σ w·((1 - ε)·v[t]·ℓ[t] + ε/c·Σⱼ v[j]·ℓ[j]) / N, ℓ = log Σ exp x - x, N = Σ w·v[t], or 1 for a sum",
    saves=("probabilities", "denominator"),
    integers=("labels",),
    averages=True,
    flops=lambda logits, *_: 6.0 * math.prod(logits),
)
def cross_entropy(
    logits: Array,
    labels: Array,
    weight: Array | None = None,
    class_weights: Array | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> tuple[Array, Array, Array]:
    """The negative log-probability ℓ[t] of each label t under softmax(logits); logits x (..., c), labels (...).

    Without weights and smoothing L = -Σ log softmax(x)[t] / n, the mean over n labels. w are the weights of samples and
    v those of classes, 1 unless given; a mean divides by the sum of their products (as torch does). Label smoothing ε
    trains towards 1 - ε for the label plus ε/c for every class (Szegedy et al. 2016). Labels equal to `ignore_index`,
    -100 unless given, count for nothing, neither in the sum nor in what it is divided by.
    Raises ShapeError where shapes do not fit, LabelError unless other labels are whole numbers from 0 to c - 1.
    """
    _limit(logits.shape, ignore_index).check("cross_entropy", labels)
    kept = labels != ignore_index
    labels = np.where(kept, labels, 0)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=-1, keepdims=True)
    surprise = np.log(sums) - shifted
    per_class = np.ones(logits.shape[-1], logits.dtype) if class_weights is None else class_weights
    own = np.where(kept, per_class[labels], 0.0).astype(logits.dtype)
    losses = (1.0 - label_smoothing) * own * np.take_along_axis(surprise, labels[..., np.newaxis], -1)[..., 0]
    if label_smoothing > 0.0:  # without it, a class excluded by a score of -∞ would make this 0·∞
        losses = losses + label_smoothing * np.mean(per_class * surprise, axis=-1)
    losses = np.where(kept, losses, 0.0)  # also where an ignored one is not finite
    counts = None if class_weights is None and kept.all() else own
    loss, denominator = mean_or_sum(losses, weight, counts, reduction)
    return loss, exps / sums, denominator


@cross_entropy.shape
def _(
    logits: Shape,
    labels: Shape,
    weight: Shape | None = None,
    class_weights: Shape | None = None,
    *,
    label_smoothing: float,
    reduction: str,
    ignore_index: int,
) -> list[Shape]:
    if not 0.0 <= label_smoothing <= 1.0:
        raise OptionError(f"cross_entropy: label_smoothing is {label_smoothing}, expected a number from 0 to 1")
    if not logits or logits[-1] == 0 or labels != logits[:-1]:
        raise ShapeError(
            f"cross_entropy: logits have shape {logits}, labels {labels}: expected (..., classes) and "
            f"{logits[:-1] if logits else '(...)'}: one whole number per row of logits"
        )
    if class_weights is not None and class_weights != logits[-1:]:
        raise ShapeError(
            f"cross_entropy: class weights have shape {class_weights}, expected {logits[-1:]}: one per class"
        )
    loss, denominator = loss_shapes("cross_entropy", labels, weight, reduction)
    return [loss, logits, denominator]


@cross_entropy.limit("labels")
def _(logits: Shape, *_: Any, ignore_index: int, **__: Any) -> Limit:
    return _limit(logits, ignore_index)


def _limit(logits: Shape, ignore_index: int) -> Limit:
    fix = "number the classes from 0 or give the model more outputs"
    return Limit("label", "labels", logits[-1], f"the logits have {logits[-1]} columns", fix, besides=ignore_index)


@cross_entropy.lower
def _(
    y: View, probabilities: View, denominator: View, logits: View, labels: View, weight: View | None,
    class_weights: View | None, *, label_smoothing: float, reduction: str, ignore_index: int, scratch: Scratch,
    state: View,
) -> list[Call]:  # fmt: skip
    columns, each, rows, tiles = _cut(logits, weight)
    parts = partial_losses(y, denominator, tiles, scratch)
    count = 1.0 if reduction == "sum" else 0.0
    call = cross_entropy_parts(
        tiles, *parts, probabilities.flat(), logits.flat(), labels.flat(), weight.flat() if weight else absent(y),
        class_weights or absent(y), columns, each, rows, label_smoothing, count, ignore_index, state,
        flops=6.0 * logits.size, stops=True,
    )  # fmt: skip
    return [call, *combine_calls(y, denominator, parts, count)]


@kernel
def cross_entropy_parts(
    tile: Int, totals: Real1, counts: Real1, p: Real1, x: Real1, labels: Int1, weight: Real1, class_weights: Real1,
    columns: Int, each: Int, rows: Int, smoothing: Real, count: Real, ignored: Int, state: Int1,
) -> None:  # fmt: skip
    """Part `tile` of the loss, and p = softmax x; the exponentials of all rows are one loop, at vector speed. A label
    out of range stops the program."""
    first = tile * rows
    last = min(first + rows, labels.size)
    part = np.float64(0.0)
    counted = np.float64(0.0)
    for row in range(first, last):
        scores = x[row * columns : (row + 1) * columns]
        shifted = p[row * columns : (row + 1) * columns]
        label = within(labels[row], columns)
        if label != labels[row] and labels[row] != ignored:
            state[STOP] = WRONG_LABEL
        largest = row_max(scores)
        for j in range(shifted.size):
            shifted[j] = scores[j] - largest
        if labels[row] == ignored:
            continue
        w = weight[row // each] if weight.size > 0 else 1.0
        own = w * class_weights[label] if class_weights.size > 0 else w
        part -= (1.0 - smoothing) * own * shifted[label]
        counted += own
        if smoothing > 0.0:
            part -= smoothing / real(columns) * w * weighted_sum(shifted, class_weights)
    run = p[first * columns : last * columns]
    for i in range(run.size):
        run[i] = exp(run[i])
    mean_weight = row_sum(class_weights) / real(columns) if class_weights.size > 0 else 1.0
    for row in range(first, last):
        run = p[row * columns : (row + 1) * columns]
        normal = row_sum(run)
        share = 1.0 / normal
        for j in range(run.size):
            run[j] = run[j] * share
        if labels[row] == ignored:
            continue
        w = weight[row // each] if weight.size > 0 else 1.0
        own = w * class_weights[within(labels[row], columns)] if class_weights.size > 0 else w
        part += ((1.0 - smoothing) * own + smoothing * w * mean_weight) * log(normal)
    totals[tile] = part
    counts[tile] = counted
    if totals.size == 1:
        combine(totals, counts, totals, counts, count)


@device
def weighted_sum(values: Real1, weights: Real1) -> Any:
    """Σ weight·value, or Σ value without weights."""
    if weights.size == 0:
        return row_sum(values)
    total = 0.0
    for j in range(values.size):
        total += weights[j] * values[j]
    return total


@cross_entropy.gradient(
    "logits", formula="dx = dL/N · w·(p·Σⱼ q[j] - q), q[j] = v[j]·((1 - ε)·[j = t] + ε/c), p = softmax x"
)
def _(
    dy: Array,
    labels: Array,
    weight: Array | None,
    class_weights: Array | None,
    probabilities: Array,
    denominator: Array,
    *,
    label_smoothing: float,
    ignore_index: int,
) -> Array:
    classes = probabilities.shape[-1]
    per_class = np.ones(classes, probabilities.dtype) if class_weights is None else class_weights
    wanted = np.equal.outer(labels, np.arange(classes)) * ((1.0 - label_smoothing) * per_class)
    wanted = wanted + label_smoothing / classes * per_class
    slope: Array = probabilities * wanted.sum(axis=-1, keepdims=True) - wanted
    slope[labels == ignore_index] = 0.0
    return dy / denominator * broadcastable(weight, slope.ndim) * slope


@cross_entropy.lower("logits")
def _(
    dx: View, dy: View, labels: View, weight: View | None, class_weights: View | None, probabilities: View,
    denominator: View, *, label_smoothing: float, ignore_index: int,
) -> list[Call]:  # fmt: skip
    columns, each, rows, tiles = _cut(dx, weight)
    return [
        cross_entropy_gradient(
            tiles, dx.flat(), dy.flat(), probabilities.flat(), labels.flat(), denominator.flat(),
            weight.flat() if weight else absent(dy), class_weights or absent(dy), columns, each, rows, label_smoothing,
            ignore_index, flops=2.0 * dx.size,
        )
    ]  # fmt: skip


@kernel
def cross_entropy_gradient(
    tile: Int, dx: Real1, dy: Real1, p: Real1, labels: Int1, denominator: Real1, weight: Real1, class_weights: Real1,
    columns: Int, each: Int, rows: Int, smoothing: Real, ignored: Int,
) -> None:  # fmt: skip
    """The rows of one tile of dx = dy/N · w·(p·Σⱼ q[j] - q), with q as in the formula of the gradient."""
    factor = dy[0] / denominator[0]
    mean_weight = row_sum(class_weights) / real(columns) if class_weights.size > 0 else 1.0
    for row in range(tile * rows, min((tile + 1) * rows, labels.size)):
        run = dx[row * columns : (row + 1) * columns]
        if labels[row] == ignored:
            for j in range(run.size):
                run[j] = 0.0
            continue
        flow = factor * weight[row // each] if weight.size > 0 else factor
        label = within(labels[row], columns)
        own = flow * class_weights[label] if class_weights.size > 0 else flow
        own = (1.0 - smoothing) * own
        scale = own + smoothing * flow * mean_weight
        base = smoothing * flow / real(columns)
        share = p[row * columns : (row + 1) * columns]
        if base != 0.0 and class_weights.size > 0:
            for j in range(run.size):
                run[j] = scale * share[j] - base * class_weights[j]
        else:
            for j in range(run.size):
                run[j] = scale * share[j] - base
        run[label] -= own


def _cut(logits: View, weight: View | None) -> tuple[int, int, int, int]:
    """Columns, rows that share a weight, rows of a tile, tiles; without rows, one tile writes the result."""
    columns = logits.shape[-1]
    count = logits.size // columns
    rows = min(ROWS, max(1, TILE // columns))
    each = count // weight.size if weight is not None and weight.size else 1
    return columns, each, rows, max(1, blocks(count, rows))


_SET = {"label_smoothing": 0.0, "reduction": "mean", "ignore_index": -100}
_MEAN, _SUM, _SMOOTH = _SET, {**_SET, "reduction": "sum"}, {**_SET, "label_smoothing": 0.1}
_SOME = np.array([2, -100, 1, -100])
_LABELS = np.array([2, 0, 1, 2])
_WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0])
_CLASS_WEIGHTS = np.array([1.0, 0.25, 3.0])


def huge(x: Array) -> Array:
    """Scores whose exp would overflow."""
    return np.round(x) * 1e4


cross_entropy.cases(
    samples=[
        Sample(((4, 3), _LABELS, None, None), _MEAN),
        Sample(((4, 3), _LABELS, None, None), _SUM),
        Sample(((4, 3), _LABELS, None, None), _SMOOTH),
        Sample(((4, 3), _LABELS, _WEIGHTS, None), _MEAN),
        Sample(((4, 3), _LABELS, None, _CLASS_WEIGHTS), _MEAN),
        Sample(((4, 3), _LABELS, _WEIGHTS, _CLASS_WEIGHTS), _SMOOTH),
        Sample(((4, 3), _LABELS, _WEIGHTS, _CLASS_WEIGHTS), {**_SUM, "label_smoothing": 1.0}),
        Sample(((4, 3), _LABELS, None, None), _SMOOTH, domain=huge),
        Sample(((2, 2, 3), _LABELS.reshape(2, 2), None, None), _MEAN),
        Sample(((2, 2, 3), _LABELS.reshape(2, 2), np.array([0.5, 2.0]), _CLASS_WEIGHTS), _SMOOTH),
        Sample(((4, 3), _SOME, None, None), _MEAN),
        Sample(((4, 3), _SOME, _WEIGHTS, _CLASS_WEIGHTS), _SMOOTH),
        Sample(((4, 3), _LABELS, None, None), {**_SMOOTH, "ignore_index": 2}),
        Sample(((2, 2, 3), _SOME.reshape(2, 2), np.array([[0.5, 2.0], [1.0, 0.0]]), None), _SUM),
        Sample(((900, 10), np.arange(900) % 11, None, None), {**_MEAN, "ignore_index": 10}),
        Sample(((3,), np.array(1), None, None), _MEAN),
        Sample(((1, 1), np.array([0]), None, None), _MEAN),
        Sample(((0, 3), np.zeros(0, np.int64), None, None), _SUM),
        Sample(((1500, 10), np.arange(1500) % 10, None, None), _MEAN),
        Sample(((900, 17), np.arange(900) % 17, np.linspace(0.0, 1.0, 900), None), _SMOOTH),
        Sample(((4, 3), np.array([0, 1, 3, 2]), None, None), _MEAN, error=LabelError),
        Sample(((4, 3), np.array([0, -1, 1, 2]), None, None), _MEAN, error=LabelError),
        Sample(((4, 3), np.array([0.0, 1.5, 1.0, 2.0]), None, None), _MEAN, error=LabelError),
        Sample(((4, 3), np.array([[2], [0], [1], [2]]), None, None), _MEAN, error=ShapeError),
        Sample(((4, 3), _LABELS, np.ones((4, 1)), None), _MEAN, error=ShapeError),
        Sample(((4, 3), _LABELS, None, np.ones(4)), _MEAN, error=ShapeError),
        Sample(((0, 3), np.zeros(0, np.int64), None, None), _MEAN, error=ShapeError),
        Sample(((4, 3), _LABELS, None, None), {**_MEAN, "label_smoothing": 1.5}, error=OptionError),
        Sample(((4, 3), _LABELS, None, None), {**_MEAN, "reduction": "none"}, error=OptionError),
    ],
    examples=[
        Example(([[0.0, math.log(3.0)]], [1], None, None), math.log(4.0 / 3.0), _MEAN),
        Example(([[0.0, math.log(3.0)], [5.0, 5.0]], [1, 0], None, [2.0, 1.0]), math.log(16.0 / 3.0) / 3.0, _MEAN),
        Example(([[0.0, math.log(3.0)], [5.0, 5.0]], [1, 0], [3.0, 1.0], None), math.log(128.0 / 27.0), _SUM),
        Example(([[0.0, math.log(3.0)], [5.0, 5.0]], [1, -100], None, None), math.log(4.0 / 3.0), _MEAN),
        Example(([[1e4, -1e4], [1e4, -1e4]], [0, 1], None, None), 1e4, _MEAN),
        Example(([[0.0, math.log(3.0)]], [1], None, None), math.log(4.0) - 0.95 * math.log(3.0), _SMOOTH),
    ],
)
