"""Whole numbers as a model's inputs: they stay whole where the model needs them, and none out of range is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.setup import Setup
from chainrule.errors import DataError, DtypeError, LabelError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 5, size=(300, 6))
Y = RNG.integers(0, 3, size=300)
ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])


class Model(nn.Module):
    """A model of `forward`, with a table of 5 rows and a layer of 4 inputs."""

    def __init__(self, forward: Any) -> None:
        self.table, self.last, self.own = nn.Embedding(5, 4), nn.Linear(4, 3), forward
        self.table.weight.data, self.last.weight.data = np.eye(5, 4), np.eye(4, 3)
        self.last.bias.data[:] = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)  # type: ignore[no-any-return]


WAYS = {
    "rows": lambda m, x: m.last(m.table(x).mean(axis=1)),
    "a column": lambda m, x: m.last(m.table(x[:, 2])),
    "columns, turned": lambda m, x: m.last(m.table(x[:, ::2].transpose()).mean(axis=0)),
    "another shape": lambda m, x: m.last(m.table(x.reshape(-1, 3)).reshape(x.shape[0], -1, 4).mean(axis=1)),
    "two, joined": lambda m, x: m.last(m.table(functions.concatenate([x[:, 4:], x[:, :1]], 1)).max(axis=1)),
    "as numbers too": lambda m, x: m.last(m.table(x[:, 0]) * 0.1 + x[:, 1:5] * 0.5),
    "a step at a time": lambda m, x: m.last(sum(m.table(x[:, t]) for t in range(6))),
}


def trainer(way: str, engine: str, **settings: Any) -> cr.Trainer:
    return cr.Trainer(Model(WAYS[way]), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine, **settings)


@pytest.mark.parametrize("way", WAYS)
def test_both_engines_do_the_same_with_any_number_of_workers(way: str) -> None:
    results = []
    for engine, threads in (("reference", 1), ("compiled", 1), ("compiled", 2), ("compiled", 3), ("compiled", 8)):
        run = trainer(way, engine, threads=threads)
        gradient = run.gradients(X, Y)["table.weight"]
        history = run.fit(X, Y, epochs=2, batch_size=64, validation_data=(X[:50], Y[:50]))
        results.append((run.predict(X), run.step(X, Y), run.evaluate(X, Y)["loss"], gradient, history["val_loss"][-1]))
    reference, alone, *others = results
    for found, expected in zip(alone, reference, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    assert all(np.array_equal(a, b) for other in others for a, b in zip(alone, other, strict=True))


@ENGINES
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8", ">i4"])
def test_whole_numbers_may_have_any_size(engine: str, dtype: str) -> None:
    assert trainer("rows", engine).step(X.astype(dtype), Y) == trainer("rows", engine).step(X, Y)


@ENGINES
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", [5, -1, 10**12, -(10**12)])
def test_a_number_out_of_range_is_named_before_anything_runs(engine: str, way: str, wrong: int) -> None:
    x, run = X.copy(), trainer(way, engine)
    column = {"a column": 2, "as numbers too": 0}.get(way, 4)
    x[280, column] = wrong
    before = {name: array.copy() for name, array in run.model.state_dict().items()}
    told = rf"x: row 280, position {column} is {wrong}, expected 0 \.\. 4 as the table has 5 rows"
    calls = [run.step, run.gradients, run.evaluate, lambda x, y: run.predict(x), lambda x, y: run.fit(x, y, epochs=1)]
    for call in calls:
        with pytest.raises(LabelError, match=told):
            call(x, Y)
    with pytest.raises(LabelError, match=f"validation {told}"):
        run.fit(X, Y, epochs=1, validation_data=(x, Y))
    assert run.steps == 0
    assert all((before[name] == array).all() for name, array in run.model.state_dict().items())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("wrong", [5, -1, 10**12])
def test_a_kernel_that_meets_a_wrong_index_stops(workers: int, wrong: int) -> None:
    """The engine alone, which takes arrays as they are."""
    model, x = Model(WAYS["rows"]), X.copy()
    update = optim.SGD(lr=0.1)
    engine = CompiledEngine(
        Setup(model, nn.CrossEntropyLoss(), model.named_parameters(), update.update, workers=workers)
    )
    rows = RNG.permutation(300).reshape(2, 150)
    coefficients = update.coefficients(np.arange(2) + 1, np.full(2, 0.1))
    engine.bind(x, Y, first_step=5)
    engine.run(rows[:1], coefficients[:1], 5)
    before = model.state_dict()
    x[rows[1, 77], 3] = wrong
    told = rf"index {wrong} in row {rows[1, 77]}, position 3, expected 0 \.\. 4 as the table has 5 rows"
    with pytest.raises(LabelError, match=f"step 6: {told}; the weights are those from before this step"):
        engine.run(rows[1:], coefficients[1:], 6)
    assert all((before[name] == array).all() for name, array in model.state_dict().items())
    with pytest.raises(LabelError, match=told):
        engine.gradients(x, Y)
    with pytest.raises(LabelError, match=f"^{told}"):
        engine.predict(x)
    assert np.isfinite(engine.predict(X)).all()


@ENGINES
def test_inputs_changed_during_a_fit_are_not_seen(engine: str) -> None:
    x = X.copy()
    run = trainer("rows", engine)
    found = run.fit(x, Y, epochs=3, callbacks=[lambda epoch, history: x.fill(10**9)])["loss"]
    assert found == trainer("rows", engine).fit(X, Y, epochs=3)["loss"]


@ENGINES
def test_whole_numbers_become_real_where_the_model_takes_real_ones(engine: str) -> None:
    model = nn.Linear(6, 3)
    run = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.0), engine=engine)
    assert run.step(X, Y) == run.step(X.astype("f4"), Y)


@ENGINES
def test_real_numbers_are_refused_where_whole_ones_are_needed(engine: str) -> None:
    run = trainer("rows", engine)
    for x in (X + 0.5, X.astype(float)):
        with pytest.raises(LabelError, match=r"expected whole numbers.*astype\(int\)"):
            run.step(x, Y)
    with pytest.raises(DataError, match="beyond int64"):
        run.step(X.astype("u8") + np.uint64(2**63), Y)
    images = cr.Trainer(
        Model(lambda m, x: m.last(m.table(x).mean(axis=(1, 2, 3)))), nn.CrossEntropyLoss(), optim.SGD(lr=0.1)
    )
    with pytest.raises(DtypeError, match="augment takes images"):
        images.fit(X.reshape(300, 2, 3, 1), Y, epochs=1, augment=[])
