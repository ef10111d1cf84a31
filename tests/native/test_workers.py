"""The pool of workers: whole teams, errors and interruptions handed on, and a life after fork."""

from __future__ import annotations

import dis
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import patience
from tests.native.jobs import NativeJob

from chainrule.errors import NativeError, OptionError
from chainrule.native import machine, workers
from chainrule.native.box import PARKED, STATE
from chainrule.native.workers import default_workers, run_together


def test_every_worker_runs_once_at_the_same_time() -> None:
    meeting = threading.Barrier(4, timeout=patience.SECONDS)
    seen: list[int] = []

    def job(worker: int) -> None:
        meeting.wait()  # passes only if all four are running
        seen.append(worker)

    for _ in range(3):
        run_together(job, 4, abort=meeting.abort)
    assert sorted(seen) == sorted([0, 1, 2, 3] * 3)


def test_threads_that_the_system_refuses_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(workers, "_idle", [])
    monkeypatch.setattr(threading.Thread, "start", two)
    with pytest.raises(
        NativeError, match=r"threads: only 3 of 7 could be started \(can't start new thread\): use fewer"
    ):
        run_together(lambda worker: None, 7, abort=lambda: None)
    seen: list[int] = []
    run_together(seen.append, 3, abort=lambda: None)
    assert sorted(seen) == [0, 1, 2]


def test_two_callers_have_teams_of_their_own() -> None:
    meeting = threading.Barrier(4, timeout=patience.SECONDS)
    callers = [
        threading.Thread(target=run_together, args=(lambda _: meeting.wait(), 2, meeting.abort)) for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(patience.SECONDS)
    assert not meeting.broken


def test_an_error_in_a_worker_reaches_the_caller() -> None:
    def job(worker: int) -> None:
        if worker == 1:
            raise RuntimeError("from worker 1")

    with pytest.raises(RuntimeError, match="from worker 1"):
        run_together(job, 2, abort=lambda: None)
    run_together(lambda _: None, 2, abort=lambda: None)  # the pool is still of use


def test_an_error_in_the_caller_aborts_the_others() -> None:
    release = threading.Event()

    def job(worker: int) -> None:
        if worker == 0:
            raise KeyboardInterrupt
        assert release.wait(patience.SECONDS)

    with pytest.raises(KeyboardInterrupt):
        run_together(job, 3, abort=release.set)


ANSWERED_AFTER = ("CALL", "JUMP_BACKWARD", "RESUME")  # instructions after which Python looks for signals


def interrupted_at(place: int, job: Callable[[int], None] | int, abort: Callable[[], None]) -> bool:
    """Run a team of three with Ctrl-C at one of the places in `run_together` where Python answers it; False if it has
    fewer."""
    names = {i.offset: i.opname for i in dis.get_instructions(run_together)}
    count, previous = 0, ""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count, previous
        if frame.f_code is not run_together.__code__:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += previous.startswith(ANSWERED_AFTER)
            previous = names[frame.f_lasti]
            if count == place:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run_together(job, 3, abort)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("spin", [0, 60 * 10**9])
def test_ctrl_c_leaves_nobody_running_or_lost(native: bool, spin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_idle", [])
    monkeypatch.setattr(workers, "SPIN", spin)
    monkeypatch.setattr(workers, "LONG_YIELD", spin)
    monkeypatch.setattr(workers, "usable_processors", lambda: 3)
    place, interrupted = 0, True
    while interrupted:
        place += 1
        pool = set(workers._idle)
        stop = threading.Event()
        running: list[int] = []

        def job(worker: int, stop: Any = stop, running: list[int] = running) -> None:
            if worker == 0:
                stop.set()  # as the end of a program, where no one is interrupted
                return
            running.append(worker)
            assert stop.wait(patience.SECONDS)
            running.remove(worker)

        form = NativeJob(lambda worker, *_, job=job: job(worker), 3)
        interrupted = interrupted_at(place, form.address if native else job, stop.set)
        assert running == []
        assert len(set(workers._idle)) == len(workers._idle)
        assert pool <= set(workers._idle)
    assert place > 10
    run_together(lambda _: None, 3, abort=lambda: None)
    for worker in workers._idle:
        worker.box[STATE] = PARKED


def test_a_forked_child_starts_its_own_workers() -> None:
    program = """
import os, threading
from chainrule.native.workers import run_together
def team():
    meeting = threading.Barrier(2)
    run_together(lambda _: meeting.wait(), 2, meeting.abort)
team()
child = os.fork()
team()
if child == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=patience.SECONDS
    )
    assert answer.stdout.strip() == "7", answer.stderr


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000"}, math.inf),
        ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2.0),
        ("0::/host/name\n", {"cpu.max": "100000 100000"}, 1.0),
        (
            "3:cpu,cpuacct:/a\n2:memory:/b\n",
            {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        (None, {}, math.inf),
    ],
)
def test_the_smallest_quota_of_the_groups_above_counts(
    tmp_path: Path, membership: str | None, files: dict[str, str], expected: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    assert machine._quota(tmp_path, tmp_path / "membership") == expected


def test_default_follows_affinity_quota_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHAINRULE_THREADS", raising=False)
    monkeypatch.setattr(machine, "_quota", lambda: 1.0)
    assert default_workers() == 1
    monkeypatch.setattr(machine, "_quota", lambda: float("inf"))
    if hasattr(os, "sched_getaffinity"):
        assert default_workers() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("CHAINRULE_THREADS", "3")
    assert default_workers() == 3
    monkeypatch.setenv("CHAINRULE_THREADS", "none")
    with pytest.raises(OptionError, match="CHAINRULE_THREADS"):
        default_workers()
