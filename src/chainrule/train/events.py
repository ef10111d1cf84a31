"""Events of a training run, and who hears them.

An observer is any object with some of these methods, or a plain function, which is then called as `on_epoch_end` is:

    on_fit_begin(trainer)             before the first step; `trainer.plan` tells how many epochs and steps are to come
    on_epoch_begin(epoch)             epochs count from 0 over the whole training
    on_step(step, loss)               after each step, steps from 0: training then runs one step at a time
    on_steps(step, losses)            after each stretch of steps run natively, `step` being the first: costs nothing
    on_epoch_end(epoch, history)      after validation; `history.last` is this epoch
    on_fit_end(history)               always, also after Ctrl-C or an error, of another observer too

An observer may end the run with `trainer.stop("why")`. Small data sets train many epochs in one native call while
nobody listens to a single step or epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from chainrule.errors import OptionError

EVENTS = ("fit_begin", "epoch_begin", "step", "steps", "epoch_end", "fit_end")


class Events:
    """The observers of one run, by event.

    Raises OptionError for an observer that hears nothing.
    """

    def __init__(self, observers: Iterable[Any]) -> None:
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}
        for observer in observers:
            self.add(observer)

    def add(self, observer: Any) -> None:
        """Subscribe an observer to every event it has a method for."""
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
        """Whether anybody hears one of `events`."""
        return any(self._listeners[event] for event in events)

    def emit(self, event: str, *arguments: Any) -> None:
        """Tell every observer of `event`, in the order they came."""
        for listener in self._listeners[event]:
            listener(*arguments)

    def emit_to_all(self, event: str, *arguments: Any) -> None:
        """The same for an event that each must hear: an error is raised when all have been told, the first of several
        with notes of the others."""
        errors: list[BaseException] = []
        for listener in self._listeners[event]:
            try:
                listener(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
        for later in errors[1:]:
            errors[0].add_note(f"another observer of on_{event} raised {later!r}")
        if errors:
            raise errors[0]
