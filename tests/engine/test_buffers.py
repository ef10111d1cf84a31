"""State in programs: assigned at the end of a step that was made, shared by all programs, seen by eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff.state import assign
from chainrule.errors import DtypeError, NonFiniteError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)).astype("f4"), RNG.normal(size=(40, 1)).astype("f4")
ENGINES = ["reference", "compiled"]


class Keeping(nn.Module):
    """A linear layer that keeps two numbers per feature, and changes them as `step` says."""

    def __init__(self, step: Callable[[Any, cr.Tensor], None]) -> None:
        cr.seed(0)
        self.inner = nn.Linear(3, 1)
        self.a, self.b = nn.Buffer([1.0, 2.0, 3.0], name="a"), nn.Buffer([10.0, 20.0, 30.0], name="b")
        self.step = step

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        if self.training:
            self.step(self, x)
        return self.inner(x) + (self.a * self.b).sum() * 1e-3


def average(layer: Any, x: cr.Tensor) -> None:
    assign(layer.a, 0.9 * layer.a + 0.1 * x.mean(axis=0))


def chained(layer: Any, x: cr.Tensor) -> None:
    """Each assignment reads what the one before has assigned."""
    assign(layer.a, layer.a * 0.5)
    assign(layer.b, layer.a + layer.b * 0.25)
    assign(layer.a, layer.a + layer.b * 0.125)


def swapped(layer: Any, x: cr.Tensor) -> None:
    a, b = layer.a.reshape(3), layer.b.reshape(3)
    assign(layer.a, b)
    assign(layer.b, a)


def handed_on(layer: Any, x: cr.Tensor) -> None:
    """b becomes the old a: by itself, while a is computed in its own memory."""
    assign(layer.b, layer.a)
    assign(layer.a, layer.a * 1.5)


def viewed(layer: Any, x: cr.Tensor) -> None:
    """A view of the old a is read after a has its new value."""
    old = layer.a.reshape(1, 3).detach()
    assign(layer.a, layer.a * 1.5)
    assign(layer.b, (old + layer.b * 0.5).reshape(3))


def of_weights(layer: Any, x: cr.Tensor) -> None:
    """The weights as they are before the update."""
    assign(layer.a, layer.inner.weight.detach().reshape(3))


def multiplied(layer: Any, x: cr.Tensor) -> None:
    """A product cannot be made in the memory of its operand."""
    assign(layer.a, (layer.a.reshape(1, 3) @ (x.detach().transpose() @ x.detach())).reshape(3) * 0.01)


def the_same_twice(layer: Any, x: cr.Tensor) -> None:
    value = layer.a + 1.0
    assign(layer.a, value)
    assign(layer.b, value)


STEPS = [average, chained, swapped, handed_on, viewed, of_weights, multiplied, the_same_twice]


def trainer(step: Callable[[Any, cr.Tensor], None], engine: str, **options: Any) -> Trainer:
    return Trainer(Keeping(step), nn.MSELoss(), optim.SGD(lr=0.05), engine=engine, **options)


@pytest.mark.parametrize("step", STEPS)
def test_both_engines_keep_the_same(step: Callable[[Any, cr.Tensor], None]) -> None:
    runs = [trainer(step, engine) for engine in ENGINES]
    for run in runs:
        run.fit(X, Y, epochs=3, batch_size=16, verbose=0)
    reference, compiled = (run.model.state_dict() for run in runs)
    assert list(compiled) == ["a", "b", "inner.weight", "inner.bias"]
    for name, array in reference.items():
        np.testing.assert_allclose(compiled[name], array, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_an_update_assigns(engine: str) -> None:
    run = trainer(chained, engine)
    before = run.model.state_dict()
    run.gradients(X, Y)
    run.predict(X)
    run.evaluate(X, Y)
    for name, array in before.items():
        np.testing.assert_array_equal(run.model.state_dict()[name], array)
    run.step(X, Y)
    assert run.model.a.data.tolist() != before["a"].tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_left_in_training_assigns_in_no_prediction(engine: str) -> None:
    layer = Keeping(chained)
    run = Trainer(nn.Sequential(layer).eval(), nn.MSELoss(), optim.SGD(lr=0.05), engine=engine)
    layer.training = True
    run.predict(X)
    run.evaluate(X, Y)
    assert layer.a.data.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_given_up_leaves_buffers_as_they_were(engine: str) -> None:
    run = trainer(average, engine)
    run.step(X, Y)
    before = run.model.state_dict()
    bad = Y.copy()
    bad[3] = 3e38
    with pytest.raises(NonFiniteError):
        run.step(X, bad)
    for name, array in before.items():
        np.testing.assert_array_equal(run.model.state_dict()[name], array, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_update_that_overflows_leaves_buffers_as_they_were(engine: str) -> None:
    run = Trainer(Keeping(average), nn.MSELoss(), optim.SGD(lr=0.05, weight_decay=1e39), engine=engine)
    with pytest.raises(NonFiniteError, match=r'updated "inner\.weight"'):
        run.step(X, Y)
    assert run.model.a.data.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("step", STEPS)
def test_an_update_of_large_weights_gives_buffers_their_new_values(step: Callable[[Any, cr.Tensor], None]) -> None:
    """The program stops before such an update, which is then made by its definition."""
    found = []
    for engine in ENGINES:
        run = trainer(step, engine)
        run.model.inner.weight.data[...] = 1e17
        for _ in range(3):
            run.step(X * 1e-17, Y)
        found.append(run.model.state_dict())
    reference, compiled = found
    assert reference["a"].tolist() != [1.0, 2.0, 3.0]
    for name, array in reference.items():
        np.testing.assert_allclose(compiled[name], array, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_programs_see_values_set_from_outside(engine: str) -> None:
    run, start = trainer(average, engine), np.array([5.0, 6.0, 7.0], np.float32)
    run.step(X, Y)
    run.model.a.data = start  # another array
    run.step(X, Y)
    np.testing.assert_allclose(run.model.a.data, 0.9 * start + 0.1 * X.mean(0), rtol=1e-5)
    run.model.a.data[...] = 0.0  # the same one
    np.testing.assert_allclose(run.predict(X), run.model.inner(X).data, rtol=1e-4, atol=1e-6)


def test_two_trainers_share_a_model() -> None:
    first = trainer(average, "compiled")
    second = Trainer(first.model, nn.MSELoss(), optim.SGD(lr=0.05))
    alone = trainer(average, "compiled")
    for run in (first, second, first):
        run.step(X, Y)
        alone.step(X, Y)
    np.testing.assert_array_equal(first.model.a.data, alone.model.a.data)


def test_running_statistics_are_computed_in_their_own_memory() -> None:
    run = Trainer(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)), nn.MSELoss(), optim.SGD(lr=0.05))
    run.step(X, Y)
    update = [i.name for i in run.program.instructions if i.phase == "update"]
    assert update == ["check", "scale", "shift", "lerp", "lerp", "sgd"]
    before = run.model.state_dict()["0.running_mean"]
    run.gradients(X, Y)
    np.testing.assert_array_equal(run.model.state_dict()["0.running_mean"], before)


def test_a_buffer_cast_after_the_start_is_refused() -> None:
    run = trainer(average, "compiled")
    run.step(X, Y)
    run.model.a.cast(np.dtype(np.float64))
    with pytest.raises(DtypeError, match='buffer "a" is now float64'):
        run.step(X, Y)


def test_the_program_is_the_same_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, interpreted = trainer(chained, "compiled"), trainer(chained, "compiled")
    compiled.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    interpreted.fit(X, Y, epochs=2, batch_size=16, verbose=0)
    for name, array in compiled.model.state_dict().items():
        np.testing.assert_allclose(interpreted.model.state_dict()[name], array, rtol=1e-5)
