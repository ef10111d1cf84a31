"""The symbols of `chainrule.native.softmax`, emitted as LLVM vector code.

Two vectors of queries stay in registers while the keys are walked, so that nothing is summed across a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor
from chainrule.native.vector_math import Vector, VectorMath
from chainrule.native.vectors import I64, Emitter, Iteration, loop

SOFTEN = "rows columns cells factors scale largest total moved".split()
SLOPES = "rows columns cells flows factors scale lse dot slope".split()
POINTERS = frozenset({"cells", "flows", "factors", "largest", "total", "moved", "lse", "dot"})
REALS = frozenset({"scale", "slope"})
VECTORS = 2  # of queries


class Softmax(Emitter):
    """Writes the functions of one dtype and processor into an LLVM module."""

    def write(self, symbol: str, names: list[str], body: Any) -> None:
        """void symbol(...): `body(b, arguments, first column, dropping)` for every two vectors of columns."""
        fn, arg = self.function(symbol, names, POINTERS, REALS)
        b = ir.IRBuilder(fn.append_basic_block("entry"))
        plain, dropping = (fn.append_basic_block(name) for name in ("plain", "dropping"))
        b.cbranch(b.icmp_unsigned("==", b.ptrtoint(arg["factors"], I64), I64(0)), plain, dropping)
        for block, drops in ((plain, False), (dropping, True)):

            def columns(b: ir.IRBuilder, j: Any, _: list[Any], drops: bool = drops) -> Iteration:
                return body(b, arg, j, drops), []

            b, _ = loop(ir.IRBuilder(block), arg["columns"], [], columns, step=VECTORS * self.lanes)
            b.ret_void()

    def soften(self, b: ir.IRBuilder, arg: dict[str, Any], j: Any, drops: bool) -> ir.IRBuilder:
        """One group of columns."""
        lowest = ir.Constant(self.vector, [float("-inf")] * self.lanes)

        def compare(b: ir.IRBuilder, i: Any, largest: list[Any]) -> Iteration:
            math = VectorMath(self, b)
            scores = [score * self._scalar(math, arg["scale"]) for score in self._vectors(math, arg, "cells", j, i)]
            return b, [math.larger(s, Vector(math, old)).value for s, old in zip(scores, largest, strict=True)]

        b, found = loop(b, arg["rows"], [lowest] * VECTORS, compare)
        math = VectorMath(self, b)
        old, total = (self._vectors(math, arg, name, j) for name in ("largest", "total"))
        new = [math.larger(Vector(math, f), o) for f, o in zip(found, old, strict=True)]
        none = [b.fcmp_ordered("==", n.value, lowest) for n in new]
        safe = [b.select(is_none, math.vector(0.0).value, n.value) for is_none, n in zip(none, new, strict=True)]
        moved = [math.exp(o - Vector(math, s)) for o, s in zip(old, safe, strict=True)]
        self._put(math, arg, "largest", j, new)
        self._put(math, arg, "moved", j, moved)

        def exponentials(b: ir.IRBuilder, i: Any, sums: list[Any]) -> Iteration:
            math = VectorMath(self, b)
            cells = self._vectors(math, arg, "cells", j, i)
            scale = self._scalar(math, arg["scale"])
            shares = [math.exp(c * scale - Vector(math, s)) for c, s in zip(cells, safe, strict=True)]
            sums = [(Vector(math, old) + share).value for old, share in zip(sums, shares, strict=True)]
            if drops:
                shares = [s * f for s, f in zip(shares, self._vectors(math, arg, "factors", j, i), strict=True)]
            self._put(math, arg, "cells", j, shares, i)
            return b, sums

        b, sums = loop(b, arg["rows"], [ir.Constant(self.vector, None)] * VECTORS, exponentials)
        math = VectorMath(self, b)
        again = [Vector(math, x.value) for x in moved]
        all_ = [Vector(math, t.value) * m + Vector(math, s) for t, m, s in zip(total, again, sums, strict=True)]
        self._put(math, arg, "total", j, all_)
        return b

    def slopes(self, b: ir.IRBuilder, arg: dict[str, Any], j: Any, drops: bool) -> ir.IRBuilder:
        """One group of columns."""
        math = VectorMath(self, b)
        lse, dot = ([v.value for v in self._vectors(math, arg, name, j)] for name in ("lse", "dot"))

        def row(b: ir.IRBuilder, i: Any, _: list[Any]) -> Iteration:
            math = VectorMath(self, b)
            cells, flows = (self._vectors(math, arg, name, j, i) for name in ("cells", "flows"))
            scale, slope = (self._scalar(math, arg[name]) for name in ("scale", "slope"))
            shares = [math.exp(c * scale - Vector(math, x)) for c, x in zip(cells, lse, strict=True)]
            factors = self._vectors(math, arg, "factors", j, i) if drops else []
            if drops:
                flows = [f * kept for f, kept in zip(flows, factors, strict=True)]
            flows = [(f - Vector(math, d)) * s * slope for f, d, s in zip(flows, dot, shares, strict=True)]
            if drops:
                shares = [s * kept for s, kept in zip(shares, factors, strict=True)]
            self._put(math, arg, "cells", j, shares, i)
            self._put(math, arg, "flows", j, flows, i)
            return b, []

        b, _ = loop(b, arg["rows"], [], row)
        return b

    def _scalar(self, math: VectorMath, x: Any) -> Vector:
        return Vector(math, self.splat(math.builder, x))

    def _places(self, math: VectorMath, arg: dict[str, Any], name: str, j: Any, row: Any) -> list[Any]:
        b = math.builder
        at = j if row is None else b.add(j, b.mul(row, arg["columns"]))
        return [self.at(b, arg[name], b.add(at, I64(v * self.lanes))) for v in range(VECTORS)]

    def _vectors(self, math: VectorMath, arg: dict[str, Any], name: str, j: Any, row: Any = None) -> list[Vector]:
        places = self._places(math, arg, name, j, row)
        return [Vector(math, self.load(math.builder, place, None)) for place in places]

    def _put(
        self, math: VectorMath, arg: dict[str, Any], name: str, j: Any, vectors: list[Vector], row: Any = None
    ) -> None:  # fmt: skip
        self.store_all(math.builder, [v.value for v in vectors], self._places(math, arg, name, j, row), None)


def softmax_code(dtype: np.dtype[Any], target: Processor, soften: str, slopes: str) -> str:
    """The LLVM text that defines the symbols for one dtype and processor."""
    emitter = Softmax(dtype, target)
    emitter.write(soften, SOFTEN, emitter.soften)
    emitter.write(slopes, SLOPES, emitter.slopes)
    return str(emitter.module)
