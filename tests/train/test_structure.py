"""A model that was changed after its trainer was made is traced again."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.train import Trainer
from chainrule.train.structure import structure

X = np.random.default_rng(0).normal(size=(20, 5))


@pytest.fixture(params=["reference", "compiled"])
def engine(request):
    return request.param


def test_layers_may_be_replaced_and_parameters_may_not(engine):
    cr.seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(), engine=engine)
    before = trainer.predict(X)
    model.layers[1] = nn.ReLU()
    assert not np.array_equal(trainer.predict(X), before)
    model.layers.append(nn.Linear(2, 2))
    with pytest.raises(OptionError, match="make a new Trainer"):
        trainer.fit(X, np.zeros(20, int))


class Scaled(nn.Module):
    """A layer whose attributes are not in its `config`."""

    def __init__(self):
        self.factor, self.shift, self.steps = 1.0, cr.tensor(0.0), [np.zeros(1, "f4")]
        self.function = lambda x: x

    def forward(self, x):
        return self.function(x * self.factor + self.shift + self.steps[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: setattr(layer, "factor", 2.0),
        lambda layer: setattr(layer, "function", lambda x: x * 2.0),
        lambda layer: layer.shift.data.fill(1.0),
        lambda layer: layer.steps[0].fill(1.0),
    ],
)
def test_attributes_of_ones_own_layers_may_change(engine, change):
    cr.seed(0)
    model = nn.Sequential(nn.Linear(5, 1), Scaled())
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine)
    before = trainer.predict(X)
    change(model.layers[1])
    assert not np.array_equal(trainer.predict(X), before)
    np.testing.assert_allclose(trainer.predict(X), model(X).data, rtol=1e-6)


def test_nothing_changes_by_training_and_predicting(engine):
    cr.seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.Linear(4, 1), Scaled())
    model.layers[1].p = float("nan")  # not equal to itself
    known = structure(model)
    model.layers[1].p = 0.5
    assert structure(model) != known
    trainer, known = Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine), structure(model)
    trainer.fit(X, X[:, :1], epochs=2, validation_data=(X, X[:, :1]))
    trainer.predict(X)
    assert structure(model) == known
    assert structure(model.eval()) == known  # the model is switched as a whole
