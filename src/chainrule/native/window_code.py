"""The symbols of `chainrule.native.window`, emitted as LLVM vector code.

One vector of channels stays in registers while the taps of a window are walked; the last, narrow vector is masked, so
that few channels cost no more than many. Loops over channels in Python would do: but theirs are too short for the
compiler's vector loops, which check for overlap and leave a rest each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor
from chainrule.native.vectors import I64, PTR, Emitter, Tail, Turn, loop

ARGUMENTS = (
    "pixels rows columns big big_pixel big_row big_column small small_pixel place first across factor add channels"
).split()
POINTERS = frozenset({"big", "small", "place"})
Vectors = Sequence[Any]


@dataclass(frozen=True)
class Place:
    """Where the loops are: the pixel's address in small and in place, and what is known of the whole call."""

    emitter: Emitter
    arguments: dict[str, Any]
    tail: Tail | None
    adds: bool
    small: Any = None
    place: Any = None
    held: Vectors = ()  # loaded once a window

    def load(self, b: ir.IRBuilder, address: Any) -> Any:
        return self.emitter.load(b, address, self.tail)

    def store(self, b: ir.IRBuilder, value: Any, address: Any) -> None:
        self.emitter.store(b, value, address, self.tail)

    def number(self, b: ir.IRBuilder, tap: Any) -> Any:
        """The number of a tap in every lane, as a real."""
        return self.emitter.spread(b, b.sitofp(tap, self.emitter.real))

    def give(self, b: ir.IRBuilder, value: Any, address: Any) -> None:
        self.store(b, b.fadd(value, self.load(b, address)) if self.adds else value, address)


@dataclass(frozen=True)
class Body:
    """What is done for one window: `begin` returns (held, carried) vectors, `tap` the carried ones, `end` stores."""

    begin: Callable[[ir.IRBuilder, Place], tuple[Vectors, Vectors]]
    tap: Callable[[ir.IRBuilder, Place, Any, Any, Vectors], Vectors]
    end: Callable[[ir.IRBuilder, Place, Vectors], None]


def _begin_largest(b: ir.IRBuilder, at: Place) -> tuple[Vectors, Vectors]:
    lowest = ir.Constant(at.emitter.vector, [float("-inf")] * at.emitter.lanes)
    return (), (lowest, at.number(b, at.arguments["first"]))


def _compare(b: ir.IRBuilder, at: Place, tap: Any, address: Any, carried: Vectors) -> Vectors:
    largest, place = carried
    value = at.load(b, address)
    larger = b.or_(b.fcmp_ordered(">", value, largest), b.fcmp_unordered("uno", value, value))
    return b.select(larger, value, largest), b.select(larger, at.number(b, tap), place)


def _end_largest(b: ir.IRBuilder, at: Place, carried: Vectors) -> None:
    at.store(b, carried[0], at.small)
    at.store(b, carried[1], at.place)


def _begin_giving_largest(b: ir.IRBuilder, at: Place) -> tuple[Vectors, Vectors]:
    return (at.load(b, at.small), at.load(b, at.place)), ()


def _give_if_placed(b: ir.IRBuilder, at: Place, tap: Any, address: Any, carried: Vectors) -> Vectors:
    small, place = at.held
    here = b.fcmp_ordered("==", place, at.number(b, tap))
    at.give(b, b.select(here, small, ir.Constant(at.emitter.vector, None)), address)
    return ()


def _begin_sum(b: ir.IRBuilder, at: Place) -> tuple[Vectors, Vectors]:
    return (), (ir.Constant(at.emitter.vector, None),)


def _add(b: ir.IRBuilder, at: Place, tap: Any, address: Any, carried: Vectors) -> Vectors:
    return (b.fadd(carried[0], at.load(b, address)),)


def _end_sum(b: ir.IRBuilder, at: Place, carried: Vectors) -> None:
    at.store(b, b.fmul(carried[0], at.emitter.spread(b, at.arguments["factor"])), at.small)


def _begin_giving_sum(b: ir.IRBuilder, at: Place) -> tuple[Vectors, Vectors]:
    return (b.fmul(at.load(b, at.small), at.emitter.spread(b, at.arguments["factor"])),), ()


def _give(b: ir.IRBuilder, at: Place, tap: Any, address: Any, carried: Vectors) -> Vectors:
    at.give(b, at.held[0], address)
    return ()


def _nothing(b: ir.IRBuilder, at: Place, carried: Vectors) -> None:
    """Taps have been given their part already."""


LARGEST = Body(_begin_largest, _compare, _end_largest), Body(_begin_giving_largest, _give_if_placed, _nothing)
SUM = Body(_begin_sum, _add, _end_sum), Body(_begin_giving_sum, _give, _nothing)


def window_code(dtype: np.dtype[Any], target: Processor, take: str, give: str) -> str:
    """The LLVM text that defines the symbols `take` and `give` for one dtype and processor."""
    emitter = Emitter(dtype, target)
    for symbol, largest, total, gives in zip((take, give), LARGEST, SUM, (False, True), strict=True):
        _function(emitter, symbol, largest, total, gives)
    return str(emitter.module)


def _function(e: Emitter, symbol: str, largest: Body, total: Body, gives: bool) -> None:
    """void symbol(pixels, ...): loops with and without places, for whole vectors and masked ones, to set and to add."""
    types = [PTR if name in POINTERS else e.real if name == "factor" else I64 for name in ARGUMENTS]
    fn = ir.Function(e.module, ir.FunctionType(ir.VoidType(), types), symbol)
    arguments = dict(zip(ARGUMENTS, fn.args, strict=True))
    b = ir.IRBuilder(fn.append_basic_block("entry"))
    tail = e.tail(b, arguments["channels"])
    is_whole = b.icmp_signed("==", arguments["channels"], I64(e.lanes))
    has_place = b.icmp_unsigned("!=", b.ptrtoint(arguments["place"], I64), I64(0))
    adds = b.icmp_signed("!=", arguments["add"], I64(0))
    for with_place, body in zip(_either(b, has_place), (largest, total), strict=True):
        for whole, lanes in zip(_either(with_place, is_whole), (None, tail), strict=True):
            ways = zip(_either(whole, adds), (True, False), strict=True) if gives else [(whole, False)]
            for way, adding in ways:
                _pixels(way, Place(e, arguments, lanes, adding), body)


def _either(b: ir.IRBuilder, condition: Any) -> tuple[ir.IRBuilder, ir.IRBuilder]:
    """Two ways on: where the condition holds, and where not."""
    yes, no = b.append_basic_block("yes"), b.append_basic_block("no")
    b.cbranch(condition, yes, no)
    return ir.IRBuilder(yes), ir.IRBuilder(no)


def _pixels(b: ir.IRBuilder, at: Place, body: Body) -> None:
    """One window after another, then return."""
    arg, e = at.arguments, at.emitter

    def window(b: ir.IRBuilder, _: Any, places: list[Any]) -> Turn:
        big, small, place = places
        here = replace(at, small=small, place=place)
        held, carried = body.begin(b, here)
        here = replace(here, held=held)

        def row(b: ir.IRBuilder, i: Any, moved: list[Any]) -> Turn:
            start = b.add(arg["first"], b.mul(i, arg["across"]))

            def tap(b: ir.IRBuilder, j: Any, moved: list[Any]) -> Turn:
                address, *carried = moved
                results = body.tap(b, here, b.add(start, j), address, carried)
                return b, [e.at(b, address, arg["big_column"]), *results]

            b, (_, *carried) = loop(b, arg["columns"], moved, tap, at_least_once=True)
            return b, [e.at(b, moved[0], arg["big_row"]), *carried]

        b, (_, *carried) = loop(b, arg["rows"], [big, *carried], row, at_least_once=True)
        body.end(b, here, carried)
        steps = (arg[name] for name in ("big_pixel", "small_pixel", "small_pixel"))
        return b, [e.at(b, address, step) for address, step in zip(places, steps, strict=True)]

    b, _ = loop(b, arg["pixels"], [arg["big"], arg["small"], arg["place"]], window, at_least_once=True)
    b.ret_void()
