"""A label for each step of a sequence: outputs (n, t, classes), labels (n, t), some of them ignored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError, LabelError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 7, 4)).astype("f4")
Y = RNG.integers(0, 3, size=(50, 7))
SOME = np.where(RNG.random((50, 7)) < 0.3, -100, Y)
SOME[4] = -100  # a row without any label
WEIGHT = RNG.random(50) * (np.arange(50) % 5 > 0)
ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])
LOSSES = {
    "plain": nn.CrossEntropyLoss(),
    "by class": nn.CrossEntropyLoss(weight=[1.0, 0.0, 2.0]),
    "smooth": nn.CrossEntropyLoss(weight=[1.0, 0.0, 2.0], label_smoothing=0.1),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "a class ignored": nn.CrossEntropyLoss(ignore_index=1),
}


def trainer(loss: Any, engine: str = "compiled", **settings: Any) -> cr.Trainer:
    model = nn.Linear(4, 3)
    model.weight.data, model.bias.data = np.eye(4, 3), np.zeros(3)
    return cr.Trainer(model, loss, optim.SGD(lr=0.1), engine=engine, **settings)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("y", [Y, SOME], ids=["all", "some"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
def test_both_engines_agree_with_any_number_of_workers(loss: Any, y: Any, weight: Any) -> None:
    y = np.where(y == -100, loss.ignore_index, y)
    results = []
    for engine, threads in (("reference", 1), ("compiled", 1), ("compiled", 2), ("compiled", 3), ("compiled", 8)):
        run = trainer(loss, engine, threads=threads)
        measured = run.evaluate(X, y, weight)
        history = run.fit(X, y, epochs=2, batch_size=16, sample_weight=weight, validation_data=(X, y, weight))
        results.append([*measured.values(), *history["loss"], *history["val_loss"], run.step(X, y, weight)])
        assert run.predict(X).shape == (50, 7, 3)
    reference, alone, *others = results
    np.testing.assert_allclose(alone, reference, rtol=1e-5)
    assert all(other == alone for other in others)


@ENGINES
def test_steps_count_as_rows_do(engine: str) -> None:
    """Labels of steps are labels of rows, and those ignored might as well be missing."""
    flat = trainer(LOSSES["plain"], engine)
    kept = SOME.ravel() != -100
    measured = flat.evaluate(X.reshape(-1, 4)[kept], SOME.ravel()[kept])
    by_steps = trainer(LOSSES["plain"], engine)
    assert by_steps.evaluate(X, SOME) == pytest.approx(measured)
    assert by_steps.step(X, SOME) == pytest.approx(flat.step(X.reshape(-1, 4)[kept], SOME.ravel()[kept]))
    np.testing.assert_allclose(by_steps.model.weight.data, flat.model.weight.data, rtol=1e-5)


@ENGINES
def test_an_epochs_loss_is_that_of_its_labels(engine: str) -> None:
    run = trainer(LOSSES["plain"], engine)
    run.optimizer = optim.SGD(lr=0.0)
    history = run.fit(X, SOME, epochs=1, batch_size=16, validation_data=(X, SOME))
    assert history["loss"] == pytest.approx(history["val_loss"])


@ENGINES
def test_mistakes_are_named(engine: str) -> None:
    run = trainer(LOSSES["plain"], engine)
    for call in (run.step, run.evaluate):
        with pytest.raises(DataError, match="every row is of a class of weight 0 or has a label that is ignored"):
            call(X, np.full_like(Y, -100))
        with pytest.raises(LabelError, match="row 2 is -1, expected 0 to 2"):
            call(X, np.where(np.arange(50)[:, None] == 2, -1, Y))
        with pytest.raises(ShapeError, match=r"labels have shape \(50,\), expected \(50, 7\)"):
            call(X, Y[:, 0])
    with pytest.raises(LabelError, match=r"expected 0 to 2"):
        trainer(nn.CrossEntropyLoss(ignore_index=5), engine).step(X, SOME)


def test_an_ignored_row_with_an_infinite_output_is_no_error() -> None:
    outputs = np.zeros((2, 3), "f4")
    outputs[1, 0] = np.inf
    x = cr.tensor(outputs, requires_grad=True)
    loss = nn.CrossEntropyLoss()(x, [1, -100])
    loss.backward()
    assert loss.item() == pytest.approx(np.log(3))
    assert x.grad is not None
    assert x.grad[1].tolist() == [0.0, 0.0, 0.0]
