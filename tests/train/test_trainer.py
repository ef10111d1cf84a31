"""The trainer on small real problems, on both engines where they should agree."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import DtypeError, LabelError, NonFiniteError, OptionError, ShapeError
from chainrule.train import History, Trainer

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR_Y = np.array([0, 1, 1, 0])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5))
SLOPES = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
Y = (X @ SLOPES + 0.7 + 0.1 * RNG.normal(size=203))[:, None]


@pytest.fixture(params=["reference", "compiled"])
def engine(request):
    return request.param


def classifier(engine="reference", seed=1, **settings):
    cr.seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    settings = {"optimizer": optim.Adam(lr=0.05), **settings}
    return Trainer(model, nn.CrossEntropyLoss(), engine=engine, **settings)


def regressor(engine="reference", dtype="float32", hidden=0, **settings):
    cr.seed(1)
    layers = [nn.Linear(5, hidden), nn.Dropout(0.2), nn.ReLU(), nn.Linear(hidden, 1)] if hidden else [nn.Linear(5, 1)]
    model = nn.Sequential(*layers).astype(dtype)
    settings = {"optimizer": optim.SGD(lr=0.1), **settings}
    return Trainer(model, nn.MSELoss(), engine=engine, **settings)


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


def test_xor_is_learned(engine):
    trainer = classifier(engine)
    history = trainer.fit(XOR_X, XOR_Y, epochs=400, batch_size=4)
    assert isinstance(history, History)
    assert history.epochs == len(history["loss"]) == trainer.steps == trainer.epochs == 400
    assert history["loss"][0] > 0.5
    assert history["loss"][-1] < 0.05
    assert trainer.evaluate(XOR_X, XOR_Y)["accuracy"] == 1
    assert trainer.predict(XOR_X).argmax(axis=1).tolist() == XOR_Y.tolist()


def test_noisy_regression_finds_the_slopes(engine):
    trainer = regressor(engine)
    history = trainer.fit(X, Y, epochs=60, batch_size=32, validation_data=(X[:50], Y[:50]))
    weight = trainer.model.named_parameters()["0.weight"].data[:, 0]
    np.testing.assert_allclose(weight, SLOPES, atol=0.05)
    result = trainer.evaluate(X, Y)
    assert set(result) == {"loss", "mae", "r2"}
    assert result["loss"] == pytest.approx(0.01, rel=0.3)
    assert result["r2"] > 0.99
    assert set(history) == {"loss", "lr", "val_loss", "val_mae", "val_r2", "seconds"}
    assert {len(values) for values in history.values()} == {60}
    assert history["lr"] == [0.1] * 60
    assert min(history["seconds"]) > 0


def test_binary_classification_measures_accuracy_and_auc():
    cr.seed(0)
    yes = (X[:, :1] > 0).astype(np.float64)
    trainer = Trainer(nn.Linear(5, 1), nn.BCEWithLogitsLoss(), optim.Adam(lr=0.1), engine="reference")
    trainer.fit(X, yes, epochs=20, batch_size=50)
    result = trainer.evaluate(X, yes)
    assert set(result) == {"loss", "accuracy", "auc"}
    assert result["accuracy"] > 0.97
    assert result["auc"] > 0.99
    assert math.isnan(trainer.evaluate(X, np.ones_like(yes))["auc"])


@pytest.mark.parametrize("seed", [0, 1])
def test_both_engines_train_the_same(seed):
    settings = {"optimizer": optim.AdamW(lr=0.02), "schedule": optim.LinearWarmup(5, then=optim.Cosine(40))}
    settings |= {"clip_norm": 1.0, "clip_value": 0.5, "seed": seed}
    trainers = [regressor(engine, dtype="float64", hidden=6, **settings) for engine in ("reference", "compiled")]
    weight = RNG.uniform(0, 2, size=203)
    histories = [
        trainer.fit(X, Y, epochs=5, batch_size=32, sample_weight=weight, validation_data=(X, Y, weight))
        for trainer in trainers
    ]
    np.testing.assert_allclose(weights(trainers[0]), weights(trainers[1]), rtol=1e-9, atol=1e-12)
    for name in ("loss", "lr", "val_loss", "val_mae", "val_r2"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-9)


def test_gradients_are_those_of_the_loss_and_change_nothing(engine):
    trainer = regressor(engine, dtype="float64")
    before = weights(trainer)
    gradients = trainer.gradients(X, Y)
    w, b = (p.data for p in trainer.model.parameters())
    error = X @ w + b - Y
    assert list(gradients) == ["0.weight", "0.bias"]
    np.testing.assert_allclose(gradients["0.weight"], 2 * X.T @ error / 203, rtol=1e-9)
    np.testing.assert_allclose(gradients["0.bias"], 2 * error.mean(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(weights(trainer), before)
    assert trainer.steps == 0


def test_a_step_moves_along_the_gradient_and_answers_the_loss_before(engine):
    trainer = regressor(engine, dtype="float64")
    before, loss = weights(trainer), trainer.evaluate(X, Y)["loss"]
    gradient = np.concatenate([g.ravel() for g in trainer.gradients(X, Y).values()])
    assert trainer.step(X, Y) == pytest.approx(loss)
    np.testing.assert_allclose(weights(trainer), before - 0.1 * gradient, rtol=1e-9)
    assert trainer.steps == 1
    assert trainer.evaluate(X, Y)["loss"] < loss


def test_steps_by_hand_equal_fit(engine):
    by_fit, by_hand = regressor(engine), regressor(engine)
    history = by_fit.fit(X, Y, epochs=1, batch_size=50, shuffle=False)
    losses = [by_hand.step(X[i : i + 50], Y[i : i + 50]) for i in range(0, 203, 50)]
    np.testing.assert_array_equal(weights(by_fit), weights(by_hand))
    assert history["loss"][0] == pytest.approx(np.average(losses, weights=[50, 50, 50, 50, 3]))


@pytest.mark.parametrize("batch_size", [29, 32, 203, 1000])  # even, ragged, all, more than all
def test_two_fits_equal_one_long_fit(engine, batch_size):
    once, twice = (regressor(engine, hidden=4, schedule=optim.Exponential(0.99)) for _ in range(2))
    whole = once.fit(X, Y, epochs=6, batch_size=batch_size)
    parts = [twice.fit(X, Y, epochs=n, batch_size=batch_size) for n in (2, 4)]
    np.testing.assert_array_equal(weights(once), weights(twice))
    for name in ("loss", "lr"):
        assert whole[name] == parts[0][name] + parts[1][name]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_looking_on_changes_nothing(engine, batch_size):
    """Epochs run together when nobody looks, one by one when somebody does: to the same bits."""
    unseen, seen = classifier(engine), classifier(engine)
    heard = []
    settings = {"epochs": 50, "batch_size": batch_size, "sample_weight": [1, 2, 0.5, 1]}
    first = unseen.fit(XOR_X, XOR_Y, **settings)
    second = seen.fit(XOR_X, XOR_Y, **settings, callbacks=[lambda epoch, history: heard.append(epoch)])
    np.testing.assert_array_equal(weights(unseen), weights(seen))
    assert first["loss"] == second["loss"]
    assert heard == list(range(50))


def test_the_seed_decides_everything():
    runs = []
    for seed in (0, 0, 1):
        trainer = regressor(hidden=6, seed=seed)
        trainer.fit(X, Y, epochs=3)
        runs.append(weights(trainer))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_schedules_set_the_rate_of_each_step():
    trainer = regressor(schedule=optim.Step(every=2, gamma=0.5))
    history = trainer.fit(X, Y, epochs=4, batch_size=203)
    assert history["lr"] == [0.1, 0.1, 0.05, 0.05]
    trainer = regressor(schedule=lambda step: 0.0)
    before = weights(trainer)
    trainer.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(weights(trainer), before)


def test_reduce_on_plateau_watches_its_metric():
    schedule = optim.ReduceOnPlateau("loss", factor=0.1, patience=0, threshold=1e9)
    history = regressor(schedule=schedule).fit(X, Y, epochs=4, batch_size=64)
    np.testing.assert_allclose(history["lr"], [0.1, 0.1, 0.01, 0.001])
    with pytest.raises(OptionError, match=r"ReduceOnPlateau: monitor is 'val_loss', .* pass validation_data to fit"):
        regressor(schedule=optim.ReduceOnPlateau()).fit(X, Y, epochs=1)


def test_sample_weights_count_and_samples_of_weight_zero_do_not():
    few, weighted = regressor(dtype="float64"), regressor(dtype="float64")
    weight = np.zeros(203)
    weight[:100] = 2.0
    few.fit(X[:100], Y[:100], epochs=3, batch_size=30, shuffle=False)
    weighted.fit(X, Y, epochs=3, batch_size=30, shuffle=False, sample_weight=weight)
    np.testing.assert_allclose(weights(few), weights(weighted), rtol=1e-12)
    np.testing.assert_allclose(
        list(few.evaluate(X[:100], Y[:100]).values()), list(weighted.evaluate(X, Y, weight).values())
    )


def test_dropout_is_for_training_only(engine):
    trainer = regressor(engine, hidden=32)
    np.testing.assert_array_equal(trainer.predict(X), trainer.predict(X))
    first = trainer.gradients(X, Y)["0.weight"]
    np.testing.assert_array_equal(first, trainer.gradients(X, Y)["0.weight"])
    trainer.step(X, Y)
    assert trainer.model.training
    trainer.model.eval()
    trainer.evaluate(X, Y)
    trainer.fit(X, Y, epochs=1)
    assert not trainer.model.training


def test_prediction_of_many_rows_equals_that_of_few(engine):
    trainer = regressor(engine, hidden=8)
    x = RNG.normal(size=(1500, 5)).astype(np.float32)
    outputs = trainer.predict(x)
    assert outputs.shape == (1500, 1)
    np.testing.assert_allclose(outputs[700:710], trainer.predict(x[700:710]), rtol=1e-5, atol=1e-6)


def test_inputs_of_whole_numbers_are_converted():
    trainer = classifier()
    x = XOR_X.astype(np.uint8)
    np.testing.assert_array_equal(trainer.predict(x), trainer.predict(XOR_X.astype(np.float64)))
    trainer.fit(x.tolist(), XOR_Y.astype(np.float32), epochs=1)


def test_metrics_of_ones_own_are_measured_and_can_be_watched():
    wrong = {"errors": lambda outputs, labels: int((outputs.argmax(axis=1) != labels).sum())}
    trainer = classifier(metrics=wrong)
    history = trainer.fit(XOR_X, XOR_Y, epochs=3, validation_data=(XOR_X, XOR_Y))
    assert history["val_errors"][-1] == 4 - 4 * trainer.evaluate(XOR_X, XOR_Y)["accuracy"]


def test_a_loss_of_ones_own(engine):
    def half_squares(output, target, weight=None):
        error = output - target
        return (error * error).sum() * 0.5

    cr.seed(1)
    trainer = Trainer(nn.Linear(5, 1), half_squares, optim.SGD(lr=1e-3), engine=engine)
    trainer.fit(X, Y, epochs=30, batch_size=203)
    assert set(trainer.evaluate(X, Y)) == {"loss"}
    np.testing.assert_allclose(trainer.model.weight.data[:, 0], SLOPES, atol=0.1)


def test_frozen_parameters_stay():
    trainer_model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    trainer_model.named_parameters()["0.weight"].requires_grad = False
    before = trainer_model.named_parameters()["0.weight"].data.copy()
    trainer = Trainer(trainer_model, nn.CrossEntropyLoss(), optim.Adam(lr=0.1), engine="reference")
    trainer.fit(XOR_X, XOR_Y, epochs=5)
    np.testing.assert_array_equal(trainer_model.named_parameters()["0.weight"].data, before)
    assert "0.weight" not in trainer.gradients(XOR_X, XOR_Y)


def test_a_loss_that_diverges_stops_with_finite_weights(engine):
    trainer = regressor(engine, optimizer=optim.SGD(lr=1e6))
    with pytest.raises(NonFiniteError, match=r"step \d+: .*lower lr") as caught:
        trainer.fit(X, Y, epochs=500, batch_size=64)
    assert np.isfinite(weights(trainer)).all()
    assert trainer.steps == caught.value.step
    assert trainer.history.epochs == trainer.epochs
    assert all(np.isfinite(trainer.history["loss"])) if trainer.history.epochs else True


def test_zero_epochs_are_an_empty_history():
    trainer = classifier()
    assert dict(trainer.fit(XOR_X, XOR_Y, epochs=0)) == {}


def test_the_program_is_printed_by_the_compiled_engine_only():
    with pytest.raises(OptionError, match="has no program"):
        _ = classifier().program
    trainer = classifier("compiled")
    trainer.step(XOR_X, XOR_Y)
    assert "linear" in str(trainer.program)


def test_a_layer_in_a_mode_of_its_own_keeps_it(engine):
    trainer = regressor(engine, hidden=4)
    dropout = trainer.model.layers[1].eval()
    for call in (lambda: trainer.fit(X, Y, epochs=1, validation_data=(X, Y)), lambda: trainer.predict(X)):
        call()
        assert (trainer.model.training, dropout.training) == (True, False)
    first = trainer.gradients(X, Y)["0.weight"]
    trainer.steps += 1  # another mask, were there one
    np.testing.assert_array_equal(trainer.gradients(X, Y)["0.weight"], first)


def test_an_optimizer_may_be_replaced_by_one_of_its_kind(engine):
    trainer = regressor(engine, optimizer=optim.Adam(lr=0.1))
    trainer.step(X, Y)
    before = weights(trainer)
    trainer.optimizer = optim.Adam(lr=0.0)
    trainer.step(X, Y)
    np.testing.assert_array_equal(weights(trainer), before)
    trainer.optimizer = optim.SGD(lr=0.1)
    with pytest.raises(OptionError, match=r"optimizer is now SGD\(.*make a new Trainer"):
        trainer.step(X, Y)


def test_a_model_that_answers_no_tensor_is_refused(engine):
    class Pair(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(5, 1)

        def forward(self, x):
            return self.inner(x), x

    with pytest.raises(DtypeError, match="forward returns tuple, expected one tensor"):
        Trainer(Pair(), nn.MSELoss(), optim.SGD(), engine=engine).fit(X, Y)


def test_two_trainers_may_share_a_model(engine):
    first = regressor(engine, dtype="float64")
    second = Trainer(first.model, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine)
    alone = regressor(engine, dtype="float64")
    for _ in range(2):
        first.step(X, Y)
        second.step(X, Y)
        alone.step(X, Y)
        alone.step(X, Y)
    np.testing.assert_array_equal(weights(first), weights(alone))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.fit(XOR_X, XOR_Y[:3]), ShapeError, "y: has 3 samples, the inputs have 4"),
        (lambda t: t.fit(XOR_X, [0, 1, 2, 1]), LabelError, "y: row 2 is 2, expected 0 to 1"),
        (lambda t: t.fit(np.ones((4, 3)), XOR_Y), ShapeError, "3 features"),
        (lambda t: t.fit(XOR_X, XOR_Y, epochs=-1), OptionError, "fit: epochs is -1"),
        (lambda t: t.fit(XOR_X, XOR_Y, epochs=1.5), OptionError, "fit: epochs is 1.5"),
        (lambda t: t.fit(XOR_X, XOR_Y, batch_size=0), OptionError, "fit: batch_size is 0"),
        (lambda t: t.fit(XOR_X, XOR_Y, shuffle=1), OptionError, "fit: shuffle is 1"),
        (lambda t: t.fit(XOR_X, XOR_Y, verbose=7), OptionError, "fit: verbose is 7"),
        (
            lambda t: t.fit(XOR_X, XOR_Y, validation_data=XOR_X),
            OptionError,
            r"validation_data is ndarray, expected \(x, y\)",
        ),
        (lambda t: t.fit(XOR_X, XOR_Y, validation_data=(XOR_X, XOR_Y[:2])), ShapeError, "validation y: has 2 samples"),
        (lambda t: t.fit(XOR_X, XOR_Y, sample_weight=[1]), ShapeError, "sample_weight: has shape"),
        (lambda t: t.fit(XOR_X, XOR_Y, callbacks=[3]), OptionError, "callbacks: 3 handles no event"),
        (lambda t: t.step(XOR_X[:0], XOR_Y[:0]), cr.errors.DataError, "x: has no samples"),
        (lambda t: t.predict([["a", "b"]]), cr.errors.DtypeError, "x: row 0 is text"),
        (lambda t: t.evaluate(XOR_X, ["no", "yes", "yes", "no"]), LabelError, "np.unique"),
    ],
)
def test_mistakes_are_one_error_before_anything_runs(call, error, message):
    trainer = classifier()
    before = weights(trainer)
    with pytest.raises(error, match=message):
        call(trainer)
    np.testing.assert_array_equal(weights(trainer), before)
    assert trainer.steps == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "mlp"}, "model is 'mlp', expected an nn.Module"),
        ({"model": nn.Tanh()}, "no parameters that require gradients"),
        ({"loss": nn.CrossEntropyLoss}, "expected a loss such as"),
        ({"loss": "mse"}, "loss is 'mse'"),
        ({"optimizer": optim.Adam}, "optimizer is .*Adam.*, expected one such as optim.Adam"),
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
        ({"schedule": 0.5}, "schedule is 0.5"),
        ({"clip_norm": 0}, "clip_norm is 0"),
        ({"clip_value": math.nan}, "clip_value is nan"),
        ({"seed": -1}, "seed"),
        ({"seed": "a"}, "seed"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"engine": "fast"}, "engine is 'fast', expected one of compiled, reference"),
        ({"metrics": {"f1": 3}}, 'metric "f1" is 3'),
    ],
)
def test_settings_without_meaning(settings, message):
    good = {"model": nn.Linear(2, 2), "loss": nn.CrossEntropyLoss(), "optimizer": optim.Adam()}
    with pytest.raises(OptionError, match=message):
        Trainer(**{**good, **settings})
