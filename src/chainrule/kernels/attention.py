"""Attention by blocks of scores: no more than a band of queries by a block of keys is held at a time.

A tile works on some heads of some sequences, or on some bands of queries or blocks of keys where there are few heads.
Rows stay where they are: a head is a stride. Scores lie transposed, keys by queries, so that all products read K, V, Q
and dY by rows; only the queries of a band are packed, and what softmax does to each query runs along vectors.

    forward    S = scale·K·Qᵀ, P = exp(S - largest), y = y·exp(old largest - largest) + Pᵀ·V, in the end y / total, and
               lse = largest + log total
    backward   P = exp(S - lse), dS = scale·P·(V·dYᵀ - Σ dy·y), dV += P·dY, dK += dS·Q, dQ += dSᵀ·K

Source: Dao, Fu, Ermon, Rudra and Ré, FlashAttention, NeurIPS 2022; Dao, FlashAttention-2, arXiv:2307.08691.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.native.kernel import Int, Int1, Pointer, Real, Real1, Real3, advance, device, kernel, real
from chainrule.native.matrix import pack_transposed, panel
from chainrule.native.philox import LOW, philox_block
from chainrule.native.softmax import slopes, soften
from chainrule.native.state import SEED, STEP
from chainrule.native.vecmath import log

# What the table of a call holds. Rows and heads are strides in elements, NEXT counts rows to the next sequence.
Q_ROW, K_ROW, V_ROW, Y_ROW, DQ_ROW, Q_HEAD, K_HEAD, V_HEAD, Y_HEAD, DQ_HEAD, DQ_PART, Q_NEXT, K_NEXT = range(13)
BIAS_SEQUENCE, BIAS_HEAD, BIAS_ROW, PAIRS, HEADS, QUERIES, KEYS, SIZE, WIDE, CAUSAL = range(13, 23)
SLOTS, PARTS, FIRST, FOLLOWING, TIMES, WIDTH, BAND, BLOCK = range(23, 31)
# Scratch memory of a tile: its size, and where in it are packed queries and dY, scores, dS, dropout's factors, vectors.
ROOM, PACKED, FLOWS, CELLS, SLOPES, FACTORS, VECTORS = range(31, 38)
WORDS = 38


@kernel
def attend(
    tile: Int, y: Pointer, y1: Real1, lse: Real1, q: Pointer, k: Pointer, v: Pointer, bias1: Real1, biased: Int,
    q_starts: Int1, k_starts: Int1, table: Int1, own: Pointer, own1: Real1,
    scale: Real, state: Int1, threshold: Int, kept: Real, number: Int,
) -> None:  # fmt: skip
    """y and lse of the bands of queries number tile % parts, and so on, of heads tile // parts, and so on."""
    parts, width, band, most = table[PARTS], table[WIDTH], table[BAND], table[BLOCK]
    size, wide, heads, causal = table[SIZE], table[WIDE], table[HEADS], table[CAUSAL]
    q_row, k_row, v_row, y_row = table[Q_ROW], table[K_ROW], table[V_ROW], table[Y_ROW]
    bias_row, part, base = table[BIAS_ROW], tile % parts, tile * table[ROOM]
    apart = biased or scale <= 0.0  # scores are scaled by themselves, as -∞ of hidden ones would not stay that
    cells_at, factors_at, vectors = base + table[CELLS], base + table[FACTORS], base + table[VECTORS]
    packed, cells = advance(own, base + table[PACKED]), advance(own, cells_at)
    factors = advance(own, factors_at) if threshold else 0
    largest, total = advance(own, vectors), advance(own, vectors + band)
    for time in range(table[TIMES]):
        pair = tile // parts * table[FIRST] + time * table[FOLLOWING]
        if pair >= table[PAIRS]:
            break
        sequence, head = pair // heads, pair % heads
        q_first, t = first_row(q_starts, sequence, table[Q_NEXT]), row_count(q_starts, sequence, table[QUERIES])
        k_first, s = first_row(k_starts, sequence, table[K_NEXT]), row_count(k_starts, sequence, table[KEYS])
        q_at = advance(q, q_first * q_row + head * table[Q_HEAD])
        k_at = advance(k, k_first * k_row + head * table[K_HEAD])
        v_at = advance(v, k_first * v_row + head * table[V_HEAD])
        y_at = q_first * y_row + head * table[Y_HEAD]
        bias_at = sequence * table[BIAS_SEQUENCE] + head * table[BIAS_HEAD]
        for turn in range((t + band * parts - 1) // (band * parts)):
            first = band * part_of(turn, part, parts)
            count = min(band, t - first)
            if count <= 0:
                continue
            columns = (count + width - 1) // width * width
            pack_rows(packed, advance(q_at, first * q_row), q_row, size, count, width)
            for i in range(columns):
                own1[vectors + i] = -np.inf
                own1[vectors + band + i] = 0.0
            seen = min(s, first + count) if causal else s
            steps = max(1, (seen + most - 1) // most)
            for step in range(steps + 1):
                start = step * most
                rows = min(most, seen - start)
                if rows > 0:
                    moved = advance(own, vectors + 2 * band)
                    block = own1[cells_at : cells_at + rows * columns]
                    product(cells, columns, advance(k_at, start * k_row), k_row, packed, rows, count, size, width)
                    if apart:
                        at = bias_at + first * bias_row + start
                        add_bias(block, scale, bias1, biased, at, bias_row, rows, count, columns)
                    if causal and start + rows > first + 1:
                        hide_future(block, start - first, rows, count, columns)
                    if threshold:
                        at = (pair * s + start) * ((t + 3) // 4) + first // 4
                        draw(own1[factors_at:], at, (t + 3) // 4, rows, count, columns, state, threshold, kept, number)
                    soften(rows, columns, cells, factors, 1.0 if apart else scale, largest, total, moved)
                if step == steps:
                    finish(own1, vectors, band, lse[pair * t + first : pair * t + first + count])
                if step > 0:
                    for i in range(count):
                        row = y1[y_at + (first + i) * y_row :][:wide]
                        factor = own1[vectors + 2 * band + i]
                        for j in range(row.size):
                            row[j] = row[j] * factor
                if rows > 0 or step == 0:
                    multiply(
                        count, max(rows, 0), cells, 1, columns, advance(v_at, start * v_row), v_row, width,
                        advance(y, y_at + first * y_row), y_row, min(step, 1), wide, width,
                    )  # fmt: skip


@kernel
def attend_gradient(
    tile: Int, dq: Pointer, dk: Pointer, dv: Pointer, dbias: Pointer, dbias1: Real1, slope_of_bias: Int,
    dy: Pointer, dy1: Real1, y1: Real1, lse: Real1, q: Pointer, k: Pointer, v: Pointer, bias1: Real1, biased: Int,
    q_starts: Int1, k_starts: Int1, table: Int1, own: Pointer, own1: Real1,
    scale: Real, state: Int1, threshold: Int, kept: Real, number: Int,
) -> None:  # fmt: skip
    """dk and dv of the blocks of keys number tile % parts, and so on, of heads tile // parts, and so on; dq of these
    blocks, apart from that of other parts. With `slope_of_bias` only that: dS / scale, added to dbias.
    """
    parts, width, band, most = table[PARTS], table[WIDTH], table[BAND], table[BLOCK]
    size, wide, heads, causal = table[SIZE], table[WIDE], table[HEADS], table[CAUSAL]
    q_row, k_row, v_row, y_row, dq_row = table[Q_ROW], table[K_ROW], table[V_ROW], table[Y_ROW], table[DQ_ROW]
    bias_row, part, base = table[BIAS_ROW], tile % parts, tile * table[ROOM]
    apart = biased or scale <= 0.0  # scores are scaled by themselves, as -∞ of hidden ones would not stay that
    cells_at, slopes_at, vectors = base + table[CELLS], base + table[SLOPES], base + table[VECTORS]
    packed, flows = advance(own, base + table[PACKED]), advance(own, base + table[FLOWS])
    cells, slope, factors_at = advance(own, cells_at), advance(own, slopes_at), base + table[FACTORS]
    factors = advance(own, factors_at) if threshold else 0
    for time in range(table[TIMES]):
        pair = tile // parts * table[FIRST] + time * table[FOLLOWING]
        if pair >= table[PAIRS]:
            break
        sequence, head = pair // heads, pair % heads
        q_first, t = first_row(q_starts, sequence, table[Q_NEXT]), row_count(q_starts, sequence, table[QUERIES])
        k_first, s = first_row(k_starts, sequence, table[K_NEXT]), row_count(k_starts, sequence, table[KEYS])
        q_begin, y_begin = q_first * q_row + head * table[Q_HEAD], q_first * y_row + head * table[Y_HEAD]
        k_begin, v_begin = k_first * k_row + head * table[K_HEAD], k_first * v_row + head * table[V_HEAD]
        dq_begin = part * table[DQ_PART] + q_first * dq_row + head * table[DQ_HEAD]
        bias_at = sequence * table[BIAS_SEQUENCE] + head * table[BIAS_HEAD]
        turns = (s + most * parts - 1) // (most * parts)
        if slope_of_bias and time == 0:
            for turn in range(turns):
                start = most * part_of(turn, part, parts)
                rows = t if bias_row else min(t, 1)
                clear(rows, advance(dbias, bias_at + start), bias_row, min(most, s - start), width)
        seen = 0
        for first in range(0, t, band):
            count = min(band, t - first)
            columns = (count + width - 1) // width * width
            before, seen = seen, min(s, first + count) if causal else s
            q_at, y_at, dq_at = q_begin + first * q_row, y_begin + first * y_row, dq_begin + first * dq_row
            pack_rows(packed, advance(q, q_at), q_row, size, count, width)
            pack_rows(flows, advance(dy, y_at), y_row, wide, count, width)
            for i in range(count):
                own1[vectors + i] = lse[pair * t + first + i]
                own1[vectors + band + i] = dot(dy1[y_at + i * y_row :][:wide], y1[y_at + i * y_row :][:wide])
            added = 0
            for turn in range(turns):
                start = most * part_of(turn, part, parts)
                rows = min(most, seen - start)
                if rows <= 0:
                    continue
                k_at, v_at = k_begin + start * k_row, v_begin + start * v_row
                block = own1[cells_at : cells_at + rows * columns]
                product(cells, columns, advance(k, k_at), k_row, packed, rows, count, size, width)
                product(slope, columns, advance(v, v_at), v_row, flows, rows, count, wide, width)
                if apart:
                    at = bias_at + first * bias_row + start
                    add_bias(block, scale, bias1, biased, at, bias_row, rows, count, columns)
                if causal and start + rows > first + 1:
                    hide_future(block, start - first, rows, count, columns)
                if threshold:
                    at = (pair * s + start) * ((t + 3) // 4) + first // 4
                    draw(own1[factors_at:], at, (t + 3) // 4, rows, count, columns, state, threshold, kept, number)
                slopes(
                    rows, columns, cells, slope, factors, 1.0 if apart else scale, advance(own, vectors),
                    advance(own, vectors + band), 1.0 if slope_of_bias else scale,
                )  # fmt: skip
                if slope_of_bias:
                    at = bias_at + first * bias_row + start
                    add_slopes(dbias1, own1[slopes_at : slopes_at + rows * columns], at, bias_row, rows, count, columns)
                    continue
                old = min(max(before - start, 0), rows)  # keys that an earlier band has added to
                for fresh in range(2):
                    low, high = (old, rows) if fresh else (0, old)
                    to_v, to_k = advance(dv, v_at + low * v_row), advance(dk, k_at + low * k_row)
                    multiply(
                        high - low, count, advance(cells, low * columns), columns, 1, advance(dy, y_at), y_row, width,
                        to_v, v_row, 1 - fresh, wide, width,
                    )  # fmt: skip
                    multiply(
                        high - low, count, advance(slope, low * columns), columns, 1, advance(q, q_at), q_row, width,
                        to_k, k_row, 1 - fresh, size, width,
                    )  # fmt: skip
                multiply(
                    count, rows, slope, 1, columns, advance(k, k_at), k_row, width, advance(dq, dq_at), dq_row, added,
                    size, width,
                )  # fmt: skip
                added = 1
            if not (added or slope_of_bias):
                clear(count, advance(dq, dq_at), dq_row, size, width)
        for turn in range(0 if slope_of_bias else turns):  # keys that no query sees
            start = most * part_of(turn, part, parts)
            unseen = max(start, seen)
            rows = max(0, min(start + most, s) - unseen)
            clear(rows, advance(dk, k_begin + unseen * k_row), k_row, size, width)
            clear(rows, advance(dv, v_begin + unseen * v_row), v_row, wide, width)


@kernel
def join(tile: Int, to: Real1, parts: Real3, next_row: Int, rows: Int) -> None:
    """Some rows of the sum of all parts; those of the result are `next_row` elements apart."""
    for i in range(tile * rows, min((tile + 1) * rows, parts.shape[1])):
        row = to[i * next_row : i * next_row + parts.shape[2]]
        for part in range(parts.shape[0]):
            x = parts[part, i]
            for j in range(row.size):
                row[j] = x[j] if part == 0 else row[j] + x[j]


@device
def part_of(turn: Int, part: Int, parts: Int) -> Int:
    """The number of a part's band or block: dealt to and fro, as those of causal attention grow or shrink."""
    return turn * parts + (part if turn % 2 == 0 else parts - 1 - part)


@device
def first_row(starts: Int1, sequence: Int, following: Int) -> Any:
    """Where the rows of a sequence begin: in a table of starts, or after sequences of `following` rows each."""
    return starts[sequence] if starts.size > 1 else sequence * following


@device
def row_count(starts: Int1, sequence: Int, count: Int) -> Any:
    """How many rows a sequence has."""
    return starts[sequence + 1] - starts[sequence] if starts.size > 1 else count


@device
def multiply(
    rows: Int, inner: Int, a: Pointer, a_row: Int, a_col: Int, b: Pointer, b_row: Int, b_panel: Int, c: Pointer,
    c_row: Int, add: Int, columns: Int, width: Int,
) -> None:  # fmt: skip
    """C (rows, columns) (+)= A·B, panel by panel, which are `b_panel` elements apart in B."""
    for left in range(0, columns, width):
        panel(
            rows, 1, inner, a, a_row, a_col, 0, advance(b, left // width * b_panel), b_row, 0, advance(c, left), c_row,
            add, 0, min(width, columns - left),
        )  # fmt: skip


@device
def clear(rows: Int, c: Pointer, c_row: Int, columns: Int, width: Int) -> None:
    """C = 0, a product over no terms."""
    multiply(rows, 0, c, 0, 0, c, 0, 0, c, c_row, 0, columns, width)


@device
def dot(x: Real1, y: Real1) -> Any:
    """Σ x·y."""
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@device
def pack_rows(packed: Pointer, x: Pointer, x_row: Int, size: Int, count: Int, width: Int) -> None:
    """`count` rows of x as panels of columns, as the microkernel reads them."""
    room = panel_room(size, width)
    for left in range(0, count, width):
        pack_transposed(
            size, min(width, count - left), advance(x, left * x_row), x_row, advance(packed, left // width * room),
            width,
        )  # fmt: skip


@device
def product(
    cells: Pointer, columns: Int, x: Pointer, x_row: Int, packed: Pointer, rows: Int, count: Int, size: Int, width: Int
) -> None:  # fmt: skip
    """cells (rows, columns) = x·packed."""
    multiply(rows, size, x, x_row, 1, packed, width, panel_room(size, width), cells, columns, 0, count, width)


@device
def panel_room(size: Int, width: Int) -> Any:
    """Elements of a packed panel."""
    return (size + width // 2 - 1) // (width // 2) * (width // 2) * width


@device
def add_bias(
    cells: Real1, scale: Real, bias: Real1, biased: Int, at: Int, bias_row: Int, rows: Int, count: Int, columns: Int
) -> None:  # fmt: skip
    """Scores times scale, plus the bias, if there is one, which is not transposed."""
    for j in range(rows):
        for i in range(count):
            added = bias[at + i * bias_row + j] if biased else real(0.0)
            cells[j * columns + i] = cells[j * columns + i] * scale + added


@device
def add_slopes(dbias: Real1, slope: Real1, at: Int, bias_row: Int, rows: Int, count: Int, columns: Int) -> None:
    """Add the slopes of a block to those of the bias, which is not transposed."""
    for i in range(count):
        for j in range(rows):
            dbias[at + i * bias_row + j] += slope[j * columns + i]


@device
def hide_future(cells: Real1, offset: Int, rows: Int, count: Int, columns: Int) -> None:
    """Scores of keys after their query become -∞: key j is `offset` + j after the first query."""
    for j in range(max(0, 1 - offset), rows):
        for i in range(min(count, offset + j)):
            cells[j * columns + i] = -np.inf


@device
def finish(own: Real1, at: Int, band: Int, lse: Real1) -> None:
    """What the rows of y are to be multiplied by in the end, and lse."""
    for i in range(lse.size):
        largest, total = own[at + i], own[at + band + i]
        empty = total == 0.0  # no key at all, or only such as the bias leaves out
        own[at + 2 * band + i] = 0.0 if empty else 1.0 / total
        lse[i] = np.inf if empty else largest + log(total)


@device
def draw(
    factors: Real1, block: Int, next_block: Int, rows: Int, count: Int, columns: Int, state: Int1, threshold: Int,
    kept: Real, number: Int,
) -> None:  # fmt: skip
    """`kept` or 0 for each share; the words of key j begin at random block `block` + j·next_block."""
    seed, step = int(state[SEED]), int(state[STEP])
    seed_low, seed_high, step_low, step_high = seed & LOW, (seed >> 32) & LOW, step & LOW, (step >> 32) & LOW
    for j in range(rows):
        row = factors[j * columns : (j + 1) * columns]
        for i in range((count + 3) // 4):
            a, b, c, d = philox_block(
                (block + j * next_block + i) & LOW, number, step_low, step_high, seed_low, seed_high
            )
            at = 4 * i
            row[at] = kept if a >= threshold else 0.0
            row[at + 1] = kept if b >= threshold else 0.0
            row[at + 2] = kept if c >= threshold else 0.0
            row[at + 3] = kept if d >= threshold else 0.0
