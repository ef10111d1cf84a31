"""Ctrl-C during training: takes effect at once, but never in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """Delays Ctrl-C while a group of steps runs and its results are stored, then raises KeyboardInterrupt.

    Outside `shield`, and in threads other than the main one, Ctrl-C works as usual. A custom signal handler is not
    replaced. A second Ctrl-C breaks through the shield.
    Example: with Interrupt() as interrupt: ... with interrupt.shield(): losses = run(); put_away(losses)
    """

    def __init__(self) -> None:
        self._depth = 0
        self._pending = False
        self._previous: Any = None

    def __enter__(self) -> Interrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Inside, Ctrl-C waits for the end of the block, or of the outermost of nested blocks."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._pending and self._depth == 0:
            self._pending = False
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._depth > 0 and not self._pending:
            self._pending = True
        else:
            self._pending = False
            raise KeyboardInterrupt
