"""Sequences of different lengths: trained without padding, alike on both engines, with any number of workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.engine.compiled import MOST_PROGRAMS
from chainrule.engine.ragged import capacity
from chainrule.errors import DataError, DtypeError, LabelError, NonFiniteError, ShapeError
from chainrule.train.batches import Batches

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 13, size=40)
X = [RNG.normal(size=(n, 3)).astype("f4") for n in LENGTHS]
WORDS = [RNG.integers(0, 6, size=n) for n in LENGTHS]
CLASSES = RNG.integers(0, 3, size=40)
TAGS = [RNG.integers(0, 3, size=n) for n in LENGTHS]
VALUES = [RNG.normal(size=(n, 3)).astype("f4") for n in LENGTHS]
WEIGHT = RNG.random(40) * (np.arange(40) % 7 > 0)
ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])


class Model(nn.Module):
    """Layers for `forward`: a table, recurrent layers both ways, a last layer."""

    def __init__(self, forward: Any) -> None:
        cr.seed(3)
        self.table, self.norm = nn.Embedding(6, 3), nn.LayerNorm(3)
        self.lstm, self.gru, self.rnn = nn.LSTM(3, 4, 2, bidirectional=True), nn.GRU(3, 8), nn.RNN(3, 8)
        self.bag, self.last, self.own = nn.EmbeddingBag(6, 8, mode="sum"), nn.Linear(8, 3), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)  # type: ignore[no-any-return]


TO_CLASSES = {
    "lstm, mean": (X, lambda m, x: m.last(functions.sequence_mean(m.lstm(x)[0]))),
    "gru, last": (X, lambda m, x: m.last(functions.sequence_last(m.gru(m.norm(x))[0]))),
    "rnn, state": (X, lambda m, x: m.last(m.rnn(x.tanh())[1][0])),
    "words, max": (WORDS, lambda m, x: m.last(functions.sequence_max(m.lstm(m.table(x))[0]))),
    "bag of words": (WORDS, lambda m, x: m.last(m.bag(x))),
}
TO_STEPS = {
    "tags": (X, TAGS, nn.CrossEntropyLoss(), lambda m, x: m.last(m.gru(x)[0])),
    "tags of words": (WORDS, TAGS, nn.CrossEntropyLoss(weight=[1, 2, 0.5]), lambda m, x: m.last(m.lstm(m.table(x))[0])),
    "values": (X, VALUES, nn.MSELoss(), lambda m, x: m.last(m.rnn(x)[0]) * 0.5),
    "sum": (X, VALUES, nn.HuberLoss(reduction="sum"), lambda m, x: m.last(m.rnn(x)[0])),
    "joined": (X, VALUES, nn.MSELoss(), lambda m, x: m.last(functions.concatenate([x, x, x[..., :2]], axis=-1))),
    "own loss": (X, VALUES, lambda o, t, w: functions.mean_squared(o * 2.0, t, w), lambda m, x: m.last(m.gru(x)[0])),
}
CASES = [(x, CLASSES, nn.CrossEntropyLoss(), forward) for x, forward in TO_CLASSES.values()] + [*TO_STEPS.values()]


def trainer(forward: Any, loss: Any, engine: str = "compiled", **settings: Any) -> cr.Trainer:
    return cr.Trainer(Model(forward), loss, optim.SGD(lr=0.02), engine=engine, **settings)


@pytest.mark.parametrize("case", CASES, ids=[*TO_CLASSES, *TO_STEPS])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])
def test_both_engines_agree_with_any_number_of_workers(case: Any, weight: Any) -> None:
    x, y, loss, forward = case
    results = []
    for engine, threads in (("reference", 1), ("compiled", 1), ("compiled", 2), ("compiled", 3), ("compiled", 8)):
        run = trainer(forward, loss, engine, threads=threads)
        gradients = run.gradients(x, y, weight)
        history = run.fit(x, y, epochs=2, batch_size=8, sample_weight=weight, validation_data=(x, y, weight))
        outputs = run.predict(x)
        measured = run.evaluate(x, y, weight)
        found = [*history["loss"], *history["val_loss"], *measured.values(), run.step(x, y, weight)]
        results.append([np.array(found), *gradients.values(), *outputs])
    reference, alone, *others = results
    for found, expected in zip(alone, reference, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    assert all(np.array_equal(a, b) for other in others for a, b in zip(alone, other, strict=True))


@pytest.mark.parametrize("case", CASES, ids=[*TO_CLASSES, *TO_STEPS])
def test_each_sequence_is_treated_as_if_it_were_alone(case: Any) -> None:
    x, _, loss, forward = case
    run = trainer(forward, loss)
    together = run.predict(x)
    for i in (0, 7, 39):
        np.testing.assert_allclose(
            together[i], run.predict([x[i], x[i][:1]] if len(x[i]) > 1 else x[i : i + 1])[0], rtol=1e-5, atol=1e-6
        )


@ENGINES
def test_lengths_that_are_equal_are_an_array(engine: str) -> None:
    same = [x[:1] for x in X]
    run = trainer(lambda m, x: m.last(functions.sequence_mean(m.gru(x)[0])), nn.CrossEntropyLoss(), engine)
    np.testing.assert_array_equal(run.predict(same), run.predict(np.array(same)))
    mixed = run.predict([*same, X[np.argmax(LENGTHS)]])[:-1]
    np.testing.assert_allclose(mixed, run.predict(same), rtol=1e-5, atol=1e-6)


@ENGINES
def test_predictions_have_the_form_of_the_outputs(engine: str) -> None:
    by_step = trainer(TO_STEPS["tags"][3], nn.CrossEntropyLoss(), engine).predict(X * 20)
    assert [len(one) for one in by_step] == [*LENGTHS] * 20
    assert trainer(TO_CLASSES["gru, last"][1], nn.CrossEntropyLoss(), engine).predict(X * 20).shape == (800, 3)


@ENGINES
def test_one_run_is_two_that_add_up(engine: str) -> None:
    x, y, loss, forward = TO_STEPS["tags"]
    once, twice = trainer(forward, loss, engine), trainer(forward, loss, engine)
    expected = once.fit(x, y, epochs=4, batch_size=8)["loss"]
    assert [
        *twice.fit(x, y, epochs=1, batch_size=8)["loss"],
        *twice.fit(x, y, epochs=3, batch_size=8)["loss"],
    ] == expected


REFUSED = {
    "mean of all": lambda m, x: m.last(m.gru(x)[0]).mean(axis=0, keepdims=True),
    "an axis from the front": lambda m, x: m.last(m.gru(x)[0].mean(axis=1)),
    "a step by number": lambda m, x: m.last(m.gru(x)[0][:, -1]),
    "rows by number": lambda m, x: m.last(x[1:]),
    "another shape": lambda m, x: m.last(x.reshape(1, -1)),
    "turned": lambda m, x: m.last(x.transpose()),
    "joined steps": lambda m, x: m.last(functions.concatenate([x, x], 0)),
    "softmax over steps": lambda m, x: m.last(m.gru(x)[0].softmax(axis=0)),
    "a product of rows": lambda m, x: m.last(functions.matmul(m.table.weight, x.reshape(x.shape[0], 3).transpose())),
}


@ENGINES
@pytest.mark.parametrize("forward", REFUSED.values(), ids=REFUSED)
def test_what_would_mix_sequences_is_refused(engine: str, forward: Any) -> None:
    run = trainer(forward, nn.MSELoss(), engine)
    with pytest.raises(ShapeError, match=r"sequences of different lengths.*sequence_mean"):
        run.step(X, CLASSES)


@ENGINES
def test_a_loss_that_ignores_weights_of_steps_is_refused(engine: str) -> None:
    forward = TO_STEPS["values"][3]
    with pytest.raises(ShapeError, match="would mix sequences of different lengths"):
        trainer(forward, lambda o, t, w: ((o - t) * (o - t)).mean(), engine).step(X, VALUES)
    with pytest.raises(ShapeError, match="pass it the weight of each row"):
        trainer(forward, lambda o, t, w: functions.mean_squared(o, t), engine).step(X, VALUES)


def test_a_loss_with_weights_of_its_own_is_refused_where_rows_are_filled_up() -> None:
    run = trainer(TO_STEPS["values"][3], lambda o, t, w: functions.mean_squared(o, t, np.ones(o.shape[0])))
    with pytest.raises(ShapeError, match="ignores sample_weight"):
        run.step(X, VALUES)


def spoiled(arrays: Any, i: int, t: int, value: Any) -> Any:
    copies = [array.copy() for array in arrays]
    copies[i][t] = value
    return copies


@ENGINES
def test_mistakes_are_named_by_sequence_and_step(engine: str) -> None:
    i = int(np.argmax(LENGTHS))
    tags = trainer(TO_STEPS["tags of words"][3], nn.CrossEntropyLoss(), engine)
    values = trainer(TO_STEPS["values"][3], nn.MSELoss(), engine)
    with pytest.raises(LabelError, match=rf"x: sequence {i}, step 5 is 6, expected 0 \.\. 5 as the table has 6 rows"):
        tags.step(spoiled(WORDS, i, 5, 6), TAGS)
    with pytest.raises(LabelError, match=rf"y: sequence {i}, step 5 is -1, expected 0 to 2"):
        tags.step(WORDS, spoiled(TAGS, i, 5, -1))
    with pytest.raises(DataError, match=rf"x: sequence {i}, step 5 holds nan"):
        values.step(spoiled(X, i, 5, np.nan), VALUES)
    large = trainer(TO_STEPS["joined"][3], nn.MSELoss(), engine)
    large.model.last.weight.data[:] = 1e30
    with pytest.raises(NonFiniteError, match=rf"outputs: sequence {i}, step 5, output 0 is inf"):
        large.predict(spoiled([np.zeros_like(x) for x in X], i, 5, 3e38))


@ENGINES
def test_data_that_does_not_fit_is_named(engine: str) -> None:
    tags = trainer(TO_STEPS["tags"][3], nn.CrossEntropyLoss(), engine)
    for x, y, error, told in [
        ([*X[:3], X[3][:0]], TAGS[:4], DataError, r"x\[3\]: has no steps"),
        ([*X[:3], X[3][:, :2]], TAGS[:4], ShapeError, r"x\[3\]: its steps have shape \(2,\), those of x\[0\] \(3,\)"),
        (X, TAGS[:-1], ShapeError, "y: has 39 sequences, the inputs 40"),
        (X, [*TAGS[:-1], np.append(TAGS[-1], 1)], ShapeError, r"y\[39\]: has \d+ steps, the inputs .* have"),
        (X, CLASSES, ShapeError, "y: the model has an output for each step"),
    ]:
        with pytest.raises(error, match=told):
            tags.step(x, y)
    with pytest.raises(DtypeError, match="augment takes images"):
        tags.fit(X, TAGS, epochs=1, augment=[])


def test_batches_hold_sequences_of_similar_lengths() -> None:
    lengths = np.random.default_rng(1).integers(1, 500, size=1003)
    batches = Batches(1003, 10, 7, True, lengths)
    full, rest = batches.rows(3, 2)
    assert full.shape == (200, 10)
    assert rest.shape == (2, 3)
    for epoch in range(2):
        rows = np.concatenate([full[epoch * 100 : epoch * 100 + 100].ravel(), rest[epoch]])
        assert sorted(rows) == list(range(1003))
    spread = np.ptp(lengths[full], axis=1).mean()
    assert spread < 30 < np.ptp(lengths[Batches(1003, 10, 7, True).rows(3, 2)[0]], axis=1).mean()
    assert (batches.rows(4, 1)[0] == full[100:]).all()
    assert (np.diff(lengths[full].max(axis=1)) < 0).any()


def test_few_programs_serve_all_lengths() -> None:
    sizes = [capacity(rows) for rows in range(1, 5000)]
    assert all(rows <= size <= max(16, rows * 17 / 16 + 1) for rows, size in enumerate(sizes, 1))
    assert len(set(sizes[511:1024])) <= 17
    x = [RNG.normal(size=(n, 3)) for n in range(1, 501)]
    run = trainer(TO_CLASSES["gru, last"][1], nn.CrossEntropyLoss())
    run.fit(x, np.arange(500) % 3, epochs=1, batch_size=4)
    assert len(run.engine._programs) <= MOST_PROGRAMS  # type: ignore[attr-defined]


def test_a_printed_program_shows_where_sequences_begin() -> None:
    run = trainer(TO_STEPS["tags"][3], nn.CrossEntropyLoss())
    run.step(X, TAGS)
    text = run.program.table()
    for told in ("offsets = data[indices]", "order = data[indices]", "row weight = data[indices]"):
        assert told in text


def test_programs_let_go_of_data_that_is_no_longer_used() -> None:
    run = trainer(TO_STEPS["tags"][3], nn.CrossEntropyLoss())
    for count in (40, 20, 10, 5):  # a program for each
        run.step(X[:count], TAGS[:count])
    programs = run.engine._programs.values()  # type: ignore[attr-defined]
    assert len(programs) == 4
    assert sum(program.sources["x"].array is not None for program in programs) == 1
    assert np.isfinite([run.step(X[:count], TAGS[:count]) for count in (40, 5, 40)]).all()
