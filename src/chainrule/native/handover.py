"""How a worker gets its share of a job: through a box of words (`box.py`), on which it spins before it parks.

Waking a parked thread takes 50 us, and milliseconds if its processor sleeps; the next step, or part of a run, often
comes sooner. So a worker that has ended its share spins in native code, without Python's lock, and begins the next one
at once. Meanwhile it yields its processor, and it parks as soon as another thread uses the yield (back-off).
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from chainrule.native import load


@functools.cache
def attend() -> Any:
    """The compiled attend(nothing, nothing, box): what a worker does from the moment it is woken until it parks.

    It also returns, in state RUNNING, for a share in Python; the next call then says that the share has ended.
    """
    return _load("attend", 1)


@functools.cache
def hand_out() -> Any:
    """The compiled hand_out(nothing, nothing, team, workers, job, spin_time): share n goes into
    worker n's box, whose address is word n of `team`.

    `job` is the address of a job's words, or 0 for one in Python. Word 0 becomes the number of workers to wake.
    """
    return _load("hand_out", 4)


@functools.cache
def complete() -> Any:
    """The compiled complete(nothing, nothing, team, workers, job, withdraw): run share 0, then wait for the others.

    `job` as above; with `withdraw`, shares that nobody has begun are withdrawn. Word 0 of `team` becomes whether some
    still run.
    """
    return _load("complete", 4)


def _load(name: str, words: int) -> Any:
    def make() -> bytes:
        from numba import types

        from chainrule.native import handover_code, jit

        return jit.compile_function(getattr(handover_code, name), [types.int64] * words, name)

    kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * (words - 1)
    return ctypes.CFUNCTYPE(None, *kinds)(load.load_symbol(name, make))
