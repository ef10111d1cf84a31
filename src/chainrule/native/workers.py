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


class _Job:
    """One worker's share of a call; `running` is locked until it has ended."""

    def __init__(self, share: Callable[[int], None], number: int) -> None:
        self.share, self.number = share, number
        self.error: BaseException | None = None
        self.running = threading.Lock()
        self.running.acquire()

    def run(self) -> None:
        try:
            self.share(self.number)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error
        self.running.release()

    def wait(self) -> None:
        """Until it has ended; may be interrupted, and called again."""
        with self.running:
            pass


class _Worker:
    """A parked thread that runs one job at a time."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True, name="chainrule worker").start()

    def _serve(self) -> None:
        while True:
            self.inbox.get().run()


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

    If this thread is interrupted, `abort` must make the others end: they write the program's memory, so this waits for
    them in any case.
    """
    jobs = [_Job(job, number) for number in range(1, workers)]
    team: list[_Worker] = []
    begun: list[None] = []  # as long as there are jobs with a worker
    failure: BaseException | None = None
    try:
        with _lock:
            team += [_idle.pop() if _idle else _Worker() for _ in jobs]
        # In one call: Ctrl-C is answered before or after it, never between a job's handing over and its counting.
        begun.extend(map(queue.SimpleQueue.put, [worker.inbox for worker in team], jobs))
        job(0)
        for share in jobs:
            share.wait()
    except BaseException as error:  # noqa: BLE001 - raised below, once the others have ended
        failure = error
        while True:
            try:
                abort()
                for share in jobs[: len(begun)]:
                    share.wait()
                break
            except KeyboardInterrupt as another:
                failure = another
    with _lock:
        _idle.extend(team)
    for problem in (*(share.error for share in jobs), failure):
        if problem is not None:
            raise problem


def default_workers() -> int:
    """The processors this process may really use, or the environment variable CHAINRULE_THREADS."""
    chosen = os.environ.get("CHAINRULE_THREADS")
    if chosen is None:
        return usable_processors()
    with contextlib.suppress(ValueError):
        if int(chosen) > 0:
            return int(chosen)
    raise OptionError(f"CHAINRULE_THREADS is {chosen!r}, expected a whole number of at least 1")
