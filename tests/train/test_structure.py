"""A model that was changed after its trainer was made is traced again."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.train import Trainer
from chainrule.train.structure import Snapshot, structure

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
    assert np.array_equal(trainer.predict(X), before)  # once more: from now on objects are compared by identity
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


class Odd(nn.Module):
    """A layer with attributes of all kinds, whose layers are not in its attributes."""

    hidden = ()

    def __init__(self):
        self.count, self.names, self.table = 1, ["a", [nn.Tanh()]], {"b": 2, "c": {"d": np.zeros(2)}}
        self.pair = nn.Parameter(np.zeros(2)), [np.zeros(3)]
        self.shift, self.rate = cr.tensor([1.0]), np.float32(0.5)

    def named_children(self):
        return {str(i): layer for i, layer in enumerate(Odd.hidden)}


CHANGES = {
    "a layer replaced by one like it": lambda model: model.layers.__setitem__(1, nn.Tanh()),
    "a layer added": lambda model: model.layers.append(nn.Tanh()),
    "layers swapped": lambda model: model.layers.reverse(),
    "a mode": lambda model: setattr(model.layers[1], "training", False),
    "another class": lambda model: setattr(model.layers[1], "__class__", nn.Sigmoid),
    "frozen": lambda model: setattr(model.layers[0].weight, "requires_grad", False),
    "frozen in a tuple": lambda model: setattr(model.layers[2].pair[0], "requires_grad", False),
    "cast": lambda model: model.astype(np.float64),
    "a parameter": lambda model: setattr(model.layers[0], "bias", nn.Parameter(np.zeros(4))),
    "no parameter": lambda model: setattr(model.layers[0], "bias", None),
    "an attribute": lambda model: setattr(model.layers[2], "count", 2),
    "an attribute equal to it": lambda model: setattr(model.layers[2], "count", True),
    "a new attribute": lambda model: setattr(model.layers[2], "other", 1),
    "an attribute less": lambda model: delattr(model.layers[2], "count"),
    "an item": lambda model: model.layers[2].names.__setitem__(0, "z"),
    "an item inside": lambda model: model.layers[2].names[1].clear(),
    "an entry": lambda model: model.layers[2].table.update(b=3),
    "a key": lambda model: model.layers[2].table.update(z=model.layers[2].table.pop("b")),
    "an array in a dict": lambda model: model.layers[2].table["c"]["d"].fill(1.0),
    "an array in a tuple": lambda model: model.layers[2].pair[1][0].fill(1.0),
    "an array's shape": lambda model: model.layers[2].pair[1].__setitem__(0, np.zeros((3, 1))),
    "a constant": lambda model: setattr(model.layers[2].shift, "data", np.array([2.0])),
    "a scalar": lambda model: setattr(model.layers[2], "rate", np.float32(0.25)),
    "layers that only a method knows": lambda model: setattr(Odd, "hidden", (nn.Tanh(),)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_snapshot_holds_until_something_changes(change, monkeypatch):
    monkeypatch.setattr(Odd, "hidden", (nn.Linear(2, 2),))
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), Odd())
    snapshot = Snapshot(model)
    assert snapshot.holds()
    model.layers[0].weight.data = model.layers[0].weight.data + 1.0  # values are read in every run
    model.layers[0].bias.data[...] = 1.0
    assert snapshot.holds()
    change(model)
    assert not snapshot.holds()
    assert Snapshot(model).holds()


def test_a_class_may_say_what_its_modes_are():
    class Kept(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self.layers[1].training = True
            return self

    model = Kept(nn.Linear(5, 4), nn.Dropout(0.5))
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1), engine="reference")
    for _ in range(3):
        assert (trainer.predict(np.ones((40, 5))) == 0.0).any()
    assert all(module.training for module in model.named_modules().values())
