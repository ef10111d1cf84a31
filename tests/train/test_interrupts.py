"""A signal's exception anywhere in a call leaves a trainer as before the call or as after it, and of use.

The places are a sample; with CHAINRULE_EVERY_PLACE=1 they are all places, which takes hours.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
from tests.interrupts import interrupted_at

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import state
from chainrule.engine import reference
from chainrule.native import load, objects
from chainrule.nn import module
from chainrule.train import Trainer, training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype("f4")
Y = RNG.integers(0, 3, size=400)


def make(threads: int, engine: str = "compiled") -> Trainer:
    cr.seed(1)
    model = nn.Sequential(
        nn.Linear(6, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Dropout(0.3), nn.Linear(64, 3), nn.Dropout(0.0)
    )
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(lr=0.01), threads=threads, engine=engine)


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


def places(apart: int) -> Iterator[int]:
    """Numbers of places without end, on average this far apart."""
    draw, place = random.Random(0), 1
    while True:
        yield place
        place += 1 if os.environ.get("CHAINRULE_EVERY_PLACE") else draw.randint(1, 2 * apart - 1)


def same(trainer: Trainer, twin: Trainer) -> None:
    """Both have learned the same: `twin`, never interrupted, first makes the steps that it is behind."""
    while twin.steps < trainer.steps:
        twin.step(X, Y)
    found, expected = trainer.model.state_dict(), twin.model.state_dict()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)
    np.testing.assert_array_equal(trainer.predict(X.copy()), twin.predict(X))


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupted_call_was_made_or_was_not(call, threads):
    trainer, twin, done = make(threads), make(1), set()
    trainer.predict(X)
    CALLS[call](trainer)  # so that the program is there; how one is built and loaded is the last test
    for place in places(20):
        before = trainer.steps
        interrupted = interrupted_at(place, functools.partial(CALLS[call], trainer))
        done.add(trainer.steps - before)
        same(trainer, twin)
        if not interrupted:
            break
    assert place > 50
    assert done == ({0, 1} if call in ("step", "fit") else {0})


RUNNING = (  # where what lasts is changed
    *(f"{file.__file__}:{name}" for file in (training, reference) for name in ("run", "_run", "_alone", "_st")),
    *(f"{module.__file__}:{name}" for name in ("in_mode", "switched", "_restore")),
    str(state.__file__),
    contextlib.__file__,
)


@pytest.mark.parametrize("call", ["step", "fit", "evaluate", "gradients"])
def test_the_reference_engine_makes_no_half_step(call):
    """The trainer is right already where the signal is handled."""
    trainer, twin, done = make(1, "reference"), make(1, "reference"), set()
    for place in places(4):
        before = trainer.steps
        run, check = functools.partial(CALLS[call], trainer), functools.partial(same, trainer, twin)
        interrupted = interrupted_at(place, run, *RUNNING, handler=check)
        done.add(trainer.steps - before)
        if not interrupted:
            break
    assert place > 20
    assert done == ({0, 1} if call in ("step", "fit") else {0})


@pytest.mark.parametrize("call", CALLS)
def test_every_layer_is_in_its_mode_again(call):
    """Also where a restoration is interrupted: the next program would be traced in other modes."""
    trainer = make(1)
    layers = list(trainer.model.named_modules().values())
    trainer.step(X, Y)
    trainer.predict(X)
    for chosen in (True, False):
        modes = [chosen, chosen, chosen, chosen, not chosen, chosen, not chosen]

        def check(modes=modes):
            assert [layer.training for layer in layers] == modes

        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
        for place in places(4):
            interrupted = interrupted_at(place, functools.partial(CALLS[call], trainer), *RUNNING, handler=check)
            check()
            if not interrupted:
                break


def test_an_interrupt_while_code_is_loaded_spoils_nothing(threads, monkeypatch):
    twin = make(1)
    twin.step(X, Y)
    for place in places(4000):
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
