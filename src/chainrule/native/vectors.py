"""The parts of emitted vector code: loops, and loads and stores of vectors, the last of which may be narrow.

AVX-512, AVX2 and NEON differ only in the width of vectors and in how a part of a vector is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor

I1, I32, I64, PTR = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.PointerType()
Iteration = tuple[ir.IRBuilder, list[Any]]  # where an iteration of a loop ends, and the values it leaves


def loop(
    b: ir.IRBuilder, end: Any, carried: list[Any], body: Callable[[ir.IRBuilder, Any, list[Any]], Iteration], *,
    step: int = 1, at_least_once: bool = False,
) -> Iteration:  # fmt: skip
    """`body(b, index, values)` for each index in range(0, end, step); values go from one iteration to the next.

    `at_least_once` promises one iteration and saves the first test, which is worth it for loops of a few iterations.
    """
    before, header = b.block, b.append_basic_block("header")
    inside, done = header if at_least_once else b.append_basic_block("inside"), b.append_basic_block("done")
    b.branch(header)
    b = ir.IRBuilder(header)
    index, values = b.phi(I64), [b.phi(value.type) for value in carried]
    if not at_least_once:
        b.cbranch(b.icmp_signed("<", index, end), inside, done)
        b = ir.IRBuilder(inside)
    b, results = body(b, index, list(values))
    following = b.add(index, I64(step))
    if at_least_once:
        b.cbranch(b.icmp_signed("<", following, end), header, done)
    else:
        b.branch(header)
    for phi, start, value in zip((index, *values), (I64(0), *carried), (following, *results), strict=True):
        phi.add_incoming(start, before)
        phi.add_incoming(value, b.block)
    return ir.IRBuilder(done), results if at_least_once else values


class Tail(NamedTuple):
    """The first `count` lanes of a vector; their mask consists of bits, or of whole lanes of ones."""

    mask: Any
    count: Any


class Emitter:
    """Writes vector code of one dtype for one processor into an LLVM module."""

    def __init__(self, dtype: np.dtype[Any], target: Processor) -> None:
        self.lanes = target.lanes(dtype)
        self.real: Any = ir.FloatType() if dtype == np.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.real, self.lanes)
        self.mask_type = ir.VectorType(I1, self.lanes)
        self.none = ir.Constant(ir.VectorType(ir.IntType(8 * dtype.itemsize), self.lanes), None)
        self.has_masks = target.vector_bytes == 64
        self.item = dtype.itemsize
        self.suffix = f"v{self.lanes}f{8 * dtype.itemsize}"
        self.module = ir.Module(f"vectors_{dtype.name}")

    def function(
        self, name: str, arguments: Iterable[str], pointers: Container[str], reals: Container[str] = ()
    ) -> tuple[ir.Function, dict[str, Any]]:
        """A new function without a result, and its arguments: integers, except for the pointers and the reals."""
        names = list(arguments)
        types = [PTR if n in pointers else self.real if n in reals else I64 for n in names]
        fn = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name)
        return fn, dict(zip(names, fn.args, strict=True))

    def intrinsic(self, name: str, result: Any, arguments: list[Any]) -> ir.Function:
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def at(self, b: ir.IRBuilder, base: Any, index: Any) -> Any:
        """The address of element `index` after `base`."""
        return b.gep(base, [index], source_etype=self.real)

    def load(self, b: ir.IRBuilder, address: Any, tail: Tail | None) -> Any:
        """A vector, or its lanes in `tail` and zeros."""
        if tail is None:
            return b.load(address, align=self.item, typ=self.vector)
        mask = tail.mask if tail.mask.type == self.mask_type else b.icmp_signed("<", tail.mask, self.none)
        masked = self.intrinsic(
            f"llvm.masked.load.{self.suffix}.p0", self.vector, [PTR, I32, self.mask_type, self.vector]
        )
        return b.call(masked, [address, I32(self.item), mask, ir.Constant(self.vector, None)])

    def store(self, b: ir.IRBuilder, value: Any, address: Any, tail: Tail | None) -> None:
        self.store_all(b, [value], [address], tail)

    def store_all(self, b: ir.IRBuilder, values: list[Any], addresses: list[Any], tail: Tail | None) -> None:
        """Store vectors, or their lanes in `tail`; afterwards `b` may be in another block.

        AVX2's masked store takes 42 micro-operations on AMD processors. So without AVX-512 a half, a quarter and so on
        of a vector are stored instead, one for each bit set in the number of lanes.
        """
        if tail is None:
            for value, address in zip(values, addresses, strict=True):
                b.store(value, address, align=self.item)
        elif self.has_masks:
            masked = self.intrinsic(
                f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), [self.vector, PTR, I32, self.mask_type]
            )
            for value, address in zip(values, addresses, strict=True):
                b.call(masked, [value, address, I32(self.item), tail.mask])
        else:
            self._store_parts(b, values, addresses, tail.count)

    def _store_parts(self, b: ir.IRBuilder, values: list[Any], addresses: list[Any], count: Any) -> None:
        whole, parts, done = (b.append_basic_block(name) for name in ("whole", "parts", "stored"))
        b.cbranch(b.icmp_signed("==", count, I64(self.lanes)), whole, parts)
        b.position_at_end(whole)
        self.store_all(b, values, addresses, None)
        b.branch(done)
        b.position_at_end(parts)
        size = self.lanes
        while size > 1:
            size //= 2
            low, high = ([ir.Constant(I32, i) for i in range(at, at + size)] for at in (0, size))
            undefined = ir.Constant(values[0].type, ir.Undefined)
            halves = [
                [b.shuffle_vector(v, undefined, ir.Constant(ir.VectorType(I32, size), half)) for v in values]
                for half in (low, high)
            ]
            before, storing, after = b.block, b.append_basic_block("storing"), b.append_basic_block("after")
            start = b.and_(count, I64(-2 * size))
            b.cbranch(b.icmp_signed("!=", b.and_(count, I64(size)), I64(0)), storing, after)
            b.position_at_end(storing)
            for value, address in zip(halves[0], addresses, strict=True):
                b.store(value, self.at(b, address, start), align=self.item)
            b.branch(after)
            b.position_at_end(after)
            values = [b.phi(half.type) for half in halves[0]]
            for value, one, other in zip(values, *halves, strict=True):
                value.add_incoming(one, before)
                value.add_incoming(other, storing)
        b.branch(done)
        b.position_at_end(done)

    def prefetch(self, b: ir.IRBuilder, address: Any, writes: bool) -> None:
        """Prefetch the cache line at an address, which need not exist, for reading or writing."""
        intrinsic = self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [PTR, I32, I32, I32])
        near, data = 3, 1
        b.call(intrinsic, [address, I32(int(writes)), I32(near), I32(data)])

    def splat(self, b: ir.IRBuilder, scalar: Any) -> Any:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(b.insert_element(undefined, scalar, I32(0)), undefined, first)

    def tail(self, b: ir.IRBuilder, columns: Any, vectors: int = 1) -> Tail:
        """The lanes of the last of `vectors` vectors that lie before `columns`."""
        count = b.sub(columns, I64((vectors - 1) * self.lanes))
        numbers = ir.Constant(ir.VectorType(I64, self.lanes), list(range(self.lanes)))
        mask = b.icmp_signed("<", numbers, self.splat(b, count))
        # Without mask registers, bits would be packed, and unpacked at each use.
        return Tail(mask if self.has_masks else b.sext(mask, self.none.type), count)

    def opaque(self, b: ir.IRBuilder, address: Any) -> Any:
        """The same address, but hiding from LLVM how it was computed.

        Otherwise LLVM would keep a register for each sum with it, or compute these sums from one another in sequence.
        """
        return b.call(self.intrinsic("llvm.launder.invariant.group.p0", PTR, [PTR]), [address])
