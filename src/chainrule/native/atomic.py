"""Intrinsics on one int64 word that several workers read and write; imported where code is compiled, as it needs
Numba."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WORD = ir.IntType(64)
_intrinsic: Any = intrinsic  # a decorator that mypy believes to keep the compiler's parameters


def _at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, WORD.as_pointer())


def _swap(operation: str) -> Any:
    """An intrinsic that changes the word at an address and returns what was there before."""

    @intrinsic
    def swap(typing_context, address, value):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            return builder.atomic_rmw(operation, _at(builder, args[0]), args[1], "seq_cst")

        return types.int64(types.int64, types.int64), generate

    return swap


atomic_add, atomic_swap = _swap("add"), _swap("xchg")


@_intrinsic
def atomic_load(typing_context, address):  # type: ignore[no-untyped-def]
    """The word at an address."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.load_atomic(_at(builder, args[0]), "seq_cst", 8, typ=WORD)

    return types.int64(types.int64), generate


@_intrinsic
def atomic_replace(typing_context, address, old, new):  # type: ignore[no-untyped-def]
    """Write `new` where `old` is; returns whether it was."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        found = builder.cmpxchg(_at(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate
