"""One trainer in several threads: calls wait for each other, and what cannot be meant is refused."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from tests import patience

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6))
Y = RNG.integers(0, 3, size=600)


@pytest.fixture(params=["reference", "compiled"])
def trainer(request):
    cr.seed(1)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.0), engine=request.param)


def in_threads(*functions: Callable[[], object]) -> None:
    """Run functions at the same time, each in a thread of its own; an error of one is raised here."""
    meeting = threading.Barrier(len(functions), timeout=patience.SECONDS)
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            meeting.wait()
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience.SECONDS)
    if errors:
        raise errors[0]


def in_thread(function: Callable[[], object]) -> object:
    """The result of a function that another thread runs."""
    found: list[object] = []
    in_threads(lambda: found.append(function()))
    return found[0]


def test_every_thread_gets_the_predictions_of_its_rows(trainer):
    sizes = (1, 2, 7, 40, 300, 600)
    expected = {size: trainer.predict(X[-size:]) for size in sizes}

    def predict(size: int) -> None:
        for _ in range(30):
            np.testing.assert_array_equal(trainer.predict(X[-size:]), expected[size])

    in_threads(*(lambda size=size: predict(size) for size in sizes))


def test_calls_of_every_kind_may_come_from_several_threads(trainer):
    outputs, metrics = trainer.predict(X), trainer.evaluate(X, Y)
    gradients = trainer.gradients(X[:50], Y[:50])

    def alike(found, wanted):
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value)

    def steps():
        for _ in range(20):
            trainer.step(X[:32], Y[:32])  # lr is 0: the weights stay

    def look():
        for _ in range(10):
            np.testing.assert_array_equal(trainer.predict(X), outputs)
            alike(trainer.evaluate(X, Y), metrics)

    in_threads(look, steps, look, steps)
    assert trainer.steps == 40
    trainer.steps = 0  # dropout as in the first call
    alike(trainer.gradients(X[:50], Y[:50]), gradients)


def test_during_a_fit_other_threads_predict_but_do_not_train(trainer):
    outputs = trainer.predict(X[:9])
    trainer.model.eval()  # so that the fit and predictions switch its mode back and forth
    refused = []

    def meanwhile(epoch, history):
        np.testing.assert_array_equal(in_thread(lambda: trainer.predict(X[:9])), outputs)
        np.testing.assert_array_equal(trainer.predict(X[:9]), outputs)
        for call in (lambda: trainer.step(X, Y), lambda: trainer.fit(X, Y)):
            with pytest.raises(OptionError, match="in fit") as error:
                in_thread(call)
            refused.append(str(error.value))
        trainer.step(X, Y)

    trainer.fit(X, Y, epochs=2, batch_size=300, callbacks=[meanwhile])
    assert len(refused) == 4
    assert trainer.steps == 6
    assert not any(module.training for module in trainer.model.named_modules().values())
    in_thread(lambda: trainer.step(X, Y))


def test_predictions_are_right_while_another_thread_trains(trainer):
    outputs, ended = trainer.predict(X[:5]), threading.Event()

    def train():
        trainer.fit(
            X, Y, epochs=200, batch_size=50, callbacks=[lambda epoch, history: ended.is_set() and trainer.stop("")]
        )

    def predict():
        for _ in range(50):
            np.testing.assert_array_equal(trainer.predict(X[:5]), outputs)
        ended.set()

    in_threads(train, predict)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_a_call_from_within_a_call_is_refused(engine):
    class Curious(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(6, 3)

        def forward(self, x):
            if curious:
                trainer.predict(X)
            return self.inner(x)

    curious = False
    trainer = Trainer(Curious(), nn.CrossEntropyLoss(), optim.SGD(), engine=engine)
    trainer.predict(X[:3])
    curious = True
    for call in (lambda: trainer.step(X[:4], Y[:4]), lambda: trainer.gradients(X[:5], Y[:5])):
        with pytest.raises(OptionError, match="from within one of its own steps or predictions"):
            call()
    curious = False
    assert trainer.predict(X).shape == (600, 3)


def test_a_metric_may_predict():
    trainer = Trainer(nn.Linear(6, 3), nn.CrossEntropyLoss(), optim.SGD())
    trainer.metrics["rows"] = lambda outputs, targets: len(trainer.predict(X[:7]))
    assert trainer.evaluate(X, Y)["rows"] == 7


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_trainer_is_not_copied_but_its_model_is(trainer, copier):
    outputs = trainer.predict(X)
    with pytest.raises(OptionError, match=r"Trainer: cannot be copied or pickled, .* copy\.deepcopy\(model\)"):
        copier(trainer)
    other = Trainer(copy.deepcopy(trainer.model), nn.CrossEntropyLoss(), optim.SGD(lr=1.0))
    other.step(X, Y)
    assert not np.array_equal(other.predict(X), outputs)
    np.testing.assert_array_equal(trainer.predict(X), outputs)


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent():
    program = """
import os, threading
import numpy as np
import chainrule as cr
trainer = cr.Trainer(cr.nn.Linear(3, 2), cr.nn.CrossEntropyLoss(), cr.optim.SGD())
trainer.predict(np.ones((2, 3)))
held, end = threading.Event(), threading.Event()
def hold():
    with trainer.turns.lock:
        held.set()
        end.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(len(trainer.predict(np.ones((5, 3)))))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
end.set()
thread.join()
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=patience.SECONDS
    )
    assert result.stdout.strip() == "5", result.stderr
