"""The epoch's loss is that of its rows, however they are weighted and cut into batches."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DataError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3))
LABELS = RNG.choice(3, size=50, p=(0.8, 0.15, 0.05))
VALUES, YES = RNG.normal(size=(50, 3)), RNG.integers(0, 2, (50, 3)).astype(float)
WEIGHT = np.where(np.arange(50) % 7 == 0, 0.0, RNG.uniform(0, 4, 50))
RARE = np.array([0.1, 1.0, 20.0])
STILL = optim.SGD(lr=1e-30)


@pytest.fixture(params=["reference", "compiled"])
def engine(request):
    return request.param


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (nn.CrossEntropyLoss(), LABELS),
        (nn.CrossEntropyLoss(weight=RARE), LABELS),
        (nn.CrossEntropyLoss(weight=RARE, label_smoothing=0.2), LABELS),
        (nn.CrossEntropyLoss(weight=[0.0, 1.0, 2.0]), LABELS),
        (nn.CrossEntropyLoss(weight=RARE, reduction="sum"), LABELS),
        (nn.BCEWithLogitsLoss(pos_weight=[1.0, 5.0, 9.0]), YES),
        (nn.BCEWithLogitsLoss(reduction="sum"), YES),
        (nn.MSELoss(), VALUES),
        (nn.MSELoss(reduction="sum"), VALUES),
        (nn.L1Loss(), VALUES),
        (nn.HuberLoss(0.5), VALUES),
    ],
    ids=str,
)
def test_it_is_the_loss_of_the_data(loss, y, weight):
    cr.seed(0)
    trainer = Trainer(nn.Linear(3, 3), loss, STILL, engine="reference")
    history = trainer.fit(X, y, epochs=2, batch_size=8, sample_weight=weight, validation_data=(X, y, weight))
    np.testing.assert_allclose(history["loss"], trainer.evaluate(X, y, weight)["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], history["val_loss"], rtol=1e-5)


def test_it_is_so_in_stretches_of_epochs_and_for_labels_of_several_axes(engine):
    cr.seed(0)
    labels = LABELS.reshape(10, 5)
    x = X.reshape(10, 5, 3)
    trainer = Trainer(nn.Linear(3, 3), nn.CrossEntropyLoss(weight=RARE), STILL, engine=engine)
    history = trainer.fit(x, labels, epochs=9, batch_size=3)
    np.testing.assert_allclose(history["loss"], trainer.evaluate(x, labels)["loss"], rtol=1e-5)


def test_a_loss_of_ones_own_counts_rows_or_their_weights():
    def own(output, target, weight):
        loss = nn.MSELoss()(output, target)
        return loss if weight is None else loss + weight.sum()

    x, y = np.zeros((3, 1)), np.array([[1.0], [1.0], [4.0]])
    layer = nn.Linear(1, 1)
    layer.bias.data[:] = 0
    trainer = Trainer(layer, own, STILL, engine="reference")
    assert trainer.fit(x, y, epochs=1, batch_size=2, shuffle=False)["loss"] == pytest.approx([(2 * 1 + 16) / 3])
    weighted = trainer.fit(x, y, epochs=1, batch_size=2, shuffle=False, sample_weight=[1.0, 1.0, 4.0])
    assert weighted["loss"] == pytest.approx([(2 * 3 + 4 * 20) / 6])


def test_a_batch_of_classes_of_weight_0_is_left_out(engine):
    """In torch its loss is NaN."""
    cr.seed(0)
    y = np.array([0] * 8 + [1, 2] * 4)
    trainer = Trainer(nn.Linear(3, 3), nn.CrossEntropyLoss(weight=[0.0, 1.0, 1.0]), optim.SGD(lr=0.1), engine=engine)
    history = trainer.fit(X[:16], y, epochs=3, batch_size=4, shuffle=False)
    assert trainer.steps == 6
    assert np.isfinite(history["loss"]).all()


def test_with_smoothing_such_a_batch_is_refused_before_its_epoch():
    y = np.array([0] * 8 + [1, 2] * 4)
    loss = nn.CrossEntropyLoss(weight=[0.0, 1.0, 1.0], label_smoothing=0.1)
    trainer = Trainer(nn.Linear(3, 3), loss, optim.SGD(lr=0.1), engine="reference")
    with pytest.raises(DataError, match="batch 0 of epoch 0 has only rows of classes of weight 0"):
        trainer.fit(X[:16], y, epochs=3, batch_size=4, shuffle=False)
    assert trainer.steps == 0


def test_rows_that_are_all_of_classes_of_weight_0_are_refused(engine):
    trainer = Trainer(nn.Linear(3, 3), nn.CrossEntropyLoss(weight=[0.0, 1.0, 1.0]), optim.SGD(lr=0.1), engine=engine)
    x, y = X[:4], np.zeros(4, int)
    for call in (trainer.fit, trainer.step, trainer.gradients, trainer.evaluate):
        with pytest.raises(DataError, match=r"^y: every row is of a class of weight 0"):
            call(x, y)
    with pytest.raises(DataError, match=r"^validation y: every row is of a class of weight 0"):
        trainer.fit(X, LABELS, validation_data=(x, y))
    assert trainer.steps == 0
