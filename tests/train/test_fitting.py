"""The order of events, the end of a run, and Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from tests import patience

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError
from chainrule.interrupt import Interrupt
from chainrule.train import History, Trainer

X = np.random.default_rng(0).normal(size=(10, 3))
Y = X[:, :1]


def trainer(engine="reference"):
    cr.seed(0)
    return Trainer(nn.Linear(3, 1), nn.MSELoss(), optim.SGD(lr=0.01), engine=engine)


class Recorder:
    def __init__(self):
        self.events = []

    def on_fit_begin(self, trainer):
        self.trainer = trainer
        self.events.append(("fit_begin", trainer.plan.epochs, trainer.plan.steps))

    def on_epoch_begin(self, epoch):
        self.events.append(("epoch_begin", epoch))

    def on_epoch_end(self, epoch, history):
        self.events.append(("epoch_end", epoch, history.epochs))

    def on_fit_end(self, history):
        self.events.append(("fit_end", history.epochs))


class StepRecorder(Recorder):
    def on_step(self, step, loss):
        assert isinstance(loss, float)
        assert self.trainer.steps == step + 1
        self.events.append(("step", step))


def test_events_come_in_order():
    recorder = StepRecorder()
    trainer().fit(X, Y, epochs=2, batch_size=6, callbacks=[recorder])
    assert recorder.events == [
        ("fit_begin", 2, 4),
        ("epoch_begin", 0),
        ("step", 0),
        ("step", 1),
        ("epoch_end", 0, 1),
        ("epoch_begin", 1),
        ("step", 2),
        ("step", 3),
        ("epoch_end", 1, 2),
        ("fit_end", 2),
    ]


def test_stretches_cover_every_step_once():
    class Stretches:
        def __init__(self):
            self.steps = []

        def on_steps(self, step, losses):
            self.steps += range(step, step + len(losses))

    stretches = Stretches()
    history = trainer().fit(X, Y, epochs=300, batch_size=5, callbacks=[stretches])
    assert stretches.steps == list(range(600))
    assert history.epochs == 300


def test_the_time_of_an_epoch_does_not_include_compilation(monkeypatch):
    compiled = []

    def compile_for_an_hour(step, losses):
        compiled.append(3600.0)

    monkeypatch.setattr("chainrule.native.compiling.seconds", lambda: sum(compiled))
    recorder = StepRecorder()
    recorder.on_steps = compile_for_an_hour
    history = trainer().fit(X, Y, epochs=1, callbacks=[recorder])
    assert compiled
    assert history["seconds"][0] < -3000  # the clock itself saw next to nothing of that hour


def test_an_observer_can_end_the_run_after_an_epoch():
    run = trainer()
    history = run.fit(X, Y, epochs=9, callbacks=[lambda epoch, h: run.stop("enough") if epoch == 2 else None])
    assert (history.epochs, history.stopped, history.interrupted) == (3, "enough", False)
    assert run.fit(X, Y, epochs=1).stopped == ""


def test_an_observer_can_end_the_run_after_a_step():
    class Stopper:
        def on_step(self, step, loss):
            if step == 3:
                run.stop("step 3 is enough")

    run = trainer()
    history = run.fit(X, Y, epochs=9, batch_size=4, callbacks=[Stopper()])
    assert run.steps == 4
    assert history.epochs == 1
    assert history.stopped == "step 3 is enough"


def test_an_error_in_an_observer_is_not_hidden_and_the_end_is_told():
    recorder = Recorder()

    def fail(epoch, history):
        raise ZeroDivisionError("mine")

    run = trainer()
    with pytest.raises(ZeroDivisionError, match="mine"):
        run.fit(X, Y, epochs=3, callbacks=[recorder, fail])
    assert recorder.events[-1] == ("fit_end", 1)
    assert run.history.epochs == 1


def test_an_error_at_the_end_leaves_no_observer_untold():
    class Failing:
        def on_fit_end(self, history):
            raise ZeroDivisionError("mine")

    recorder = Recorder()
    with pytest.raises(ZeroDivisionError, match="mine"):
        trainer().fit(X, Y, epochs=2, callbacks=[Failing(), recorder])
    assert recorder.events[-1] == ("fit_end", 2)


def test_a_fit_within_a_fit_of_the_same_trainer_is_refused():
    run, other = trainer(), trainer()
    with pytest.raises(OptionError, match="fit: this trainer is already in fit, which called a callback"):
        run.fit(X, Y, epochs=3, callbacks=[lambda epoch, history: run.fit(X, Y, epochs=1)])
    assert run.epochs == 1
    run.fit(X, Y, epochs=1, callbacks=[lambda epoch, history: other.fit(X, Y, epochs=2)])
    assert (run.epochs, other.epochs) == (2, 2)


def test_ctrl_c_from_an_observer_ends_the_run_in_good_order():
    recorder = Recorder()

    def press(epoch, history):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run = trainer()
    history = run.fit(X, Y, epochs=50, callbacks=[press, recorder])
    assert history.interrupted
    assert history.stopped == "interrupted"
    assert history.epochs in (2, 3)
    assert recorder.events[-1] == ("fit_end", history.epochs)
    assert signal.getsignal(signal.SIGINT) is before
    assert not run.fit(X, Y, epochs=1).interrupted


def test_ctrl_c_while_the_end_is_told_waits_for_it():
    told = []

    class Slow:
        def on_fit_end(self, history):
            press()
            told.append(history.epochs)

    history = trainer().fit(X, Y, epochs=2, callbacks=[Slow()])
    assert told == [2]
    assert history.interrupted


def test_ctrl_c_between_the_columns_of_an_epoch_waits_for_the_last(monkeypatch):
    extend = History.extend

    def interrupted(self, metrics):
        press()
        extend(self, metrics)

    monkeypatch.setattr(History, "extend", interrupted)
    run = trainer()
    history = run.fit(X, Y, epochs=3)
    assert history.interrupted
    assert history.epochs == run.epochs == len(history["loss"]) > 0


def press():
    signal.raise_signal(signal.SIGINT)


def press_inside(shield, then=lambda: None):
    with shield:
        press()
        then()


def test_the_shield_holds_ctrl_c_back_until_its_end():
    reached = []
    with Interrupt() as interrupt:
        with pytest.raises(KeyboardInterrupt):
            press_inside(interrupt.shield(), lambda: reached.append(1))
        with interrupt.shield():
            pass  # nothing is left over
        with pytest.raises(KeyboardInterrupt):
            press()
    assert reached == [1]


def test_the_outermost_shield_counts():
    reached = []

    def inner_then_more():
        press_inside(interrupt.shield())
        reached.append(1)

    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt), interrupt.shield():
        inner_then_more()
    assert reached == [1]


def test_a_second_ctrl_c_breaks_through():
    reached = []
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt):
        press_inside(interrupt.shield(), lambda: (press(), reached.append(1)))
    assert reached == []


def test_an_error_inside_the_shield_comes_first():
    with Interrupt() as interrupt, pytest.raises(ZeroDivisionError):
        press_inside(interrupt.shield(), lambda: 1 / 0)


def test_nested_interrupts_are_one():
    reached = []

    def inner():
        with Interrupt() as part:
            press_inside(part.shield())
            reached.append(part.first)

    with Interrupt() as whole, pytest.raises(KeyboardInterrupt):
        press_inside(whole.shield(), inner)
    assert reached == []  # the second breaks through
    with Interrupt() as whole, pytest.raises(KeyboardInterrupt), whole.shield():
        inner()
    assert reached == [signal.SIGINT]


def test_interrupts_nest_where_ctrl_c_is_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupt(signal.SIGTERM), Interrupt() as part:
            with pytest.raises(KeyboardInterrupt):
                press_inside(part.shield(), lambda: signal.raise_signal(signal.SIGTERM))
            assert part.first == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_signals_are_handled_only_if_asked_for():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with Interrupt(), Interrupt():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with Interrupt(signal.SIGTERM) as interrupt:
        with pytest.raises(KeyboardInterrupt), Interrupt() as part, part.shield():
            signal.raise_signal(signal.SIGTERM)
        assert interrupt.first == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupt(signal.SIGTERM):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_of_the_program_are_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *a: heard.append(1))
    try:
        with Interrupt() as interrupt, interrupt.shield():
            press()
        assert heard == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_another_thread_needs_no_signals():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(trainer().fit(X, Y, epochs=3)))
    thread.start()
    thread.join()
    assert histories[0].epochs == 3


SCRIPT = """
    import json
    import numpy as np
    import chainrule as cr
    from chainrule import nn, optim

    cr.seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(%(samples)d, 20)).astype("float32")
    y = x[:, :1] * 2
    model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 1))
    trainer = cr.Trainer(model, nn.MSELoss(), optim.SGD(lr=1e-4), engine=%(engine)r)
    trainer.fit(x, y, epochs=2, batch_size=32)  # warm

    class Ready:
        def on_steps(self, step, losses):
            if step > trainer.plan.first_step + 100 and not self.told:
                self.told = True
                print("ready", flush=True)
        told = False

    history = trainer.fit(x, y, epochs=10**9, batch_size=32, callbacks=[Ready()])
    finite = all(bool(np.isfinite(p.data).all()) for p in model.parameters())
    whole = trainer.steps - trainer.plan.first_step
    losses = len(history["loss"]) if history.epochs else 0
    result = dict(interrupted=history.interrupted, epochs=history.epochs, losses=losses)
    print(json.dumps(dict(result, finite=finite, steps=whole)), flush=True)
"""


def interrupted_run(engine, samples):
    """What a run in a process of its own says after Ctrl-C."""
    script = textwrap.dedent(SCRIPT) % {"engine": engine, "samples": samples}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=patience.SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    return json.loads(output)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("samples", [64, 20_000])
def test_ctrl_c_ends_a_run_in_good_order(engine, samples):
    """How soon is measured by `benchmarks.interrupt`."""
    result = interrupted_run(engine, samples)
    assert result["interrupted"]
    assert result["finite"]
    assert result["losses"] == result["epochs"]
    steps = samples // 32
    # Ctrl-C may come after an epoch's last step and before its metrics are put away.
    assert result["epochs"] * steps <= result["steps"] <= (result["epochs"] + 1) * steps
