"""A last batch that a layer cannot take is refused before the first step, and the advice works as it is given."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule import nn, optim
from chainrule.errors import ShapeError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(257, 4)), RNG.integers(0, 2, 257)


@pytest.fixture(params=["reference", "compiled"])
def engine(request):
    return request.param


def trainer(engine, **settings):
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.BatchNorm1d(6, **settings), nn.Linear(6, 2))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)


@pytest.mark.parametrize(("rows", "size"), [(33, 32), (3, 2), (33, 4), (5, 2), (101, 100)])
def test_a_last_batch_of_one_row_is_refused_before_the_first_step(engine, rows, size):
    run = trainer(engine)
    before = run.model.state_dict()
    with pytest.raises(ShapeError, match=f"with batches of {size}, the last one has 1 of the {rows} rows: ") as caught:
        run.fit(X[:rows], Y[:rows], batch_size=size)
    assert run.steps == 0
    assert all((before[name] == array).all() for name, array in run.model.state_dict().items())
    better = int(re.search(r"pass batch_size=(\d+)", str(caught.value))[1])
    assert run.fit(X[:rows], Y[:rows], epochs=1, batch_size=better).epochs == 1
    assert run.fit(X[: rows - 1], Y[: rows - 1], epochs=1, batch_size=size).epochs == 1


def test_one_row_left_by_weights_of_0(engine):
    weight = np.ones(8)
    weight[3:6] = 0
    run = trainer(engine)
    with pytest.raises(ShapeError, match="with batches of 4, the last one has 1 of the 5 rows: pass batch_size=3"):
        run.fit(X[:8], Y[:8], batch_size=4, sample_weight=weight)
    assert run.fit(X[:8], Y[:8], epochs=1, batch_size=3, sample_weight=weight).epochs == 1


def test_batches_of_one_row_are_refused(engine):
    with pytest.raises(ShapeError, match=r"x has shape \(1, 6\).*: pass a batch of more rows, or evaluate"):
        trainer(engine).fit(X[:8], Y[:8], batch_size=1)


def test_predictions_of_one_row_need_running_statistics(engine):
    run = trainer(engine)
    run.fit(X[:32], Y[:32], epochs=1, batch_size=32, validation_data=(X, Y))
    assert run.predict(X[:1]).shape == (1, 2)
    run = trainer(engine, track_running_stats=False)
    message = "x: predictions are made in batches of 256, and the last one has 1 of the 257 rows: remove 1"
    with pytest.raises(ShapeError, match=f"^validation {message}"):
        run.fit(X[:32], Y[:32], validation_data=(X, Y))
    assert run.steps == 0
    with pytest.raises(ShapeError, match=f"^{message}"):
        run.predict(X)
    assert run.predict(X[:256]).shape == (256, 2)


def test_predictions_by_the_statistics_of_batches_are_the_same_on_both_engines():
    x = RNG.normal(size=(700, 4))
    found = []
    for engine in ("reference", "compiled"):
        run = trainer(engine, track_running_stats=False)
        for parameter in run.model.parameters():
            parameter.data[...] = np.arange(parameter.size).reshape(parameter.shape) % 5 - 2
        found.append(run.predict(x))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_a_look_at_the_last_batch_changes_no_training(engine):
    """Dropout and running statistics are those of the steps alone."""
    found = []
    for _ in range(2):
        run = trainer(engine)
        for parameter in run.model.parameters():
            parameter.data[...] = np.arange(parameter.size).reshape(parameter.shape) % 5 - 2
        if found:
            for start in (0, 20):
                run.step(X[start : start + 20], Y[start : start + 20])
            run.step(X[40:45], Y[40:45])
        else:
            run.fit(X[:45], Y[:45], epochs=1, batch_size=20, shuffle=False)
        found.append(run.model.state_dict())
    for name, array in found[0].items():
        np.testing.assert_array_equal(array, found[1][name])
