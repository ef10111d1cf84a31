"""The native functions behind `handover`, which says what they do; imported where they are compiled, as it needs
Numba."""

from __future__ import annotations

import time
from typing import Any

from numba import njit, types

from chainrule.native.atomic import atomic_load, atomic_replace, atomic_swap
from chainrule.native.box import (
    ASLEEP,
    CLOCK,
    GIVEN,
    JOB,
    LEAST_RESPECT,
    LINGERING,
    MOST_RESPECT,
    NUMBER,
    OFFER,
    OFFERS,
    PARKED,
    PATIENCE,
    RESPECT,
    RUNNING,
    WANTED,
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
def linger(box):  # type: ignore[no-untyped-def]
    """Say that the share has ended; returns until when to look for another."""
    ended, patience = now(box), read_word(box, PATIENCE)
    atomic_swap(box, LINGERING if patience > 0 and ended > read_word(box, WANTED) else PARKED)
    return ended + patience


@device
def offer(box, until):  # type: ignore[no-untyped-def]
    """Let others have the processor for a moment; parks, unless a share came, if they need it or it is late."""
    before = now(box)
    sched_yield()
    after = now(box)
    respect = read_word(box, RESPECT)
    if after - before > read_word(box, OFFER):
        respect = min(max(2 * respect, LEAST_RESPECT), MOST_RESPECT)
        write_word(box, WANTED, after + respect)
    elif after > until:
        respect //= 2
    else:
        return
    write_word(box, RESPECT, respect)
    atomic_replace(box, LINGERING, PARKED)


def attend(box):  # type: ignore[no-untyped-def]
    until, spins = 0, SPINS
    if atomic_load(box) == RUNNING:
        until = linger(box)
    while True:
        state = atomic_load(box)
        if state == PARKED:
            return
        if state == GIVEN:
            if atomic_replace(box, GIVEN, RUNNING):
                job = read_word(box, JOB)
                if job == 0:
                    return
                run_share(job, read_word(box, NUMBER))
                until, spins = linger(box), SPINS
            continue
        spins -= 1
        if spins == 0:
            offer(box, until)
            spins = SPINS_BETWEEN


def hand_out(team, workers, job, patience):  # type: ignore[no-untyped-def]
    asleep = 0
    for number in range(1, workers):
        box = read_word(team, number)
        write_word(box, JOB, job)
        write_word(box, NUMBER, number)
        write_word(box, PATIENCE, patience)
        parked = 1 if atomic_swap(box, GIVEN) == PARKED else 0
        write_word(box, ASLEEP, parked)
        asleep += parked
    write_word(team, 0, asleep)


def complete(team, workers, job, withdraw):  # type: ignore[no-untyped-def]
    if job:
        run_share(job, 0)
    spins, offers = SPINS, OFFERS
    for number in range(1, workers):
        box = read_word(team, number)
        if box == 0:  # interrupted before the team was there
            break
        if withdraw:
            atomic_replace(box, GIVEN, PARKED)
        while atomic_load(box) >= GIVEN:
            spins -= 1
            if spins == 0:
                sched_yield()
                spins, offers = SPINS_BETWEEN, offers - 1
                if offers == 0:
                    write_word(team, 0, 1)
                    return
    write_word(team, 0, 0)
