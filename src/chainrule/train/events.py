"""Events of a training run, and the callbacks that receive them.

A callback is any object with some of these methods, or a plain function, which is called like `on_epoch_end`:

    on_fit_begin(trainer)             before the first step; `trainer.plan` has the number of epochs and steps
    on_epoch_begin(epoch)             epochs count from 0 over the whole training
    on_step(step, loss)               after each step, steps from 0: training then runs one step at a time
    on_steps(step, losses)            after each group of steps run natively, `step` being the first: costs nothing
    on_epoch_end(epoch, history)      after validation; `history.last` is this epoch
    on_fit_end(history)               always, even after Ctrl-C or an error, also in another callback

A callback may end the run with `trainer.stop("why")`. On small data sets many epochs run in one native call if no
callback needs single steps or epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule.errors import OptionError

EVENTS = ("fit_begin", "epoch_begin", "step", "steps", "epoch_end", "fit_end")


class Events:
    """The callbacks of one run, by event. Raises OptionError for one that handles no event, or one that is no list."""

    def __init__(self, observers: Iterable[Any]) -> None:
        if not isinstance(observers, Iterable):
            kind = type(observers).__name__
            raise OptionError(f"callbacks: is one {kind}, expected a list: pass callbacks=[...] with it inside")
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
        for observer in observers:
            self.add(observer)

    def add(self, observer: Any) -> None:
        """Subscribe a callback to every event it has a method for."""
        methods = {event: getattr(observer, f"on_{event}", None) for event in EVENTS}
        heard = {event: method for event, method in methods.items() if callable(method)}
        if not heard and callable(observer) and not isinstance(observer, type):
            heard = {"epoch_end": observer}
        if not heard:
            names = ", ".join(f"on_{event}" for event in EVENTS)
            raise OptionError(
                f"callbacks: {observer!r} handles no event: expected a function of (epoch, history), "
                f"or an object with some of {names}"
            )
        for event, method in heard.items():
            self._listeners[event].append(method)

    def listens(self, *events: str) -> bool:
        """Whether any callback handles one of `events`."""
        return any(self._listeners[event] for event in events)

    def emit(self, event: str, *arguments: Any) -> None:
        """Call every callback for `event`, in the order they were added."""
        for listener in self._listeners[event]:
            listener(*arguments)

    def emit_to_all(self, event: str, *arguments: Any) -> None:
        """The same for an event that every callback must receive: errors are raised after all were called, the first
        one with notes about the others.
        """
        errors: list[BaseException] = []
        for listener in self._listeners[event]:
            try:
                listener(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
        for later in errors[1:]:
            errors[0].add_note(f"another callback for on_{event} raised {later!r}")
        if errors:
            raise errors[0]
