"""Whose turn it is: a trainer serves one call at a time, whichever thread it comes from."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from chainrule.errors import OptionError


class Turns:
    """What serves one call at a time.

    `lock` is held during a call, so that others wait. `busy` says that the engine is at work: a call that comes from
    within (from the model, the loss or a signal handler) cannot be served. `fitting` is the thread that is in a fit,
    which holds the lock for each stretch of steps, but not while it tells its observers.
    """

    fitting = 0

    def __init__(self) -> None:
        self.renew()
        _all.add(self)

    def renew(self) -> None:
        """Begin without a call, in this process: a fork leaves the threads that made calls behind."""
        here = threading.get_ident()
        self.lock, self.busy, self.fitting = threading.RLock(), False, here if self.fitting == here else 0

    def refuse_nesting(self) -> None:
        """Raise OptionError where the engine is at work, in this thread, as the lock is held."""
        if self.busy:
            raise OptionError(
                "Trainer: called from within a step or a prediction of its own, by the model, the loss or a signal "
                "handler: call it before or after, as a callback of fit does"
            )

    def refuse_second_fit(self) -> None:
        """Raise OptionError during a fit."""
        if self.fitting:
            raise OptionError(
                "fit: this trainer is in a fit already, which called a callback or runs in another thread: wait until "
                "it ends, call step from a callback, or make another Trainer"
            )

    def refuse_step(self) -> None:
        """Raise OptionError during a fit of another thread."""
        if self.fitting and self.fitting != threading.get_ident():
            raise OptionError(
                "step: this trainer is in a fit in another thread: wait until that ends, or make another Trainer"
            )

    @contextmanager
    def entered(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """`context()`, which is entered and left in a turn of its own, not held in between."""
        stack = ExitStack()
        with self.lock:
            stack.enter_context(context())
        try:
            yield
        finally:
            with self.lock:
                stack.close()


_all: weakref.WeakSet[Turns] = weakref.WeakSet()


def _renew_all() -> None:
    for turns in _all:
        turns.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
