"""Jobs for teams of workers whose shares can be watched."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from chainrule.native.workers import run_together

LOOP = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 8)


class NativeJob:
    """A Python function (worker, workers, steps) in the form of a program's job: words with the address of a loop."""

    def __init__(self, function: Callable[..., object], team: int) -> None:
        self.function, self.team = function, team
        self.loop = LOOP(self._call)
        address = ctypes.cast(self.loop, ctypes.c_void_p).value
        self.words = np.array([address, 11, 12, 13, 14, 15, team, 7], np.int64)

    @property
    def address(self) -> int:
        """Of the words."""
        return int(self.words.ctypes.data)

    def run(self) -> None:
        """By a whole team."""
        run_together(self.address, self.team, abort=lambda: None)

    def _call(self, nothing: int, nowhere: int, *arguments: int) -> int:
        *fixed, worker, team, steps = arguments
        assert fixed == [11, 12, 13, 14, 15]
        self.function(worker, team, steps)
        return 0
