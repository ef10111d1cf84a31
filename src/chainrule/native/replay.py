"""The loop that runs a program: every worker calls it, and a barrier follows each instruction that others depend on.

An instruction is a row of int64 words: the address of its kernel, its tiles, its flags, then the kernel's arguments.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

HEADER = 3  # words before an instruction's arguments
BROKEN = 1 << 60  # of a barrier: no worker waits any more, and all leave
BARRIER, MAY_STOP = 1, 2  # flags: workers meet after this instruction; it may have set the state's STOP word
# Spins at the barrier, about a nanosecond each, before the processor is yielded, and between two yields. A yield costs
# little if no other thread wants it, and workers that share a processor cannot meet before one of them yields.
SPINS, SPINS_BETWEEN = 1000, 50


def _make(sched_yield: Any, call: Any, read_word: Any, atomic_add: Any, atomic_load: Any) -> Any:
    """The replay loop over these intrinsics; a function, so that importing this module does not import Numba."""

    def replay(program, starts, instructions, state, barrier, worker, workers, steps):  # type: ignore[no-untyped-def]
        passed = 0
        for _ in range(steps):
            for i in range(instructions):
                base = program + read_word(starts, i)
                tiles = read_word(base, 1)
                flags = read_word(base, 2)
                first, last = 0, tiles
                if workers > 1 and tiles > 1:
                    first = tiles * worker // workers
                    last = tiles * (worker + 1) // workers
                elif worker > 0:
                    last = 0
                if last > first:
                    call(read_word(base, 0), (base + 8 * HEADER, first, last))
                if workers > 1 and flags & BARRIER:
                    passed += 1
                    atomic_add(barrier, 1)
                    spins = SPINS
                    arrived = atomic_load(barrier)
                    while arrived < passed * workers:
                        spins -= 1
                        if spins == 0:
                            sched_yield()
                            spins = SPINS_BETWEEN
                        arrived = atomic_load(barrier)
                    if arrived >= BROKEN:
                        return
                if flags & MAY_STOP and read_word(state, 0):
                    return

    return replay


def _compile() -> bytes:
    from numba import types

    from chainrule.native import jit
    from chainrule.native.atomic import atomic_add, atomic_load

    call = jit.caller([types.int64] * 3)
    sched_yield = types.ExternalFunction("sched_yield", types.int32())
    function = _make(sched_yield, call, jit.read_word, atomic_add, atomic_load)
    return jit.compile_function(function, [types.int64] * 8, "replay")


@functools.cache
def replay() -> Any:
    """The compiled loop: replay(nothing, nothing, program, starts, instructions, state, barrier, worker, workers,
    steps)."""
    from chainrule.native import load

    address = load.load_symbol("replay", _compile)
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 8)(address)
