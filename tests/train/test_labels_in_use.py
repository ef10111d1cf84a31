"""Labels are addresses to a kernel: whatever happens to the user's, a step uses those checked or is refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tests import patience

import chainrule as cr
from chainrule import nn, optim
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.setup import Setup
from chainrule.errors import DataError, LabelError, ShapeError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3))
LABELS = RNG.integers(0, 3, size=600)


def trainer(loss, outputs=3, engine="compiled", **settings):
    cr.seed(1)
    return Trainer(nn.Linear(3, outputs), loss, optim.SGD(lr=0.1), engine=engine, **settings)


def smooth(output, target, weight=None):
    return nn.CrossEntropyLoss()(output, target, weight) + 0.1 * (output * output).mean()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=np.array([1.0, 2.0, 0.5])), smooth])
@pytest.mark.parametrize("value", [10**12, -(10**12), 3, 1])
def test_labels_changed_during_a_fit_are_not_seen(loss, value):
    untouched, y = trainer(loss).fit(X, LABELS, epochs=3)["loss"], LABELS.copy()
    assert trainer(loss).fit(X, y, epochs=3, callbacks=[lambda epoch, history: y.fill(value)])["loss"] == untouched


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("which", ["x", "weight", "validation"])
@pytest.mark.parametrize(
    "change", [lambda a: a.resize((5, *a.shape[1:]), refcheck=False), lambda a: setattr(a, "shape", (-1, 1))]
)
def test_arrays_that_a_callback_resizes_are_refused(engine, which, change):
    arrays = {"x": X.astype("f4"), "weight": np.ones(600, "f4"), "validation": X.astype("f4")}
    run = trainer(nn.CrossEntropyLoss(), engine=engine)
    before = run.steps
    with pytest.raises(ShapeError, match=r"fit: the arrays in use had the shapes .* pass copies"):
        run.fit(
            arrays["x"], LABELS, epochs=3, batch_size=100, sample_weight=arrays["weight"],
            validation_data=(arrays["validation"], LABELS), callbacks=[lambda epoch, history: change(arrays[which])],
        )  # fmt: skip
    assert run.steps - before == (12 if which == "validation" else 6)


def test_labels_that_another_thread_changes_are_refused_or_those_of_one_moment():
    y, ended = LABELS.copy(), threading.Event()

    def change():
        while not ended.is_set():
            y[:] = 10**12
            y[:] = LABELS

    changing = threading.Thread(target=change)
    changing.start()
    run, losses = trainer(nn.CrossEntropyLoss()), []
    try:
        for _ in range(300):
            try:
                losses.append(run.step(X, y))
            except LabelError as error:
                assert "expected 0 to 2" in str(error)  # noqa: PT017 - either outcome is right
    finally:
        ended.set()
        changing.join(patience.SECONDS)
    again = trainer(nn.CrossEntropyLoss())
    assert losses == [again.step(X, LABELS) for _ in losses]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("wrong", [10**12, -1, -(10**12), 3])
def test_a_kernel_that_meets_a_wrong_label_stops_the_step(workers, wrong):
    """The engine alone, which takes arrays as they are."""
    model, y = nn.Sequential(nn.Linear(3, 300), nn.ReLU(), nn.Linear(300, 3)), LABELS.copy()
    loss = nn.CrossEntropyLoss(weight=np.array([1.0, 2.0, 0.5]), label_smoothing=0.1)
    engine = CompiledEngine(Setup(model, loss, model.named_parameters(), optim.SGD(lr=0.1).update, workers=workers))
    rows = RNG.permutation(600).reshape(2, 300)
    coefficients = optim.SGD(lr=0.1).coefficients(np.arange(2) + 1, np.full(2, 0.1))
    engine.bind(X, y, first_step=5)
    engine.run(rows[:1], coefficients[:1], 5)
    before = [parameter.data.copy() for parameter in model.parameters()]
    y[rows[1, 200]] = wrong
    message = rf"label {wrong} in row {rows[1, 200]}, expected 0 \.\. 2 .* the weights are those from before this step"
    with pytest.raises(LabelError, match=f"step 6: {message}"):
        engine.run(rows[1:], coefficients[1:], 6)
    assert engine.steps == 6
    for parameter, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.data, old)
    with pytest.raises(LabelError, match=message):
        engine.gradients(X, y)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    "labels", [np.full(600, 10**9), np.full(600, -1), np.full(600, 255, np.uint8), np.ones(600, bool)]
)
def test_labels_that_a_loss_holds_are_checked(engine, labels):
    run = trainer(lambda output, target, weight: nn.CrossEntropyLoss()(output, labels), engine=engine)
    calls = [run.step, run.gradients, lambda x, y: run.fit(x, y, epochs=1, batch_size=600)]
    for call in calls:
        with pytest.raises(LabelError, match=r"label (1000000000|-1|255) in row 0|labels are bool"):
            call(X, X[:, 0])
    assert run.steps == 0


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8"])
def test_labels_that_a_loss_holds_may_be_whole_numbers_of_any_size(dtype):
    found = trainer(lambda output, target, weight: nn.CrossEntropyLoss()(output, LABELS.astype(dtype)))
    expected = trainer(nn.CrossEntropyLoss())
    assert [found.step(X, X[:, 0]) for _ in range(3)] == [expected.step(X, LABELS) for _ in range(3)]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_labels_that_change_from_call_to_call_are_checked_in_every_program(engine):
    calls = []

    def loss(output, target, weight=None):
        calls.append(output)
        return nn.CrossEntropyLoss()(output, LABELS[: len(output)] + (1 if len(calls) > 2 else 0))

    run = trainer(loss, engine=engine)

    def steps():
        for rows in (600, 500, 400, 300):
            run.step(X[:rows], X[:rows, 0])

    with pytest.raises(LabelError, match="label 3 in row"):
        steps()


def squares(output, target, weight=None):
    errors = (output - target) * (output - target)
    return (errors if weight is None else errors * weight).mean()


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (X[:, 0], None, r"values of shape \(\d+,\), from y, are broadcast .* write \.reshape\(-1, 1\), or"),
        (X[:, :1], np.ones(600), r"values of shape \(\d+,\), from sample_weight, are broadcast"),
    ],
)
def test_a_loss_that_pairs_every_row_with_every_other_is_refused(engine, y, weight, message):
    run = trainer(squares, 1, engine)
    for call in (run.step, run.gradients, run.evaluate, lambda *data: run.fit(*data[:2], sample_weight=data[2])):
        with pytest.raises(ShapeError, match=message):
            call(X, y, weight)
    mended = trainer(lambda o, t, w: squares(o, t.reshape(-1, 1), None if w is None else w.reshape(-1, 1)), 1, engine)
    assert mended.step(X, y, weight) == pytest.approx(run.step(X, y.reshape(-1, 1)))


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_loss_may_broadcast_what_has_one_value_a_row(engine):
    weights = np.array([1.0, 2.0, 3.0], "f4")
    run = trainer(lambda o, t, w: ((o - t) * (o - t) * weights * (t - t.mean())).mean(), 3, engine)
    for rows in (600, 3):  # three rows and three columns are not the same thing
        assert np.isfinite(run.step(X[:rows], X[:rows, :1]))
    pairs = trainer(lambda o, t, w: squares(o.reshape(1, -1), t.reshape(-1, 1)), 1, engine)
    assert np.isfinite(pairs.step(X[:9], X[:9, 0]))


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(("by_class", "by_row"), [(1.0, 1e-38), (1e-39, 1.0), (1e-20, 1e-20)])
def test_weights_too_small_to_divide_by_are_refused(engine, by_class, by_row):
    run = trainer(nn.CrossEntropyLoss(weight=np.full(3, by_class)), engine=engine)
    with pytest.raises(DataError, match=r"row 0 has weight .* too small to divide by in float32"):
        run.step(X, LABELS, np.full(600, by_row))
    run = trainer(nn.CrossEntropyLoss(weight=np.full(3, by_class)), engine=engine)
    assert np.isfinite(run.step(X, LABELS, np.full(600, 1.2e-38 / by_class)))
