"""What a loss says about its task: which targets it takes, and which metrics tell how good a model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import nn
from chainrule.errors import DataError
from chainrule.native.memory import Array
from chainrule.train import metrics

CLASSES, BINARY, VALUES, CUSTOM = "classes", "binary", "values", "custom"


def task_of(loss: Any) -> str:
    """The task a loss is for: CLASSES (labels), BINARY (0 .. 1 for each output), VALUES; CUSTOM for the user's own."""
    kinds: list[tuple[tuple[type, ...], str]] = [
        ((nn.CrossEntropyLoss,), CLASSES),
        ((nn.BCEWithLogitsLoss,), BINARY),
        ((nn.MSELoss, nn.L1Loss, nn.HuberLoss), VALUES),
    ]
    return next((task for types, task in kinds if isinstance(loss, types)), CUSTOM)


def measure(task: str, outputs: Array, targets: Array, weight: Array | None) -> dict[str, float]:
    """The metrics of a task: accuracy; accuracy and AUC; MAE and R²; none for CUSTOM."""
    if task == CLASSES:
        flat = outputs.reshape(-1, outputs.shape[-1])
        repeats = targets.size // len(targets)
        return {
            "accuracy": metrics.accuracy(flat, targets.ravel(), None if weight is None else np.repeat(weight, repeats))
        }
    if task == BINARY:
        return {"accuracy": _binary_accuracy(outputs, targets, weight), "auc": _auc(outputs, targets, weight)}
    if task == VALUES:
        return {"mae": metrics.mae(outputs, targets, weight), "r2": metrics.r2(outputs, targets, weight)}
    return {}


def _binary_accuracy(logits: Array, targets: Array, weight: Array | None) -> float:
    hits = ((logits > 0) == (targets > 0.5)).reshape(len(logits), -1)
    return float(np.average(hits.mean(axis=1), weights=weight))


def _auc(logits: Array, targets: Array, weight: Array | None) -> float:
    """The mean over outputs of each one's AUC; outputs whose targets are all alike have none, and NaN if all are so."""
    scores, yes = logits.reshape(len(logits), -1), (targets > 0.5).reshape(len(logits), -1)
    areas = []
    for column in range(scores.shape[1]):
        positives = yes[:, column] if weight is None else yes[weight > 0, column]
        if positives.any() and not positives.all():
            areas.append(metrics.auc(scores[:, column], yes[:, column], weight))
    return float(np.mean(areas)) if areas else float("nan")


Metric = Callable[[Array, Array], float]


def measure_extra(extra: dict[str, Metric], outputs: Array, targets: Array) -> dict[str, float]:
    """Metrics of the user's own; raises DataError for one that does not return a number."""
    result = {}
    for name, function in extra.items():
        value = function(outputs, targets)
        try:
            result[name] = float(value)
        except (TypeError, ValueError):
            raise DataError(f'metric "{name}": returned {value!r}, expected one number') from None
    return result
