"""Spinning workers: a share that comes soon needs no waking, and nobody spins in the way of others, or past the end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests import patience
from tests.native.jobs import NativeJob

from chainrule.native import workers
from chainrule.native.box import ASLEEP, BUSY_UNTIL, PARKED, SPINNING, STATE, YIELD
from chainrule.native.workers import run_together

LONG = 10**13  # nanoseconds: longer than a test waits


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A pool of its own, of workers that spin for long and that no busy machine disturbs."""
    own: list[Any] = []
    monkeypatch.setattr(workers, "_idle", own)
    monkeypatch.setattr(workers, "SPIN", LONG)
    monkeypatch.setattr(workers, "LONG_YIELD", LONG)
    monkeypatch.setattr(workers, "usable_processors", lambda: 4)
    yield own
    for worker in own:
        worker.box[STATE] = PARKED


def wait_for(state: int, worker: Any) -> None:
    end = time.monotonic() + patience.SECONDS
    while worker.box[STATE] != state:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_every_worker_gets_its_number_and_the_words(pool: list[Any]) -> None:
    seen: list[tuple[int, int, int]] = []
    job = NativeJob(lambda *arguments: seen.append(arguments), 3)
    for _ in range(4):
        job.run()
    assert sorted(seen) == sorted([(0, 3, 7), (1, 3, 7), (2, 3, 7)] * 4)


def test_a_spinning_worker_begins_without_being_woken(pool: list[Any]) -> None:
    threads: list[dict[int, int]] = []
    job = NativeJob(lambda worker, *_: threads[-1].update({worker: threading.get_ident()}), 3)
    for turn in range(3):
        threads.append({})
        job.run()
        assert [worker.box[STATE] for worker in pool] == [SPINNING] * 2
        assert [worker.box[ASLEEP] for worker in pool] == [turn == 0] * 2
        assert [worker.bell.qsize() for worker in pool] == [0] * 2
    assert threads[0] == threads[1] == threads[2]  # each has the same number again


def test_shares_in_python_and_native_ones_may_follow_each_other(pool: list[Any]) -> None:
    seen: list[int] = []
    job = NativeJob(lambda worker, *_: seen.append(worker), 2)
    for _ in range(2):
        job.run()
        run_together(lambda worker: seen.append(10 + worker), 2, abort=lambda: None)
        assert pool[0].box[STATE] == SPINNING
    assert sorted(seen) == [0, 0, 1, 1, 10, 10, 11, 11]

    def fail(worker: int) -> None:
        if worker:
            raise RuntimeError("from a spinning worker")

    with pytest.raises(RuntimeError, match="from a spinning worker"):
        run_together(fail, 2, abort=lambda: None)
    job.run()


def test_spinning_ends(pool: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SPIN", 50_000_000)
    job = NativeJob(lambda *_: None, 2)
    job.run()
    wait_for(PARKED, pool[0])
    job.run()
    assert pool[0].box[ASLEEP]


def test_a_processor_that_others_want_is_left_to_them(pool: list[Any]) -> None:
    job = NativeJob(lambda *_: None, 2)
    job.run()
    pool[0].box[YIELD] = -1  # every yield counts as used
    wait_for(PARKED, pool[0])
    assert pool[0].box[BUSY_UNTIL] > 0
    pool[0].box[BUSY_UNTIL] = 1 << 62  # for as long as the test takes
    for _ in range(3):
        job.run()
        assert pool[0].box[ASLEEP]
        assert pool[0].box[STATE] == PARKED


@pytest.mark.parametrize(("processors", "team"), [(1, 2), (2, 3), (3, 8)])
def test_nobody_spins_where_processors_are_short(
    pool: list[Any], monkeypatch: pytest.MonkeyPatch, processors: int, team: int
) -> None:
    monkeypatch.setattr(workers, "usable_processors", lambda: processors)
    job = NativeJob(lambda *_: None, team)
    for _ in range(2):
        job.run()
        assert {int(worker.box[STATE]) for worker in pool} == {PARKED}


def test_two_callers_have_spinning_workers_of_their_own(pool: list[Any]) -> None:
    meeting = threading.Barrier(4, timeout=patience.SECONDS)
    jobs = [NativeJob(lambda *_: [None, meeting.wait()][0], 2) for _ in range(2)]
    for _ in range(3):
        callers = [threading.Thread(target=job.run) for job in jobs]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(patience.SECONDS)
    assert not meeting.broken
    assert len(pool) == 2


def test_a_share_that_nobody_has_begun_is_withdrawn(pool: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the handing over and the waking: the parked worker must not run the share later."""
    seen: list[int] = []
    job = NativeJob(lambda worker, *_: seen.append(worker), 2)
    job.run()
    pool[0].box[STATE] = PARKED
    bell = pool[0].bell

    class Interrupted:
        def put(self, item: None) -> None:
            raise KeyboardInterrupt

    pool[0].bell = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        job.run()
    pool[0].bell = bell
    assert pool[0].box[STATE] == PARKED
    bell.put(None)
    job.run()
    assert sorted(seen) == [0, 0, 1, 1]


FOLLOWED = """
import sys, time
from chainrule.native import workers
workers.SPIN = workers.LONG_YIELD = 10**13
workers.usable_processors = lambda: 4
def team():
    workers.run_together(lambda _: None, 2, lambda: None)
team()
assert workers._idle[0].box[0] == 1  # it spins
"""


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(0)", "import threading; threading.Thread(target=team).start()", "raise KeyboardInterrupt"],
)
def test_a_spinning_worker_neither_crashes_nor_delays_the_end(end: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FOLLOWED + end], capture_output=True, text=True, timeout=patience.SECONDS
    )
    if "KeyboardInterrupt" in end:
        assert "KeyboardInterrupt" in answer.stderr
    else:
        assert (answer.returncode, answer.stderr) == (0, "")


def test_a_child_forked_beside_spinning_workers_starts_its_own() -> None:
    program = """
import os
child = os.fork()
team()
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore", "-c", FOLLOWED + program]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=patience.SECONDS)
    assert answer.stdout.strip() == "7", answer.stderr
