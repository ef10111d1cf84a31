"""Where the heads of queries, keys and values lie in memory, and how attention is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels import attention as kernels
from chainrule.kernels.products import ENOUGH_TILES, TILE_FLOPS
from chainrule.native.kernel import blocks
from chainrule.native.machine import processor
from chainrule.native.memory import Array, Shape, View, constant

SLOTS = 32  # most tiles of many heads: each has memory of its own, which stays in the cache from head to head
KEYS = 128  # of a block of scores
BAND = 32  # queries at least, if there are so many


@dataclass(frozen=True)
class Places:
    """The sizes of attention, and how its arrays are laid out.

    layout    "rows" (n, t, heads·d), "packed" (n, t, 3·heads·d) with q, k and v side by side, "apart" (n, heads, t, d)
    """

    layout: str
    n: int
    heads: int
    queries: int
    keys: int
    size: int  # of a query and of a key
    wide: int  # of a value

    @property
    def pairs(self) -> int:
        """Heads of all sequences."""
        return self.n * self.heads

    @property
    def shape(self) -> Shape:
        """That of the result."""
        if self.layout == "apart":
            return (self.n, self.heads, self.queries, self.wide)
        return (self.n, self.queries, self.heads * self.wide)

    def flops(self, queries_or_keys: int, values: int) -> float:
        """The cost of some products of all scores with queries or keys, and with values."""
        return 2.0 * self.pairs * self.queries * self.keys * (queries_or_keys * self.size + values * self.wide)

    def by_head(self, q: Array, k: Array | None, v: Array | None) -> list[Array]:
        """q, k and v as arrays (n, heads, rows, size)."""
        if self.layout == "packed":
            parts = q.reshape(self.n, self.queries, 3, self.heads, self.size).transpose(2, 0, 3, 1, 4)
            return [parts[0], parts[1], parts[2]]
        assert k is not None
        assert v is not None
        return [self.split(q, self.size), self.split(k, self.size), self.split(v, self.wide)]

    def split(self, x: Array, size: int) -> Array:
        """One of them, or a result."""
        if self.layout == "apart":
            return x
        return x.reshape(self.n, x.shape[1], self.heads, size).transpose(0, 2, 1, 3)

    def join(self, x: Array) -> Array:
        """The opposite of `split`."""
        if self.layout == "apart":
            return x
        return x.transpose(0, 2, 1, 3).reshape(self.n, x.shape[2], self.heads * x.shape[3])

    def join_all(self, q: Array, k: Array, v: Array) -> tuple[Array | None, ...]:
        """The opposite of `by_head`."""
        if self.layout == "packed":
            return np.concatenate([self.join(x) for x in (q, k, v)], axis=2), None, None
        return self.join(q), self.join(k), self.join(v)

    def views(self, q: View, k: View | None, v: View | None) -> tuple[View, View, View]:
        """Where the first row of q, k and v begins."""
        if k is None or v is None:
            across = self.heads * self.size
            begins = [View(q.storage, (q.size - i * across,), q.offset + i * across) for i in range(3)]
            return begins[0], begins[1], begins[2]
        return q, k, v

    def rows_of_queries(self, parts: int) -> int:
        """Elements from a row of dq to the next: dense if there are several parts to be joined."""
        return self.strides(self.queries, self.size, 3 if self.layout == "packed" and parts == 1 else 1)[0]

    def strides(self, rows: int, size: int, sides: int = 1) -> tuple[int, int]:
        """Elements from row to row, and from head to head."""
        if self.layout == "apart":
            return size, rows * size
        return sides * self.heads * size, size


def places_of(q: Shape, k: Shape | None, v: Shape | None, heads: int) -> Places:
    """The sizes of attention, from shapes. Raises ShapeError where they do not fit."""
    if k is None or v is None:
        if k is not None or v is not None:
            raise ShapeError("attention: only one of k and v is None: pass both, or neither if q holds all three")
        if len(q) != 3 or q[2] % (3 * heads):
            raise ShapeError(
                f"attention: q has shape {q}, expected (sequences, steps, 3·{heads}·size): without k and v it holds "
                f"queries, keys and values side by side, of {heads} heads each"
            )
        return Places("packed", q[0], heads, q[1], q[1], q[2] // (3 * heads), q[2] // (3 * heads))
    shapes = f"attention: q has shape {q}, k {k}, v {v}"
    if len(q) == len(k) == len(v) == 4 and heads == 1:
        if q[:2] != k[:2] or k[:3] != v[:3] or q[3] != k[3]:
            raise ShapeError(
                f"{shapes}, expected (n, heads, t, d), (n, heads, s, d) and (n, heads, s, e): "
                "as many sequences and heads in all three, keys as long as queries, a value for each key"
            )
        return Places("apart", q[0], q[1], q[2], k[2], q[3], v[3])
    if not len(q) == len(k) == len(v) == 3 or q[0] != k[0] or k[:2] != v[:2] or q[2] != k[2]:
        raise ShapeError(
            f"{shapes}, expected (n, t, {heads}·d), (n, s, {heads}·d) and (n, s, {heads}·e): "
            "as many sequences in all three, keys as long as queries, a value for each key"
        )
    if q[2] % heads or v[2] % heads:
        raise ShapeError(f"{shapes}: their last axes must be multiples of {heads} heads: change the number of heads")
    return Places("rows", q[0], heads, q[1], k[1], q[2] // heads, v[2] // heads)


@dataclass(frozen=True)
class Plan:
    """How a call is cut: `parts` of each head if there are few, the kernel's table, and elements of scratch memory."""

    tiles: int
    parts: int
    table: View
    memory: int


def plan(places: Places, bias: Shape | None, causal: bool, dtype: np.dtype[Any], drops: bool, work: str) -> Plan:
    """Tiles by heads, and by bands of queries or blocks of keys if there are few heads.

    work    "forward", "backward", or "bias" for the gradient of the bias: heads that share it are then one tile's
    """
    at, width = kernels, processor().panel(dtype)
    band = blocks(min(BAND, max(1, places.queries)), width) * width
    block = min(KEYS, max(1, places.keys))
    cost = places.flops(1, 1) if work == "forward" else places.flops(3, 2)
    most = max(1, int(cost // TILE_FLOPS))
    slots = blocks(places.pairs, blocks(places.pairs, min(SLOTS, most)))
    first, following, times = 1, slots, blocks(places.pairs, slots)
    if work == "bias":
        assert bias is not None
        slots, first, following, times = _shared(places, bias)
    cuts = blocks(places.queries, band) if work == "forward" else blocks(places.keys, block)
    parts = max(1, min(blocks(ENOUGH_TILES, slots), cuts, most // slots))
    words = _strides(places, bias, parts) | {
        at.SLOTS: slots, at.PARTS: parts, at.FIRST: first, at.FOLLOWING: following, at.TIMES: times,
        at.PAIRS: places.pairs, at.HEADS: places.heads, at.QUERIES: places.queries, at.KEYS: places.keys,
        at.SIZE: places.size, at.WIDE: places.wide, at.CAUSAL: int(causal), at.WIDTH: width, at.BAND: band,
        at.BLOCK: block,
    }  # fmt: skip
    square = width // 2
    packed, flows = (blocks(n, square) * square * band for n in (places.size, places.wide))
    sizes = {
        at.PACKED: packed, at.CELLS: block * band, at.FACTORS: block * band if drops else 0, at.VECTORS: 3 * band,
        **({} if work == "forward" else {at.FLOWS: flows, at.SLOPES: block * band}),
    }  # fmt: skip
    room = 0
    for word, size in sizes.items():
        words[word] = room
        room += size
    words[at.ROOM] = room
    table = np.zeros(at.WORDS, np.int64)
    table[list(words)] = list(words.values())
    return Plan(slots * parts, parts, constant(table), slots * parts * room)


def _shared(places: Places, bias: Shape) -> tuple[int, int, int, int]:
    """How many heads have a bias of their own; the first that share one, the step to the next, and their number."""
    if bias[0] == 1 and bias[1] == 1:
        return 1, 1, 1, places.pairs
    if bias[0] == 1:
        return places.heads, 1, places.heads, places.n
    if bias[1] == 1:
        return places.n, places.heads, 1, places.heads
    return places.pairs, 1, 1, 1


def _strides(places: Places, bias: Shape | None, parts: int) -> dict[int, int]:
    """The words that say where rows and heads are."""
    at, sides = kernels, 3 if places.layout == "packed" else 1
    t, s, apart = places.queries, places.keys, places.layout == "apart"
    words = {
        **dict(zip((at.Q_ROW, at.Q_HEAD), places.strides(t, places.size, sides), strict=True)),
        **dict(zip((at.K_ROW, at.K_HEAD), places.strides(s, places.size, sides), strict=True)),
        **dict(zip((at.V_ROW, at.V_HEAD), places.strides(s, places.wide, sides), strict=True)),
        **dict(zip((at.Y_ROW, at.Y_HEAD), places.strides(t, places.wide), strict=True)),
        **dict(zip((at.DQ_ROW, at.DQ_HEAD), places.strides(t, places.size, sides if parts == 1 else 1), strict=True)),
        at.DQ_PART: places.pairs * t * places.size,
        at.Q_NEXT: places.heads * t if apart else t,
        at.K_NEXT: places.heads * s if apart else s,
    }
    if bias is not None:
        n, heads, rows, _ = bias
        words[at.BIAS_SEQUENCE] = heads * rows * s if n > 1 else 0
        words[at.BIAS_HEAD] = rows * s if heads > 1 else 0
        words[at.BIAS_ROW] = s if rows > 1 else 0
    return words
