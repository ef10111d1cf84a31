"""The symbols of `chainrule.native.cells`, emitted as LLVM vector code: the formulas, run on vectors of units.

A compiler would make several loops of a formula with so many arrays, or none that is vector code, since any of them
might overlap; here all that belongs to a vector of units stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native import cells
from chainrule.native.machine import Processor
from chainrule.native.vector_math import Vector, VectorMath
from chainrule.native.vectors import I64, Emitter, Iteration, Tail, loop


class Cells(Emitter):
    """Writes the steps of one dtype and processor into an LLVM module."""

    def step(self, symbol: str, formula: Callable[..., Any], names: tuple[str, ...]) -> None:
        """void symbol(rows, ...): the formula for every unit of every running sequence."""
        fn, arg = self.function(symbol, names, cells.POINTERS)
        b = ir.IRBuilder(fn.append_basic_block("entry"))
        hidden = arg["hidden"]
        rest = b.and_(hidden, I64(self.lanes - 1))
        whole, tail = b.sub(hidden, rest), self.tail(b, rest)

        def row(b: ir.IRBuilder, i: Any, _: list[Any]) -> Iteration:
            number = self._integer(b, arg["order"], b.add(arg["first"], b.mul(i, arg["deal"])))
            at = b.add(self._integer(b, arg["offsets"], b.add(number, arg["end"])), arg["move"])
            bases: dict[str, Any] = {}

            def units(b: ir.IRBuilder, j: Any, tail: Tail | None) -> None:
                math = VectorMath(self, b)
                loaded = [Vector(math, self.load(b, self.at(b, bases[n], j), tail)) for n in cells.reads(formula)]
                written = formula(math, *loaded)
                places = [self.at(b, bases[name], j) for name in written]
                self.store_all(b, [vector.value for vector in written.values()], places, tail)

            def vector(b: ir.IRBuilder, j: Any, _: list[Any]) -> Iteration:
                units(b, j, None)
                return b, []

            for name in dict.fromkeys((*cells.reads(formula), *cells.writes(formula))):
                bases[name] = self._base(b, arg, i, at, name)
            b, _ = loop(b, whole, [], vector, step=self.lanes)
            part, done = b.append_basic_block("part"), b.append_basic_block("row")
            b.cbranch(b.icmp_signed(">", rest, I64(0)), part, done)
            b = ir.IRBuilder(part)
            units(b, whole, tail)
            b.branch(done)
            return ir.IRBuilder(done), []

        b, _ = loop(b, arg["rows"], [], row)
        b.ret_void()

    def _integer(self, b: ir.IRBuilder, table: Any, index: Any) -> Any:
        return b.load(b.gep(table, [index], source_etype=I64), typ=I64)

    def _base(self, b: ir.IRBuilder, arg: dict[str, Any], i: Any, row: Any, name: str) -> Any:
        """The address of the first unit of a name of the formula."""
        array, gate = cells.place(name)
        hidden = arg["hidden"]
        start = b.mul(hidden, arg["gate_count"]) if array in cells.WIDE else hidden
        start = b.mul(i, start) if array in cells.OWN else b.mul(b.mul(row, arg["directions"]), start)
        if array == "bias":
            start = I64(0)
        if array == "dy":
            start = b.mul(row, arg["dy_row"])
        return self.at(b, arg[array], b.add(start, b.mul(hidden, I64(gate))))


def cells_code(dtype: np.dtype[Any], target: Processor, *symbols: str) -> str:
    """The LLVM text that defines the symbols for one dtype and processor."""
    emitter = Cells(dtype, target)
    for symbol, (formula, names) in zip(symbols, cells.STEPS, strict=True):
        emitter.step(symbol, formula, names)
    return str(emitter.module)
