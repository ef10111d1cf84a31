"""The symbols of `chainrule.native.tiles`, emitted as LLVM vector code.

A vector of channels of a whole tile is loaded, multiplied from both sides in registers, and stored; of the last,
narrow vector only the lanes that exist. Where a tile reaches over the edge of the image, the addresses of its outer
pixels are replaced by that of a vector of zeros, or of one that is never read.

Images are larger than the second-level cache, and products come between one row of tiles and the next, so the processor
sees no stream to prefetch: each tile prefetches what the one below it will read or write of the image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor
from chainrule.native.tiles import STEP, TRANSFORMS, Transform
from chainrule.native.vectors import I64, Emitter, Iteration, Tail, loop

ARGUMENTS = (
    "tiles channels source s_tile s_row s_col target t_tile t_row t_col top bottom left right bias add"
).split()
POINTERS = frozenset({"source", "target", "bias"})


def tiles_code(dtype: np.dtype[Any], target: Processor, *symbols: str) -> str:
    """The LLVM text that defines the symbols for one dtype and processor."""
    emitter = Emitter(dtype, target)
    zeros = ir.GlobalVariable(emitter.module, emitter.vector, "zeros")
    zeros.initializer, zeros.global_constant, zeros.linkage = ir.Constant(emitter.vector, None), True, "internal"
    for transform, symbol in zip(TRANSFORMS, symbols, strict=True):
        _Code(emitter, transform, *emitter.function(symbol, ARGUMENTS, POINTERS), zeros).write()
    return str(emitter.module)


@dataclass
class _Code:
    """Writes one function: a loop over tiles, in it one over vectors of channels."""

    emitter: Emitter
    transform: Transform
    function: ir.Function
    arg: dict[str, Any]
    zeros: Any
    rows: dict[str, list[Any]] = field(init=False)  # offsets of a tile's rows and columns, and of two more
    nowhere: Any = field(init=False)
    tail: Tail = field(init=False)

    def write(self) -> None:
        e, t = self.emitter, self.transform
        b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.nowhere = b.alloca(e.vector)
        rest = b.srem(self.arg["channels"], I64(e.lanes))
        self.tail = e.tail(b, rest)
        whole = b.sub(self.arg["channels"], rest)
        counts = {"s_row": t.size_before, "s_col": t.size_before, "t_row": t.size_after, "t_col": t.size_after}
        self.rows = {name: [b.mul(self.arg[name], I64(i)) for i in range(n + STEP)] for name, n in counts.items()}

        def tile(b: ir.IRBuilder, corner: Any, places: list[Any]) -> Iteration:
            source, target = places
            if t.clips_source or t.clips_target:
                inside, edge, after = (b.append_basic_block(n) for n in ("inside", "edge", "after"))
                b.cbranch(self._inside(b, corner), inside, edge)
                self._channels(ir.IRBuilder(inside), source, target, whole, rest, None).branch(after)
                b = ir.IRBuilder(edge)
                self._channels(b, source, target, whole, rest, self._exists(b, corner)).branch(after)
                b = ir.IRBuilder(after)
            else:
                b = self._channels(b, source, target, whole, rest, None)
            return b, [e.at(b, place, self.arg[step]) for place, step in ((source, "s_tile"), (target, "t_tile"))]

        end = b.mul(self.arg["tiles"], I64(STEP))
        b, _ = loop(b, end, [self.arg["source"], self.arg["target"]], tile, step=STEP)
        b.ret_void()

    @property
    def _size(self) -> int:
        """Rows and columns of the side that clips."""
        return self.transform.size_before if self.transform.clips_source else self.transform.size_after

    def _inside(self, b: ir.IRBuilder, corner: Any) -> Any:
        """Whether a tile lies entirely in the image."""
        ends = (I64(self._size), b.add(corner, I64(self._size)))
        edges = (("top", "bottom", I64(0), ends[0]), ("left", "right", corner, ends[1]))
        sides = [
            b.and_(b.icmp_signed("<=", self.arg[low], start), b.icmp_signed("<=", end, self.arg[high]))
            for low, high, start, end in edges
        ]
        return b.and_(*sides)

    def _exists(self, b: ir.IRBuilder, corner: Any) -> tuple[list[Any], list[Any]]:
        """Which rows and which columns of a tile lie in the image."""

        def within(low: str, high: str, start: Any) -> list[Any]:
            places = [b.add(start, I64(i)) for i in range(self._size)]
            return [
                b.and_(b.icmp_signed("<=", self.arg[low], place), b.icmp_signed("<", place, self.arg[high]))
                for place in places
            ]

        return within("top", "bottom", I64(0)), within("left", "right", corner)

    def _channels(self, b: ir.IRBuilder, source: Any, target: Any, whole: Any, rest: Any, exists: Any) -> ir.IRBuilder:
        """All vectors of channels of one tile; returns where to go on."""

        def vector(b: ir.IRBuilder, channel: Any, _: list[Any]) -> Iteration:
            self._vector(b, source, target, channel, None, exists)
            return b, []

        # With the test before each iteration LLVM would keep fewer strides in registers.
        with b.if_then(b.icmp_signed(">", whole, I64(0))):
            end, _ = loop(b, whole, [], vector, step=self.emitter.lanes, at_least_once=True)
            b.position_at_end(end.block)
        with b.if_then(b.icmp_signed(">", rest, I64(0))):
            self._vector(b, source, target, whole, self.tail, exists)
        return b

    def _vector(self, b: ir.IRBuilder, source: Any, target: Any, channel: Any, tail: Tail | None, exists: Any) -> None:
        """M·d·Mᵀ for one vector of channels."""
        e, t = self.emitter, self.transform
        source, target = (e.opaque(b, e.at(b, start, channel)) for start in (source, target))

        def place(start: Any, side: str, i: int, j: int, clips: bool, instead: Any) -> Any:
            found = e.at(b, e.at(b, start, self.rows[f"{side}_row"][i]), self.rows[f"{side}_col"][j])
            if exists is None or not clips:
                return found
            return b.select(b.and_(exists[0][i], exists[1][j]), found, instead)

        if t.clips_source or t.clips_target:
            self._prefetch(b, *((target, "t") if t.clips_target else (source, "s")))
        half = []  # M·d, column by column
        for j in range(t.size_before):
            column = [
                e.load(b, place(source, "s", i, j, t.clips_source, self.zeros), tail) for i in range(t.size_before)
            ]
            half.append([self._combine(b, row, column) for row in t.matrix])
        if t.clips_target:  # the end of a convolution
            has_bias = b.icmp_unsigned("!=", b.ptrtoint(self.arg["bias"], I64), I64(0))
            bias = e.load(b, b.select(has_bias, e.at(b, self.arg["bias"], channel), self.zeros), tail)
            adds = b.icmp_signed("!=", self.arg["add"], I64(0))
        for i in range(t.size_after):
            for j, row in enumerate(t.matrix):
                value = self._combine(b, row, [half[k][i] for k in range(t.size_before)])
                to = place(target, "t", i, j, t.clips_target, self.nowhere)
                if t.clips_target:
                    value = b.fadd(value, bias)
                    value = b.fadd(value, e.load(b, b.select(adds, to, self.zeros), tail))
                e.store(b, value, to, tail)

    def _prefetch(self, b: ir.IRBuilder, corner: Any, side: str) -> None:
        """Ask for the pixels that the tile below has and this one has not."""
        e = self.emitter
        for row in self.rows[f"{side}_row"][self._size :]:
            line = e.at(b, corner, row)
            for column in self.rows[f"{side}_col"][:STEP]:
                e.prefetch(b, e.at(b, line, column), writes=side == "t")

    def _combine(self, b: ir.IRBuilder, row: tuple[float, ...], values: list[Any]) -> Any:
        """Σ row·values; every row begins with a factor that is positive or has a positive one to begin with."""
        e = self.emitter
        terms = sorted(((k, v) for k, v in zip(row, values, strict=True) if k), key=lambda term: -term[0])
        total = None
        for factor, value in terms:
            size = ir.Constant(e.vector, [abs(factor)] * e.lanes)
            scaled = value if abs(factor) == 1 else b.fmul(value, size)
            if total is None:
                total = scaled
            else:
                total = b.fadd(total, scaled) if factor > 0 else b.fsub(total, scaled)
        return total
