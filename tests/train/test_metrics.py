"""Metrics against values worked out by hand and, on random data, against their definitions in other words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import DataError, DtypeError, LabelError, NonFiniteError, OptionError, ShapeError
from chainrule.train import metrics

LABELS = [0, 0, 1, 1, 2, 2]
PREDICTED = [0, 1, 1, 1, 0, 2]  # confusion: [[1, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_accuracy_of_scores_and_of_labels():
    assert metrics.accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1]) == 0.5
    assert metrics.accuracy(PREDICTED, LABELS) == pytest.approx(4 / 6)


def test_accuracy_counts_weights():
    assert metrics.accuracy([0, 1, 1], [0, 0, 1], weight=[1, 2, 1]) == 0.5


def test_top_k():
    scores = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.4, 0.4, 0.2]]
    assert metrics.top_k(scores, [1, 0, 1], k=1) == 0
    assert metrics.top_k(scores, [1, 0, 1], k=2) == pytest.approx(2 / 3)
    assert metrics.top_k(scores, [1, 0, 1], k=3) == 1
    assert metrics.top_k(scores, [1, 0, 1], k=2, weight=[1, 2, 1]) == 0.5


@given(st.integers(0, 2**32 - 1))
def test_top_1_is_accuracy_even_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(0, 3, (20, 4)), rng.integers(0, 4, 20)
    assert metrics.top_k(scores, labels, k=1) == pytest.approx(metrics.accuracy(scores, labels))


def test_confusion_matrix():
    assert metrics.confusion_matrix(PREDICTED, LABELS).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert metrics.confusion_matrix([0], [0], classes=3).shape == (3, 3)
    assert metrics.confusion_matrix([0, 1], [0, 0], weight=[0.5, 2]).tolist() == [[0.5, 2], [0, 0]]


def test_macro_precision_recall_f1_by_hand():
    assert metrics.precision(PREDICTED, LABELS) == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert metrics.recall(PREDICTED, LABELS) == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert metrics.f1(PREDICTED, LABELS) == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3)


def test_macro_leaves_out_classes_that_do_not_occur():
    assert metrics.f1(np.eye(5)[[0, 1]], [0, 1]) == 1.0


def test_binary_precision_recall_f1_by_hand():
    predicted, true = [1, 1, 1, 0, 0], [1, 0, 0, 1, 0]
    assert metrics.precision(predicted, true, average="binary") == pytest.approx(1 / 3)
    assert metrics.recall(predicted, true, average="binary") == pytest.approx(1 / 2)
    assert metrics.f1(predicted, true, average="binary") == pytest.approx(2 / 5)
    assert metrics.precision(predicted, true, average="binary", positive=0) == pytest.approx(1 / 2)


def test_nothing_predicted_counts_as_zero():
    assert metrics.precision([0, 0], [0, 1], average="binary") == 0
    assert metrics.f1([0, 0], [0, 0], average="binary") == 0


def test_auc_by_hand():
    assert metrics.auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert metrics.auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1]) == 0.875
    assert metrics.auc([1, 1, 1], [0, 1, 1]) == 0.5
    assert metrics.auc([[3.0], [1.0]], [[0], [1]]) == 0


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_auc_is_the_share_of_ordered_pairs(seed, n):
    rng = np.random.default_rng(seed)
    scores, labels, weight = rng.integers(0, 5, n), rng.integers(0, 2, n), rng.integers(1, 4, n)
    labels[:2] = 0, 1
    pairs = total = 0.0
    for i in np.flatnonzero(labels == 1):
        for j in np.flatnonzero(labels == 0):
            pairs += weight[i] * weight[j] * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
            total += weight[i] * weight[j]
    assert metrics.auc(scores, labels, weight) == pytest.approx(pairs / total)


def test_regression_metrics_by_hand():
    assert metrics.mae([1, 2, 5], [1, 3, 3]) == 1
    assert metrics.rmse([1, 2, 5], [1, 3, 3]) == pytest.approx(math.sqrt(5 / 3))
    assert metrics.r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]) == pytest.approx(1 - 1 / (14 / 3))
    assert metrics.mae([1, 2], [0, 0], weight=[3, 1]) == 1.25


def test_r2_is_the_mean_over_columns():
    y = np.array([[0.0, 0.0], [2.0, 4.0]])
    assert metrics.r2(y.mean(axis=0) + 0 * y, y) == 0
    assert metrics.r2(np.stack([y[:, 0], [2.0, 2.0]], axis=1), y) == 0.5


def test_r2_of_constant_targets():
    assert metrics.r2([2.0, 2.0], [2.0, 2.0]) == 1
    assert metrics.r2([2.0, 3.0], [2.0, 2.0]) == 0
    assert metrics.r2([3.0], [2.0]) == 0
    assert metrics.r2([1e-170, 0.0], [0.0, 0.0]) == 0  # its square is 0
    assert metrics.r2([0.2] * 3, [0.1] * 3) == 0  # whose mean is not 0.1 but for rounding
    assert metrics.r2([1.0, 5.0, 3.0], [1.0, 1.0, 2.0], weight=[1, 1, 0]) == 0


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_squares_neither_overflow_nor_vanish(size):
    outputs, targets = size * np.array([1.0, 2.0, 3.0]), size * np.array([1.0, 2.0, 4.0])
    assert metrics.rmse(outputs, targets) == pytest.approx(size / math.sqrt(3))
    assert metrics.mae(outputs, targets) == pytest.approx(size / 3)
    assert metrics.r2(outputs, targets) == pytest.approx(1 - 1 / (14 / 3))


def test_all_scores_equal():
    assert metrics.accuracy(np.zeros((3, 2)), [0, 0, 1]) == pytest.approx(2 / 3)
    assert metrics.top_k(np.zeros((3, 2)), [0, 0, 1], k=5) == 1
    assert metrics.auc([0, 0, 0], [0, 1, 1]) == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["accuracy", "top_k", "confusion_matrix", "precision", "recall", "f1"])
def test_scores_that_are_not_finite_name_their_row_and_column(name, value):
    scores = np.zeros((4, 3), np.float32)
    scores[2, 1] = value
    with pytest.raises(NonFiniteError, match=f": row 2, output 1 is {value}: "):
        getattr(metrics, name)(scores, [0, 1, 2, 0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["auc", "mae", "rmse", "r2"])
def test_numbers_that_are_not_finite_name_their_row(name, value):
    with pytest.raises(NonFiniteError, match=f"{name}: row 1 is {value}: "):
        getattr(metrics, name)([0.0, value], [1.0, 1.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.accuracy([0, 1], [0]), ShapeError, r"outputs are \(2,\) and labels \(1,\)"),
        (lambda: metrics.accuracy([], []), DataError, "no samples"),
        (lambda: metrics.accuracy([0.5, 1], [0, 1]), LabelError, "whole numbers"),
        (lambda: metrics.accuracy([0, 1], ["a", "b"]), LabelError, "whole numbers"),
        (lambda: metrics.accuracy([0], [0], weight=[1, 2]), ShapeError, "2 values for 1 samples"),
        (lambda: metrics.accuracy([0], [0], weight=[-1]), DataError, "at least 0"),
        (lambda: metrics.top_k([0, 1], [0, 1]), ShapeError, r"expected \(n, C\)"),
        (lambda: metrics.top_k([[0, 1]], [2]), LabelError, "row 0 of the labels is 2, expected 0 to 1 for 2 classes"),
        (lambda: metrics.top_k([[0, 1]], [0], k=0), OptionError, "k is 0"),
        (lambda: metrics.confusion_matrix([0], [3], classes=2), LabelError, "expected 0 to 1"),
        (lambda: metrics.f1([0], [0], average="micro"), OptionError, "average is 'micro'"),
        (lambda: metrics.f1([0, 2], [0, 1], average="binary"), LabelError, 'use "macro"'),
        (lambda: metrics.f1([0, 1], [0, 1], average="binary", positive=-1), OptionError, "positive is -1"),
        (lambda: metrics.top_k([[0.1, 0.9]], [0.5]), LabelError, "top_k: labels must be whole numbers"),
        (lambda: metrics.accuracy([0, 1], [0, np.inf]), LabelError, "labels must be whole numbers"),
        (lambda: metrics.accuracy([[1, 2], [3]], [0, 1]), DataError, "accuracy: rows have different lengths"),
        (lambda: metrics.auc([0.5, 0.5], [0, 2]), LabelError, "contain 2, expected only 0 and 1"),
        (lambda: metrics.auc([0.5, 0.5], [1, 1]), DataError, "one sample of label 0"),
        (lambda: metrics.auc([math.nan, 0.5], [0, 1]), NonFiniteError, "auc: row 0 is nan"),
        (lambda: metrics.auc([0.5], [0, 1]), ShapeError, "expected"),
        (lambda: metrics.mae([[1.0]], [1.0]), ShapeError, "equal shapes"),
        (lambda: metrics.r2([], []), DataError, "no samples"),
        (lambda: metrics.r2([[], []], [[], []]), DataError, "are empty"),
        (lambda: metrics.mae([[1], [1, 2]], [1, 2]), DataError, "mae: rows have different lengths"),
        (lambda: metrics.mae(["a"], ["b"]), DtypeError, "mae: values have dtype <U1"),
        (lambda: metrics.rmse([0.0, 1.0], [1.0, math.nan]), DataError, "rmse: the target in row 1 is not finite"),
        (lambda: metrics.mae([1e308], [-1e308]), NonFiniteError, "outputs minus targets: row 0"),
        (lambda: metrics.mae([0.0], [1.0], weight=[math.inf]), DataError, "weights must be finite"),
        (lambda: metrics.accuracy([0, math.nan], [0, 1]), NonFiniteError, "accuracy: row 1 is nan"),
        (lambda: metrics.accuracy([0, 1], [0, math.nan]), LabelError, "whole numbers, row 1 is nan"),
        (lambda: metrics.accuracy([[0.7], [0.2]], [1, 0]), LabelError, "row 0 of the labels is 1, expected 0 to 0"),
    ],
)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()
