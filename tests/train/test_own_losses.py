"""Losses of the user's own: how they are called, and which targets reach them, alike on both engines."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions
from chainrule.errors import LabelError, OptionError, ShapeError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
LABELS = RNG.integers(0, 3, size=20)
COUNTS = RNG.integers(0, 5, size=(20, 1))


def run(engine, loss, y, outputs=1):
    """The loss of a step, a gradient, and the loss after three epochs."""
    cr.seed(1)
    trainer = Trainer(nn.Linear(3, outputs), loss, optim.SGD(lr=0.01), engine=engine)
    gradient = trainer.gradients(X, y)["weight"]
    first = trainer.step(X, y)
    history = trainer.fit(X, y, epochs=3, batch_size=8, validation_data=(X, y))
    return first, gradient, history["val_loss"]


def squares(output, target, weight=None):
    return ((output - target) * (output - target)).mean()


def smooth(output, target, weight=None):
    """Class labels inside a formula."""
    return nn.CrossEntropyLoss()(output, target, weight) + 0.1 * (output * output).mean()


class Above:
    def __call__(self, output, target, sample_weight):
        return functions.where(functions.greater(target, 1), output, 2.0 * output).mean()


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [
        (squares, COUNTS, 1),
        (squares, COUNTS > 1, 1),
        (squares, COUNTS.astype(np.uint8), 1),
        (Above(), COUNTS, 1),
        (lambda output, target, weight: (output * target).mean(), COUNTS, 1),
        (lambda output, target, *rest: nn.MSELoss()(output, target), COUNTS, 1),
        (lambda output, target, *rest: nn.BCEWithLogitsLoss()(output, target), COUNTS > 1, 1),
        (smooth, LABELS, 3),
    ],
)
def test_whole_targets_mean_the_same_to_both_engines(loss, y, outputs):
    expected, found = (run(engine, loss, y, outputs) for engine in ("reference", "compiled"))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-7)


def test_whole_targets_are_numbers_where_the_loss_takes_them():
    for engine in ("reference", "compiled"):
        whole, real = run(engine, squares, COUNTS), run(engine, squares, COUNTS.astype(np.float64))
        for one, other in zip(whole, real, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    ("y", "message"),
    [(np.where(LABELS == 2, 3, LABELS), "cross_entropy: label 3 in row"), (LABELS + 0.0, "expected whole numbers")],
)
def test_labels_of_a_loss_of_ones_own_are_checked(engine, y, message):
    with pytest.raises(LabelError, match=message):
        run(engine, smooth, y, 3)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_mistake_in_the_loss_is_told_as_it_is(engine):
    with pytest.raises(ShapeError):
        run(engine, lambda output, target, weight: nn.MSELoss()(output, target.sum(axis=1)), COUNTS)
    with pytest.raises(TypeError, match="unsupported operand"):
        run(engine, lambda output, target, weight: output.mean() + ([] - 1), COUNTS)


class NoWeight:
    def __call__(self, output, target):
        return squares(output, target)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    "loss",
    [
        lambda output, target: squares(output, target),
        lambda output, target, weight, more: squares(output, target),
        lambda output, target, *, sample_weight=None: squares(output, target),
        NoWeight(),
        functools.partial(squares, weight=None),
    ],
)
def test_a_loss_with_other_parameters_is_refused(loss, engine):
    with pytest.raises(
        OptionError, match=r"Trainer: loss is .* make it callable as loss\(output, target, sample_weight\)"
    ):
        Trainer(nn.Linear(3, 1), loss, optim.SGD(), engine=engine)


def test_a_loss_may_have_more_parameters_with_defaults():
    def scaled(output, target, weight=None, scale=2.0):
        return squares(output, target) * scale

    assert run("reference", scaled, COUNTS)[0] == pytest.approx(2 * run("reference", squares, COUNTS)[0])
