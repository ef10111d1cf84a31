"""One register-tile microkernel for all matrix work, emitted as LLVM vector code.

    C[i, j] (+)= bias[j] + Σ_outer Σ_inner A[i·a_row + inner·a_col + outer·a_outer] · B[inner·b_row + outer·b_outer + j]

A tile of up to `tile_rows` x 2 vectors of C stays in registers while the strides walk A and B. `panel` covers any
number of rows of one panel of columns with such tiles; the last vector of a narrow panel is masked, so nothing is read
or written outside. `lane_panel` is the same for channels that do not mix, where A has a column for each of C's:

    C[i, j] (+)= bias[j] + Σ_outer Σ_inner A[i·a_row + inner·a_col + outer·a_outer + j]
                                         · B[inner·b_row + outer·b_outer + j]

The same code serves AVX-512, AVX2 and NEON: only the vector's width and the number of rows differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor

I1, I32, I64, PTR = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.PointerType()
ARGUMENTS = (
    "n_outer n_inner a a_row a_col a_outer b b_row b_outer c c_row add bias columns".split()
)  # of one tile; `panel` has `rows` in front
POINTERS = frozenset({"a", "b", "c", "bias"})
# Rows left after the full tiles, and the tiles that cover them: few sizes, so that little is compiled; never a lone
# thin tile where two of middle size keep the multipliers busier.
LEFT = {1: (1,), 2: (2,), 3: (3,), 4: (4,), 5: (3, 2), 6: (6,), 7: (4, 3), 8: (8,), 9: (6, 3), 10: (6, 4), 11: (8, 3)}


class Emitter:
    """Writes the microkernel of one dtype and processor into an LLVM module."""

    def __init__(self, dtype: np.dtype[Any], target: Processor) -> None:
        self.lanes = target.lanes(dtype)
        self.rows = target.tile_rows
        self.real: Any = ir.FloatType() if dtype == np.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.real, self.lanes)
        self.mask = ir.VectorType(I1, self.lanes)
        self.item = dtype.itemsize
        self.suffix = f"v{self.lanes}f{8 * dtype.itemsize}"
        self.module = ir.Module(f"microkernel_{dtype.name}")

    def intrinsic(self, name: str, result: Any, arguments: list[Any]) -> ir.Function:
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def at(self, b: ir.IRBuilder, base: Any, index: Any) -> Any:
        """The address of element `index` after `base`."""
        return b.gep(base, [index], source_etype=self.real)

    def load(self, b: ir.IRBuilder, address: Any, mask: Any) -> Any:
        if mask is None:
            return b.load(address, align=self.item, typ=self.vector)
        masked = self.intrinsic(f"llvm.masked.load.{self.suffix}.p0", self.vector, [PTR, I32, self.mask, self.vector])
        return b.call(masked, [address, I32(self.item), mask, ir.Constant(self.vector, None)])

    def store(self, b: ir.IRBuilder, value: Any, address: Any, mask: Any) -> None:
        if mask is None:
            b.store(value, address, align=self.item)
            return
        masked = self.intrinsic(
            f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), [self.vector, PTR, I32, self.mask]
        )
        b.call(masked, [value, address, I32(self.item), mask])

    def spread(self, b: ir.IRBuilder, scalar: Any) -> Any:
        """A vector with `scalar` in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return b.shuffle_vector(b.insert_element(undefined, scalar, I32(0)), undefined, first)

    def lane_mask(self, b: ir.IRBuilder, columns: Any, vectors: int) -> Any:
        """True in the lanes of the last vector that lie before `columns`."""
        numbers = ir.Constant(
            ir.VectorType(I64, self.lanes), [(vectors - 1) * self.lanes + i for i in range(self.lanes)]
        )
        return b.icmp_signed("<", numbers, self.spread(b, columns))

    def tile(self, rows: int, vectors: int, masked: bool, by_lane: bool) -> ir.Function:
        """rows x vectors accumulators in registers; see the module's formulas."""
        types = [PTR if name in POINTERS else I64 for name in ARGUMENTS]
        name = f"{'lane_' if by_lane else ''}tile_{rows}x{vectors}{'m' if masked else ''}"
        fn = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name)
        fn.linkage = "internal"
        arg = dict(zip(ARGUMENTS, fn.args, strict=True))
        names = ("entry", "outer", "inner", "latch", "done", "biased", "loaded", "adding", "store")
        block = {name: fn.append_basic_block(name) for name in names}
        tile = [(i, j) for i in range(rows) for j in range(vectors)]
        fma = self.intrinsic(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3)

        b = ir.IRBuilder(block["entry"])
        mask = self.lane_mask(b, arg["columns"], vectors) if masked else None
        masks = [mask if j == vectors - 1 else None for j in range(vectors)]
        row_at = [b.mul(arg["a_row"], I64(i)) for i in range(rows)]
        b.branch(block["outer"])

        b = ir.IRBuilder(block["outer"])
        outer = b.phi(I64)
        outer.add_incoming(I64(0), block["entry"])
        carried = {t: b.phi(self.vector) for t in tile}
        for phi in carried.values():
            phi.add_incoming(ir.Constant(self.vector, None), block["entry"])
        a_start = self.at(b, arg["a"], b.mul(outer, arg["a_outer"]))
        b_start = self.at(b, arg["b"], b.mul(outer, arg["b_outer"]))
        b.branch(block["inner"])

        b = ir.IRBuilder(block["inner"])
        inner, a_at, b_at = b.phi(I64), b.phi(PTR), b.phi(PTR)
        total = {t: b.phi(self.vector) for t in tile}
        for phi, start in ((inner, I64(0)), (a_at, a_start), (b_at, b_start), *((total[t], carried[t]) for t in tile)):
            phi.add_incoming(start, block["outer"])
        columns = [self.load(b, self.at(b, b_at, I64(j * self.lanes)), masks[j]) for j in range(vectors)]
        result = {}
        for i in range(rows):
            a_row = self.at(b, a_at, row_at[i])
            if by_lane:
                elements = [self.load(b, self.at(b, a_row, I64(j * self.lanes)), masks[j]) for j in range(vectors)]
            else:
                elements = [self.spread(b, b.load(a_row, typ=self.real))] * vectors
            for j in range(vectors):
                result[i, j] = b.call(fma, [elements[j], columns[j], total[i, j]])
                total[i, j].add_incoming(result[i, j], block["inner"])
        following = b.add(inner, I64(1))
        for phi, value in (
            (inner, following),
            (a_at, self.at(b, a_at, arg["a_col"])),
            (b_at, self.at(b, b_at, arg["b_row"])),
        ):
            phi.add_incoming(value, block["inner"])
        b.cbranch(b.icmp_signed("<", following, arg["n_inner"]), block["inner"], block["latch"])

        b = ir.IRBuilder(block["latch"])
        following = b.add(outer, I64(1))
        outer.add_incoming(following, block["latch"])
        for t in tile:
            carried[t].add_incoming(result[t], block["latch"])
        b.cbranch(b.icmp_signed("<", following, arg["n_outer"]), block["outer"], block["done"])

        self._write(block, arg, result, masks)
        return fn

    def _write(self, block: dict[str, Any], arg: dict[str, Any], value: dict[Any, Any], masks: list[Any]) -> None:
        """The tile's end: add the bias and what C held before, where asked, then store."""
        tile, vectors = list(value), len(masks)
        b = ir.IRBuilder(block["done"])
        b.cbranch(b.icmp_unsigned("!=", b.ptrtoint(arg["bias"], I64), I64(0)), block["biased"], block["loaded"])
        b = ir.IRBuilder(block["biased"])
        bias = [self.load(b, self.at(b, arg["bias"], I64(j * self.lanes)), masks[j]) for j in range(vectors)]
        biased = {(i, j): b.fadd(value[i, j], bias[j]) for i, j in tile}
        b.branch(block["loaded"])

        def either(b: ir.IRBuilder, one: Any, from_one: Any, two: Any, from_two: Any) -> dict[Any, Any]:
            merged = {t: b.phi(self.vector) for t in tile}
            for t in tile:
                merged[t].add_incoming(one[t], from_one)
                merged[t].add_incoming(two[t], from_two)
            return merged

        b = ir.IRBuilder(block["loaded"])
        value = either(b, value, block["done"], biased, block["biased"])
        b.cbranch(b.icmp_signed("!=", arg["add"], I64(0)), block["adding"], block["store"])

        def places(b: ir.IRBuilder) -> dict[Any, Any]:
            rows = {i: self.at(b, arg["c"], b.mul(arg["c_row"], I64(i))) for i, _ in tile}
            return {(i, j): self.at(b, rows[i], I64(j * self.lanes)) for i, j in tile}

        b = ir.IRBuilder(block["adding"])
        place = places(b)
        summed = {(i, j): b.fadd(value[i, j], self.load(b, place[i, j], masks[j])) for i, j in tile}
        b.branch(block["store"])
        b = ir.IRBuilder(block["store"])
        value = either(b, value, block["loaded"], summed, block["adding"])
        place = places(b)
        for i, j in tile:
            self.store(b, value[i, j], place[i, j], masks[j])
        b.ret_void()

    def panel(self, symbol: str, by_lane: bool = False) -> None:
        """void symbol(rows, ...): any number of rows of one panel of at most two vectors of columns."""
        types = [I64, *(PTR if name in POINTERS else I64 for name in ARGUMENTS)]
        fn = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), symbol)
        rows, arg = fn.args[0], dict(zip(ARGUMENTS, fn.args[1:], strict=True))
        whole, wide, narrow, test = (fn.append_basic_block(n) for n in ("whole", "wide", "narrow", "test"))
        fn.blocks.insert(0, fn.blocks.pop())  # `test` is the entry
        b = ir.IRBuilder(test)
        is_whole = b.icmp_signed("==", arg["columns"], I64(2 * self.lanes))
        is_narrow = b.icmp_signed("<=", arg["columns"], I64(self.lanes))
        rest = fn.append_basic_block("rest")
        b.cbranch(is_whole, whole, rest)
        ir.IRBuilder(rest).cbranch(is_narrow, narrow, wide)
        self._rows(fn, whole, rows, arg, 2, False, by_lane)
        self._rows(fn, wide, rows, arg, 2, True, by_lane)
        self._rows(fn, narrow, rows, arg, 1, True, by_lane)

    def _rows(
        self, fn: ir.Function, entry: Any, rows: Any, arg: dict[str, Any], vectors: int, masked: bool, by_lane: bool
    ) -> None:  # fmt: skip
        """Full tiles down the panel, then one tile of just the rows that are left."""
        sizes = {self.rows, *(size for left in range(1, self.rows) for size in LEFT[left])}
        tiles = {size: self.tile(size, vectors, masked, by_lane) for size in sorted(sizes)}
        loop, body, left, done = (fn.append_basic_block(n) for n in ("loop", "body", "left", "done"))
        ir.IRBuilder(entry).branch(loop)
        b = ir.IRBuilder(loop)
        row, a, c = b.phi(I64), b.phi(PTR), b.phi(PTR)
        for phi, value in ((row, I64(0)), (a, arg["a"]), (c, arg["c"])):
            phi.add_incoming(value, entry)
        end = b.add(row, I64(self.rows))
        b.cbranch(b.icmp_signed("<=", end, rows), body, left)

        def down(b: ir.IRBuilder, a: Any, c: Any, count: int) -> tuple[Any, Any]:
            """One tile; answers where the next begins in A and C."""
            b.call(tiles[count], list((arg | {"a": a, "c": c}).values()))
            a_step, c_step = (b.mul(arg[stride], I64(count)) for stride in ("a_row", "c_row"))
            return self.at(b, a, a_step), self.at(b, c, c_step)

        b = ir.IRBuilder(body)
        for phi, value in zip((row, a, c), (end, *down(b, a, c, self.rows)), strict=True):
            phi.add_incoming(value, body)
        b.branch(loop)
        b = ir.IRBuilder(left)
        choice = b.switch(b.sub(rows, row), done)
        for count in range(1, self.rows):
            case = fn.append_basic_block(f"left{count}")
            choice.add_case(I64(count), case)
            b, a_at, c_at = ir.IRBuilder(case), a, c
            for size in LEFT[count]:
                a_at, c_at = down(b, a_at, c_at, size)
            b.ret_void()
        ir.IRBuilder(done).ret_void()

    def pack_transposed(self, symbol: str) -> None:
        """void symbol(depth, columns, source, source_row, target, width): target[k, j] = source[j·source_row + k], one
        panel wide.

        Works in squares of lanes x lanes turned by shuffles; columns past `columns` become zero. `width` is that of the
        panel, two vectors (the plain form needs it told). The target has room for depth rounded up to whole squares.
        """
        fn = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [I64, I64, PTR, I64, PTR, I64]), symbol)
        depth, columns, *_ = fn.args
        entry, loop, whole, part, after, done = (
            fn.append_basic_block(n) for n in ("entry", "loop", "whole", "part", "after", "done")
        )
        b = ir.IRBuilder(entry)
        full_width = b.icmp_signed("==", columns, I64(2 * self.lanes))
        b.cbranch(b.icmp_signed(">", depth, I64(0)), loop, done)
        b = ir.IRBuilder(loop)
        k = b.phi(I64)
        k.add_incoming(I64(0), entry)
        following = b.add(k, I64(self.lanes))
        b.cbranch(b.and_(full_width, b.icmp_signed("<=", following, depth)), whole, part)
        self._squares(ir.IRBuilder(whole), fn.args, k, False).branch(after)
        self._squares(ir.IRBuilder(part), fn.args, k, True).branch(after)
        b = ir.IRBuilder(after)
        k.add_incoming(following, after)
        b.cbranch(b.icmp_signed("<", following, depth), loop, done)
        ir.IRBuilder(done).ret_void()

    def _squares(self, b: ir.IRBuilder, args: Any, k: Any, masked: bool) -> ir.IRBuilder:
        """Turn the two squares at depth k; masked where they reach past the source's depth or columns."""
        depth, columns, source, source_row, target, _ = args
        n = self.lanes
        numbers = ir.Constant(ir.VectorType(I64, n), list(range(n)))
        in_depth = b.icmp_signed("<", numbers, self.spread(b, b.sub(depth, k)))
        for half in range(2):
            rows = []
            for j in range(half * n, half * n + n):
                exists = self.spread(b, b.icmp_signed("<", I64(j), columns))
                mask = b.select(exists, in_depth, ir.Constant(self.mask, None)) if masked else None
                rows.append(self.load(b, self.at(b, source, b.add(b.mul(source_row, I64(j)), k)), mask))
            for r, row in enumerate(self._turn(b, rows)):
                place = b.add(b.mul(b.add(k, I64(r)), I64(2 * n)), I64(half * n))
                self.store(b, row, self.at(b, target, place), None)
        return b

    def _turn(self, b: ir.IRBuilder, rows: list[Any]) -> list[Any]:
        """Transpose a square of vectors: in stage s, lanes whose number has bit s change places between paired rows."""
        n = self.lanes
        step = 1
        while step < n:
            low = [i if not i & step else n + i - step for i in range(n)]
            high = [i + step if not i & step else n + i for i in range(n)]
            turned = list(rows)
            for i in (i for i in range(n) if not i & step):
                for place, lanes in ((i, low), (i + step, high)):
                    chosen = ir.Constant(ir.VectorType(I32, n), lanes)
                    turned[place] = b.shuffle_vector(rows[i], rows[i + step], chosen)
            rows, step = turned, 2 * step
        return rows


def microkernel(dtype: np.dtype[Any], target: Processor, panel: str, lane_panel: str, pack_transposed: str) -> str:
    """The LLVM text that defines the three symbols for one dtype and processor."""
    emitter = Emitter(dtype, target)
    emitter.panel(panel)
    emitter.panel(lane_panel, by_lane=True)
    emitter.pack_transposed(pack_transposed)
    return str(emitter.module)
