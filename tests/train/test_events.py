"""Observers hear the events they have a method for, in order."""

from __future__ import annotations

import pytest

from chainrule.errors import OptionError
from chainrule.train.events import Events


class Recorder:
    def __init__(self):
        self.heard = []

    def on_epoch_end(self, epoch, history):
        self.heard.append(("epoch_end", epoch))

    def on_steps(self, step, losses):
        self.heard.append(("steps", step))


def test_methods_hear_their_events():
    recorder = Recorder()
    events = Events([recorder])
    assert events.listens("epoch_end")
    assert events.listens("fit_begin", "steps")
    assert not events.listens("fit_begin", "step")
    events.emit("fit_begin", None)
    events.emit("steps", 0, [1.0])
    events.emit("epoch_end", 0, None)
    assert recorder.heard == [("steps", 0), ("epoch_end", 0)]


def test_a_function_hears_the_end_of_epochs_in_the_order_of_subscription():
    heard = []
    events = Events([lambda epoch, history: heard.append(1), lambda epoch, history: heard.append(2)])
    events.emit("epoch_end", 0, None)
    events.emit("fit_end", None)
    assert heard == [1, 2]


@pytest.mark.parametrize("observer", [3, object(), "early", Recorder().heard])
def test_an_observer_that_hears_nothing_is_refused(observer):
    with pytest.raises(OptionError, match="handles no event: expected a function"):
        Events([observer])


@pytest.mark.parametrize("observer", [Recorder(), len, None])
def test_an_observer_outside_a_list_is_refused(observer):
    with pytest.raises(OptionError, match=rf"callbacks: is one {type(observer).__name__}, expected a list"):
        Events(observer)


def test_a_class_in_place_of_its_object_is_refused():
    class Callback:
        pass

    with pytest.raises(OptionError, match="handles no event"):
        Events([Callback])


def test_an_event_for_all_reaches_all_and_the_first_error_is_raised():
    heard = []

    class Failing:
        def __init__(self, error):
            self.error = error

        def on_fit_end(self, history):
            heard.append(self.error)
            raise self.error

    class Quiet:
        def on_fit_end(self, history):
            heard.append("quiet")

    first, second = ZeroDivisionError("first"), KeyError("second")
    with pytest.raises(ZeroDivisionError, match="first") as caught:
        Events([Failing(first), Failing(second), Quiet()]).emit_to_all("fit_end", None)
    assert heard == [first, second, "quiet"]
    assert caught.value.__notes__ == ["another callback for on_fit_end raised KeyError('second')"]
