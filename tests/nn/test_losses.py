"""Losses: values by hand, weights, refusals, extreme logits."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import LabelError, OptionError, ShapeError

X = np.array([[0.0, 1.0, 3.0], [2.0, -1.0, 0.5]])
T = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
LABELS = np.array([2, 0])


def by_hand(elements, weight=None, reduction="mean"):
    weights = np.ones(len(elements)) if weight is None else np.asarray(weight)
    spread = np.broadcast_to(weights.reshape(-1, *[1] * (elements.ndim - 1)), elements.shape)
    total = (elements * spread).sum()
    return total if reduction == "sum" else total / spread.sum()


def elements_of(loss):
    d = X - T
    if isinstance(loss, nn.MSELoss):
        return d**2
    if isinstance(loss, nn.L1Loss):
        return np.abs(d)
    if isinstance(loss, nn.HuberLoss):
        return np.where(np.abs(d) <= loss.delta, d**2 / 2, loss.delta * (np.abs(d) - loss.delta / 2))
    sigmoid = 1 / (1 + np.exp(-X))
    return -(T * np.log(sigmoid) + (1 - T) * np.log(1 - sigmoid))


@pytest.mark.parametrize("kind", [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, [1, 3]])
def test_losses_of_elements(kind, reduction, weight):
    loss = kind(reduction=reduction)
    expected = by_hand(elements_of(loss), weight, reduction)
    assert loss(cr.tensor(X), T, weight).item() == pytest.approx(expected, rel=1e-12)
    assert cr.gradcheck(lambda x: loss(x, T, weight), X)


@pytest.mark.parametrize("weight", [None, [1.0, 3.0]])
def test_cross_entropy(weight):
    log_p = X - np.log(np.exp(X).sum(1, keepdims=True))
    elements = -log_p[np.arange(2), LABELS]
    assert nn.CrossEntropyLoss()(cr.tensor(X), LABELS, weight).item() == pytest.approx(by_hand(elements, weight))
    smooth = 0.9 * elements - 0.1 * log_p.mean(1)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert loss(cr.tensor(X), LABELS, weight).item() == pytest.approx(by_hand(smooth, weight))
    by_class = nn.CrossEntropyLoss(weight=[1, 2, 4])
    each = np.array([4.0, 1.0]) * (1.0 if weight is None else np.asarray(weight))
    assert by_class(cr.tensor(X), LABELS, weight).item() == pytest.approx((each * elements).sum() / each.sum())


def test_positive_weights():
    loss = nn.BCEWithLogitsLoss(pos_weight=[2.0, 1.0, 3.0])
    sigmoid = 1 / (1 + np.exp(-X))
    expected = -([2.0, 1.0, 3.0] * T * np.log(sigmoid) + (1 - T) * np.log(1 - sigmoid)).mean()
    assert loss(cr.tensor(X), T).item() == pytest.approx(expected)
    assert nn.BCEWithLogitsLoss(pos_weight=2.0)(cr.tensor([0.0]), [1.0]).item() == pytest.approx(2 * math.log(2))


def test_huge_logits():
    x = np.array([[1e4, -1e4], [1e4, -1e4]], np.float32)
    assert nn.CrossEntropyLoss()(cr.tensor(x), [0, 1]).item() == 1e4
    assert nn.BCEWithLogitsLoss()(cr.tensor(x), [[1.0, 0.0], [0.0, 1.0]]).item() == 5e3


def test_whole_settings_keep_float32():
    x = cr.tensor(X.astype(np.float32))
    assert nn.CrossEntropyLoss(weight=[1, 2, 3])(x, LABELS).dtype == np.float32
    assert nn.BCEWithLogitsLoss(pos_weight=[1, 2, 3])(x, T).dtype == np.float32
    assert nn.MSELoss()(x, T, np.array([1, 2])).dtype == np.float32


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), nn.BCEWithLogitsLoss()])
def test_nothing_broadcasts(loss):
    with pytest.raises(ShapeError, match=r"\(4,\).*\(4, 1\)"):
        loss(cr.tensor(np.zeros(4)), np.zeros((4, 1)))
    with pytest.raises(ShapeError):
        loss(cr.tensor(X), T, np.ones((2, 1)))
    with pytest.raises(ShapeError):
        loss(cr.tensor(np.zeros((0, 3))), np.zeros((0, 3)))


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.5], [0.0, 1.0]])
def test_labels_are_checked(labels):
    with pytest.raises(LabelError):
        nn.CrossEntropyLoss()(cr.tensor(X), labels)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.MSELoss(reduction="none"),
        lambda: nn.HuberLoss(delta=0.0),
        lambda: nn.CrossEntropyLoss(label_smoothing=1.5),
        lambda: nn.CrossEntropyLoss(weight=[1.0, -1.0]),
        lambda: nn.CrossEntropyLoss(weight=[[1.0]]),
        lambda: nn.BCEWithLogitsLoss(pos_weight=[np.nan]),
    ],
)
def test_bad_settings(build):
    with pytest.raises(OptionError):
        build()
