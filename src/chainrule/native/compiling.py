"""Compilation is told on stderr, under one heading in each process, and timed."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Spent(threading.local):
    seconds = 0.0


_spent = _Spent()


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Tell that the body compiles `name`, and how long it took."""
    from chainrule.native import objects

    _tell_once()
    start = time.perf_counter()
    yield
    taken = time.perf_counter() - start
    _spent.seconds += taken
    objects.tell(f"  compiled {name} in {taken:.2f} s")


@functools.cache
def _tell_once() -> None:
    """The heading."""
    from chainrule.native import machine, objects

    objects.tell(f"compiling for {machine.processor().name}, once per machine, kept in {objects.folder()}:")


def seconds() -> float:
    """How long the calling thread has been compiling, in all."""
    return _spent.seconds
