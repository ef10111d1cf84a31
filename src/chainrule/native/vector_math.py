"""Arithmetic and elementary functions of vectors, for code that is emitted: Python's operators write instructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from chainrule.native import vecmath
from chainrule.native.vectors import Emitter


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

    def exp(self, x: Vector) -> Vector:
        """0 where the result would be less than about the least normal number."""
        top = 87.0 if self.is_single else 708.0
        power, p = self._split(self._least(self._most(x, top), -top))
        vanishes = self.builder.fcmp_ordered("<", x.value, self.vector(-top).value)
        return self._select(vanishes, self.vector(0.0), power * p + power)

    def larger(self, x: Vector, y: Vector) -> Vector:
        """The larger of two; y where one of them is NaN."""
        return self._select(self.builder.fcmp_ordered(">", x.value, y.value), x, y)

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
