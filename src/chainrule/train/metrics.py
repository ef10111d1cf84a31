"""Metrics: what a trained network is worth, in NumPy and float64.

Classification metrics take `outputs` as scores (n, C), whose largest is the prediction, or as predicted labels (n,),
and integer `labels` (n,). Every metric takes optional `weight` (n,) of at least 0 per sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DataError, LabelError, ShapeError
from chainrule.settings import choice, whole

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def accuracy(outputs: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The share of samples predicted right. Formula: Σ w·[ŷ = y] / Σ w.

    Raises ShapeError for lengths that differ, DataError for no samples.
    Example: accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])   # 0.5
    """
    predicted, true = _labels("accuracy", outputs, labels)
    return _mean("accuracy", predicted == true, weight)


def top_k(outputs: ArrayLike, labels: ArrayLike, k: int = 5, weight: ArrayLike | None = None) -> float:
    """The share of samples whose label is among the `k` largest scores; of equal scores the lower class comes first.

    Raises ShapeError unless outputs are (n, C), OptionError for k < 1, LabelError for a label outside 0 .. C - 1.
    Example: top_k([[0.1, 0.5, 0.4]], [2], k=2)   # 1.0
    """
    scores, true = _array("top_k", outputs), _array("top_k", labels)
    whole("top_k", "k", k)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ShapeError(f"top_k: scores are {scores.shape} and labels {true.shape}, expected (n, C) and (n,)")
    true = _whole("top_k", "labels", true)
    if true.size and not (true.min() >= 0 and true.max() < scores.shape[1]):
        raise LabelError(
            f"top_k: labels go from {true.min()} to {true.max()}, the scores have {scores.shape[1]} classes"
        )
    own = np.take_along_axis(scores, true[:, None], axis=1)
    lower = np.arange(scores.shape[1]) < true[:, None]
    ahead = (scores > own) | ((scores == own) & lower)
    return _mean("top_k", ahead.sum(axis=1) < k, weight)


def confusion_matrix(
    outputs: ArrayLike, labels: ArrayLike, classes: int | None = None, weight: ArrayLike | None = None
) -> Floats:
    """Counts (C, C): row = true class, column = predicted class. Formula: M[t, p] = Σ w·[y = t]·[ŷ = p].

    C is `classes`, else the number of scores, else the largest label + 1. Raises LabelError for labels outside 0 .. C -
    1.
    Example: confusion_matrix([0, 1, 1], [0, 0, 1])   # [[1, 1], [0, 1]]
    """
    scores = _array("confusion_matrix", outputs)
    predicted, true = _labels("confusion_matrix", outputs, labels)
    if classes is None:
        most = max(int(predicted.max(initial=-1)), int(true.max(initial=-1))) + 1
        classes = scores.shape[1] if scores.ndim == 2 else most
    for name, values in (("predicted labels", predicted), ("labels", true)):
        if values.size and not (values.min() >= 0 and values.max() < classes):
            raise LabelError(
                f"confusion_matrix: {name} go from {values.min()} to {values.max()}, expected 0 to {classes - 1}"
            )
    w = _weights("confusion_matrix", weight, true.size)
    flat = np.bincount(true * classes + predicted, weights=w, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.float64)


def precision(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """Of the samples predicted to be of a class, the share that is. Formula: TP / (TP + FP), 0 where that is 0 / 0.

    `average` is "macro" (the plain mean over the classes that occur) or "binary" (the class `positive` only).
    Example: precision([1, 1, 0], [1, 0, 0], average="binary")   # 0.5
    """
    return _averaged("precision", outputs, labels, average, positive, weight)


def recall(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """Of the samples of a class, the share predicted to be. Formula: TP / (TP + FN), 0 where that is 0 / 0.

    `average` as for `precision`. Example: recall([1, 1, 0], [1, 0, 0], average="binary")   # 1.0
    """
    return _averaged("recall", outputs, labels, average, positive, weight)


def f1(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """The harmonic mean of precision and recall. Formula: 2·TP / (2·TP + FP + FN), 0 where that is 0 / 0.

    `average` as for `precision`. Example: f1([1, 1, 0], [1, 0, 0], average="binary")   # 2 / 3
    """
    return _averaged("f1", outputs, labels, average, positive, weight)


def auc(scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The area under the ROC curve: how often a positive sample (label 1) scores above a negative one (label 0).

    Formula: P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2, by ranks, so ties count half. scores and labels: (n,) or (n, 1).
    Raises LabelError for labels other than 0 and 1, DataError where one of the two is missing or a score is NaN.
    Example: auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])   # 0.875
    Source: Hanley and McNeil, Radiology 143, 1982.
    """
    s, y = (np.asarray(values, dtype=np.float64) for values in (scores, labels))
    if s.shape != y.shape or s.size != max(s.shape, default=1):
        raise ShapeError(f"auc: scores are {s.shape} and labels {y.shape}, expected (n,) and (n,)")
    s, y = s.ravel(), y.ravel()
    if not np.isin(y, (0.0, 1.0)).all():
        raise LabelError(f"auc: labels hold {y[~np.isin(y, (0.0, 1.0))][0]:g}, expected 0 and 1 only")
    if np.isnan(s).any():
        raise DataError(f"auc: score {int(np.argmax(np.isnan(s)))} is NaN")
    w = _weights("auc", weight, y.size)
    levels, place = np.unique(s, return_inverse=True)
    positive = np.bincount(place, weights=w * y, minlength=levels.size)
    negative = np.bincount(place, weights=w * (1 - y), minlength=levels.size)
    if not (positive.sum() > 0 and negative.sum() > 0):
        raise DataError("auc: needs at least one sample of label 0 and one of label 1")
    below = np.cumsum(negative) - negative / 2  # half of the negatives with the same score
    return float(positive @ below / (positive.sum() * negative.sum()))


def mae(outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean absolute error. Formula: Σ w·|ŷ - y| / Σ w, then the mean over columns. Shapes: equal, (n,) or (n, ...)."""
    error, w = _errors("mae", outputs, targets, weight)
    return float(np.mean(w @ np.abs(error) / w.sum()))


def rmse(outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Root mean squared error. Formula: √(Σ w·(ŷ - y)² / Σ w), the mean over columns inside the root."""
    error, w = _errors("rmse", outputs, targets, weight)
    return float(np.sqrt(np.mean(w @ error**2 / w.sum())))


def r2(outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The share of the targets' variance explained. Formula: 1 - Σ w·(ŷ - y)² / Σ w·(y - ȳ)², the mean over columns.

    A column of constant targets counts 1 where it is met exactly, else 0 (as scikit-learn has it).
    Example: r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])   # 1 - 1 / (14 / 3)
    """
    error, w = _errors("r2", outputs, targets, weight)
    y = np.asarray(targets, dtype=np.float64).reshape(error.shape)
    residual = w @ error**2
    total = w @ (y - w @ y / w.sum()) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(total > 0, 1 - residual / total, np.where(residual > 0, 0.0, 1.0))
    return float(np.mean(explained))


def _labels(place: str, outputs: ArrayLike, labels: ArrayLike) -> tuple[Labels, Labels]:
    scores, true = _array(place, outputs), _array(place, labels)
    predicted = scores.argmax(axis=1) if scores.ndim == 2 and scores.shape[1] else scores
    if predicted.ndim != 1 or predicted.shape != true.shape:
        raise ShapeError(
            f"{place}: outputs are {scores.shape} and labels {true.shape}, "
            "expected scores (n, C) or labels (n,), and labels (n,)"
        )
    return _whole(place, "predicted labels", predicted), _whole(place, "labels", true)


def _array(place: str, values: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError:
        raise DataError(f"{place}: rows have different lengths: pad or cut them to one length") from None


def _whole(place: str, name: str, values: NDArray[Any]) -> Labels:
    real = values.dtype.kind == "f"
    if values.dtype.kind not in "biuf" or (real and not (np.isfinite(values) & (values == np.floor(values))).all()):
        raise LabelError(f"{place}: {name} must be whole numbers, got {values.dtype} {values[:3]}: renumber them")
    return values.astype(np.int64)


def _averaged(
    place: str, outputs: ArrayLike, labels: ArrayLike, average: str, positive: int, weight: ArrayLike | None
) -> float:
    choice(place, "average", average, ("macro", "binary"))
    whole(place, "positive", positive, least=0)
    matrix = confusion_matrix(outputs, labels, weight=weight)
    hits, predicted, true = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    of = {"precision": (hits, predicted), "recall": (hits, true), "f1": (2 * hits, predicted + true)}
    part, total = of[place]
    values = np.divide(part, total, out=np.zeros(len(part)), where=total > 0)
    if average == "macro":
        return float(np.mean(values[predicted + true > 0]))
    if len(values) > 2:
        raise LabelError(f'{place}: average="binary" is for labels 0 and 1, got {len(values)} classes: use "macro"')
    return float(values[positive]) if positive < len(values) else 0.0


def _errors(place: str, outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None) -> tuple[Floats, Floats]:
    a, b = (np.asarray(values, dtype=np.float64) for values in (outputs, targets))
    if a.shape != b.shape or a.ndim == 0:
        raise ShapeError(f"{place}: outputs are {a.shape} and targets {b.shape}, expected equal shapes (n, ...)")
    return (a - b).reshape(len(a), -1) if a.size else np.empty((0, 1)), _weights(place, weight, len(a))


def _weights(place: str, weight: ArrayLike | None, n: int) -> Floats:
    if n == 0:
        raise DataError(f"{place}: there are no samples")
    w = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64).ravel()
    if w.shape != (n,):
        raise ShapeError(f"{place}: weight has {w.size} values for {n} samples")
    if not (np.all(w >= 0) and w.sum() > 0):
        raise DataError(f"{place}: weights must be at least 0 and not all 0")
    return w


def _mean(place: str, hits: NDArray[Any], weight: ArrayLike | None) -> float:
    w = _weights(place, weight, hits.size)
    return float(w @ hits / w.sum())
