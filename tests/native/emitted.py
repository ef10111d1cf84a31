"""Vector code for the widths of all supported processors, compiled for this machine whatever its own width."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from llvmlite import binding as llvm

from chainrule.native.machine import Processor, processor
from chainrule.native.objects import target_machine

WIDTHS = {"AVX-512": (64, 32), "AVX2": (32, 16), "NEON": (16, 32)}
CASES = [(width, dtype) for width in WIDTHS for dtype in ("float32", "float64")]


def emit(emitter: Callable[..., str], case: tuple[str, str], names: Iterable[str]) -> tuple[Any, Processor, Any, Any]:
    """One of CASES: the dtype, the processor, the addresses of the functions, and what is to be kept."""
    width, dtype = case[0], np.dtype(case[1])
    here = processor()
    target = Processor(here.name, here.features, *WIDTHS[width])
    symbols = [f"{name}_{width.replace('-', '')}_{dtype}" for name in names]
    code = target_machine().emit_object(llvm.parse_assembly(emitter(dtype, target, *symbols)))
    linker = llvm.create_lljit_compiler(target_machine())
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for symbol in symbols:
        builder.export_symbol(symbol)
    library = builder.link(linker, symbols[0])
    return dtype, target, [library[symbol] for symbol in symbols], (library, linker)
