"""Matrix products: the calls that lowerings make of the microkernel.

`product` returns the calls for C (+)= A·B (+ bias), with an optional epilogue that runs on each tile while it is still
in cache: an activation after a linear layer, or the gradient of an activation.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.kernels.copies import zero
from chainrule.kernels.losses import absent
from chainrule.native.kernel import (
    Call,
    Epilogue,
    Int,
    Pointer,
    Real1,
    Real2,
    Real3,
    advance,
    blocks,
    kernel,
    run_epilogue,
)
from chainrule.native.machine import processor
from chainrule.native.matrix import pack_transposed, panel
from chainrule.native.memory import Scratch, View, constant

TILE_ROWS = 192  # so that A's part of a tile stays in the second-level cache
DEPTH = 1024  # longer inner products are summed in parts, so that B's panel stays in the second-level cache
STEP_ROWS = 4  # heights are multiples of it, so that what is left below full tiles is not too thin
# The sum of a weight gradient over many rows is cut shorter, so that the rows of A in a part stay in the second-level
# cache and a panel of B in the first-level cache: columns of A side by side fill only a few of its sets.
SHORT_DEPTH, SHORT_FROM = 256, 64  # from so many rows of C on
PACKED_FROM = 512  # rows of A, so that packing B pays
ENOUGH_TILES = 8  # so that a few workers get equal shares
TILE_FLOPS = 50_000  # half a microsecond: a smaller tile would cost less than the barrier after it
SMALL_B = 6_000  # elements
# Few rows times a large weight: the sum over its rows is cut into this many parts. A worker then reads the rows of the
# weight that its share of the update left in its own cache; whole columns would come from the caches of all workers.
PARTS = 8


@dataclass(frozen=True)
class Matrix:
    """A matrix operand, or its transpose; of a wider one if it has `columns`, from column `first` on."""

    view: View
    transposed: bool = False
    repeated: bool = False  # every element is the view's first
    first: int = 0
    columns: int | None = None

    @property
    def at(self) -> View:
        """Where its first element is."""
        return View(self.view.storage, self.view.shape, self.view.offset + self.first) if self.first else self.view

    @property
    def strides(self) -> tuple[int, int]:
        """Elements from one row to the next, and from one column to the next."""
        if self.repeated:
            return 0, 0
        columns = self.view.shape[1]
        return (1, columns) if self.transposed else (columns, 1)

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.view.shape
        columns = columns if self.columns is None else self.columns
        return (columns, rows) if self.transposed else (rows, columns)


@kernel
def gemm(
    tile: Int, m: Int, n: Int, k: Int, a: Pointer, a_row: Int, a_col: Int, b: Pointer, b_row: Int, b_panel: Int,
    width: Int, c: Pointer, bias: Pointer, add: Int, sums: Pointer, one: Pointer, rows: Int, columns: Int, depth: Int,
    lines: Real1, first: Int, own: Real1, own_at: Pointer, epilogue: Epilogue,
) -> None:  # fmt: skip
    """One tile of C, `rows` x `columns`, panel by panel; `sums` receives the column sums of B (a bias gradient).

    If there is memory of its `own`, a tile copies a panel of B there before it reads it again and again: B lies in
    `lines`, from `first` on.
    """
    across = (n + columns - 1) // columns
    top = (tile // across) * rows
    left = (tile % across) * columns
    height = min(rows, m - top)
    right = min(n, left + columns)
    packed = tile * width * depth
    for deep in range(0, k, depth):
        steps = min(depth, k - deep)
        for start in range(left, right, width):
            wide = min(width, right - start)
            b_at, step = advance(b, (start // width) * b_panel + deep * b_row), b_row
            if own.size > 0:
                for i in range(steps):
                    at = first + (deep + i) * b_row + start
                    line, copied = own[packed + i * width : packed + i * width + wide], lines[at : at + wide]
                    for j in range(line.size):
                        line[j] = copied[j]
                b_at, step = advance(own_at, packed), width
            panel(
                height, 1, steps, advance(a, top * a_row + deep * a_col), a_row, a_col, 0, b_at, step, 0,
                advance(c, top * n + start), n, 1 if deep > 0 else add, advance(bias, start) if deep == 0 else 0, wide,
            )  # fmt: skip
    if sums and top == 0:
        for start in range(left, right, width):
            b_at = advance(b, (start // width) * b_panel)
            panel(1, 1, k, one, 0, 0, 0, b_at, b_row, 0, advance(sums, start), n, add, 0, min(width, right - start))
    if epilogue:
        if right - left == n:
            run_epilogue(epilogue, c, top * n, height * n)
        else:
            for row in range(top, top + height):
                run_epilogue(epilogue, c, row * n + left, right - left)


@kernel
def gemm_part(
    tile: Int, m: Int, n: Int, k: Int, a: Pointer, a_row: Int, a_col: Int, b: Pointer, c: Pointer, width: Int,
    depth: Int,
) -> None:  # fmt: skip
    """One panel of C in one part: the sum over `depth` inner indices, stored apart from those of other parts."""
    across = (n + width - 1) // width
    part = tile // across
    start = (tile % across) * width
    deep = part * depth
    panel(
        m, 1, min(depth, k - deep), advance(a, deep * a_col), a_row, a_col, 0, advance(b, deep * n + start), n, 0,
        advance(c, part * m * n + start), n, 0, 0, min(width, n - start),
    )  # fmt: skip


@kernel
def add_parts(
    tile: Int, c: Real2, start: Pointer, parts: Real3, add: Int, bias: Real1, biased: Int, rows: Int,
    epilogue: Epilogue,
) -> None:  # fmt: skip
    """Some rows of C, whose address is `start`: (C or) bias plus the parts in order, then the epilogue."""
    top, end = tile * rows, min(tile * rows + rows, c.shape[0])
    for row in range(top, end):
        y = c[row]
        if not add:
            for j in range(y.size):
                y[j] = bias[j] if biased else 0.0
        for part in range(parts.shape[0]):
            x = parts[part, row]
            for j in range(y.size):
                y[j] += x[j]
    wide = c.shape[1]
    run_epilogue(epilogue, start, top * wide, (end - top) * wide)


@kernel
def pack_rows(
    tile: Int, k: Int, n: Int, source: Real1, first: Int, row: Int, target: Real1, width: Int, room: Int
) -> None:  # fmt: skip
    """Panel `tile` of a matrix B (k, n), whose first element is source[first], in the order of the microkernel."""
    start = tile * width
    wide = min(width, n - start)
    for i in range(k):
        at, to = first + i * row + start, tile * room + i * width
        line, copied = target[to : to + wide], source[at : at + wide]
        for j in range(line.size):
            line[j] = copied[j]


@kernel
def pack(tile: Int, k: Int, n: Int, source: Pointer, target: Pointer, width: Int, room: Int) -> None:
    """Panel `tile` of B = sourceᵀ, in the order in which the microkernel reads it."""
    start = tile * width
    pack_transposed(k, min(width, n - start), advance(source, start * k), k, advance(target, tile * room), width)


def product(
    c: View,
    a: Matrix,
    b: Matrix,
    scratch: Scratch,
    *,
    bias: View | None = None,
    add: bool = False,
    sums: View | None = None,
    epilogue: Epilogue = (),
) -> list[Call]:
    """The calls for C (+)= A·B (+ bias), then sums = Σ rows of B and the epilogue."""
    (m, k), (_, n) = a.shape, b.shape
    if m == 0 or n == 0:
        return column_sums(sums, b.view, scratch) if sums else []
    if k == 0:
        return _empty_product(c, scratch, bias, add, sums, epilogue)
    width = processor().panel(c.dtype)
    if k * n > PARTS * max(m * n, SMALL_B) and not (b.transposed or sums or b.columns):
        return _by_parts(c, a, b.view, scratch, bias, add, epilogue)
    calls = []
    b_at, b_row, b_panel = b.at, b.strides[0], width
    if b.transposed:
        room = blocks(k, width // 2) * (width // 2) * width
        b_at, b_row, b_panel = scratch(blocks(n, width) * room), width, room
        calls.append(pack(blocks(n, width), k, n, b.view, b_at, width, room))
    a_row, a_col = a.strides
    height, columns = _tile(m, n, k, width)
    depth, own = DEPTH, absent(c)
    collides = not b.transposed and _collides(k, b_row * c.dtype.itemsize)
    if a.transposed and m >= SHORT_FROM and k > SHORT_DEPTH and n > width:
        depth, down = SHORT_DEPTH, blocks(m, height)
        columns = blocks(blocks(n, width), blocks(ENOUGH_TILES, down)) * width
        if collides:
            own = scratch(down * blocks(n, columns) * width * depth)
    elif m >= PACKED_FROM and collides:
        packed, room = scratch(blocks(n, width) * k * width), k * width
        calls.append(pack_rows(blocks(n, width), k, n, b.view.flat(), b.first, b_row, packed, width, room))
        b_at, b_row, b_panel = packed, width, room
    calls.append(
        gemm(
            blocks(m, height) * blocks(n, columns), m, n, k, a.at, a_row, a_col, b_at, b_row, b_panel, width,
            c, bias, int(add), sums, one(c.dtype), height, columns, depth, b.view.flat(), b.first, own, own, epilogue,
            flops=2.0 * m * n * k,
        )
    )  # fmt: skip
    return calls


def _collides(k: int, row_bytes: int) -> bool:
    """Whether the rows of a panel of B share so few sets of the first-level cache (64, of 8 lines each) that they
    displace one another."""
    lines = row_bytes // 64
    return row_bytes % 64 == 0 and k > 8 * 64 // math.gcd(lines, 64)


def _by_parts(
    c: View, a: Matrix, b: View, scratch: Scratch, bias: View | None, add: bool, epilogue: Epilogue
) -> list[Call]:  # fmt: skip
    """The same, with the sum over the inner indices cut into parts, which a second call adds."""
    (m, k), n = a.shape, b.shape[1]
    width, depth = processor().panel(c.dtype), min(blocks(k, PARTS), DEPTH)
    parts = scratch(blocks(k, depth) * m * n).reshape(blocks(k, depth), m, n)
    tiles, rows = parts.shape[0] * blocks(n, width), blocks(m, ENOUGH_TILES)
    biased, bias = int(bias is not None), bias or one(c.dtype)
    return [
        gemm_part(tiles, m, n, k, a.at, *a.strides, b, parts, width, depth, flops=2.0 * m * n * k),
        add_parts(blocks(m, rows), c, c, parts, int(add), bias, biased, rows, epilogue, flops=1.0 * parts.size),
    ]


def _empty_product(
    c: View, scratch: Scratch, bias: View | None, add: bool, sums: View | None, epilogue: Epilogue
) -> list[Call]:
    """The same for a product over no terms: C (+)= bias or 0."""
    calls = zero(sums) if sums else []
    if not (bias or epilogue):
        return calls if add else [*calls, *zero(c)]
    m, n = c.shape
    if bias is None:
        bias = scratch(n)
        calls += zero(bias)
    return [
        *calls,
        *product(c, ones(m, 1, c.dtype), Matrix(bias.reshape(1, n)), scratch, add=add, epilogue=epilogue),
    ]


@functools.cache
def one(dtype: np.dtype[Any]) -> View:
    """The number 1."""
    return constant(np.ones(1, dtype))


def ones(rows: int, columns: int, dtype: np.dtype[Any]) -> Matrix:
    """A matrix of ones: one number, read with strides of 0."""
    return Matrix(View(one(dtype).storage, (rows, columns)), repeated=True)


def column_sums(sums: View, dy: View, scratch: Scratch, *, add: bool = False) -> list[Call]:
    """sums (+)= Σ rows of dy: the product of a row of ones with dy."""
    row = ones(1, dy.shape[0], dy.dtype)
    return product(sums.reshape(1, dy.shape[1]), row, Matrix(dy), scratch, add=add)


def batched(
    c: View, a: View, b: View, scratch: Scratch, *, transpose_a: bool = False, transpose_b: bool = False
) -> list[Call]:  # fmt: skip
    """C = A·B for every index of the leading axes; if B has none, the rows of all A form one matrix."""
    if len(b.shape) == 2 and not transpose_a:
        c, a = rows(c), rows(a)
    count = math.prod(c.shape[:-2])
    matrices = zip(*(_split(view, count) for view in (c, a, b)), strict=True)
    return [
        call
        for c_i, a_i, b_i in matrices
        for call in product(c_i, Matrix(a_i, transposed=transpose_a), Matrix(b_i, transposed=transpose_b), scratch)
    ]


def _split(view: View, count: int) -> list[View]:
    """The matrices of a batch, one view each."""
    shape = view.shape[-2:]
    size = math.prod(shape)
    return [View(view.storage, shape, view.offset + i * size) for i in range(count)]


def rows(view: View) -> View:
    """All leading axes as one: (..., i) -> (n, i)."""
    return view.reshape(math.prod(view.shape[:-1]), view.shape[-1])


def _tile(m: int, n: int, k: int, width: int) -> tuple[int, int]:
    """Rows and columns of one tile: tiles of equal height, and enough of them to share if the work is worth it.

    A small B stays in the first-level cache as a whole, so tiles have all its columns, and C's rows are contiguous for
    the epilogue. Otherwise a tile is one panel wide, which is read from the second-level cache once.
    """
    columns = n if k * n <= SMALL_B else width
    flops = 2.0 * m * n * k
    across, down = blocks(n, columns), blocks(m, TILE_ROWS)
    while across * down < ENOUGH_TILES and flops / (across * (down + 1)) > TILE_FLOPS:
        down += 1
    return min(m, blocks(blocks(m, down), STEP_ROWS) * STEP_ROWS), min(n, columns)
