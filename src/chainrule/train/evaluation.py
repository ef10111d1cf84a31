"""The task that follows from a loss: the targets it takes and the metrics of a model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import wrap
from chainrule.engine.checks import check_pairs_of
from chainrule.errors import DataError, NonFiniteError
from chainrule.native.memory import Array
from chainrule.sequences import Sequences
from chainrule.settings import shown
from chainrule.train import metrics
from chainrule.train.ragged import of_rows, values_of

CLASSES, BINARY, VALUES, CUSTOM = "classes", "binary", "values", "custom"


def task_of(loss: Any) -> str:
    """The task a loss is for: CLASSES (labels), BINARY (0 .. 1 for each output), VALUES; CUSTOM for a custom loss."""
    kinds: list[tuple[tuple[type, ...], str]] = [
        ((nn.CrossEntropyLoss,), CLASSES),
        ((nn.BCEWithLogitsLoss,), BINARY),
        ((nn.MSELoss, nn.L1Loss, nn.HuberLoss), VALUES),
    ]
    return next((task for types, task in kinds if isinstance(loss, types)), CUSTOM)


def sums(loss: Any) -> bool:
    """Whether the loss of several rows is their sum; otherwise it is their mean, as for a custom loss."""
    return task_of(loss) != CUSTOM and loss.reduction == "sum"


def ignored(loss: Any) -> int | None:
    """The label that a loss leaves out, if there is one."""
    return loss.ignore_index if isinstance(loss, nn.CrossEntropyLoss) else None


def divisors(loss: Any, y: Any, weight: Array | None, dtype: np.dtype[Any]) -> Array | None:
    """What each row adds to the divisor of a mean loss: its weight times that of its classes; None if all are 1."""
    steps = values_of(y)
    if sums(loss):
        return weight
    if not isinstance(loss, nn.CrossEntropyLoss) or (loss.weight is None and loss.ignore_index not in steps):
        if not isinstance(y, Sequences):
            return weight
        lengths = y.lengths.astype(dtype)
        return lengths if weight is None else lengths * weight
    by_class = np.ones(1) if loss.weight is None else loss.weight
    by_label = by_class.astype(dtype).take(steps, mode="clip")  # the loss itself raises an error for others
    by_label[steps == loss.ignore_index] = 0.0
    by_row = of_rows(by_label, y)
    return by_row if weight is None else by_row * weight


def add_nothing(loss: Any, y: Any, weight: Array | None, divisor: Array | None) -> Array:
    """A mask of the rows that change neither a mean loss nor its divisor; with smoothing, a class of weight 0 may."""
    smooth = isinstance(loss, nn.CrossEntropyLoss) and loss.label_smoothing > 0 and loss.weight is not None
    if not smooth:
        return np.zeros(1, np.bool_) if divisor is None else divisor == 0
    return _left_out(loss, y) if weight is None else _left_out(loss, y) | (weight == 0)


def _left_out(loss: Any, y: Any) -> Array:
    """A mask of the rows of which a loss ignores all labels."""
    rows: Array = of_rows(values_of(y) != ignored(loss), y) == 0.0
    return rows


def measure(loss: Any, outputs: Array, targets: Array, weight: Array | None) -> dict[str, float]:
    """The metrics of a loss's task: accuracy; accuracy and AUC; MAE and R²; none for CUSTOM."""
    task = task_of(loss)
    if task == CLASSES:
        flat, labels = outputs.reshape(-1, outputs.shape[-1]), targets.ravel()
        weights = None if weight is None else np.repeat(weight, targets.size // len(targets))
        kept = labels != loss.ignore_index
        if not kept.all():
            flat, labels, weights = flat[kept], labels[kept], None if weights is None else weights[kept]
        return {"accuracy": metrics.accuracy(flat, labels, weights)}
    if task == BINARY:
        return {"accuracy": _binary_accuracy(outputs, targets, weight), "auc": _auc(outputs, targets, weight)}
    if task == VALUES:
        return {"mae": metrics.mae(outputs, targets, weight), "r2": metrics.r2(outputs, targets, weight)}
    return {}


def measure_loss(name: str, loss: Any, outputs: Array, targets: Array, weight: Array | None) -> float:
    """The loss of finite outputs, without rows that do not count, because 0 times an infinite loss would be NaN.

    If it is NaN or infinite, NonFiniteError names the first row whose own loss is; for a custom loss, which may need
    several rows, or if there is no such row, the row with the largest output.
    """

    def of(rows: Any) -> float:
        weights = None if weight is None else wrap(weight[rows])
        return float(loss(wrap(outputs[rows]), wrap(targets[rows]), weights).item())

    if task_of(loss) == CUSTOM:
        check_pairs_of(loss, wrap(outputs), wrap(targets), None if weight is None else wrap(weight))
    counted = np.ones(len(outputs), np.bool_) if weight is None else weight != 0
    rows = np.flatnonzero(counted if ignored(loss) is None else counted & ~_left_out(loss, targets))
    with no_grad(), np.errstate(all="ignore"):
        value = of(slice(None) if len(rows) == len(outputs) else rows)
        if math.isfinite(value):
            return value
        alone = (int(i) for i in rows if not math.isfinite(of(slice(i, i + 1))))
        largest = int(rows[np.abs(outputs[rows]).reshape(len(rows), -1).max(axis=1).argmax()])
        row = largest if task_of(loss) == CUSTOM else next(alone, largest)
    raise NonFiniteError(
        f"{name}: is {value} because of row {row}, whose outputs range from {outputs[row].min():.4g} to "
        f"{outputs[row].max():.4g}: remove such rows, scale inputs and targets, or train with a smaller lr",
        row=row,
        value=value,
    )


def _binary_accuracy(logits: Array, targets: Array, weight: Array | None) -> float:
    hits = ((logits > 0) == (targets > 0.5)).reshape(len(logits), -1)
    return float(np.average(hits.mean(axis=1), weights=weight))


def _auc(logits: Array, targets: Array, weight: Array | None) -> float:
    """The mean AUC over the outputs, except those whose targets are all equal; NaN if that is all of them."""
    scores, yes = logits.reshape(len(logits), -1), (targets > 0.5).reshape(len(logits), -1)
    areas = []
    for column in range(scores.shape[1]):
        positives = yes[:, column] if weight is None else yes[weight > 0, column]
        if positives.any() and not positives.all():
            areas.append(metrics.auc(scores[:, column], yes[:, column], weight))
    return float(np.mean(areas)) if areas else float("nan")


Metric = Callable[[Array, Array], float]


def measure_extra(extra: dict[str, Metric], outputs: Array, targets: Array) -> dict[str, float]:
    """Custom metrics; raises DataError for one that does not return a number, warns about NaN and infinity."""
    result = {}
    for name, function in extra.items():
        value = function(outputs, targets)
        try:
            result[name] = float(value)
        except (TypeError, ValueError):
            raise DataError(f'metric "{name}": returned {shown(value)}, expected one number') from None
        if not math.isfinite(result[name]):
            warnings.warn(
                f'metric "{name}": returned {result[name]}, which counts as no improvement: return a number, 0 for '
                "example, if it is not defined",
                RuntimeWarning,
                stacklevel=2,
            )
    return result
