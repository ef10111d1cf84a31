"""Trainers that share layers take turns, also in several threads, and whoever copies their weights gets whole steps."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from tests.train.test_threads import in_threads

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.nn.claims import Claim
from chainrule.train import Trainer

X = np.ones((8, 4), "f4")
Y = np.zeros((8, 3), "f4")
STEPS = 60


def mean(output, target, weight=None):
    """Its gradient does not depend on the weights: any order of steps ends with the same weights."""
    return output.mean() + 0.0 * target.mean()


def trainer(model, engine="compiled"):
    return Trainer(model, mean, optim.SGD(lr=1.0), engine=engine)


def linear(outputs=3):
    layer = nn.Linear(4, outputs)
    layer.load_state_dict({name: np.zeros_like(array) for name, array in layer.state_dict().items()})
    return layer


def steps(run, *data):
    for _ in range(STEPS):
        run.step(*data)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_no_step_of_two_trainers_of_one_model_is_lost(engine):
    model, twin = linear(), linear()
    one, other = trainer(model, engine), trainer(model, engine)
    whole = trainer(twin, engine)
    in_threads(lambda: steps(one, X, Y), lambda: steps(other, X, Y), lambda: one.predict(X), lambda: other.predict(X))
    for _ in range(2 * STEPS):
        whole.step(X, Y)
    np.testing.assert_array_equal(model.state_dict()["weight"], twin.state_dict()["weight"])
    np.testing.assert_array_equal(one.predict(X), whole.predict(X))
    np.testing.assert_array_equal(other.predict(X), whole.predict(X))


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_trainer_may_connect_models_that_others_train(engine):
    first, second = nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    models = [first, second, nn.Sequential(first, second), nn.Sequential(nn.Tanh(), second)]
    trainers = [Trainer(model, mean, optim.SGD(lr=0.0), engine=engine) for model in models]
    expected = [run.predict(X) for run in trainers]

    def work(run, outputs):
        for _ in range(STEPS // 4):
            run.step(X, Y)  # lr is 0: the weights stay
            np.testing.assert_array_equal(run.predict(X), outputs)

    in_threads(*(lambda pair=pair: work(*pair) for pair in zip(trainers, expected, strict=True)))


def test_weights_are_copied_between_steps():
    model, ended, seen = linear(), threading.Event(), []
    run = trainer(model)
    run.step(X, Y)
    once = model.state_dict()

    def train():
        run.fit(X, Y, epochs=200, batch_size=8, callbacks=[lambda epoch, history: None])
        ended.set()

    def look():
        while not ended.is_set():
            seen.append(model.state_dict())

    in_threads(train, look)
    assert seen
    for state in seen:  # all weights have made as many steps
        ratios = np.concatenate([(state[name] / once[name]).ravel() for name in once])
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_call_of_a_trainer_that_shares_layers_from_within_a_step_is_refused(engine):
    inner = nn.Linear(4, 3)
    other, calling = trainer(inner, engine), []

    class Curious(nn.Module):
        def __init__(self):
            self.inner = inner

        def forward(self, x):
            if calling:
                other.predict(X)
            return self.inner(x)

    run = trainer(Curious(), engine)
    run.predict(X[:1])
    calling.append(True)
    with pytest.raises(OptionError, match="of a trainer that shares layers with it"):
        run.predict(X)
    calling.clear()
    np.testing.assert_array_equal(run.predict(X), other.predict(X))


def test_models_that_share_nothing_do_not_wait():
    one, other = Trainer(nn.Linear(4, 3), mean, optim.SGD()), Trainer(nn.Linear(4, 3), mean, optim.SGD())
    with one.turns.lock:
        in_threads(lambda: other.predict(X))
    assert not other.turns._others


def test_claims_connect_locks_in_one_order_and_renew_them_after_a_fork():
    parts = [object() for _ in range(3)]
    first, second = Claim(parts[:1]), Claim(parts[1:2])
    assert first._locks != second._locks
    both, last = Claim(parts[:2]), Claim(parts[:1])
    assert set(both._locks) == {*first._locks, *second._locks}
    assert set(first._locks) <= set(last._locks)
    done = []
    in_threads(*(lambda claim=claim: use(claim, done) for claim in (first, second, both, last)))
    assert len(done) == 400
    before = both._locks
    child = os.fork() if hasattr(os, "fork") else -1
    if child == 0:
        right = set(before).isdisjoint(both._locks) and set(both._locks) == {*first._locks, *second._locks}
        os._exit(7 if right else 1)
    assert child == -1 or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def use(claim, done):
    for _ in range(100):
        with claim.lock:
            assert not claim.any_busy()
            claim.busy = True
            done.append(claim)
            claim.busy = False


def test_saving_waits_for_the_step(tmp_path):
    model = linear()
    run = trainer(model)
    in_threads(lambda: steps(run, X, Y), lambda: [cr.save(model, tmp_path / "m.safetensors") for _ in range(20)])
    assert cr.load(tmp_path / "m.safetensors").state_dict().keys() == model.state_dict().keys()
