"""A signal's exception anywhere in a call leaves a trainer as before the call or as after it, and of use."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from tests.interrupts import interrupted_at

import chainrule as cr
from chainrule import nn, optim
from chainrule.native import load, objects
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype("f4")
Y = RNG.integers(0, 3, size=400)


def make(threads: int, hidden: int = 64) -> Trainer:
    cr.seed(1)
    model = nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Dropout(0.3), nn.Linear(hidden, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(lr=0.01), threads=threads)


@pytest.fixture(params=[1, 2])
def threads(request):
    return request.param


CALLS = {
    "step": lambda trainer: trainer.step(X.copy(), Y.copy()),
    "fit": lambda trainer: trainer.fit(X.copy(), Y.copy(), epochs=1, batch_size=400, verbose=0),
    "predict": lambda trainer: trainer.predict(X.copy()),
    "evaluate": lambda trainer: trainer.evaluate(X.copy(), Y.copy()),
    "gradients": lambda trainer: trainer.gradients(X.copy(), Y.copy()),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupted_call_was_made_or_was_not(call, threads):
    trainer, twin, done = make(threads), make(1), set()
    trainer.predict(X)
    CALLS[call](trainer)  # so that the program is there; how one is built and loaded is the next test
    for place in itertools.count(1, 5):
        before = trainer.steps
        interrupted = interrupted_at(place, functools.partial(CALLS[call], trainer))
        done.add(trainer.steps - before)
        while twin.steps < trainer.steps:
            twin.step(X, Y)
        np.testing.assert_array_equal(trainer.predict(X.copy()), twin.predict(X))
        if not interrupted:
            break
    assert place > 50
    assert done == ({0, 1} if call in ("step", "fit") else {0})


def test_an_interrupt_while_code_is_loaded_spoils_nothing(threads, monkeypatch):
    twin = make(1)
    twin.step(X, Y)
    for place in itertools.count(1, 997):
        monkeypatch.setattr(load, "_addresses", {})
        monkeypatch.setattr(objects, "_loaded", {})
        trainer = make(threads)
        interrupted = interrupted_at(place, functools.partial(trainer.step, X, Y))
        if trainer.steps == 0:
            trainer.step(X, Y)
        np.testing.assert_array_equal(trainer.predict(X), twin.predict(X))
        if not interrupted:
            break
    assert place > 5000
