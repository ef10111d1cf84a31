"""Compilation is told on stderr, under one heading in each process, and timed."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager

_times: list[float] = []


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Tell that the body compiles `name`, and how long it took."""
    from chainrule.native import objects

    _tell_once()
    start = time.perf_counter()
    yield
    _times.append(time.perf_counter() - start)
    objects.tell(f"  compiled {name} in {_times[-1]:.2f} s")


@functools.cache
def _tell_once() -> None:
    """The heading."""
    from chainrule.native import machine, objects

    objects.tell(f"compiling for {machine.processor().name}, once per machine, kept in {objects.folder()}:")


def seconds() -> float:
    """How long this process has been compiling, in all."""
    return sum(_times)
