"""Training on augmented images: what a step sees, on both engines, and where a run goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.data.augmentation import Augmentation, CutOut, Flip, Shift
from chainrule.errors import OptionError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4, 5, 1)).astype(np.float32)
Y = RNG.integers(0, 3, 50)
AUGMENT = [Shift(1), Flip(), CutOut(2)]


def trainer(engine: str = "reference", seed: int = 3, **options: Any) -> cr.Trainer:
    cr.seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 3))
    return cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine, seed=seed, **options)


def weights(trained: cr.Trainer) -> np.ndarray:
    return np.concatenate([p.data.ravel() for p in trained.model.named_parameters().values()])


def test_each_step_sees_its_samples_by_the_definition() -> None:
    a, b = trainer(), trainer()
    a.fit(X, Y, epochs=2, batch_size=16, augment=AUGMENT, verbose=0)
    augmentation = Augmentation(AUGMENT)
    from chainrule.train.batches import Batches

    batches = Batches(50, 16, 3, True)
    for epoch in range(2):
        for rows in (row for block in batches.in_order(*batches.rows(epoch, 1)) for row in block):
            b.step(augmentation(X[rows], 3, b.steps, rows), Y[rows])
    np.testing.assert_array_equal(weights(a), weights(b))


def test_both_engines_see_the_same() -> None:
    a, b = trainer(), trainer("compiled", threads=2)
    for t in (a, b):
        t.fit(X, Y, epochs=3, batch_size=8, augment=AUGMENT, verbose=0)
    np.testing.assert_allclose(weights(a), weights(b), rtol=1e-4, atol=1e-5)
    assert a.history["loss"] == pytest.approx(b.history["loss"], rel=1e-4)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_run_cut_in_two_is_the_same_run(engine: str) -> None:
    whole, parts = trainer(engine), trainer(engine)
    whole.fit(X, Y, epochs=2, batch_size=8, augment=AUGMENT, verbose=0)
    parts.fit(X, Y, epochs=1, batch_size=8, augment=AUGMENT, verbose=0)
    parts.fit(X, Y, epochs=1, batch_size=8, augment=AUGMENT, verbose=0)
    np.testing.assert_array_equal(weights(whole), weights(parts))


def test_only_fit_augments() -> None:
    a, b = trainer("compiled"), trainer("compiled")
    a.fit(X, Y, epochs=1, batch_size=8, augment=AUGMENT, verbose=0)
    b.model.load_state_dict(a.model.state_dict())
    np.testing.assert_array_equal(a.predict(X), b.predict(X))
    assert a.evaluate(X, Y) == b.evaluate(X, Y)
    for name, gradient in a.gradients(X, Y).items():
        np.testing.assert_array_equal(gradient, b.gradients(X, Y)[name])
    assert a.step(X, Y) == b.step(X, Y)
    np.testing.assert_array_equal(weights(a), weights(b))


def test_weights_go_with_their_samples() -> None:
    a, b = trainer(), trainer()
    weight = np.linspace(0, 2, 50)
    a.fit(X, Y, epochs=2, batch_size=8, sample_weight=weight, augment=[], verbose=0)
    b.fit(X, Y, epochs=2, batch_size=8, sample_weight=weight, verbose=0)
    np.testing.assert_array_equal(weights(a), weights(b))


def test_validation_sees_images_as_they_are() -> None:
    a = trainer()
    a.fit(X, Y, epochs=1, batch_size=8, augment=AUGMENT, validation_data=(X, Y), verbose=0)
    assert a.history["val_loss"][-1] == a.evaluate(X, Y)["loss"]


def test_mistakes() -> None:
    with pytest.raises(ShapeError, match="expected images"):
        trainer().fit(X.reshape(50, 20), Y, augment=AUGMENT, verbose=0)
    with pytest.raises(OptionError, match="'flip' is not a transformation"):
        trainer().fit(X, Y, augment=["flip"], verbose=0)
