"""Arrays and settings that cannot be used: one clear error of ours from the library, before any weight has moved."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import (
    ChainruleError,
    DataError,
    DtypeError,
    LabelError,
    NonFiniteError,
    OptionError,
    ShapeError,
)
from chainrule.train import metrics

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])
YES = np.array([[0.0], [1.0]] * 3, np.float32)
VALUES = X.sum(1, keepdims=True)
ENGINES = ("reference", "compiled")


def spoiled(row: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, 1] = value
    return x


def trainer(engine: str, loss: Any, outputs: int) -> cr.Trainer:
    return cr.Trainer(nn.Sequential(nn.Linear(4, outputs)), loss, optim.SGD(lr=0.1), engine=engine)


CLASSES = (nn.CrossEntropyLoss(), 3)
BINARY = (nn.BCEWithLogitsLoss(), 1)
QUANTITY = (nn.MSELoss(), 1)

# Loss and outputs of the network, x, y, the error, and words of its message.
ARRAYS: dict[str, tuple[tuple[Any, int], Any, Any, type[ChainruleError], str]] = {
    "label -1": (CLASSES, X, [0, 1, -1, 0, 1, 2], LabelError, "row 2 is -1, expected 0 to 2"),
    "label C": (CLASSES, X, [0, 1, 2, 3, 1, 2], LabelError, "row 3 is 3, expected 0 to 2"),
    "label NaN": (CLASSES, X, [0.0, np.nan, 2, 0, 1, 2], LabelError, "row 1 is nan"),
    "label 2.5": (CLASSES, X, [0.0, 1, 2.5, 0, 1, 2], LabelError, "row 2 is 2.5"),
    "labels of text": (CLASSES, X, list("abcabc"), LabelError, "row 0 is text"),
    "labels one-hot": (CLASSES, X, np.eye(3)[LABELS], ShapeError, "argmax"),
    "labels in a column": (CLASSES, X, LABELS[:, None], ShapeError, "reshape"),
    "too few labels": (CLASSES, X, LABELS[:5], ShapeError, "5 samples, the inputs have 6"),
    "empty batch": (CLASSES, X[:0], LABELS[:0], DataError, "no samples"),
    "no array": (CLASSES, 3.0, LABELS, ShapeError, "single number"),
    "too many features": (CLASSES, np.ones((6, 5)), LABELS, ShapeError, "5"),
    "too many dimensions": (CLASSES, np.ones((6, 2, 4)), LABELS, ShapeError, "labels have shape"),
    "ragged x": (CLASSES, [[1.0, 2.0], [3.0]], LABELS[:2], ShapeError, "mix sequences of different lengths"),
    "x of text": (CLASSES, [["a"] * 4] * 6, LABELS, DtypeError, "text"),
    "x of complex numbers": (CLASSES, X.astype(complex), LABELS, DtypeError, "complex"),
    "x with NaN": (CLASSES, spoiled(3, np.nan), LABELS, DataError, "row 3 holds nan"),
    "x with infinity": (CLASSES, spoiled(2, np.inf), LABELS, DataError, "row 2 holds inf"),
    "binary target 2": (BINARY, X, YES * 2, LabelError, "row 1 is 2"),
    "binary target NaN": (BINARY, X, YES * np.nan, DataError, "nan"),
    "binary target (n,)": (BINARY, X, YES[:, 0], ShapeError, "reshape"),
    "quantity (n,)": (QUANTITY, X, VALUES[:, 0], ShapeError, "reshape"),
    "quantity of two columns": (QUANTITY, X, np.ones((6, 2)), ShapeError, "(6, 2)"),
    "quantity NaN": (QUANTITY, X, VALUES * np.nan, DataError, "nan"),
    "quantity of text": (QUANTITY, X, [["a"]] * 6, DtypeError, "text"),
    "no x": (CLASSES, None, LABELS, DtypeError, "x: is None, expected an array of numbers: pass one"),
    "no y": (CLASSES, X, None, LabelError, "y: is None"),
    "no quantity": (QUANTITY, X, None, DtypeError, "y: is None"),
    "a dict": (
        CLASSES,
        {"a": X[:, 0]},
        LABELS,
        DtypeError,
        "x: is a dict, expected an array of numbers: pass its values",
    ),
    "a set": (CLASSES, X, {0, 1, 2}, LabelError, "y: is a set, expected an array of numbers: it has no order"),
    "a zip": (CLASSES, zip(X, X, strict=True), LABELS, DtypeError, "pass a list or an array of the values it yields"),
    "a range of labels": (CLASSES, X, range(5), ShapeError, "5 samples, the inputs have 6"),
    "text for x": (CLASSES, "x.csv", LABELS, DtypeError, "text"),
    "an object": (CLASSES, object(), LABELS, DtypeError, "x: is an object, expected an array of numbers"),
    "a list of objects": (CLASSES, [object()] * 6, LABELS, DtypeError, "contains objects"),
    "a hidden value": (CLASSES, np.ma.masked_less(X, -1), LABELS, DataError, "fill them in with .filled(value)"),
    "a hidden label": (CLASSES, X, np.ma.masked_equal(LABELS, 1), DataError, "y: is a masked array that hides 2 of 6"),
    "a hidden value in a list": (CLASSES, [np.ma.masked_less(row, 9) for row in X], LABELS, DataError, "x[0]: is a ma"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(case: str, engine: str) -> None:
    (loss, outputs), x, y, kind, words = ARRAYS[case]
    made = trainer(engine, loss, outputs)
    before = made.model.state_dict()
    for method in (made.fit, made.step, made.gradients, made.evaluate):
        with pytest.raises(kind) as caught:
            method(x, y)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    for name, array in made.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    made = trainer("reference", *CLASSES)
    for matrix in (sparse.csr_matrix(X), sparse.coo_array(X)):
        with pytest.raises(DtypeError, match=r"x: is a (csr_matrix|coo_array), .*: pass its \.toarray\(\)"):
            made.fit(matrix, LABELS)
        with pytest.raises(DtypeError, match=r"toarray\(\)"):
            made.predict(matrix)
        with pytest.raises(DtypeError, match=r"toarray\(\)"):
            made.model(matrix)


def test_a_mask_that_hides_nothing_is_no_matter() -> None:
    made, again = trainer("reference", *CLASSES), trainer("reference", *CLASSES)
    again.model.load_state_dict(made.model.state_dict())
    plain, masked = (t.evaluate(x, LABELS) for t, x in ((made, X), (again, np.ma.array(X))))
    assert plain == masked


def test_what_is_no_array_is_no_tensor() -> None:
    hidden = np.ma.masked_greater([1.0, 2.0], 1.5)
    for values, words in (
        (None, "None"),
        ({}, "a dict"),
        (iter([1.0]), "pass a list or an array"),
        (hidden, "hides 1 of 2"),
    ):
        with pytest.raises(ChainruleError, match=re.escape(words)):
            cr.tensor(values)
        with pytest.raises(ChainruleError, match=re.escape(words)):
            metrics.accuracy(values, [1])
    with pytest.raises(DataError, match="18446744073709551615 is beyond int64"):
        cr.tensor(np.array([2**64 - 1], np.uint64))


LOSSES = {
    "cross-entropy": (nn.CrossEntropyLoss(), (6, 3), (6, 2)),
    "cross-entropy of other rows": (nn.CrossEntropyLoss(), (6, 3), (5,)),
    "binary cross-entropy": (nn.BCEWithLogitsLoss(), (6, 1), (6,)),
    "mean squared": (nn.MSELoss(), (6, 1), (6,)),
    "mean absolute": (nn.L1Loss(), (6, 1), (1, 1)),
    "huber": (nn.HuberLoss(), (6, 2), (6, 1)),
}


@pytest.mark.parametrize("case", LOSSES)
def test_losses_never_broadcast(case: str) -> None:
    loss, outputs, targets = LOSSES[case]
    target = np.zeros(targets, np.int64 if "entropy" in case and "binary" not in case else np.float32)
    with pytest.raises(ShapeError) as caught:
        loss(cr.tensor(np.zeros(outputs, np.float32)), target)
    assert "\n" not in str(caught.value)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 2), (6, 5)),
    "linear of a number": (lambda: nn.Linear(4, 2), ()),
    "second linear": (lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(2, 1)), (6, 4)),
    "flatten": (lambda: nn.Flatten(start_dim=3), (6, 4)),
    "residual": (lambda: nn.Residual(nn.Linear(4, 2)), (6, 4)),
    "softmax": (lambda: nn.Softmax(axis=2), (6, 4)),
    "log_softmax": (lambda: nn.LogSoftmax(axis=-3), (6, 4)),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case: str) -> None:
    build, shape = LAYERS[case]
    with pytest.raises(ShapeError) as caught:
        build()(np.zeros(shape, np.float32))
    assert "\n" not in str(caught.value)


SETTINGS: dict[str, Callable[[], Any]] = {
    "lr NaN": lambda: optim.SGD(lr=float("nan")),
    "lr negative": lambda: optim.Adam(lr=-1e-3),
    "lr text": lambda: optim.AdamW(lr="fast"),
    "momentum -1": lambda: optim.SGD(lr=0.1, momentum=-1.0),
    "betas above 1": lambda: optim.Adam(betas=(0.9, 1.5)),
    "linear of size 0": lambda: nn.Linear(0, 3),
    "linear of half a size": lambda: nn.Linear(2.5, 3),
    "dropout 2": lambda: nn.Dropout(2.0),
    "label smoothing 2": lambda: nn.CrossEntropyLoss(label_smoothing=2.0),
    "reduction unknown": lambda: nn.MSELoss(reduction="average"),
    "unknown engine": lambda: trainer("compild", *CLASSES),
    "epochs -1": lambda: trainer("reference", *CLASSES).fit(X, LABELS, epochs=-1),
    "batch of no rows": lambda: trainer("reference", *CLASSES).fit(X, LABELS, batch_size=0),
    "threads 0": lambda: cr.Trainer(nn.Linear(4, 3), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), threads=0),
    "seed -1": lambda: cr.Trainer(nn.Linear(4, 3), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), seed=-1),
    "clip_norm NaN": lambda: cr.Trainer(nn.Linear(4, 3), nn.CrossEntropyLoss(), optim.SGD(lr=1), clip_norm=np.nan),
    "no loss": lambda: cr.Trainer(nn.Linear(4, 3), None, optim.SGD(lr=0.1)),
    "a class for an optimizer": lambda: cr.Trainer(nn.Linear(4, 3), nn.CrossEntropyLoss(), optim.SGD),
    "nothing to train": lambda: cr.Trainer(nn.ReLU(), nn.MSELoss(), optim.SGD(lr=0.1)),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings(case: str) -> None:
    with pytest.raises(OptionError) as caught:
        SETTINGS[case]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_is_not_finite_leaves_the_weights_before_it(engine: str) -> None:
    made = cr.Trainer(nn.Sequential(nn.Linear(4, 1)), nn.MSELoss(), optim.SGD(lr=1e20), engine=engine)
    with pytest.raises(NonFiniteError) as caught:
        made.fit(X, VALUES, epochs=50, batch_size=6)
    assert 0 < caught.value.step < 10
    assert str(caught.value.step) in str(caught.value)
    assert all(np.isfinite(array).all() for array in made.model.state_dict().values())


FLAT = nn.Sequential(nn.Linear(5, 2))
ONE = nn.Sequential(nn.Linear(1, 2))
IMAGES = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GlobalAvgPool2d(), nn.Linear(4, 2))
GREY = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GlobalAvgPool2d(), nn.Linear(4, 2))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("model", "shape", "expected", "change"),
    [
        (FLAT, (5,), "(n, 5)", lambda x: x[None]),
        (ONE, (7,), "(n, 1)", lambda x: x[..., None]),
        (IMAGES, (8, 9, 3), "(n, 8, 9, 3)", lambda x: x[None]),
        (GREY, (6, 8, 9), "(n, 8, 9, 1)", lambda x: x[..., None]),
        (IMAGES, (6, 3, 8, 9), "(n, 8, 9, 3)", lambda x: x.transpose(0, 2, 3, 1)),
    ],
)
def test_inputs_with_other_axes_are_told_how_to_change_them(engine, model, shape, expected, change):
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
    x = np.ones(shape, np.float32)
    with pytest.raises(
        ShapeError,
        match="^" + re.escape(f"x: has shape {shape}, expected {expected}: ") + "(if that is a single sample, )?pass x",
    ) as raised:
        trainer.predict(x)
    advice = str(raised.value).rpartition("pass ")[2]
    mended = change(x)
    np.testing.assert_array_equal(eval(advice), mended)
    assert trainer.predict(mended).shape == (len(mended), 2)


def test_one_thing_in_place_of_several_is_refused():
    parts = nn.Linear(3, 2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1)
    for given in (len, [len]):
        with pytest.raises(OptionError, match=r"metrics is .*, expected functions by name"):
            cr.Trainer(*parts, metrics=given)
    with pytest.raises(OptionError, match="augment: is one Flip, expected a list"):
        cr.Trainer(*parts).fit(np.ones((4, 3)), [0, 1, 0, 1], augment=cr.data.Flip())


@pytest.mark.parametrize("path", [None, 3])
@pytest.mark.parametrize("name", ["load_table", "read_images", "read_table"])
def test_data_without_a_name_is_refused(name, path):
    with pytest.raises(OptionError, match=f"{name}: path is {path}, expected the name of a file"):
        getattr(cr.data, name)(path)
