"""The workers: threads that wait for a program to run together with the thread that calls it.

They spin for a while after each job, then park (`chainrule.native.handover`). A call borrows its threads from one pool,
so two trainers in two threads have workers of their own. A forked child inherits no threads and starts its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import threading
from collections.abc import Callable

import numpy as np

from chainrule.errors import NativeError, OptionError
from chainrule.native.box import ASLEEP, BOX, LONG_YIELD, NUMBER, RUNNING, SPIN, STATE, YIELD
from chainrule.native.handover import attend, complete, hand_out
from chainrule.native.machine import usable_processors
from chainrule.settings import MOST_THREADS

_NOTHING = ctypes.create_string_buffer(16)  # where compiled code stores its None


class _Worker:
    """A thread that runs one share at a time, that of its box; parked until the bell is rung."""

    def __init__(self) -> None:
        self.box = np.zeros(BOX, np.int64)
        self.box[YIELD] = LONG_YIELD
        self.address = self.box.ctypes.data
        self.bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.job: Callable[[int], None] | None = None  # in Python
        self.error: BaseException | None = None
        self.processors = usable_processors()
        threading.Thread(target=self._serve, daemon=True, name="chainrule worker").start()

    def _serve(self) -> None:
        wait, box, address = attend(), self.box, self.address
        while True:
            self.bell.get()
            wait(_NOTHING, _NOTHING, address)
            while box[STATE] == RUNNING:
                self._run()
                wait(_NOTHING, _NOTHING, address)

    def _run(self) -> None:
        assert self.job is not None
        try:
            self.job(int(self.box[NUMBER]))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.error = error


_idle: list[_Worker] = []
_lock = threading.Lock()


def _forget_workers() -> None:
    """After a fork the child has none of the parent's threads, and its lock may be held by one of them."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def run_together(job: Callable[[int], None] | int, workers: int, abort: Callable[[], None]) -> None:
    """Run job(0) in this thread and job(1) .. job(workers - 1) in others; return when all have ended.

    A job that needs no Python is the address of its words (`Program` makes them). If this thread is interrupted,
    `abort` must make the others end: they write the program's memory, so this waits for them in any case.
    """
    function, words = (None, job) if isinstance(job, int) else (job, 0)
    boxes = (ctypes.c_int64 * workers)()
    team: list[_Worker] = []
    failure: BaseException | None = None
    try:
        with _lock:
            while len(_idle) < workers - 1:
                _idle.append(_started(workers))
            # No call from here to the next line: Ctrl-C, which comes after one, would lose workers or have them twice.
            team += _idle[: workers - 1]
            del _idle[: workers - 1]
        for worker in team:
            worker.job, worker.error = function, None
        boxes[1:] = [worker.address for worker in team]
        # From here on the boxes tell whose share has begun, and Ctrl-C comes before or after a call, never inside it.
        hand_out()(_NOTHING, _NOTHING, boxes, workers, words, _spin_time(team))
        if boxes[0]:
            for worker in team:
                if worker.box[ASLEEP]:
                    worker.bell.put(None)
        if function is not None:
            function(0)
        _finish(boxes, words)
    except BaseException as error:  # noqa: BLE001 - raised below, once the others have ended
        failure = error
        while True:
            try:
                abort()
                _finish(boxes, 0, withdraw=True)
                break
            except BaseException as another:  # noqa: BLE001 - a signal's
                failure = another
    with _lock:
        _idle[:0] = team  # in front: each worker has the same number next time, and finds its rows in cache
    for problem in (*(worker.error for worker in team), failure):
        if problem is not None:
            raise problem


def _started(workers: int) -> _Worker:
    """A new worker; raises NativeError if the system refuses another thread."""
    try:
        return _Worker()
    except RuntimeError as error:
        raise NativeError(
            f"threads: only {len(_idle) + 1} of {workers} could be started ({error}): use fewer, or raise the limit on "
            "processes (ulimit -u) or memory"
        ) from None


def _finish(boxes: ctypes.Array[ctypes.c_int64], words: int, withdraw: bool = False) -> None:
    """Run share 0 of a job in native code, or 0 for none, then wait until no other runs."""
    complete()(_NOTHING, _NOTHING, boxes, len(boxes), words, withdraw)
    while boxes[0]:
        complete()(_NOTHING, _NOTHING, boxes, len(boxes), 0, withdraw)


def _spin_time(team: list[_Worker]) -> int:
    """How long a worker spins: not at all if team and caller must share processors."""
    return SPIN if all(worker.processors > len(team) for worker in team) else 0


def default_workers() -> int:
    """The processors this process may really use, or the environment variable CHAINRULE_THREADS."""
    chosen = os.environ.get("CHAINRULE_THREADS")
    if chosen is None:
        return usable_processors()
    with contextlib.suppress(ValueError):
        if 0 < int(chosen) <= MOST_THREADS:
            return int(chosen)
    raise OptionError(f"CHAINRULE_THREADS is {chosen!r}, expected a whole number from 1 to {MOST_THREADS}")
