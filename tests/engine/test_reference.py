"""The reference engine: its steps are the textbook's, and a step that fails leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
from tests.optim.coefficients import coefficients

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Parameter
from chainrule.engine.reference import ReferenceEngine, clip
from chainrule.engine.setup import Setup
from chainrule.errors import DtypeError, NonFiniteError, OptionError, ShapeError
from chainrule.optim.optimizers import adam, sgd

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 3))
Y = RNG.normal(size=(12, 1))
ROWS = np.arange(12).reshape(3, 4)


def squares(output, target, weight):
    error = (output - target) * (output - target)
    return (error.mean() if weight is None else (error * weight.reshape(-1, 1)).mean()) * 0.5


class Trained:
    """A linear model on one engine."""

    def __init__(self, update=sgd, loss=squares, forward=None, **settings):
        rng = np.random.default_rng(0)
        self.w, self.b = Parameter(rng.normal(size=(3, 1))), Parameter(np.zeros(1))
        self.unused = Parameter(np.ones(2))
        parameters = {"w": self.w, "b": self.b, "unused": self.unused}
        forward = forward or (lambda x: functions.linear(x, self.w, self.b))
        self.engine = ReferenceEngine(Setup(forward, loss, parameters, update, **settings))
        self.engine.bind(X, Y)

    def values(self):
        return [self.w.data.copy(), self.b.data.copy(), self.unused.data.copy()]


def row(steps, lr=0.1, decay=0.0):
    return np.tile([lr, decay], (steps, 1))


def test_steps_of_gradient_descent_by_hand():
    trained = Trained()
    w, b = trained.w.data.copy(), trained.b.data.copy()
    losses = trained.engine.run(ROWS, row(3), 0)
    for rows, loss in zip(ROWS, losses, strict=True):
        error = X[rows] @ w + b - Y[rows]
        assert loss == pytest.approx(0.5 * np.mean(error**2), rel=1e-12)
        w, b = w - 0.1 * X[rows].T @ error / 4, b - 0.1 * error.mean(axis=0)
    np.testing.assert_allclose(trained.w.data, w, rtol=1e-12)
    np.testing.assert_allclose(trained.b.data, b, rtol=1e-12)
    np.testing.assert_array_equal(trained.unused.data, [1, 1])


def test_parameters_are_views_of_one_block_and_assigned_ones_are_taken_over():
    trained = Trained()
    assert trained.engine.block.size == 6
    assert all(p.data.base is trained.engine.block for p in (trained.w, trained.b, trained.unused))
    trained.w.data = np.full((3, 1), 2.0)
    loss, gradients = trained.engine.gradients(X, Y)
    assert loss == pytest.approx(0.5 * np.mean((X @ np.full((3, 1), 2.0) - Y) ** 2))
    assert trained.w.data.base is trained.engine.block
    assert list(gradients) == ["w", "b", "unused"]
    np.testing.assert_array_equal(gradients["unused"], [0, 0])


def test_gradients_change_nothing():
    trained = Trained()
    before = trained.values()
    first, second = trained.engine.gradients(X, Y)[1], trained.engine.gradients(X, Y)[1]
    np.testing.assert_array_equal(first["w"], second["w"])
    np.testing.assert_allclose(first["w"], X.T @ (X @ before[0] - Y) / 12, rtol=1e-12)
    for old, new in zip(before, trained.values(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_reach_the_loss_by_row():
    trained = Trained()
    weight = np.arange(12.0)
    trained.engine.bind(X, Y, weight)
    loss = trained.engine.run(np.array([[5, 2]]), row(1, lr=0.0), 0)[0]
    error = (X @ trained.w.data - Y)[[5, 2], 0]
    assert loss == pytest.approx(0.5 * np.mean(weight[[5, 2]] * error**2))


def test_predict():
    trained = Trained()
    np.testing.assert_allclose(trained.engine.predict(X), X @ trained.w.data)


def test_state_is_kept_between_runs():
    together, apart = Trained(adam), Trained(adam)
    c = coefficients("adam", 0, 3, lr=0.1)
    together.engine.run(ROWS, c, 0)
    for i in range(3):
        apart.engine.run(ROWS[i : i + 1], c[i : i + 1], i)
    np.testing.assert_array_equal(together.engine.block, apart.engine.block)
    np.testing.assert_array_equal(together.engine.states, apart.engine.states)


@pytest.mark.parametrize("update", [sgd, adam])
def test_a_loss_that_is_not_finite_stops_before_its_update(update):
    trained = Trained(update)
    c = coefficients(update.name, 10, 13, lr=0.1)
    x = X.copy()
    x[ROWS[2, 1]] = np.nan
    trained.engine.bind(x, Y)
    with pytest.raises(NonFiniteError, match="step 12: the loss is nan") as caught:
        trained.engine.run(ROWS, c, 10)
    assert caught.value.step == 12
    other = Trained(update)
    other.engine.run(ROWS[:2], c[:2], 10)
    np.testing.assert_array_equal(trained.engine.block, other.engine.block)
    np.testing.assert_array_equal(trained.engine.states, other.engine.states)


def test_a_gradient_that_is_not_finite_is_named():
    trained = Trained(loss=lambda output, target, weight: (output * 0.0).sqrt().sum())
    before = trained.values()
    with pytest.raises(NonFiniteError, match='step 0: the gradient of "w" is nan'):
        trained.engine.run(ROWS, row(3), 0)
    np.testing.assert_array_equal(trained.w.data, before[0])


def test_an_update_that_leaves_the_numbers_is_not_made():
    trained = Trained()
    before = trained.values()
    with pytest.raises(NonFiniteError, match=r'step 0: the updated "w" is -?inf'):
        trained.engine.run(ROWS, row(3, lr=1e308, decay=1e308), 0)
    np.testing.assert_array_equal(trained.w.data, before[0])


def test_clipping_by_norm_and_by_value():
    g = np.array([3.0, -4.0])
    np.testing.assert_array_equal(clip(g, None, None), g)
    np.testing.assert_allclose(clip(g, 1.0, None), [0.6, -0.8], rtol=1e-6)
    np.testing.assert_array_equal(clip(g, 5.1, None), g)
    np.testing.assert_array_equal(clip(g, None, 3.5), [3.0, -3.5])
    np.testing.assert_allclose(clip(g, 1.0, 3.0), np.array([1, -1]) / np.sqrt(2), rtol=1e-6)


def test_clipping_by_norm_survives_squares_beyond_float32():
    clipped = clip(np.array([3e30, -4e30], np.float32), 1.0, None)
    assert clipped.dtype == np.float32
    np.testing.assert_allclose(clipped, [0.6, -0.8], rtol=1e-6)


def test_the_engine_clips_what_it_updates_with():
    trained = Trained(clip_norm=0.1)
    before = trained.engine.block.copy()
    trained.engine.run(ROWS[:1], row(1, lr=1.0), 0)
    assert np.linalg.norm(trained.engine.block - before) == pytest.approx(0.1, rel=1e-4)


def test_dropout_draws_by_step_and_seed():
    def forward(x):
        return functions.dropout(x, 0.5).sum(axis=1, keepdims=True) * trained.w[:1]

    outcomes = {}
    for seed, step in ((0, 0), (0, 1), (1, 0)):
        trained = Trained(forward=forward, seed=seed)
        outcomes[seed, step] = trained.engine.gradients(X, Y, step=step)[0]
        assert trained.engine.gradients(X, Y, step=step)[0] == outcomes[seed, step]
        assert trained.engine.run(np.arange(12)[None], row(1), step)[0] == outcomes[seed, step]
    assert len(set(outcomes.values())) == 3


def test_a_loss_that_is_no_single_number_is_refused():
    trained = Trained(loss=lambda output, target, weight: output - target)
    with pytest.raises(ShapeError, match=r"loss: its value has shape \(12, 1\), expected one number"):
        trained.engine.gradients(X, Y)


def test_parameters_of_two_dtypes_are_refused():
    parameters = {"a": Parameter(np.zeros(1, np.float32)), "b": Parameter(np.zeros(1, np.float64))}
    with pytest.raises(DtypeError, match="several dtypes"):
        ReferenceEngine(Setup(lambda x: x, squares, parameters, sgd))


def test_there_is_no_program():
    with pytest.raises(OptionError, match='use engine="compiled"'):
        _ = Trained().engine.program
