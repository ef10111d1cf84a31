"""How a worker gets its share of a job: through a box of words (`box.py`) that it watches for a while before it parks.

Waking a parked thread takes 50 us, and milliseconds where its processor sleeps; steps, and parts of runs, follow each
other sooner. So a worker that has ended its share lingers in native code, without Python's lock, and begins the next
one at once. It offers its processor to others meanwhile, and parks as soon as somebody takes it.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from chainrule.native import load


@functools.cache
def attend() -> Any:
    """The compiled attend(nothing, nothing, box): what a worker does from the moment it is woken until it parks.

    It returns also when the share is one in Python, RUNNING; the next call then says that it has ended.
    """
    return _load("attend", 1)


@functools.cache
def hand_out() -> Any:
    """The compiled hand_out(nothing, nothing, team, workers, job, patience): worker n's box, at word n of `team`, gets
    share n.

    `job` is the address of a job's words, or 0 for one in Python. Word 0 becomes how many are ASLEEP.
    """
    return _load("hand_out", 4)


@functools.cache
def complete() -> Any:
    """The compiled complete(nothing, nothing, team, workers, job, withdraw): run share 0, then wait for the others.

    `job` as above; a true `withdraw` takes back what nobody has begun. Word 0 of `team` becomes whether some still run.
    """
    return _load("complete", 4)


def _load(name: str, words: int) -> Any:
    def make() -> bytes:
        from numba import types

        from chainrule.native import handover_code, jit

        return jit.compile_function(getattr(handover_code, name), [types.int64] * words, name)

    kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * (words - 1)
    return ctypes.CFUNCTYPE(None, *kinds)(load.load_symbol(name, make))
