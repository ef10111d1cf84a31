"""The symbols of `chainrule.native.cells`, emitted as LLVM vector code: the formulas, run on vectors of units.

A compiler would make several loops of a formula with so many arrays, or none that is vector code, since any of them
might overlap; here all that belongs to a vector of units stays in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native import cells, vecmath
from chainrule.native.machine import Processor
from chainrule.native.vectors import I64, Emitter, Iteration, Tail, loop


@dataclass(frozen=True)
class Vector:
    """A vector of the code being written; arithmetic with it writes instructions."""

    math: VectorMath
    value: Any

    def _write(self, name: str, first: Any, second: Any) -> Vector:
        operands = [self.math.vector(x).value for x in (first, second)]
        return Vector(self.math, getattr(self.math.builder, name)(*operands, flags=("contract",)))

    def __add__(self, other: Any) -> Vector:
        return self._write("fadd", self, other)

    def __sub__(self, other: Any) -> Vector:
        return self._write("fsub", self, other)

    def __rsub__(self, other: Any) -> Vector:
        return self._write("fsub", other, self)

    def __mul__(self, other: Any) -> Vector:
        return self._write("fmul", self, other)

    def __truediv__(self, other: Any) -> Vector:
        return self._write("fdiv", self, other)


class VectorMath:
    """The functions of formulas, as `vecmath.py` computes them; limits replace the care for the largest exponents."""

    def __init__(self, emitter: Emitter, builder: ir.IRBuilder) -> None:
        self.emitter, self.builder = emitter, builder
        self.is_single = emitter.item == 4
        self.integers = ir.VectorType(ir.IntType(8 * emitter.item), emitter.lanes)

    def vector(self, x: Any) -> Vector:
        """A number in every lane."""
        return x if isinstance(x, Vector) else Vector(self, ir.Constant(self.emitter.vector, [x] * self.emitter.lanes))

    def sigmoid(self, x: Vector) -> Vector:
        top = 87.0 if self.is_single else 708.0
        negative = Vector(self, self.builder.fneg(x.value))
        power, p = self._split(self._least(self._most(negative, top), -top))
        return self.vector(1.0) / (power * p + power + 1.0)

    def tanh(self, x: Vector) -> Vector:
        size = self._call("fabs", x)
        power, p = self._split(self._most(size + size, 20.0 if self.is_single else 40.0))
        t = power * p + (power - 1.0)
        return self._call("copysign", t / (t + 2.0), x)

    def relu(self, x: Vector) -> Vector:
        return self._select(self.builder.fcmp_ordered("<", x.value, self.vector(0.0).value), self.vector(0.0), x)

    def where_positive(self, x: Vector, y: Vector) -> Vector:
        return self._select(self.builder.fcmp_ordered(">", x.value, self.vector(0.0).value), y, self.vector(0.0))

    def _most(self, x: Vector, top: float) -> Vector:
        """x, or `top` where it is more; NaN stays."""
        limit = self.vector(top)
        return self._select(self.builder.fcmp_ordered(">", x.value, limit.value), limit, x)

    def _least(self, x: Vector, bottom: float) -> Vector:
        limit = self.vector(bottom)
        return self._select(self.builder.fcmp_ordered("<", x.value, limit.value), limit, x)

    def _select(self, condition: Any, x: Vector, y: Vector) -> Vector:
        return Vector(self, self.builder.select(condition, x.value, y.value))

    def _call(self, name: str, *x: Vector) -> Vector:
        kind = self.emitter.vector
        intrinsic = self.emitter.intrinsic(f"llvm.{name}.{self.emitter.suffix}", kind, [kind] * len(x))
        return Vector(self, self.builder.call(intrinsic, [v.value for v in x]))

    def _split(self, z: Vector) -> tuple[Vector, Vector]:
        """(2^k, p) with e^z = 2^k·(1 + p); the sum with `shift` is k, rounded, in its lowest bits."""
        high, low = vecmath.LN2_32 if self.is_single else vecmath.LN2_64
        shift, digits, one = (1.5 * 2.0**23, 23, 127) if self.is_single else (1.5 * 2.0**52, 52, 1023)
        b, shifted = self.builder, z * vecmath.LOG2E + shift
        k = shifted - shift
        r = z - k * high - k * low
        *rest, q = map(self.vector, vecmath.EXP_32 if self.is_single else vecmath.EXP_64)
        for coefficient in reversed(rest):
            q = q * r + coefficient
        whole = [ir.Constant(self.integers, [number] * self.emitter.lanes) for number in (digits, one << digits)]
        bits = b.add(b.shl(b.bitcast(shifted.value, self.integers), whole[0]), whole[1])
        return Vector(self, b.bitcast(bits, self.emitter.vector)), r * r * q + r


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
