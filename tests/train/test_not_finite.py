"""Outputs and metrics that are not finite end in an error with the row, on both engines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule import nn, optim
from chainrule.errors import DataError, NonFiniteError
from chainrule.train import EarlyStopping, Trainer

X = np.zeros((300, 2), np.float32)
X[270] = 3e38  # beyond the first block of predictions
LABELS, VALUES = np.arange(300) % 2, np.linspace(0.0, 1.0, 300)[:, None]
FAR = "row 270, output 1 is inf: remove such rows"


@pytest.fixture(params=["reference", "compiled"])
def engine(request):
    return request.param


def network(outputs):
    layer = nn.Linear(2, outputs)
    layer.weight.data[...] = np.eye(2, outputs)[:, ::-1]
    layer.weight.data[:, -1] = 1.0
    return layer


def test_predictions_and_metrics_name_the_row(engine):
    trainer = Trainer(network(2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
    for call in (lambda: trainer.predict(X), lambda: trainer.evaluate(X, LABELS)):
        with pytest.raises(NonFiniteError, match=f"^outputs: {FAR}") as caught:
            call()
        assert (caught.value.row, caught.value.step) == (270, None)
    assert trainer.predict(X[:270]).shape == (270, 2)


def test_weights_that_are_not_finite_are_named(engine):
    trainer = Trainer(network(2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
    trainer.model.bias.data[1] = np.nan
    with pytest.raises(NonFiniteError, match=r'^outputs: row 0, output 1 is nan: "bias" of the model contains values'):
        trainer.predict(X[:3])


def test_validation_names_the_row_and_leaves_a_trainer_of_use(engine):
    trainer = Trainer(network(2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
    with pytest.raises(NonFiniteError, match=f"^validation outputs: {FAR}"):
        trainer.fit(X[:200], LABELS[:200], epochs=2, validation_data=(X, LABELS))
    assert trainer.steps == 4
    assert trainer.fit(X[:200], LABELS[:200], epochs=1).epochs == 1


def test_a_loss_beyond_float32_names_the_first_row(engine):
    trainer = Trainer(network(1), nn.MSELoss(), optim.SGD(lr=0.1), engine=engine)
    x = np.zeros((300, 2), np.float32)
    x[[40, 50]] = 1e25
    with pytest.raises(NonFiniteError, match=r"^loss: is inf because of row 40, whose outputs range from 2e\+25"):
        trainer.evaluate(x, VALUES)
    weight = np.ones(300)
    weight[[40, 50]] = 0
    kept = np.flatnonzero(weight)
    assert trainer.evaluate(x, VALUES, weight)["loss"] == trainer.evaluate(x[kept], VALUES[kept])["loss"]


def own(output, target, weight):
    assert len(output.data) > 1
    return output.exp().mean()


@pytest.mark.parametrize("loss", [nn.MSELoss(reduction="sum"), own])
def test_where_no_row_is_at_fault_alone_that_of_the_largest_output_is_named(loss):
    trainer = Trainer(network(1), loss, optim.SGD(lr=0.1), engine="reference")
    x = np.full((300, 2), 6e18)
    x[7] = 7e18
    with pytest.raises(NonFiniteError, match=r"^loss: is inf because of row 7,"):
        trainer.evaluate(x, VALUES)


def test_a_metric_of_ones_own_that_is_not_finite_is_told_and_no_improvement():
    settings = {"engine": "reference", "metrics": {"share": lambda outputs, targets: math.nan}}
    trainer = Trainer(network(1), nn.MSELoss(), optim.SGD(lr=0.1), **settings)
    stopping = EarlyStopping(patience=2, monitor="val_share", mode="max")
    with pytest.warns(RuntimeWarning, match='metric "share": returned nan, which counts as no improvement'):
        history = trainer.fit(X[:9], VALUES[:9], epochs=5, validation_data=(X[:9], VALUES[:9]), callbacks=[stopping])
    assert history.epochs == 2
    assert np.isnan(history["val_share"]).all()
    assert history.stopped == "val_share has not improved for 2 epochs, never a number"


def test_what_is_given_is_an_error_of_the_data():
    trainer = Trainer(network(2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine="reference")
    with pytest.raises(DataError, match="x: row 1 holds inf"):
        trainer.predict(np.array([[0.0, 0.0], [np.inf, 0.0]]))


def test_a_metric_that_returns_an_array_is_told_on_one_line():
    settings = {"engine": "reference", "metrics": {"errors": lambda outputs, targets: np.abs(outputs - targets)}}
    trainer = Trainer(network(1), nn.MSELoss(), optim.SGD(lr=0.1), **settings)
    with pytest.raises(DataError, match=r'^metric "errors": returned array\(.{1,80}, expected one number$'):
        trainer.evaluate(X[:99], VALUES[:99])
