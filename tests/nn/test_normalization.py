"""Normalization layers: what they compute, keep, refuse, and carry through files, copies and runs cut in two."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError, ShapeError
from chainrule.train import EarlyStopping, Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)).astype("f4"), RNG.integers(0, 3, 50)
ENGINES = ["reference", "compiled"]

LAYERS = [
    (nn.BatchNorm1d(4), (5, 4)),
    (nn.BatchNorm1d(4), (3, 5, 4)),
    (nn.BatchNorm1d(4, eps=0.1, momentum=None), (5, 4)),
    (nn.BatchNorm1d(4, affine=False), (5, 4)),
    (nn.BatchNorm1d(4, bias=False), (5, 4)),
    (nn.BatchNorm1d(4, track_running_stats=False), (5, 4)),
    (nn.BatchNorm2d(4), (2, 3, 3, 4)),
    (nn.BatchNorm2d(4).eval(), (1, 3, 3, 4)),
    (nn.BatchNorm1d(4, affine=False).eval(), (1, 4)),
    (nn.BatchNorm1d(4, track_running_stats=False).eval(), (5, 4)),
    (nn.LayerNorm(4), (5, 4)),
    (nn.LayerNorm((3, 4)), (2, 3, 4)),
    (nn.LayerNorm(4, bias=False), (5, 4)),
    (nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    (nn.GroupNorm(2, 4), (3, 4)),
    (nn.GroupNorm(4, 4), (2, 3, 3, 4)),
    (nn.GroupNorm(1, 4, affine=False), (2, 5, 4)),
    (nn.GroupNorm(2, 4, bias=False), (2, 5, 4)),
    (nn.Dropout2d(0.4), (3, 2, 2, 4)),
    (nn.Residual(nn.Linear(4, 3), nn.Linear(4, 3, bias=False)), (5, 4)),
]
IDS = [repr(layer).partition("\n")[0] for layer, _ in LAYERS]


def network() -> nn.Module:
    cr.seed(0)
    body = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.LayerNorm(8))
    return nn.Sequential(
        nn.Linear(6, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Residual(body, nn.GroupNorm(2, 8)),
        nn.Linear(8, 3),
    )


def trainer(model: nn.Module, engine: str = "compiled", **options: object) -> Trainer:
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine, **options)


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert list(first) == list(second)
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


# --- what they compute


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=IDS)
def test_gradients(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = copy.deepcopy(layer).astype(np.float64)
    assert cr.gradcheck(layer, RNG.normal(size=shape))


def test_training_normalizes_and_evaluation_uses_what_was_kept() -> None:
    layer, x = nn.BatchNorm1d(2), np.array([[1.0, 7.0], [3.0, 13.0]], np.float32)
    np.testing.assert_allclose(layer(x).data, [[-1, -1], [1, 1]], atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.data, [0.2, 1.0], rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.data, [0.9 + 0.1 * 2, 0.9 + 0.1 * 18], rtol=1e-6)  # unbiased
    assert layer.num_batches_tracked.item() == 1
    kept = layer.state_dict()
    expected = (x - kept["running_mean"]) / np.sqrt(kept["running_var"] + 1e-5)
    np.testing.assert_allclose(layer.eval()(x).data, expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.state_dict()["running_mean"], kept["running_mean"])


def test_without_momentum_the_statistics_are_averages_over_all_batches() -> None:
    layer, batches = nn.BatchNorm1d(3, momentum=None), RNG.normal(size=(5, 7, 3)).astype("f4")
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean.data, batches.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.running_var.data, batches.var(axis=1, ddof=1).mean(axis=0), rtol=1e-5)
    assert layer.num_batches_tracked.item() == 5


def test_without_tracking_the_batch_counts_in_evaluation_too() -> None:
    layer, x = nn.BatchNorm1d(6, track_running_stats=False), X
    assert list(layer.state_dict()) == ["weight", "bias"]
    np.testing.assert_array_equal(layer(x).data, layer.eval()(x).data)


def test_a_large_mean_costs_no_digits() -> None:
    x = (RNG.normal(size=(4096, 3)) + 3000.0).astype("f4")
    exact = (x.astype("f8") - x.mean(0, "f8")) / x.std(0, dtype="f8")
    model = nn.Sequential(nn.BatchNorm1d(3, eps=0.0, momentum=1.0), nn.Linear(3, 3))
    np.testing.assert_allclose(model[0](x).data, exact, atol=2e-3)  # 3000 has a spacing of 2e-4
    trainer(model).step(x, np.zeros(4096, int))
    np.testing.assert_allclose(model[0].running_var.data, x.var(0, dtype="f8", ddof=1), rtol=1e-4)


def test_gradients_of_x_are_right_where_scale_is_not_trained() -> None:
    model, other = network().astype(np.float64), network().astype(np.float64)
    for parameter in (model[1].weight, model[1].bias):
        parameter.requires_grad = False
    expected = trainer(other, "reference").gradients(X, Y)
    for engine in ENGINES:
        found = trainer(model, engine).gradients(X, Y)
        assert found.keys() == expected.keys() - {"1.weight", "1.bias"}
        for name, gradient in found.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-8, atol=1e-12, err_msg=name)


def test_a_layer_used_twice_follows_both_batches() -> None:
    states = []
    for engine in ENGINES:
        cr.seed(0)
        shared = nn.BatchNorm1d(6)
        trainer(nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(6, 3)), engine).step(X, Y)
        states.append(shared.state_dict())
    assert states[0]["num_batches_tracked"] == 2
    for name, array in states[0].items():
        np.testing.assert_allclose(states[1][name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_residual_adds_the_shortcut() -> None:
    body, shortcut = nn.Linear(6, 2), nn.Linear(6, 2)
    np.testing.assert_array_equal(nn.Residual(body, shortcut)(X).data, body(X).data + shortcut(X).data)
    assert list(nn.Residual(body, shortcut).named_parameters())[2:] == ["shortcut.weight", "shortcut.bias"]
    assert list(nn.Residual(body).named_children()) == ["body"]


def test_dropout2d_drops_whole_channels() -> None:
    x = np.ones((20, 4, 5, 10), np.float32)
    y = nn.Dropout2d(0.25)(x).data
    assert (y == y[:, :1, :1]).all()
    assert set(np.unique(y)) == {np.float32(0.0), np.float32(1 / 0.75)}
    assert 0.6 < (y[:, 0, 0] > 0).mean() < 0.9
    np.testing.assert_array_equal(nn.Dropout2d(0.25).eval()(x).data, x)


# --- what they refuse


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.BatchNorm1d(4), (3, 5), r'batch_norm "weight": x has shape \(3, 5\), expected \(batch, 4\)'),
        (nn.BatchNorm1d(4), (2, 3, 3, 4), r"expected \(batch, 4\) or \(batch, time, 4\)"),
        (nn.BatchNorm2d(4), (3, 4), r"expected \(batch, height, width, 4\)"),
        (nn.BatchNorm1d(4), (1, 4), "one value per channel"),
        (nn.BatchNorm2d(4), (1, 1, 1, 4), "one value per channel"),
        (nn.BatchNorm1d(4, track_running_stats=False).eval(), (1, 4), "one value per channel"),
        (nn.LayerNorm((2, 4)), (2, 4, 2), r"expected the last axes to be \(2, 4\)"),
        (nn.LayerNorm((2, 4)), (4,), "layer_norm"),
        (nn.GroupNorm(2, 4), (3, 6), r"expected \(batch, ..., 4\)"),
        (nn.Dropout2d(), (3,), "dropout_channels"),
        (nn.Residual(nn.Linear(4, 2), nn.Linear(4, 3)), (3, 4), r"the body turns \(3, 4\) into \(3, 2\), the skip has"),
    ],
)
def test_shapes_that_do_not_fit(layer: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer(np.ones(shape, np.float32))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_sample_cannot_be_trained_on_and_can_be_predicted(engine: str) -> None:
    run = trainer(network(), engine)
    with pytest.raises(ShapeError, match=r'batch_norm "1.weight": .* one value per channel'):
        run.step(X[:1], Y[:1])
    assert run.predict(X[:1]).shape == (1, 3)
    assert nn.summary(network(), (1, 6))[1].parameters == 16


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.BatchNorm1d(0),
        lambda: nn.BatchNorm2d(4, eps=-1.0),
        lambda: nn.BatchNorm2d(4, momentum=1.5),
        lambda: nn.BatchNorm2d(4, affine=1),
        lambda: nn.BatchNorm2d(4, bias=0),
        lambda: nn.GroupNorm(2, 4, bias=None),
        lambda: nn.BatchNorm2d(4, track_running_stats="yes"),
        lambda: nn.LayerNorm(()),
        lambda: nn.LayerNorm((3, 0)),
        lambda: nn.LayerNorm(3, bias=None),
        lambda: nn.GroupNorm(3, 4),
        lambda: nn.GroupNorm(0, 4),
        lambda: nn.Dropout2d(2.0),
        lambda: nn.Residual(nn.ReLU(), "skip"),
    ],
)
def test_bad_settings(build) -> None:
    with pytest.raises(OptionError):
        build()


# --- state


def test_state_holds_buffers_behind_the_parameters_of_their_layer() -> None:
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(nn.BatchNorm2d(4).state_dict()) == names
    model = network()
    assert list(model.named_buffers())[:3] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert not set(model.named_buffers()) & set(model.named_parameters())
    assert {b.dtype.name for b in model.astype(np.float64).named_buffers().values()} == {"float64"}


def test_config_builds_the_layer_again() -> None:
    for layer, _ in LAYERS:
        if not layer.named_children():
            assert repr(type(layer)(**layer.config())) == repr(layer)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_comes_back_from_a_file_a_dict_and_a_copy(tmp_path, dtype) -> None:
    model = network().astype(dtype)
    trainer(model).fit(X, Y, epochs=2, batch_size=10, verbose=0)
    cr.save(model, tmp_path / "m")
    loaded, filled = cr.load(tmp_path / "m"), network().astype(dtype)
    filled.load_state_dict(model.state_dict())
    for twin in (loaded, filled, copy.deepcopy(model)):
        assert_same_state(model, twin)
        assert {b.dtype for b in twin.named_buffers().values()} == {np.dtype(dtype)}
        np.testing.assert_array_equal(twin.eval()(X).data, model.eval()(X).data)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_resumed_network_continues_exactly(tmp_path, engine: str) -> None:
    whole = network()
    trainer(whole, engine).fit(X, Y, epochs=6, batch_size=20, verbose=0)
    parts = trainer(network(), engine)
    for _ in range(2):
        parts.fit(X, Y, epochs=2, batch_size=20, verbose=0)
    cr.save(parts.model, tmp_path / "m")
    resumed = trainer(cr.load(tmp_path / "m"), engine)
    resumed.steps, resumed.epochs = parts.steps, parts.epochs
    resumed.fit(X, Y, epochs=2, batch_size=20, verbose=0)
    assert_same_state(whole, resumed.model)


def test_the_number_of_workers_changes_no_bit() -> None:
    x, y = RNG.normal(size=(256, 12, 12, 6)).astype("f4"), RNG.integers(0, 3, 256)
    models = []
    for threads in (1, 2, 3, 8):
        cr.seed(0)
        first = nn.Residual(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm2d(6)), nn.GroupNorm(3, 6))
        rest = (nn.ReLU(), nn.Dropout2d(0.2), nn.Flatten(), nn.LayerNorm(864), nn.Linear(864, 3))
        models.append(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm2d(6), nn.ReLU(), first, *rest))
        trainer(models[-1], threads=threads).fit(x, y, epochs=2, batch_size=64, verbose=0)
    for model in models[1:]:
        assert_same_state(models[0], model)


def test_early_stopping_brings_buffers_back_too() -> None:
    class Spy:
        states: list = []  # noqa: RUF012

        def on_fit_begin(self, trainer):
            self.trainer = trainer

        def on_epoch_end(self, epoch, history):
            self.states.append(self.trainer.model.state_dict())

    spy, stopping = Spy(), EarlyStopping(patience=2)
    run = trainer(network(), schedule=lambda step: 1.0 if step < 9 else 300.0)
    run.fit(X, Y, epochs=50, batch_size=20, validation_data=(X, Y), callbacks=[spy, stopping], verbose=0)
    best = spy.states[stopping.best_epoch]
    assert stopping.best_epoch < len(spy.states) - 1
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(array, best[name], err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_changed_settings_and_replaced_buffers_are_noticed(engine: str) -> None:
    model = network()
    run = trainer(model, engine)
    run.fit(X, Y, epochs=1, batch_size=20, verbose=0)
    model[1].momentum = 1.0
    run.fit(X, Y, epochs=1, batch_size=50, verbose=0)
    assert model[1].num_batches_tracked.item() == 4
    before = run.predict(X)
    model[1].running_mean = nn.Buffer(np.full(8, 3.0, np.float32))
    assert not np.array_equal(run.predict(X), before)
    model[1].eps = 0.5
    np.testing.assert_allclose(run.predict(X), model.eval()(X).data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_in_evaluation_keeps_its_statistics_while_the_rest_trains(engine: str) -> None:
    model = network()
    run = trainer(model, engine)
    model.train()
    model[1].eval()
    run.step(X, Y)
    assert model[1].num_batches_tracked.item() == 0
    assert model[3].body[1].num_batches_tracked.item() == 1
