"""The native functions behind `handover`, which says what they do; imported where they are compiled, as it needs
Numba."""

from __future__ import annotations

import time
from typing import Any

from numba import njit, types

from chainrule.native.atomic import atomic_load, atomic_replace, atomic_swap
from chainrule.native.box import (
    ASLEEP,
    BACKOFF,
    BUSY_UNTIL,
    CLOCK,
    HANDED_OUT,
    JOB,
    LEAST_BACKOFF,
    MOST_BACKOFF,
    NUMBER,
    PARKED,
    RUNNING,
    SPIN_TIME,
    SPINNING,
    YIELD,
    YIELDS,
)
from chainrule.native.jit import OPTIONS, caller, read_word, write_word
from chainrule.native.replay import SPINS, SPINS_BETWEEN

MONOTONIC = getattr(time, "CLOCK_MONOTONIC", 1)
sched_yield: Any = types.ExternalFunction("sched_yield", types.int32())
clock_gettime: Any = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))
call = caller([types.int64] * 8)
device = njit(**OPTIONS, forceinline=True)


@device
def now(box):  # type: ignore[no-untyped-def]
    """Nanoseconds of a clock that never goes back."""
    clock_gettime(MONOTONIC, box + 8 * CLOCK)
    return read_word(box, CLOCK) * 1_000_000_000 + read_word(box, CLOCK + 1)


@device
def run_share(job, worker):  # type: ignore[no-untyped-def]
    """Call the replay loop as the job's words say: its address, its arguments before `worker`, those after it."""
    program, starts, instructions = read_word(job, 1), read_word(job, 2), read_word(job, 3)
    state, barrier, workers, steps = read_word(job, 4), read_word(job, 5), read_word(job, 6), read_word(job, 7)
    call(read_word(job, 0), (program, starts, instructions, state, barrier, worker, workers, steps))


@device
def spin_on(box):  # type: ignore[no-untyped-def]
    """Say that the share has ended; returns until when to spin."""
    ended, spin_time = now(box), read_word(box, SPIN_TIME)
    atomic_swap(box, SPINNING if spin_time > 0 and ended > read_word(box, BUSY_UNTIL) else PARKED)
    return ended + spin_time


@device
def yield_once(box, until):  # type: ignore[no-untyped-def]
    """Yield the processor once; park, unless a share came, if another thread used it or it is time."""
    before = now(box)
    sched_yield()
    after = now(box)
    backoff = read_word(box, BACKOFF)
    if after - before > read_word(box, YIELD):
        backoff = min(max(2 * backoff, LEAST_BACKOFF), MOST_BACKOFF)
        write_word(box, BUSY_UNTIL, after + backoff)
    elif after > until:
        backoff //= 2
    else:
        return
    write_word(box, BACKOFF, backoff)
    atomic_replace(box, SPINNING, PARKED)


def attend(box):  # type: ignore[no-untyped-def]
    until, spins = 0, SPINS
    if atomic_load(box) == RUNNING:
        until = spin_on(box)
    while True:
        state = atomic_load(box)
        if state == PARKED:
            return
        if state == HANDED_OUT:
            if atomic_replace(box, HANDED_OUT, RUNNING):
                job = read_word(box, JOB)
                if job == 0:
                    return
                run_share(job, read_word(box, NUMBER))
                until, spins = spin_on(box), SPINS
            continue
        spins -= 1
        if spins == 0:
            yield_once(box, until)
            spins = SPINS_BETWEEN


def hand_out(team, workers, job, spin_time):  # type: ignore[no-untyped-def]
    asleep = 0
    for number in range(1, workers):
        box = read_word(team, number)
        write_word(box, JOB, job)
        write_word(box, NUMBER, number)
        write_word(box, SPIN_TIME, spin_time)
        parked = 1 if atomic_swap(box, HANDED_OUT) == PARKED else 0
        write_word(box, ASLEEP, parked)
        asleep += parked
    write_word(team, 0, asleep)


def complete(team, workers, job, withdraw):  # type: ignore[no-untyped-def]
    if job:
        run_share(job, 0)
    spins, yields = SPINS, YIELDS
    for number in range(1, workers):
        box = read_word(team, number)
        if box == 0:  # interrupted before the team was there
            break
        if withdraw:
            atomic_replace(box, HANDED_OUT, PARKED)
        while atomic_load(box) >= HANDED_OUT:
            spins -= 1
            if spins == 0:
                sched_yield()
                spins, yields = SPINS_BETWEEN, yields - 1
                if yields == 0:
                    write_word(team, 0, 1)
                    return
    write_word(team, 0, 0)
