"""The workers: threads that wait, parked, for a program to run together with the thread that calls it.

Threads are taken from one pool for the time of a call, so two trainers in two threads have workers of their own. A
forked child inherits no threads and starts its own.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable

from chainrule.errors import OptionError
from chainrule.native.machine import usable_processors


class _Worker:
    """A parked thread that runs one job at a time."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.done = threading.Semaphore(0)
        self.error: BaseException | None = None
        threading.Thread(target=self._serve, daemon=True, name="chainrule worker").start()

    def _serve(self) -> None:
        while True:
            job = self.inbox.get()
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self.error = error
            self.done.release()


_idle: list[_Worker] = []
_lock = threading.Lock()


def _forget_workers() -> None:
    """After a fork the child has none of the parent's threads, and its lock may be held by one of them."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run_together(job: Callable[[int], None], workers: int, abort: Callable[[], None]) -> None:
    """Run job(0) in this thread and job(1) .. job(workers - 1) in others; return when all have ended.

    If this thread is interrupted before its share began, `abort` must make the others end.
    """
    with _lock:
        team = [_idle.pop() if _idle else _Worker() for _ in range(workers - 1)]
    interruption: BaseException | None = None
    started = 0
    try:
        for number, worker in enumerate(team, 1):
            worker.inbox.put(lambda number=number: job(number))  # type: ignore[misc]
            started = number
        job(0)
    except BaseException as error:  # noqa: BLE001 - raised below, once the others have ended
        abort()
        interruption = error
    for worker in team[:started]:
        while True:
            try:
                worker.done.acquire()
                break
            except KeyboardInterrupt as error:  # the others still write the program's memory: wait for them first
                interruption = error
        if worker.error is not None:
            interruption, worker.error = worker.error, None
    with _lock:
        _idle.extend(team[:started])
    if interruption is not None:
        raise interruption


def default_workers() -> int:
    """The processors this process may really use, or the environment variable CHAINRULE_THREADS."""
    chosen = os.environ.get("CHAINRULE_THREADS")
    if chosen is None:
        return usable_processors()
    with contextlib.suppress(ValueError):
        if int(chosen) > 0:
            return int(chosen)
    raise OptionError(f"CHAINRULE_THREADS is {chosen!r}, expected a whole number of at least 1")
