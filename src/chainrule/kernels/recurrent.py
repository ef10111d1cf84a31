"""Recurrent networks: the whole loop over time inside one tile.

A tile has some sequences of one direction. Sequences are in the order of falling length and dealt to tiles like cards,
so that tiles have equal work and the running sequences of a tile are the first ones. Their states and the products of
states and weights stay in the tile's own memory, which its worker has in cache; nothing waits for other workers. Each
step is one product with the weights, packed by panels beforehand, and one pass over the running sequences' units
(`chainrule.native.cells`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule.kernels.copies import zero
from chainrule.kernels.losses import absent
from chainrule.kernels.products import DEPTH, Matrix, ones, pack, pack_rows, product
from chainrule.native.cells import (
    GRU,
    LSTM,
    RNN_TANH,
    gru_step,
    gru_step_gradient,
    lstm_step,
    lstm_step_gradient,
    rnn_relu_step,
    rnn_relu_step_gradient,
    rnn_tanh_step,
    rnn_tanh_step_gradient,
)
from chainrule.native.kernel import Call, Int, Int1, Pointer, Real1, advance, blocks, device, kernel
from chainrule.native.machine import processor
from chainrule.native.matrix import panel
from chainrule.native.memory import Scratch, View, constant
from chainrule.native.state import STOP, WRONG_LABEL

SEQUENCES = 8  # of a tile, at least, unless there are fewer
MOST_TILES = 16  # of one direction
LINE = 16  # elements; a tile's own memory starts on a line of the cache


class Sequences(NamedTuple):
    """Where sequences begin and end, and their numbers by falling length; `ragged` if this is known only in a step."""

    offsets: View
    order: View
    ragged: bool

    @classmethod
    def of(cls, rows: View, offsets: View | None, order: View | None) -> Sequences:
        """Those of an array (n, steps, features), or what is given."""
        if offsets is not None and order is not None:
            return cls(offsets, order, True)
        n, steps = rows.shape[:2]
        return cls(constant(np.arange(n + 1, dtype=np.int64) * steps), constant(np.arange(n, dtype=np.int64)), False)

    @property
    def number(self) -> int:
        return self.order.size


@dataclass(frozen=True)
class Loop:
    """The calls of one recurrent op: its cell, its weights (directions, hidden, gates·hidden), and its sequences."""

    cell: int
    wh: View
    sequences: Sequences
    reverse: bool
    scratch: Scratch
    state: View | None = None  # of the program, to stop it

    def through(
        self, rows: tuple[View, View | None, View | None, View], last: tuple[View, View | None], a: View,
        bias: View | None, first: tuple[View | None, View | None],
    ) -> list[Call]:  # fmt: skip
        """`rows` are y, gates, kept and before, `last` and `first` the states h and c."""
        if not self.sequences.number:
            return zero(rows[0])
        y, gates, kept, before = rows
        directions, hidden, wide = self.wh.shape
        room = hidden * self._width
        weights = self.scratch(directions * blocks(wide, self._width) * room)
        across = blocks(wide, self._width)
        calls = self._check(a.shape[0])
        if self.cell == GRU and bias is None:
            bias = self.scratch(directions * hidden)
            calls += zero(bias)
        return [
            *calls,
            *(
                pack_rows(across, hidden, wide, self.wh.flat(), d * hidden * wide, wide, part, self._width, room)
                for d in range(directions)
                for part in [_part(weights, d, directions)]
            ),
            recur(
                directions * self._tiles, self.cell, y, *map(self._flat, last), gates, kept, before, a, bias, weights,
                room, *map(self._flat, first), *self._own(), *self._tables(), hidden, wide // hidden, directions,
                self._tiles, self._width, DEPTH, int(self.reverse), flops=2.0 * a.size * hidden,
            ),
            *self._clear(*rows),
        ]  # fmt: skip

    def back(
        self, rows: tuple[View, View | None], first: tuple[View, View | None],
        saved: tuple[View, View | None, View | None], dy: View | None, last: tuple[View | None, View | None],
        starts: bool,
    ) -> list[Call]:  # fmt: skip
        """`rows` are da and ds, `saved` gates, kept and before; `first` are 0 unless the op `starts` with states."""
        da, ds = rows
        if not self.sequences.number:
            return [call for view in (da, ds) if view is not None for call in zero(view)]
        directions, hidden, wide = self.wh.shape
        across, room = blocks(hidden, self._width), _room(wide, self._width)
        weights = self.scratch(directions * across * room)
        calls = [
            pack(across, wide, hidden, _part(self.wh, d, directions), _part(weights, d, directions), self._width, room)
            for d in range(directions)
        ]
        row, nothing = directions * hidden, self.scratch(directions * hidden)
        if dy is None:
            calls += zero(nothing)
        return [
            *calls,
            recur_gradient(
                directions * self._tiles, self.cell, da, ds, *map(self._flat, first), int(starts),
                dy or nothing, row if dy else 0, *map(self._flat, last), *saved, weights, room, *self._own(),
                *self._tables(), hidden, wide // hidden, directions, self._tiles, self._width, DEPTH, int(self.reverse),
                flops=2.0 * da.size * hidden,
            ),
            *self._clear(da, ds),
        ]  # fmt: skip

    @property
    def _width(self) -> int:
        return processor().panel(self.wh.dtype)

    @property
    def _tiles(self) -> int:
        """Of one direction: they follow from the shape."""
        return max(1, min(self.sequences.number // SEQUENCES, MOST_TILES))

    def _own(self) -> tuple[View, View]:
        """The memory of all tiles: h, c, and the product of states and weights."""
        directions, hidden, wide = self.wh.shape
        size = blocks(blocks(self.sequences.number, self._tiles) * (2 * hidden + wide), LINE) * LINE
        own = self.scratch(directions * self._tiles * size)
        return own, own

    def _tables(self) -> tuple[View, ...]:
        offsets, order, _ = self.sequences
        return offsets, offsets, order, order

    def _flat(self, view: View | None) -> View:
        return absent(self.wh) if view is None else view.flat()

    def _check(self, rows: int) -> list[Call]:
        """Sequences that are not among the rows of a, or in another order than the kernel's, stop the program."""
        if not self.sequences.ragged:
            return []
        return [check_sequences(1, self.state, self.sequences.offsets, self.sequences.order, rows, stops=True)]

    def _clear(self, *rows: View | None) -> list[Call]:
        """Rows after the last sequence become 0."""
        views = [view for view in rows if view is not None] if self.sequences.ragged else []
        return [clear_rest(1, view.flat(), self.sequences.offsets, view.shape[-1]) for view in views]


def weight_gradient(dwh: View, before: View, da: View, scratch: Scratch) -> list[Call]:
    """dWh = beforeᵀ·da for each direction."""
    directions, hidden, wide = dwh.shape
    rows = da.size // (directions * wide)
    states, flows = before.reshape(rows, directions * hidden), da.reshape(rows, directions * wide)
    calls = []
    for d in range(directions):
        state = Matrix(states, transposed=True, first=d * hidden, columns=hidden)
        calls += product(_part(dwh, d, directions), state, Matrix(flows, first=d * wide, columns=wide), scratch)
    return calls


def bias_gradient(db: View, ds: View, scratch: Scratch) -> list[Call]:
    """db = Σ of the new gate's part of ds, for each direction."""
    directions, hidden = db.shape
    flows = ds.reshape(ds.size // (directions * 3 * hidden), directions * 3 * hidden)
    row = ones(1, flows.shape[0], ds.dtype)
    calls = []
    for d in range(directions):
        new = Matrix(flows, first=(3 * d + 2) * hidden, columns=hidden)
        calls += product(_part(db, d, directions).reshape(1, hidden), row, new, scratch)
    return calls


def _part(view: View, index: int, count: int) -> View:
    """One of `count` equal parts, without the first axis if it is that of the parts."""
    size = view.size // count
    shape = view.shape[1:] if view.shape[0] == count else (size,)
    return View(view.storage, shape, view.offset + index * size)


def _room(depth: int, width: int) -> int:
    """Elements of a panel that `pack` writes."""
    return blocks(depth, width // 2) * (width // 2) * width


@kernel
def check_sequences(tile: Int, state: Int1, offsets: Int1, order: Int1, rows: Int) -> None:
    """Offsets rise from 0 to at most `rows`, and order has all sequences by falling length, equal ones in their
    order."""
    right = offsets[0] == 0
    for i in range(order.size):
        right = right and offsets[i] <= offsets[i + 1] and offsets[i + 1] <= rows
        right = right and order[i] >= 0 and order[i] < order.size
    if right:
        for i in range(1, order.size):
            before, after = length(offsets, order[i - 1]), length(offsets, order[i])
            right = right and (before > after or (before == after and order[i - 1] < order[i]))
    if not right:
        state[STOP] = WRONG_LABEL


@kernel
def clear_rest(tile: Int, rows: Real1, offsets: Int1, columns: Int) -> None:
    """Rows after the last sequence become 0."""
    rest = rows[offsets[offsets.size - 1] * columns :]
    for j in range(rest.size):
        rest[j] = 0.0


@kernel
def recur(
    tile: Int, cell: Int, y: Pointer, last_state: Real1, last_carry: Real1, gates: Pointer, kept: Pointer,
    before: Pointer, a: Pointer, bias: Pointer, weights: Pointer, room: Int, state_0: Real1, carry_0: Real1,
    own: Real1, own_at: Pointer, offsets: Int1, offsets_at: Pointer, order: Int1, order_at: Pointer, hidden: Int,
    gate_count: Int, directions: Int, tiles: Int, width: Int, depth: Int, reverse: Int,
) -> None:  # fmt: skip
    """All steps of the sequences card, card + tiles, ... in one direction."""
    direction, card = tile // tiles, tile % tiles
    wide, first = gate_count * hidden, direction * hidden
    count = total = (order.size - card + tiles - 1) // tiles
    half = total * hidden
    start = tile * (own.size // (tiles * directions))
    state, carry, z = advance(own_at, start), advance(own_at, start + half), advance(own_at, start + 2 * half)
    deal(own, start, state_0, order, card, tiles, direction, hidden)
    deal(own, start + half, carry_0, order, card, tiles, direction, hidden)
    product_0 = own[start + 2 * half : start + 2 * half + total * wide]
    for j in range(product_0.size):
        product_0[j] = 0.0
    end = reverse if direction == 0 else 1 - reverse
    first_weight = direction * ((wide + width - 1) // width) * room
    a, gates, bias = advance(a, direction * wide), advance(gates, direction * wide), advance(bias, first)
    y, kept, before = advance(y, first), advance(kept, first), advance(before, first)
    for t in range(length(offsets, order[card])):
        while length(offsets, order[card + (count - 1) * tiles]) <= t:
            count -= 1
        if t > 0 or state_0.size > 0:
            times(count, hidden, wide, state, advance(weights, first_weight), room, z, 0, width, depth)
        move = -1 - t if end else t
        step(
            cell, count, hidden, gate_count, directions, 0, order_at, card, tiles, offsets_at, end, move, a, z, bias,
            state, carry, y, gates, kept, before,
        )  # fmt: skip
    collect(last_state, own, start, order, card, tiles, direction, hidden)
    collect(last_carry, own, start + half, order, card, tiles, direction, hidden)


@kernel
def recur_gradient(
    tile: Int, cell: Int, da: Pointer, ds: Pointer, first_state: Real1, first_carry: Real1, starts: Int, dy: Pointer,
    dy_row: Int, last_state: Real1, last_carry: Real1, gates: Pointer, kept: Pointer, before: Pointer,
    weights: Pointer, room: Int, own: Real1, own_at: Pointer, offsets: Int1, offsets_at: Pointer, order: Int1,
    order_at: Pointer, hidden: Int, gate_count: Int, directions: Int, tiles: Int, width: Int, depth: Int, reverse: Int,
) -> None:  # fmt: skip
    """The same backwards: sequences join in where they ended."""
    direction, card = tile // tiles, tile % tiles
    wide, first = gate_count * hidden, direction * hidden
    total = (order.size - card + tiles - 1) // tiles
    half = total * hidden
    start = tile * (own.size // (tiles * directions))
    state, carry, flow = advance(own_at, start), advance(own_at, start + half), advance(own_at, start + 2 * half)
    deal(own, start, last_state, order, card, tiles, direction, hidden)
    deal(own, start + half, last_carry, order, card, tiles, direction, hidden)
    end = reverse if direction == 0 else 1 - reverse
    weights = advance(weights, direction * ((hidden + width - 1) // width) * room)
    da, ds, gates = advance(da, direction * wide), advance(ds, direction * wide), advance(gates, direction * wide)
    dy, kept, before = advance(dy, first), advance(kept, first), advance(before, first)
    adds = 1 if cell == GRU else 0  # its pass leaves a part of the state's gradient there
    count, steps = 0, length(offsets, order[card])
    for turn in range(steps):
        t = steps - 1 - turn
        if count > 0:
            times(count, wide, hidden, flow, weights, room, state, adds, width, depth)
        while count < total and length(offsets, order[card + count * tiles]) > t:
            count += 1
        move = -1 - t if end else t
        step_gradient(
            cell, count, hidden, gate_count, directions, dy_row, order_at, card, tiles, offsets_at, end, move, gates,
            kept, before, dy, state, carry, da, ds, flow,
        )  # fmt: skip
    if starts and count > 0:
        times(count, wide, hidden, flow, weights, room, state, adds, width, depth)
    if not starts:
        deal(own, start, own[:0], order, card, tiles, direction, hidden)
        deal(own, start + half, own[:0], order, card, tiles, direction, hidden)
    collect(first_state, own, start, order, card, tiles, direction, hidden)
    collect(first_carry, own, start + half, order, card, tiles, direction, hidden)


@device
def step(cell: Int, *arguments: Any) -> None:
    """One step of a cell forwards."""
    if cell == LSTM:
        lstm_step(*arguments)
    elif cell == GRU:
        gru_step(*arguments)
    elif cell == RNN_TANH:
        rnn_tanh_step(*arguments)
    else:
        rnn_relu_step(*arguments)


@device
def step_gradient(cell: Int, *arguments: Any) -> None:
    """One step of a cell backwards."""
    if cell == LSTM:
        lstm_step_gradient(*arguments)
    elif cell == GRU:
        gru_step_gradient(*arguments)
    elif cell == RNN_TANH:
        rnn_tanh_step_gradient(*arguments)
    else:
        rnn_relu_step_gradient(*arguments)


@device
def length(offsets: Int1, sequence: Int) -> Any:
    return offsets[sequence + 1] - offsets[sequence]


@device
def times(
    rows: Int, k: Int, n: Int, a: Pointer, b: Pointer, room: Int, c: Pointer, add: Int, width: Int, depth: Int
) -> None:  # fmt: skip
    """C (+)= A·B for the contiguous rows of a tile and the packed panels of B."""
    for start in range(0, n, width):
        at = advance(b, (start // width) * room)
        for deep in range(0, k, depth):
            panel(
                rows, 1, min(depth, k - deep), advance(a, deep), k, 1, 0, advance(at, deep * width), width, 0,
                advance(c, start), n, 1 if deep > 0 else add, 0, min(width, n - start),
            )  # fmt: skip


@device
def deal(
    own: Real1, start: Int, source: Real1, order: Int1, card: Int, tiles: Int, direction: Int, hidden: Int
) -> None:  # fmt: skip
    """The tile's rows of a state (directions, n, hidden), zeros if there is none."""
    for i in range((order.size - card + tiles - 1) // tiles):
        to = own[start + i * hidden : start + (i + 1) * hidden]
        if source.size == 0:
            for j in range(to.size):
                to[j] = 0.0
        else:
            at = (direction * order.size + order[card + i * tiles]) * hidden
            row = source[at : at + hidden]
            for j in range(to.size):
                to[j] = row[j]


@device
def collect(
    target: Real1, own: Real1, start: Int, order: Int1, card: Int, tiles: Int, direction: Int, hidden: Int
) -> None:  # fmt: skip
    """The reverse, where there is a target."""
    if target.size > 0:
        for i in range((order.size - card + tiles - 1) // tiles):
            row = own[start + i * hidden : start + (i + 1) * hidden]
            at = (direction * order.size + order[card + i * tiles]) * hidden
            to = target[at : at + hidden]
            for j in range(to.size):
                to[j] = row[j]
