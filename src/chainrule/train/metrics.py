"""Metrics: how good a trained network is, in NumPy and float64.

Classification metrics take `outputs` as scores (n, C), of which the largest is the prediction (the first of equal
ones), or as predicted labels (n,), and whole `labels` (n,). Every metric takes optional `weight` (n,) of at least 0 per
sample. All raise NonFiniteError, naming the row, if an output is NaN or infinite; ShapeError for shapes that do not fit
together; LabelError, a DataError, for labels that are not classes; DataError for no samples, for targets that are not
finite and for weights that are negative or all 0; DtypeError for text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.arrays import to_array
from chainrule.errors import DataError, DtypeError, LabelError, ShapeError
from chainrule.settings import choice, whole
from chainrule.train.checks import check_outputs

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def accuracy(outputs: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The fraction of samples predicted correctly. Formula: Σ w·[ŷ = y] / Σ w.

    Example: accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])   # 0.5
    """
    predicted, true = _labels("accuracy", outputs, labels)
    return _mean("accuracy", predicted == true, weight)


def top_k(outputs: ArrayLike, labels: ArrayLike, k: int = 5, weight: ArrayLike | None = None) -> float:
    """The fraction of samples whose label is among the `k` largest scores; of equal scores the lower class comes first.

    It is 1 for k of at least C. Raises OptionError for k < 1, LabelError for a label outside 0 .. C - 1.
    Example: top_k([[0.1, 0.5, 0.4]], [2], k=2)   # 1.0
    """
    scores, true = to_array("top_k", outputs), to_array("top_k", labels)
    whole("top_k", "k", k)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ShapeError(f"top_k: scores are {scores.shape} and labels {true.shape}, expected (n, C) and (n,)")
    check_outputs("top_k", scores, _fix)
    true = _whole("top_k", "labels", true)
    _check_range("top_k", "labels", true, scores.shape[1])
    own = np.take_along_axis(scores, true[:, None], axis=1)
    lower = np.arange(scores.shape[1]) < true[:, None]
    ahead = (scores > own) | ((scores == own) & lower)
    return _mean("top_k", ahead.sum(axis=1) < k, weight)


def confusion_matrix(
    outputs: ArrayLike, labels: ArrayLike, classes: int | None = None, weight: ArrayLike | None = None
) -> Floats:
    """Counts (C, C): row = true class, column = predicted class. Formula: M[t, p] = Σ w·[y = t]·[ŷ = p].

    C is `classes`, else the number of scores, else the largest label + 1. Raises LabelError for labels outside
    0 .. C - 1.
    Example: confusion_matrix([0, 1, 1], [0, 0, 1])   # [[1, 1], [0, 1]]
    """
    scores = to_array("confusion_matrix", outputs)
    predicted, true = _labels("confusion_matrix", outputs, labels)
    if classes is None:
        most = max(int(predicted.max(initial=-1)), int(true.max(initial=-1))) + 1
        classes = scores.shape[1] if scores.ndim == 2 else most
    for name, values in (("predicted labels", predicted), ("labels", true)):
        _check_range("confusion_matrix", name, values, classes)
    w = _weights("confusion_matrix", weight, true.size)
    flat = np.bincount(true * classes + predicted, weights=w, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.float64)


def precision(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """Of the samples predicted to be in a class, the fraction that are. Formula: TP / (TP + FP), 0 for 0 / 0.

    `average` is "macro" (the plain mean over the classes that occur) or "binary" (the class `positive` only).
    Example: precision([1, 1, 0], [1, 0, 0], average="binary")   # 0.5
    """
    return _averaged("precision", outputs, labels, average, positive, weight)


def recall(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """Of the samples of a class, the fraction predicted to be. Formula: TP / (TP + FN), 0 for 0 / 0.

    `average` as for `precision`. Example: recall([1, 1, 0], [1, 0, 0], average="binary")   # 1.0
    """
    return _averaged("recall", outputs, labels, average, positive, weight)


def f1(
    outputs: ArrayLike, labels: ArrayLike, average: str = "macro", positive: int = 1, weight: ArrayLike | None = None
) -> float:
    """The harmonic mean of precision and recall. Formula: 2·TP / (2·TP + FP + FN), 0 for 0 / 0.

    `average` as for `precision`. Example: f1([1, 1, 0], [1, 0, 0], average="binary")   # 2 / 3
    """
    return _averaged("f1", outputs, labels, average, positive, weight)


def auc(scores: ArrayLike, labels: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The area under the ROC curve: how often a positive sample (label 1) scores above a negative one (label 0).

    Formula: P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2, by ranks, so ties count half. scores and labels: (n,) or (n, 1). Raises
    LabelError for labels other than 0 and 1, DataError if one of the two is missing or has no weight: the area is not
    defined then.
    Example: auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])   # 0.875
    Source: Hanley and McNeil, Radiology 143, 1982.
    """
    s, y = _numbers("auc", scores), _numbers("auc", labels)
    if s.shape != y.shape or s.size != max(s.shape, default=1):
        raise ShapeError(f"auc: scores are {s.shape} and labels {y.shape}, expected (n,) and (n,)")
    s, y = s.ravel(), y.ravel()
    if not np.isin(y, (0.0, 1.0)).all():
        raise LabelError(f"auc: labels contain {y[~np.isin(y, (0.0, 1.0))][0]:g}, expected only 0 and 1")
    check_outputs("auc", s, _fix)
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
    error, _, w, power = _errors("mae", outputs, targets, weight)
    return float(np.ldexp(np.mean(w @ np.abs(error) / w.sum()), power))


def rmse(outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Root mean squared error. Formula: √(Σ w·(ŷ - y)² / Σ w), the mean over columns inside the root."""
    error, _, w, power = _errors("rmse", outputs, targets, weight)
    return float(np.ldexp(np.sqrt(np.mean(w @ error**2 / w.sum())), power))


def r2(outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The fraction of the targets' variance that is explained. Formula: 1 - Σ w·(ŷ - y)² / Σ w·(y - ȳ)², the mean over
    columns.

    It is at most 1, and below 0 for predictions worse than the mean ȳ. A column of constant targets, or a single
    sample, has no variance to explain: it counts as 1 if every prediction is exact and otherwise as 0, as in
    scikit-learn.
    Example: r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])   # 1 - 1 / (14 / 3)
    """
    error, y, w, power = _errors("r2", outputs, targets, weight)
    error, y, w = error[w > 0], y[w > 0], w[w > 0]
    constant, exact = (y == y[0]).all(axis=0), (error == 0).all(axis=0)
    y, own = _normal(y)
    deviation, more = _normal(y - w @ y / w.sum())
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # for constant columns
        unexplained = np.ldexp(w @ error**2 / (w @ deviation**2), 2 * (power - own - more))
    return float(np.mean(np.where(constant, exact, 1 - unexplained)))


def _fix() -> str:
    return "remove such rows, or fix what computed them"


def _labels(place: str, outputs: ArrayLike, labels: ArrayLike) -> tuple[Labels, Labels]:
    """Predicted and true labels; both are valid classes if `outputs` are scores."""
    scores, true = to_array(place, outputs), to_array(place, labels)
    scored = scores.ndim == 2 and scores.shape[1] > 0
    predicted = scores.argmax(axis=1) if scored else scores
    if predicted.ndim != 1 or predicted.shape != true.shape:
        raise ShapeError(
            f"{place}: outputs are {scores.shape} and labels {true.shape}, "
            "expected scores (n, C) or labels (n,), and labels (n,)"
        )
    check_outputs(place, scores, _fix)
    predicted, true = _whole(place, "predicted labels", predicted), _whole(place, "labels", true)
    if scored:
        _check_range(place, "labels", true, scores.shape[1])
    return predicted, true


def _numbers(place: str, values: ArrayLike) -> Floats:
    array = to_array(place, values)
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{place}: values have dtype {array.dtype}, expected real numbers: convert them first")
    return array.astype(np.float64)


def _whole(place: str, name: str, values: NDArray[Any]) -> Labels:
    if values.dtype.kind not in "biuf":
        raise LabelError(f"{place}: {name} must be whole numbers, got {values.dtype} {values[:3]}: renumber them")
    wrong = ~(np.isfinite(values) & (values == np.floor(values)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(f"{place}: {name} must be whole numbers, row {row} is {values[row]:g}: renumber them")
    return values.astype(np.int64)


def _check_range(place: str, name: str, values: Labels, classes: int) -> None:
    outside = (values < 0) | (values >= classes)
    if outside.any():
        row = int(np.argmax(outside))
        raise LabelError(
            f"{place}: row {row} of the {name} is {values[row]}, expected 0 to {classes - 1} for {classes} classes"
        )


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
        raise LabelError(f'{place}: average="binary" expects labels 0 and 1, got {len(values)} classes: use "macro"')
    return float(values[positive]) if positive < len(values) else 0.0


def _errors(
    place: str, outputs: ArrayLike, targets: ArrayLike, weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats, int]:
    """Errors e (n, c), targets (n, c), weights, and k: the errors are e·2ᵏ, so that no square over- or underflows."""
    a, b = _numbers(place, outputs), _numbers(place, targets)
    if a.shape != b.shape or a.ndim == 0:
        raise ShapeError(f"{place}: outputs are {a.shape} and targets {b.shape}, expected equal shapes (n, ...)")
    w = _weights(place, weight, len(a))
    if not a.size:
        raise DataError(f"{place}: outputs of shape {a.shape} are empty: pass at least one column")
    check_outputs(place, a, _fix)
    if not np.isfinite(b).all():
        row = int(np.argmin(np.isfinite(b).reshape(len(b), -1).all(axis=1)))
        raise DataError(f"{place}: the target in row {row} is not finite: fill it in, or remove the row")
    with np.errstate(over="ignore"):
        error = (a - b).reshape(len(a), -1)
    check_outputs(f"{place} of outputs minus targets", error, lambda: "scale both")
    error, power = _normal(error)
    return error, b.reshape(error.shape), w, power


def _normal(values: Floats) -> tuple[Floats, int]:
    """v and k such that v·2ᵏ are the given values, with the largest v between ½ and 1."""
    power = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -power), power


def _weights(place: str, weight: ArrayLike | None, n: int) -> Floats:
    if n == 0:
        raise DataError(f"{place}: there are no samples")
    w = np.ones(n) if weight is None else _numbers(place, weight).ravel()
    if w.shape != (n,):
        raise ShapeError(f"{place}: weight has {w.size} values for {n} samples")
    if not (np.all(w >= 0) and 0 < w.sum() < np.inf):
        raise DataError(f"{place}: weights must be finite, at least 0 and not all 0")
    return w


def _mean(place: str, hits: NDArray[Any], weight: ArrayLike | None) -> float:
    w = _weights(place, weight, hits.size)
    return float(w @ hits / w.sum())
