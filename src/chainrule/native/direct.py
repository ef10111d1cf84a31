"""One kernel called from Python, outside of any program."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np

from chainrule.native import load
from chainrule.native.kernel import RANK, Kernel

FLOAT32 = np.dtype(np.float32)


def run(kernel: Kernel, tiles: int, *arguments: Any) -> None:
    """Run all tiles in this thread; arrays are NumPy arrays of the kernel's int64 or float64, contiguous."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        for tile in range(tiles):
            kernel.function(tile, *arguments)
        return
    words: list[int] = []
    for (_, kind), value in zip(kernel.parameters, arguments, strict=True):
        if kind in RANK:
            assert value.flags.c_contiguous
            words += [value.ctypes.data, *value.shape]
        else:
            assert kind == "Int", f"{kernel.name}: {kind} arguments are for programs"
            words.append(int(value))
    instruction = np.array(words, np.int64)
    nothing = ctypes.create_string_buffer(16)
    address = load.address(kernel, FLOAT32)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3)(address)
    function(nothing, nothing, instruction.ctypes.data, 0, tiles)
