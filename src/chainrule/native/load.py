"""Addresses of compiled kernels, spans and the microkernel: from this process, the store, or compiled on first use.

First-time compilation is reported on stderr, with what is compiled and how long it takes. Numba is imported only when
something must be compiled.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from chainrule.errors import NativeError
from chainrule.native import cells, matrix, objects, softmax, tiles, window
from chainrule.native.compiling import compiling
from chainrule.native.kernel import External, Kernel, Pointwise
from chainrule.native.machine import processor

Code: TypeAlias = Kernel | Pointwise
EMITTED = {
    "microkernel": matrix.EXTERNALS,
    "window": window.EXTERNALS,
    "tiles": tiles.EXTERNALS,
    "cells": cells.EXTERNALS,
    "softmax": softmax.EXTERNALS,
}  # as vector code
_addresses: dict[tuple[Code, str], int] = {}
_owners: dict[str, Code] = {}


def address(code: Code, dtype: np.dtype[Any]) -> int:
    """Where the machine code of a kernel or span starts in this process."""
    key = (code, dtype.char)
    if key not in _addresses:
        if _owners.setdefault(symbol(code, dtype), code) != code:
            raise NativeError(f"two kernels would be stored as {symbol(code, dtype)}: give one of them another name")
        if isinstance(code, Kernel):
            externals = _externals(code.function)
            imports = tuple(e.symbol.format(dtype=dtype.name) for e in externals)
            _emitted(externals, dtype)
        else:
            imports = ()
        _addresses[key] = load_symbol(symbol(code, dtype), lambda: _compile(code, dtype, imports), imports)
    return _addresses[key]


def symbol(code: Code, dtype: np.dtype[Any]) -> str:
    """The name of a kernel's or span's machine code, which is also its file's name in the store."""
    if isinstance(code, Kernel):
        return f"kernel_{code.name}{_foreign(code.function)}_{dtype.name}"
    return f"span_{code.name}{_foreign(code.scalar)}{'_in_place' if code.in_place else ''}_{dtype.name}"


@functools.cache
def _foreign(function: Callable[..., Any]) -> str:
    """A hash of the functions from outside the package that code is made of, if there are any: the folder of the
    store is named by the package's own sources."""
    parts: list[str] = []
    queue, known = [function], {function}
    for called in queue:
        if (called.__module__ or "").startswith("chainrule."):
            continue
        scope = inspect.getclosurevars(called)
        used = {**scope.globals, **scope.nonlocals}
        inside = [value for value in used.values() if isinstance(value, FunctionType) and value not in known]
        queue += inside
        known.update(inside)
        if called.__module__:  # else it is generated, by the package
            code = called.__code__
            numbers = sorted((name, value) for name, value in used.items() if isinstance(value, (int, float)))
            parts.append(repr((code.co_code, code.co_consts, code.co_names, numbers)))
    return f"_{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}" if parts else ""


def load_symbol(name: str, make: Callable[[], bytes], imports: tuple[str, ...] = ()) -> int:
    """The address of the code stored as `name`; if there is none, `make` compiles it, which is reported on stderr.

    `imports` are symbols it calls, loaded before.
    """

    def timed() -> bytes:
        with compiling(name):
            return make()

    (found,) = objects.load((name,), timed, imports)
    return found


def _compile(code: Code, dtype: np.dtype[Any], imports: tuple[str, ...]) -> bytes:
    from llvmlite import binding as llvm

    from chainrule.native import jit

    for external in imports:  # Numba makes code of its own on the way, and ends the process over an unknown symbol
        llvm.add_symbol(external, objects.address(external))
    name = symbol(code, dtype)
    if isinstance(code, Kernel):
        return jit.compile_kernel(code, dtype, name)
    return jit.compile_span(code.scalar, code.arrays, code.numbers, code.in_place, dtype, name)


def _emitted(externals: set[External], dtype: np.dtype[Any]) -> None:
    """Load the vector code that defines these symbols for one dtype; it is emitted as LLVM text, without Numba."""
    for title, group in EMITTED.items():
        if not externals.isdisjoint(group):
            names = tuple(e.symbol.format(dtype=dtype.name) for e in group)
            objects.load(names, functools.partial(_emit, title, names, dtype))


def _emit(title: str, names: tuple[str, ...], dtype: np.dtype[Any]) -> bytes:
    from llvmlite import binding as llvm

    from chainrule.native.cells_code import cells_code
    from chainrule.native.microkernel import microkernel
    from chainrule.native.softmax_code import softmax_code
    from chainrule.native.tiles_code import tiles_code
    from chainrule.native.window_code import window_code

    emitters: dict[str, Callable[..., str]] = {
        "microkernel": microkernel, "window": window_code, "tiles": tiles_code, "cells": cells_code,
        "softmax": softmax_code,
    }  # fmt: skip
    with compiling(f"{title}_{dtype.name}"):
        text = emitters[title](dtype, processor(), *names)
        code: bytes = objects.target_machine().emit_object(llvm.parse_assembly(text))
    return code


def _externals(function: Callable[..., Any]) -> set[External]:
    """The external symbols a kernel calls, itself or through device functions."""
    found: set[External] = set()
    for name in function.__code__.co_names:
        value: Any = function.__globals__.get(name)
        if isinstance(value, External):
            found.add(value)
        elif getattr(value, "__chainrule_device__", False):
            found |= _externals(value)
    return found
