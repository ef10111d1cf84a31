"""Early stopping ends a run in time and puts the best weights back, whatever ended it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import NonFiniteError, OptionError
from chainrule.train import EarlyStopping, Trainer

X = np.array([[1.0], [2.0]])
Y = np.array([[1.0], [3.0]])


def trainer(schedule=None, **settings):
    cr.seed(0)
    return Trainer(nn.Linear(1, 1), nn.MSELoss(), optim.SGD(lr=0.1), schedule=schedule, engine="reference", **settings)


class Spy:
    """Notes the weights after each epoch."""

    def on_fit_begin(self, trainer):
        self.trainer, self.weights = trainer, []

    def on_epoch_end(self, epoch, history):
        self.weights.append(self.trainer.model.weight.data.copy())


def test_stops_when_nothing_improves_and_restores_the_best():
    spy, stopping = Spy(), EarlyStopping(patience=3)
    # The rate is fine for five epochs, then so high that the loss only grows.
    run = trainer(schedule=lambda step: 1.0 if step < 5 else 200.0)
    history = run.fit(X, Y, epochs=100, validation_data=(X, Y), callbacks=[spy, stopping])
    assert history.epochs == 8
    assert stopping.best_epoch == 4
    assert stopping.best == min(history["val_loss"])
    assert "val_loss has not improved for 3 epochs" in history.stopped
    assert not history.interrupted
    np.testing.assert_array_equal(run.model.weight.data, spy.weights[4])
    assert run.evaluate(X, Y)["loss"] == pytest.approx(stopping.best)


def test_without_restoring_the_last_weights_stay():
    spy, stopping = Spy(), EarlyStopping(patience=2, restore_best=False)
    run = trainer(schedule=lambda step: 1.0 if step < 5 else 200.0)
    run.fit(X, Y, epochs=100, validation_data=(X, Y), callbacks=[spy, stopping])
    np.testing.assert_array_equal(run.model.weight.data, spy.weights[-1])


def test_the_best_weights_come_back_after_a_failure_too():
    spy, stopping = Spy(), EarlyStopping(patience=1000)
    run = trainer(schedule=lambda step: 1.0 if step < 5 else 1e6)
    with pytest.raises(NonFiniteError):
        run.fit(X, Y, epochs=100, validation_data=(X, Y), callbacks=[spy, stopping])
    np.testing.assert_array_equal(run.model.weight.data, spy.weights[4])


def test_training_goes_on_while_it_improves():
    run = trainer()
    history = run.fit(X, Y, epochs=20, validation_data=(X, Y), callbacks=[EarlyStopping(patience=1)])
    assert history.epochs == 20
    assert history.stopped == ""


def test_min_delta_asks_for_more():
    history = trainer().fit(X, Y, epochs=50, callbacks=[EarlyStopping(patience=2, monitor="loss", min_delta=1e6)])
    assert history.epochs == 3


def test_metrics_that_rise():
    values = iter([0.1, 0.2, 0.3, 0.2, 0.1, 0.0])
    run = trainer(metrics={"f1": lambda outputs, targets: next(values)})
    stopping = EarlyStopping(patience=2, monitor="val_f1")
    history = run.fit(X, Y, epochs=50, validation_data=(X, Y), callbacks=[stopping])
    assert (history.epochs, stopping.best, stopping.best_epoch) == (5, 0.3, 2)


def test_one_object_serves_a_second_run():
    stopping = EarlyStopping(patience=2)
    assert math.isnan(stopping.best)
    for _ in range(2):
        run = trainer(schedule=lambda step: 1.0 if step < 5 else 200.0)
        assert run.fit(X, Y, epochs=50, validation_data=(X, Y), callbacks=[stopping]).epochs == 7


def test_a_metric_nobody_measures_is_an_error_with_a_cure():
    with pytest.raises(OptionError, match=r"EarlyStopping: monitor is 'val_loss', .*: pass validation_data to fit"):
        trainer().fit(X, Y, epochs=5, callbacks=[EarlyStopping()])
    with pytest.raises(OptionError, match="monitor one of these"):
        trainer().fit(X, Y, epochs=5, callbacks=[EarlyStopping(monitor="accuracy")])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "EarlyStopping: patience is 0"),
        ({"min_delta": -1}, "min_delta is -1"),
        ({"mode": "best"}, "mode is 'best'"),
        ({"restore_best": 1}, "restore_best is 1"),
    ],
)
def test_settings_without_meaning(settings, message):
    with pytest.raises(OptionError, match=message):
        EarlyStopping(**settings)
