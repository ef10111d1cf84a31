"""Signals that ask to stop: they take effect at once, but never in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interrupt:
    """Delays Ctrl-C while a group of steps runs and its results are stored, then raises KeyboardInterrupt.

    Outside `shield`, and in threads other than the main one, Ctrl-C works as usual. A custom signal handler is not
    replaced, and a signal that is ignored stays ignored. A second Ctrl-C breaks through the shield. Inside another
    Interrupt, one works as a part of it.
    Example: with Interrupt() as interrupt: ... with interrupt.shield(): losses = run(); put_away(losses)
    """

    def __init__(self, *others: signal.Signals) -> None:
        """`others` are signals to treat as Ctrl-C, where they would otherwise end the process."""
        self._others = others
        self._depth = 0
        self._pending = False
        self._previous: dict[signal.Signals, Any] = {}
        self._whole = self  # the outermost Interrupt
        self._first: signal.Signals | None = None

    @property
    def first(self) -> signal.Signals | None:
        """The first signal that came."""
        return self._whole._first

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:  # any of them may be ignored, and tell nothing of an outer Interrupt
                owner = getattr(signal.getsignal(number), "__self__", None)
                if isinstance(owner, Interrupt):
                    self._whole = owner
            usual = {signal.SIGINT: signal.default_int_handler} | dict.fromkeys(self._others, signal.SIG_DFL)
            for number, handler in usual.items():
                if signal.getsignal(number) == handler:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *failure: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Inside, Ctrl-C waits for the end of the block, or of the outermost of nested blocks."""
        whole = self._whole
        whole._depth += 1
        try:
            yield
        finally:
            whole._depth -= 1
        if whole._pending and whole._depth == 0:
            whole._pending = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._first = self._first or signal.Signals(number)
        if self._depth > 0 and not self._pending:
            self._pending = True
        else:
            self._pending = False
            raise KeyboardInterrupt
