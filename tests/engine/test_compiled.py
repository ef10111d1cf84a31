"""The compiled engine computes what the reference engine computes, for any graph, batch shape and number of workers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.optim.coefficients import coefficients as rows_of

from chainrule.autodiff import functions as fn
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.reference import ReferenceEngine
from chainrule.engine.setup import Setup
from chainrule.engine.team import Team
from chainrule.errors import DtypeError, GraphError, NonFiniteError, OptionError, ShapeError, TraceError
from chainrule.optim.optimizers import UPDATES

Model = Callable[[dict[str, Parameter], Tensor], Tensor]


def mean_squared(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    return fn.mean_squared(output, target, weight)


def cross_entropy(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    return fn.cross_entropy(output, target, weight)


def parameters(dtype: str, **shapes: tuple[int, ...]) -> dict[str, Parameter]:
    rng = np.random.default_rng(5)
    return {name: Parameter((rng.normal(size=s) / np.sqrt(max(1, s[0]))).astype(dtype)) for name, s in shapes.items()}


def plain(p: dict[str, Parameter], x: Tensor) -> Tensor:
    return fn.linear(fn.tanh(fn.linear(x, p["w"], p["b"])), p["v"], p["c"])


def relu(p: dict[str, Parameter], x: Tensor) -> Tensor:
    return fn.linear(fn.relu(fn.linear(x, p["w"], p["b"])), p["v"], p["c"])


def gelu(p: dict[str, Parameter], x: Tensor) -> Tensor:
    return fn.linear(fn.gelu(fn.linear(x, p["w"], p["b"])), p["v"], p["c"])


def reused(p: dict[str, Parameter], x: Tensor) -> Tensor:
    """The same weight three times, a skip, and a value that feeds both an activation and a sum."""
    h = fn.linear(x, p["w"], p["b"])
    g = fn.tanh(h) + h
    h = g + fn.relu(fn.linear(g, p["s"], None))
    h = h + fn.sigmoid(fn.linear(h, p["s"], None)) * g
    return fn.linear(h, p["v"], p["c"]) + fn.linear(fn.linear(h, p["s"]), p["v"])


def reshaped(p: dict[str, Parameter], x: Tensor) -> Tensor:
    """Views, copies, reductions and broadcasts between the products."""
    h = fn.linear(x, p["w"], p["b"])
    n = h.shape[0]
    folded = h.reshape(n, 2, 4).transpose(0, 2, 1).reshape(n, 8)
    centred = folded - folded.mean(axis=1, keepdims=True)
    scaled = centred / (centred * centred).mean(axis=1, keepdims=True).sqrt().exp()
    joined = fn.concatenate([scaled[:, :3], h[:, 3:]], axis=1)
    return fn.linear(joined * p["s"].sum(axis=0), p["v"], p["c"]) + p["c"].exp()


def masked(p: dict[str, Parameter], x: Tensor) -> Tensor:
    h = fn.linear(x, p["w"], p["b"])
    h = fn.where(fn.greater(h, 0.1), h * h, 0.5 * h) + fn.dropout(h, 0.4, training=True)
    return fn.linear(fn.dropout(fn.relu(h), 0.2, training=True), p["v"], p["c"])


MODELS = [plain, relu, gelu, reused, reshaped, masked]


def build(engine: Any, model: Model, dtype: str, loss: Any, update: str = "adam", **options: Any) -> Any:
    p = parameters(dtype, w=(5, 8), b=(8,), s=(8, 8), v=(8, 3), c=(3,))
    made = engine(Setup(lambda x: model(p, x), loss, p, UPDATES[update], seed=11, **options))
    return made, p


def data(dtype: str, loss: Any, n: int = 40) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, 5)).astype(dtype)
    return x, rng.integers(0, 3, n) if loss is cross_entropy else rng.normal(size=(n, 3)).astype(dtype)


def coefficients(update: str, steps: int, lr: float = 1e-2) -> Any:
    return rows_of(update, 0, steps, lr=lr, weight_decay=0.01)


def indices(steps: int, batch: int, n: int = 40) -> Any:
    return np.random.default_rng(3).integers(0, n, (steps, batch))


@pytest.mark.parametrize("loss", [mean_squared, cross_entropy])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS)
def test_trains_as_the_reference_does(model: Model, dtype: str, loss: Any) -> None:
    x, y = data(dtype, loss)
    losses, weights = [], []
    for engine in (ReferenceEngine, CompiledEngine):
        made, p = build(engine, model, dtype, loss)
        made.bind(x, y)
        losses.append(made.run(indices(12, 16), coefficients("adam", 12), 0))
        weights.append({name: t.data.copy() for name, t in p.items()})
    tolerance = 2e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)
    for name in weights[0]:
        np.testing.assert_allclose(weights[1][name], weights[0][name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_and_predictions_are_the_reference_ones(model: Model) -> None:
    x, y = data("float64", mean_squared)
    weight = np.random.default_rng(1).uniform(0.1, 2.0, len(x))
    (a, _), (b, _) = (build(e, model, "float64", mean_squared) for e in (ReferenceEngine, CompiledEngine))
    (loss_a, gradients_a), (loss_b, gradients_b) = (e.gradients(x, y, weight, step=9) for e in (a, b))
    assert loss_b == pytest.approx(loss_a, rel=1e-12)
    assert list(gradients_a) == list(gradients_b)
    for name, gradient in gradients_a.items():
        np.testing.assert_allclose(gradients_b[name], gradient, rtol=1e-10, atol=1e-12, err_msg=name)
    if model is not masked:
        np.testing.assert_allclose(b.predict(x), a.predict(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("update", list(UPDATES))
def test_every_update(update: str) -> None:
    x, y = data("float64", mean_squared)
    losses = []
    for engine in (ReferenceEngine, CompiledEngine):
        made, _ = build(engine, plain, "float64", mean_squared, update)
        made.bind(x, y)
        losses.append(made.run(indices(20, 8), coefficients(update, 20, 1e-3), 0))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)


@pytest.mark.parametrize("options", [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"clip_norm": 0.05, "clip_value": 0.02}])
def test_clipping(options: dict[str, float]) -> None:
    x, y = data("float64", mean_squared)
    losses = []
    for engine in (ReferenceEngine, CompiledEngine):
        made, _ = build(engine, plain, "float64", mean_squared, "sgd", **options)
        made.bind(x, y)
        losses.append(made.run(indices(20, 8), coefficients("sgd", 20, 0.3), 0))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)


def test_one_worker_equals_many_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    sizes = (300, 200, 130, 10)
    x, y = rng.normal(size=(256, sizes[0])).astype("f4"), rng.integers(0, 10, 256)
    found = []
    for workers in (1, 2, 3, 8):
        start = np.random.default_rng(1)
        p = {}
        for i, (a, b) in enumerate(pairwise(sizes)):
            p[f"{i}.weight"] = Parameter(start.normal(size=(a, b), scale=a**-0.5).astype("f4"))
            p[f"{i}.bias"] = Parameter(np.zeros(b, "f4"))

        def forward(h: Tensor, p: dict[str, Parameter] = p) -> Tensor:
            for i in range(3):
                h = fn.linear(h, p[f"{i}.weight"], p[f"{i}.bias"])
                h = fn.dropout(fn.relu(h), 0.3, training=True) if i < 2 else h
            return h

        setup = Setup(forward, cross_entropy, p, UPDATES["adam"], seed=4, clip_norm=1.0, workers=workers)
        engine = CompiledEngine(setup)
        engine.bind(x, y)
        rows, c = indices(200, 96, 256), coefficients("adam", 200, 1e-3)
        first = engine.run(rows[:1], c[:1], 0)
        assert engine.program.workers == workers
        engine.program.team = Team(workers, fixed=True)  # so that all of them work in every step
        losses = np.concatenate([first, engine.run(rows[1:], c[1:], 1)])
        found.append((losses, {name: t.data.copy() for name, t in p.items()}))
    for losses, weights in found[1:]:
        np.testing.assert_array_equal(losses, found[0][0])
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight, found[0][1][name])


def test_a_run_cut_in_two_is_the_same_run() -> None:
    x, y = data("float32", cross_entropy)
    rows, c = indices(20, 16), coefficients("adam", 20)
    whole, p = build(CompiledEngine, masked, "float32", cross_entropy)
    whole.bind(x, y)
    losses = whole.run(rows, c, 0)
    parts, q = build(CompiledEngine, masked, "float32", cross_entropy)
    parts.bind(x, y)
    cut = [parts.run(rows[:7], c[:7], 0), parts.run(rows[7:], c[7:], 7)]
    np.testing.assert_array_equal(np.concatenate(cut), losses)
    for name, tensor in p.items():
        np.testing.assert_array_equal(q[name].data, tensor.data)


def test_a_weight_assigned_between_runs_is_used() -> None:
    x, _ = data("float32", mean_squared)
    engine, p = build(CompiledEngine, plain, "float32", mean_squared)
    engine.predict(x)
    p["v"].data = np.zeros((8, 3), "f4")
    p["c"].data = np.array([1.0, 2.0, 3.0], "f4")
    np.testing.assert_array_equal(engine.predict(x), np.tile([1.0, 2.0, 3.0], (len(x), 1)))
    p["c"].data[:] = 4.0
    assert (engine.predict(x) == 4.0).all()


def test_predict_for_any_number_of_rows() -> None:
    engine, p = build(CompiledEngine, plain, "float32", mean_squared)
    x = np.random.default_rng(0).normal(size=(700, 5)).astype("f4")
    h = np.tanh(x @ p["w"].data + p["b"].data) @ p["v"].data + p["c"].data
    for n in (0, 1, 255, 256, 257, 700):
        np.testing.assert_allclose(engine.predict(x[:n]), h[:n], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_stops_before_the_update_of_a_loss_that_is_not_finite(workers: int) -> None:
    x, y = data("float32", mean_squared)
    x[30, 2] = np.nan
    rows = np.arange(40)[:, None] % 40
    states = []
    for steps in (30, 40):
        engine, p = build(CompiledEngine, plain, "float32", mean_squared, workers=workers)
        engine.bind(x, y)
        if steps == 30:
            engine.run(rows[:30], coefficients("adam", 30), 0)
        else:
            with pytest.raises(NonFiniteError, match="step 130: the loss is nan") as caught:
                engine.run(rows, coefficients("adam", 40), 100)
            assert caught.value.step == 130
        states.append({name: t.data.copy() for name, t in p.items()})
    for name, weight in states[0].items():
        np.testing.assert_array_equal(states[1][name], weight)


def test_a_gradient_that_is_not_finite_stops_before_the_update() -> None:
    p = parameters("float32", w=(1, 1))
    p["w"].data = np.zeros((1, 1), "f4")
    engine = CompiledEngine(Setup(lambda x: fn.sqrt(x @ p["w"]), mean_squared, p, UPDATES["sgd"]))
    engine.bind(np.ones((4, 1), "f4"), np.ones((4, 1), "f4"))
    with pytest.raises(NonFiniteError, match='step 0: the gradient of "w" is -inf'):
        engine.run(np.zeros((3, 2), np.int64), coefficients("sgd", 3), 0)
    assert p["w"].data[0, 0] == 0.0


def test_weights_that_are_not_finite_from_the_start_are_told_by_the_loss() -> None:
    p = parameters("float32", w=(5, 3))
    p["w"].data[0, 0] = np.nan
    for engine in (ReferenceEngine, CompiledEngine):
        made = engine(Setup(lambda x: x @ p["w"], mean_squared, p, UPDATES["sgd"]))
        made.bind(*data("float32", mean_squared))
        with pytest.raises(NonFiniteError, match="step 0: the loss is nan"):
            made.run(indices(3, 4), coefficients("sgd", 3), 0)


def test_control_flow_on_values_says_to_use_the_reference_engine() -> None:
    p = parameters("float32", w=(5, 3))
    engine = CompiledEngine(Setup(lambda x: x @ p["w"] if x.sum() > 0 else x, mean_squared, p, UPDATES["sgd"]))
    with pytest.raises(TraceError, match='engine="reference"'):
        engine.gradients(*data("float32", mean_squared))


def test_misuse_is_refused() -> None:
    p = parameters("float32", w=(5, 3))
    x, _ = data("float32", mean_squared)
    with pytest.raises(OptionError, match="threads = 0"):
        CompiledEngine(Setup(lambda x: x @ p["w"], mean_squared, p, UPDATES["sgd"], workers=0))
    with pytest.raises(OptionError, match="no parameters"):
        CompiledEngine(Setup(lambda x: x, mean_squared, {}, UPDATES["sgd"]))
    with pytest.raises(ShapeError, match="first axis"):
        CompiledEngine(Setup(lambda x: (x @ p["w"]).sum(), mean_squared, p, UPDATES["sgd"])).predict(x)
    with pytest.raises(OptionError, match="no program yet"):
        _ = CompiledEngine(Setup(lambda x: x @ p["w"], mean_squared, p, UPDATES["sgd"])).program


def test_the_program_shown_is_a_training_step() -> None:
    p = parameters("float32", w=(5, 3))
    x, y = data("float32", mean_squared)
    engine = CompiledEngine(Setup(lambda x: x @ p["w"], mean_squared, p, UPDATES["sgd"]))
    engine.gradients(x, y)
    with pytest.raises(OptionError, match="call step or fit first"):
        _ = engine.program
    engine.bind(x, y)
    engine.run(np.arange(len(x))[None], np.array([[0.1, 0.0]]), 0)
    step = engine.program
    engine.gradients(x[:7], y[:7])
    engine.predict(x[:3])
    assert engine.program is step
    assert "update" in {instruction.phase for instruction in step.instructions}


@pytest.mark.parametrize("engine", [ReferenceEngine, CompiledEngine])
def test_a_loss_that_cannot_be_trained_on_is_refused_alike(engine: Any) -> None:
    p = parameters("float32", w=(5, 3))
    x, y = data("float32", mean_squared)
    for loss, error, message in (
        (lambda o, t, w: o, ShapeError, "expected one number"),
        (lambda o, t, w: 1.0, DtypeError, "its value is a float, expected a tensor"),
        (lambda o, t, w: mean_squared(o.detach(), t, w), GraphError, "does not depend on any parameter"),
    ):
        with pytest.raises(error, match=message):
            engine(Setup(lambda x: x @ p["w"], loss, p, UPDATES["sgd"])).gradients(x, y)


@pytest.mark.parametrize("engine", [ReferenceEngine, CompiledEngine])
def test_a_parameter_cast_after_the_start_is_refused(engine: Any) -> None:
    made, p = build(engine, plain, "float32", mean_squared)
    p["v"].cast(np.dtype("float64"))
    with pytest.raises(DtypeError, match='parameter "v" is now float64, training began in float32'):
        made.gradients(*data("float32", mean_squared))
