"""One register-tile microkernel for all matrix work, emitted as LLVM vector code.

    C[i, j] (+)= bias[j] + Σ_outer Σ_inner A[i·a_row + inner·a_col + outer·a_outer] · B[inner·b_row + outer·b_outer + j]

A tile of up to `tile_rows` x 2 vectors of C stays in registers while the strides walk A and B, or of up to 12 x 1 where
columns are few. `panel` covers any number of rows of one panel of columns with such tiles; the last vector of a narrow
panel is masked, so nothing is read or written outside. `panel_ahead` prefetches the next tile's rows
while it computes one, for A and C that are in no cache. `lane_panel` is the same for channels that do not mix: A has a
column for each column of C. It takes any number of columns, also by tiles of `tile_rows` / 2 x 4 vectors:

    C[i, j] (+)= bias[j] + Σ_outer Σ_inner A[i·a_row + inner·a_col + outer·a_outer + j]
                                         · B[inner·b_row + outer·b_outer + j]

The same code serves AVX-512, AVX2 and NEON: only the width of vectors and the number of rows differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from chainrule.native.machine import Processor
from chainrule.native.vectors import I32, I64, PTR, Emitter, Iteration, Tail, loop

ARGUMENTS = (
    "n_outer n_inner a a_row a_col a_outer b b_row b_outer c c_row add bias columns".split()
)  # of one tile; `panel` has `rows` in front
POINTERS = frozenset({"a", "b", "c", "bias"})
NARROW = 12  # rows of a tile of one vector


class Microkernel(Emitter):
    """Writes the microkernel of one dtype and processor into an LLVM module."""

    def __init__(self, dtype: np.dtype[Any], target: Processor) -> None:
        super().__init__(dtype, target)
        self.rows = target.tile_rows

    @staticmethod
    def chains(sums: int) -> int:
        """Parts into which each sum is split: a tile of few sums would wait for the result of each multiplication."""
        return 4 if sums <= 2 else 2 if sums <= 6 else 1

    def tile(self, rows: int, vectors: int, masked: bool, by_lane: bool) -> ir.Function:
        """rows x vectors accumulators in registers; see the module's formulas."""
        name = f"{'lane_' if by_lane else ''}tile_{rows}x{vectors}{'m' if masked else ''}"
        if known := self.module.globals.get(name):
            return known
        fn, arg = self.function(name, ARGUMENTS, POINTERS)
        fn.linkage = "internal"
        chains = self.chains(rows * vectors)
        fma = self.intrinsic(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3)
        b = ir.IRBuilder(fn.append_basic_block("entry"))
        tails = [None] * (vectors - masked) + [self.tail(b, arg["columns"], vectors)] * masked
        # Three rows share one moving address: each load reaches its row by base and index.
        groups = [b.mul(arg["a_row"], I64(i)) for i in range(0, rows, 3)]
        strides = [I64(0), arg["a_row"], b.shl(arg["a_row"], I64(1))]
        size, moving = rows * vectors, len(groups) + 1

        def term(b: ir.IRBuilder, a_at: list[Any], b_at: Any, sums: list[Any]) -> list[Any]:
            """The sums with one more product each."""
            right = [self.load(b, self.at(b, b_at, I64(j * self.lanes)), tails[j]) for j in range(vectors)]
            result = []
            for i in range(rows):
                a_row = self.at(b, a_at[i // 3], strides[i % 3])
                if by_lane:
                    left = [self.load(b, self.at(b, a_row, I64(j * self.lanes)), tails[j]) for j in range(vectors)]
                else:
                    left = [self.splat(b, b.load(a_row, typ=self.real))] * vectors
                result += [b.call(fma, [left[j], right[j], sums[i * vectors + j]]) for j in range(vectors)]
            return result

        def terms(b: ir.IRBuilder, _: Any, carried: list[Any], count: int) -> Iteration:
            """`count` terms, each added to a chain of its own."""
            a_at, b_at, sums = carried[: moving - 1], carried[moving - 1], carried[moving:]
            for first in range(0, count * size, size):
                sums[first : first + size] = term(b, a_at, b_at, sums[first : first + size])
                a_at = [self.opaque(b, self.at(b, address, arg["a_col"])) for address in a_at]
                b_at = self.at(b, b_at, arg["b_row"])
            return b, [*a_at, b_at, *sums]

        def outer(b: ir.IRBuilder, _: Any, carried: list[Any]) -> Iteration:
            a_at, b_at, *sums = carried
            inner, left = [*(self.at(b, a_at, group) for group in groups), b_at, *sums], arg["n_inner"]
            if chains > 1:
                b, inner = loop(b, b.sdiv(left, I64(chains)), inner, functools.partial(terms, count=chains))
                left = b.and_(left, I64(chains - 1))
            b, inner = loop(b, left, inner, functools.partial(terms, count=1))
            return b, [self.at(b, a_at, arg["a_outer"]), self.at(b, b_at, arg["b_outer"]), *inner[moving:]]

        zeros = [ir.Constant(self.vector, None)] * (size * chains)
        b, (_, _, *sums) = loop(b, arg["n_outer"], [arg["a"], arg["b"], *zeros], outer)
        totals = [functools.reduce(b.fadd, sums[i::size]) for i in range(size)]
        self._write(b, arg, {divmod(i, vectors): total for i, total in enumerate(totals)}, tails)
        return fn

    def _write(self, b: ir.IRBuilder, arg: dict[str, Any], value: dict[Any, Any], tails: list[Any]) -> None:
        """The end of a tile: add the bias and the previous C if requested, then store."""
        tile = list(value)
        rows = {i: self.at(b, arg["c"], b.mul(arg["c_row"], I64(i))) for i, _ in tile}
        place = {(i, j): self.at(b, rows[i], I64(j * self.lanes)) for i, j in tile}

        def if_asked(condition: Any, summand: Callable[[int, int], Any]) -> None:
            before, adding, after = b.block, b.append_basic_block("adding"), b.append_basic_block("added")
            b.cbranch(condition, adding, after)
            b.position_at_end(adding)
            added = {(i, j): b.fadd(value[i, j], summand(i, j)) for i, j in tile}
            b.branch(after)
            b.position_at_end(after)
            for t in tile:
                merged = b.phi(self.vector)
                merged.add_incoming(value[t], before)
                merged.add_incoming(added[t], adding)
                value[t] = merged

        has_bias = b.icmp_unsigned("!=", b.ptrtoint(arg["bias"], I64), I64(0))
        if_asked(has_bias, lambda i, j: self.load(b, self.at(b, arg["bias"], I64(j * self.lanes)), tails[j]))
        if_asked(b.icmp_signed("!=", arg["add"], I64(0)), lambda i, j: self.load(b, place[i, j], tails[j]))
        for tail in dict.fromkeys(tails):  # whole vectors row by row, then the last of each row
            parts = [(i, j) for i, j in tile if tails[j] is tail]
            self.store_all(b, [value[t] for t in parts], [place[t] for t in parts], tail)
        b.ret_void()

    def panel(self, symbol: str, ahead: bool) -> None:
        """void symbol(rows, ...): any number of rows of one panel of at most two vectors of columns."""
        fn, arg = self.function(symbol, ("rows", *ARGUMENTS), POINTERS)
        test, whole, rest, wide, narrow = (
            fn.append_basic_block(n) for n in ("test", "whole", "rest", "wide", "narrow")
        )
        b = ir.IRBuilder(test)
        b.cbranch(b.icmp_signed("==", arg["columns"], I64(2 * self.lanes)), whole, rest)
        b = ir.IRBuilder(rest)
        b.cbranch(b.icmp_signed("<=", arg["columns"], I64(self.lanes)), narrow, wide)
        for entry, vectors, masked, full in (
            (whole, 2, False, self.rows),
            (wide, 2, True, self.rows),
            (narrow, 1, True, NARROW),
        ):
            tiles = {n: self.tile(n, vectors, masked, False) for n in range(1, full + 1)}
            # With few columns, prefetching took longer than it saved.
            self._rows(ir.IRBuilder(entry), arg, tiles, ahead and not masked)

    def lane_panel(self, symbol: str) -> None:
        """void symbol(rows, ...): any number of rows and of columns. All columns of a tile's rows come before the next
        rows, as in memory.

        If there are many columns, tiles have more of them and fewer rows, so that memory is read in order. (Not if rows
        of C are not adjacent: the input gradient of a strided convolution became slower by a seventh.)
        """
        fn, arg = self.function(symbol, ("rows", *ARGUMENTS), POINTERS)
        entry, broad, slim = (fn.append_basic_block(n) for n in ("entry", "broad", "slim"))
        b = ir.IRBuilder(entry)
        many = b.icmp_signed(">=", arg["columns"], I64(4 * self.lanes))
        b.cbranch(b.and_(many, b.icmp_signed("<=", arg["c_row"], arg["columns"])), broad, slim)
        for block, rows, vectors in ((broad, self.rows // 2, 4), (slim, self.rows, 2)):
            self._rows(ir.IRBuilder(block), arg, {n: self._across(n, vectors) for n in range(1, rows + 1)}, False)

    def _across(self, rows: int, vectors: int) -> ir.Function:
        """Tiles of `rows` rows for channels that do not mix, for all columns."""
        fn, arg = self.function(f"lane_tiles_{rows}x{vectors}", ARGUMENTS, POINTERS)
        fn.linkage = "internal"
        b = ir.IRBuilder(fn.append_basic_block("entry"))

        def tile(b: ir.IRBuilder, moved: list[Any], columns: Any, vectors: int, masked: bool) -> None:
            bias = b.select(b.icmp_unsigned("!=", b.ptrtoint(arg["bias"], I64), I64(0)), moved[3], arg["bias"])
            places = dict(zip(("a", "b", "c"), moved, strict=False)) | {"bias": bias, "columns": columns}
            b.call(self.tile(rows, vectors, masked, True), list((arg | places).values()))

        moved, left = [arg[name] for name in ("a", "b", "c", "bias")], arg["columns"]
        for count in dict.fromkeys((vectors, 2)):
            width = I64(count * self.lanes)

            def whole(
                b: ir.IRBuilder, _: Any, moved: list[Any], width: Any = width, count: int = count
            ) -> Iteration:  # fmt: skip
                tile(b, moved, width, count, False)
                return b, [self.at(b, address, width) for address in moved]

            b, moved = loop(b, b.sdiv(left, width), moved, whole)
            left = b.srem(left, width)
        rest, wide, narrow, done = (fn.append_basic_block(n) for n in ("rest", "wide", "narrow", "done"))
        b.cbranch(b.icmp_signed(">", left, I64(self.lanes)), wide, rest)
        b = ir.IRBuilder(rest)
        b.cbranch(b.icmp_signed(">", left, I64(0)), narrow, done)
        for block, number in ((wide, 2), (narrow, 1)):
            b = ir.IRBuilder(block)
            tile(b, moved, left, number, True)
            b.branch(done)
        ir.IRBuilder(done).ret_void()
        return fn

    def _prefetch(self, b: ir.IRBuilder, arg: dict[str, Any], rows: int, a: Any, c: Any) -> None:
        """Prefetch the beginnings of a tile's rows: a sum may be too short to hide the time they take."""
        for place, stride, writes in ((c, "c_row", True), (a, "a_row", False)):
            for i in range(rows):
                self.prefetch(b, self.at(b, place, b.mul(arg[stride], I64(i))), writes)

    def _rows(self, b: ir.IRBuilder, arg: dict[str, Any], tiles: dict[int, ir.Function], ahead: bool) -> None:
        """Full tiles down the panel, then one with the rows that are left."""
        full, rows = max(tiles), arg["rows"]

        def tile(b: ir.IRBuilder, count: int, a: Any, c: Any) -> None:
            places = arg | {"a": a, "c": c}
            b.call(tiles[count], [places[name] for name in ARGUMENTS])

        def whole(b: ir.IRBuilder, _: Any, carried: list[Any]) -> Iteration:
            left, a, c = carried
            below = [self.at(b, at, b.mul(arg[stride], I64(full))) for at, stride in ((a, "a_row"), (c, "c_row"))]
            if ahead:
                self._prefetch(b, arg, full, *below)
            tile(b, full, a, c)
            return b, [b.sub(left, I64(full)), *below]

        end = b.sub(rows, I64(full - 1))
        b, (left, a, c) = loop(b, end, [rows, arg["a"], arg["c"]], whole, step=full)
        done = b.append_basic_block("done")
        choice = b.switch(left, done)
        for count in range(1, full):
            case = ir.IRBuilder(b.append_basic_block(f"left{count}"))
            choice.add_case(I64(count), case.block)
            tile(case, count, a, c)
            case.ret_void()
        ir.IRBuilder(done).ret_void()

    def pack_transposed(self, symbol: str) -> None:
        """void symbol(depth, columns, source, source_row, target, width): target[k, j] = source[j·source_row + k], one
        panel wide.

        Works in squares of lanes x lanes, transposed by shuffles; columns past `columns` become zero. `width` is the
        panel's, two vectors, which only the plain form needs. The target has room for depth rounded up to squares.
        """
        fn = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [I64, I64, PTR, I64, PTR, I64]), symbol)
        depth, columns, *_ = fn.args
        b = ir.IRBuilder(fn.append_basic_block("entry"))
        full_width = b.icmp_signed("==", columns, I64(2 * self.lanes))

        def squares(b: ir.IRBuilder, k: Any, _: list[Any]) -> Iteration:
            whole, part, after = (b.append_basic_block(name) for name in ("whole", "part", "after"))
            b.cbranch(b.and_(full_width, b.icmp_signed("<=", b.add(k, I64(self.lanes)), depth)), whole, part)
            self._squares(ir.IRBuilder(whole), fn.args, k, False).branch(after)
            self._squares(ir.IRBuilder(part), fn.args, k, True).branch(after)
            return ir.IRBuilder(after), []

        b, _ = loop(b, depth, [], squares, step=self.lanes)
        b.ret_void()

    def _squares(self, b: ir.IRBuilder, args: Any, k: Any, masked: bool) -> ir.IRBuilder:
        """Transpose the two squares at depth k; masked where they reach past the source's depth or columns."""
        depth, columns, source, source_row, target, _ = args
        n = self.lanes
        numbers = ir.Constant(ir.VectorType(I64, n), list(range(n)))
        in_depth = b.icmp_signed("<", numbers, self.splat(b, b.sub(depth, k)))
        for half in range(2):
            rows = []
            for j in range(half * n, half * n + n):
                exists = self.splat(b, b.icmp_signed("<", I64(j), columns))
                tail = Tail(b.select(exists, in_depth, ir.Constant(self.mask_type, None)), None) if masked else None
                rows.append(self.load(b, self.at(b, source, b.add(b.mul(source_row, I64(j)), k)), tail))
            for r, row in enumerate(self._transpose(b, rows)):
                place = b.add(b.mul(b.add(k, I64(r)), I64(2 * n)), I64(half * n))
                self.store(b, row, self.at(b, target, place), None)
        return b

    def _transpose(self, b: ir.IRBuilder, rows: list[Any]) -> list[Any]:
        """Transpose a square of vectors: in stage s, paired rows exchange the lanes whose number has bit s."""
        n = self.lanes
        step = 1
        while step < n:
            low = [i if not i & step else n + i - step for i in range(n)]
            high = [i + step if not i & step else n + i for i in range(n)]
            exchanged = list(rows)
            for i in (i for i in range(n) if not i & step):
                for place, lanes in ((i, low), (i + step, high)):
                    chosen = ir.Constant(ir.VectorType(I32, n), lanes)
                    exchanged[place] = b.shuffle_vector(rows[i], rows[i + step], chosen)
            rows, step = exchanged, 2 * step
        return rows


def microkernel(
    dtype: np.dtype[Any], target: Processor, panel: str, panel_ahead: str, lane_panel: str, pack_transposed: str
) -> str:  # fmt: skip
    """The LLVM text that defines the symbols for one dtype and processor."""
    emitter = Microkernel(dtype, target)
    emitter.panel(panel, ahead=False)
    emitter.panel(panel_ahead, ahead=True)
    emitter.lane_panel(lane_panel)
    emitter.pack_transposed(pack_transposed)
    return str(emitter.module)
