"""One strided copy for everything that moves elements: transpose, broadcast, slice, concatenate and their gradients.

Source and target are traversed with the same indices, each with its own strides in elements:

    target[t + Σ index·t_strides] = factor · source[s + Σ index·s_strides]

Dimensions that both sides traverse without gaps are merged first, so most copies have one or two dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from chainrule.native.kernel import Call, Int, Int1, Real, Real1, blocks, device, kernel
from chainrule.native.memory import Shape, View

TILE = 16384  # elements
COLUMNS = 64  # of a tile that walks the source across its rows: the next row reads the same cache lines
DIMENSIONS = 4  # of the kernel; a copy with more dimensions becomes several calls


@kernel
def strided_copy(
    tile: Int, target: Real1, source: Real1, n0: Int, n1: Int, n2: Int, n3: Int,
    t: Int, t0: Int, t1: Int, t2: Int, t3: Int, s: Int, s0: Int, s1: Int, s2: Int, s3: Int,
    factor: Real, rows: Int, columns: Int,
) -> None:  # fmt: skip
    """A tile of real numbers."""
    copy_tile(
        tile, target, source, n0, n1, n2, n3, t, t0, t1, t2, t3, s, s0, s1, s2, s3, factor, rows, columns
    )  # fmt: skip


@kernel
def strided_copy_whole(
    tile: Int, target: Int1, source: Int1, n0: Int, n1: Int, n2: Int, n3: Int,
    t: Int, t0: Int, t1: Int, t2: Int, t3: Int, s: Int, s0: Int, s1: Int, s2: Int, s3: Int,
    factor: Int, rows: Int, columns: Int,
) -> None:  # fmt: skip
    """A tile of whole numbers."""
    copy_tile(
        tile, target, source, n0, n1, n2, n3, t, t0, t1, t2, t3, s, s0, s1, s2, s3, factor, rows, columns
    )  # fmt: skip


@device
def copy_tile(
    tile: Int, target: Any, source: Any, n0: Int, n1: Int, n2: Int, n3: Int,
    t: Int, t0: Int, t1: Int, t2: Int, t3: Int, s: Int, s0: Int, s1: Int, s2: Int, s3: Int,
    factor: Any, rows: Int, columns: Int,
) -> None:  # fmt: skip
    """One tile: `columns` of the innermost dimension by `rows` of the other three together."""
    across = (n3 + columns - 1) // columns
    first = (tile // across) * rows
    left = (tile % across) * columns
    wide = min(columns, n3 - left)
    i0 = first // (n1 * n2)
    i1 = first // n2 % n1
    i2 = first % n2
    for _ in range(min(rows, n0 * n1 * n2 - first)):
        to = t + i0 * t0 + i1 * t1 + i2 * t2 + left * t3
        at = s + i0 * s0 + i1 * s1 + i2 * s2 + left * s3
        if t3 == 1 and s3 == 1:
            run = target[to : to + wide]
            copied = source[at : at + wide]
            for j in range(run.size):
                run[j] = factor * copied[j]
        elif t3 == 1 and s3 == 0:
            run = target[to : to + wide]
            value = factor * source[at]
            for j in range(run.size):
                run[j] = value
        else:
            for j in range(wide):
                target[to + j * t3] = factor * source[at + j * s3]
        i2 += 1
        if i2 == n2:
            i2 = 0
            i1 += 1
            if i1 == n1:
                i1 = 0
                i0 += 1


@kernel
def fill(tile: Int, target: Real1, value: Real, size: Int) -> None:
    """Elements tile·size and on of the target become `value`."""
    run = target[tile * size : min(target.size, (tile + 1) * size)]
    for i in range(run.size):
        run[i] = value


@dataclass(frozen=True)
class Walk:
    """How one side of a copy is traversed: the stride of each dimension and an offset, in elements."""

    strides: tuple[int, ...]
    offset: int = 0


def strides(shape: Shape) -> tuple[int, ...]:
    """Element strides of a contiguous array."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def copy(
    target: View, source: View, shape: Shape, to: Walk | None = None, at: Walk | None = None, factor: float = 1.0
) -> list[Call]:
    """The calls that copy an array of `shape`; a side without a walk is contiguous."""
    to, at = to or Walk(strides(shape)), at or Walk(strides(shape))
    if 0 in shape:
        return []
    dimensions = collapse(shape, to.strides, at.strides)
    outer, inner = dimensions[:-DIMENSIONS], dimensions[-DIMENSIONS:]
    inner = [(1, 0, 0)] * (DIMENSIONS - len(inner)) + inner
    sizes, t_strides, s_strides = zip(*inner, strict=True)
    columns = min(sizes[-1], TILE if s_strides[-1] in (0, 1) and t_strides[-1] == 1 else COLUMNS)
    rows = max(1, TILE // columns)
    tiles = blocks(sizes[-1], columns) * blocks(math.prod(sizes[:-1]), rows)
    chosen, factor = (strided_copy_whole, int(factor)) if target.dtype.kind == "i" else (strided_copy, factor)
    calls = []
    for index in product(*(range(n) for n, _, _ in outer)):
        t = to.offset + sum(i * stride for i, (_, stride, _) in zip(index, outer, strict=True))
        s = at.offset + sum(i * stride for i, (_, _, stride) in zip(index, outer, strict=True))
        calls.append(
            chosen(
                tiles, target.flat(), source.flat(), *sizes, t, *t_strides, s, *s_strides, factor, rows, columns,
                flops=0.0 if factor == 1.0 else float(math.prod(sizes)),
            )
        )  # fmt: skip
    return calls


def zero(target: View) -> list[Call]:
    """The calls that set every element to 0."""
    return [fill(blocks(target.size, TILE), target.flat(), 0.0, TILE)] if target.size else []


def collapse(shape: Shape, t_strides: Sequence[int], s_strides: Sequence[int]) -> list[tuple[int, int, int]]:
    """Dimensions as (size, target stride, source stride) in the order of the target's strides, neighbors merged."""
    walked = [d for d in zip(shape, t_strides, s_strides, strict=True) if d[0] != 1]
    merged: list[tuple[int, int, int]] = []
    for n, t, s in sorted(walked, key=lambda d: -abs(d[1])):
        if merged and merged[-1][1:] == (n * t, n * s):
            merged[-1] = (merged[-1][0] * n, t, s)
        else:
            merged.append((n, t, s))
    return merged
