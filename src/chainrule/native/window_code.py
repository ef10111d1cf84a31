"""The symbols of `chainrule.native.window`, emitted as LLVM vector code.

One vector of channels stays in registers while the taps of a window are walked; the last, narrow vector is masked, so
that few channels cost no more than many. Loops over channels written in Python would be too short for the
compiler's vector loops, each of which checks for overlap and ends with a scalar remainder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor
from chainrule.native.vectors import I64, PTR, Emitter, Iteration, Tail, loop

ARGUMENTS = (
    "pixels rows columns big big_pixel big_row big_column small small_pixel argmax first across factor add channels"
).split()
POINTERS = frozenset({"big", "small", "argmax"})
Vectors = Sequence[Any]


@dataclass(frozen=True)
class Context:
    """The state of the loops: the pixel's address in small and in argmax, and what is known of the whole call."""

    emitter: Emitter
    arguments: dict[str, Any]
    tail: Tail | None
    adds: bool
    small: Any = None
    argmax: Any = None
    held: Vectors = ()  # loaded once a window

    def load(self, b: ir.IRBuilder, address: Any) -> Any:
        return self.emitter.load(b, address, self.tail)

    def store(self, b: ir.IRBuilder, value: Any, address: Any) -> None:
        self.emitter.store(b, value, address, self.tail)

    def number(self, b: ir.IRBuilder, tap: Any) -> Any:
        """The number of a tap in every lane, as a real."""
        return self.emitter.splat(b, b.sitofp(tap, self.emitter.real))

    def write(self, b: ir.IRBuilder, value: Any, address: Any) -> None:
        """Store a value, or add it."""
        self.store(b, b.fadd(value, self.load(b, address)) if self.adds else value, address)


@dataclass(frozen=True)
class Body:
    """What is done for one window: `begin` returns vectors, (held, carried), `tap` new carried ones, `end` stores."""

    begin: Callable[[ir.IRBuilder, Context], tuple[Vectors, Vectors]]
    tap: Callable[[ir.IRBuilder, Context, Any, Any, Vectors], Vectors]
    end: Callable[[ir.IRBuilder, Context, Vectors], None]


def _begin_largest(b: ir.IRBuilder, at: Context) -> tuple[Vectors, Vectors]:
    lowest = ir.Constant(at.emitter.vector, [float("-inf")] * at.emitter.lanes)
    return (), (lowest, at.number(b, at.arguments["first"]))


def _compare(b: ir.IRBuilder, at: Context, tap: Any, address: Any, carried: Vectors) -> Vectors:
    largest, argmax = carried
    value = at.load(b, address)
    larger = b.or_(b.fcmp_ordered(">", value, largest), b.fcmp_unordered("uno", value, value))
    return b.select(larger, value, largest), b.select(larger, at.number(b, tap), argmax)


def _end_largest(b: ir.IRBuilder, at: Context, carried: Vectors) -> None:
    at.store(b, carried[0], at.small)
    at.store(b, carried[1], at.argmax)


def _begin_unpooling_largest(b: ir.IRBuilder, at: Context) -> tuple[Vectors, Vectors]:
    return (at.load(b, at.small), at.load(b, at.argmax)), ()


def _unpool_largest(b: ir.IRBuilder, at: Context, tap: Any, address: Any, carried: Vectors) -> Vectors:
    small, argmax = at.held
    here = b.fcmp_ordered("==", argmax, at.number(b, tap))
    at.write(b, b.select(here, small, ir.Constant(at.emitter.vector, None)), address)
    return ()


def _begin_sum(b: ir.IRBuilder, at: Context) -> tuple[Vectors, Vectors]:
    return (), (ir.Constant(at.emitter.vector, None),)


def _add(b: ir.IRBuilder, at: Context, tap: Any, address: Any, carried: Vectors) -> Vectors:
    return (b.fadd(carried[0], at.load(b, address)),)


def _end_sum(b: ir.IRBuilder, at: Context, carried: Vectors) -> None:
    at.store(b, b.fmul(carried[0], at.emitter.splat(b, at.arguments["factor"])), at.small)


def _begin_unpooling_sum(b: ir.IRBuilder, at: Context) -> tuple[Vectors, Vectors]:
    return (b.fmul(at.load(b, at.small), at.emitter.splat(b, at.arguments["factor"])),), ()


def _unpool_sum(b: ir.IRBuilder, at: Context, tap: Any, address: Any, carried: Vectors) -> Vectors:
    at.write(b, at.held[0], address)
    return ()


def _nothing(b: ir.IRBuilder, at: Context, carried: Vectors) -> None:
    """Every tap has been written already."""


LARGEST = Body(_begin_largest, _compare, _end_largest), Body(_begin_unpooling_largest, _unpool_largest, _nothing)
SUM = Body(_begin_sum, _add, _end_sum), Body(_begin_unpooling_sum, _unpool_sum, _nothing)


def window_code(dtype: np.dtype[Any], target: Processor, pool: str, unpool: str) -> str:
    """The LLVM text that defines the symbols `pool` and `unpool` for one dtype and processor."""
    emitter = Emitter(dtype, target)
    for symbol, largest, total, unpools in zip((pool, unpool), LARGEST, SUM, (False, True), strict=True):
        _function(emitter, symbol, largest, total, unpools)
    return str(emitter.module)


def _function(e: Emitter, symbol: str, largest: Body, total: Body, unpools: bool) -> None:
    """void symbol(pixels, ...): loops with and without places, for whole vectors and masked ones, to set and to add."""
    types = [PTR if name in POINTERS else e.real if name == "factor" else I64 for name in ARGUMENTS]
    fn = ir.Function(e.module, ir.FunctionType(ir.VoidType(), types), symbol)
    arguments = dict(zip(ARGUMENTS, fn.args, strict=True))
    b = ir.IRBuilder(fn.append_basic_block("entry"))
    tail = e.tail(b, arguments["channels"])
    is_whole = b.icmp_signed("==", arguments["channels"], I64(e.lanes))
    has_argmax = b.icmp_unsigned("!=", b.ptrtoint(arguments["argmax"], I64), I64(0))
    adds = b.icmp_signed("!=", arguments["add"], I64(0))
    for with_argmax, body in zip(_either(b, has_argmax), (largest, total), strict=True):
        for whole, lanes in zip(_either(with_argmax, is_whole), (None, tail), strict=True):
            ways = zip(_either(whole, adds), (True, False), strict=True) if unpools else [(whole, False)]
            for way, adding in ways:
                _pixels(way, Context(e, arguments, lanes, adding), body)


def _either(b: ir.IRBuilder, condition: Any) -> tuple[ir.IRBuilder, ir.IRBuilder]:
    """Builders for the case that the condition holds, and that it does not."""
    yes, no = b.append_basic_block("yes"), b.append_basic_block("no")
    b.cbranch(condition, yes, no)
    return ir.IRBuilder(yes), ir.IRBuilder(no)


def _pixels(b: ir.IRBuilder, at: Context, body: Body) -> None:
    """One window after another, then return."""
    arg, e = at.arguments, at.emitter

    def window(b: ir.IRBuilder, _: Any, places: list[Any]) -> Iteration:
        big, small, argmax = places
        here = replace(at, small=small, argmax=argmax)
        held, carried = body.begin(b, here)
        here = replace(here, held=held)

        def row(b: ir.IRBuilder, i: Any, moved: list[Any]) -> Iteration:
            start = b.add(arg["first"], b.mul(i, arg["across"]))

            def tap(b: ir.IRBuilder, j: Any, moved: list[Any]) -> Iteration:
                address, *carried = moved
                results = body.tap(b, here, b.add(start, j), address, carried)
                return b, [e.at(b, address, arg["big_column"]), *results]

            b, (_, *carried) = loop(b, arg["columns"], moved, tap, at_least_once=True)
            return b, [e.at(b, moved[0], arg["big_row"]), *carried]

        b, (_, *carried) = loop(b, arg["rows"], [big, *carried], row, at_least_once=True)
        body.end(b, here, carried)
        steps = (arg[name] for name in ("big_pixel", "small_pixel", "small_pixel"))
        return b, [e.at(b, address, step) for address, step in zip(places, steps, strict=True)]

    b, _ = loop(b, arg["pixels"], [arg["big"], arg["small"], arg["argmax"]], window, at_least_once=True)
    b.ret_void()
