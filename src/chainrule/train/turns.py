"""Turns: a trainer runs one call at a time, whichever thread makes it, and so do trainers that share layers."""

from __future__ import annotations

import threading

from chainrule.errors import OptionError
from chainrule.nn import Module
from chainrule.nn.claims import Claim


class Turns(Claim):
    """What makes calls run one at a time.

    `lock` is held during a call, so that others wait. `busy` means that the engine is running: a call from within (by
    the model, the loss or a signal handler) cannot run. `fitting` is the thread that is in fit, which holds the lock
    for each group of steps, but not while it calls its callbacks.
    """

    fitting = 0

    def __init__(self, model: Module) -> None:
        parts = model.named_modules(), model.named_parameters(), model.named_buffers()
        super().__init__(part for named in parts for part in named.values())

    def renew(self, locks: dict[threading.RLock, threading.RLock]) -> None:
        """Start without a call in this process: the threads that made calls do not survive a fork."""
        super().renew(locks)
        here = threading.get_ident()
        self.fitting = here if self.fitting == here else 0

    def refuse_nesting(self) -> None:
        """Raise OptionError if the engine is running, which must be in this thread because the lock is held."""
        if self.any_busy():
            raise OptionError(
                "Trainer: called from within one of its own steps or predictions, or those of a trainer that shares "
                "layers with it, by the model, the loss or a signal handler: call it before or after, as a callback of "
                "fit does"
            )

    def refuse_second_fit(self) -> None:
        """Raise OptionError during a fit."""
        if self.fitting:
            raise OptionError(
                "fit: this trainer is already in fit, which called a callback or runs in another thread: wait until "
                "it ends, call step from a callback, or make another Trainer"
            )

    def refuse_step(self) -> None:
        """Raise OptionError during a fit of another thread."""
        if self.fitting and self.fitting != threading.get_ident():
            raise OptionError(
                "step: this trainer is in fit in another thread: wait until it ends, or make another Trainer"
            )
