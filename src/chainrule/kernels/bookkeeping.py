"""The kernels around a step: its start, its batch, its loss, the check before the update, clipping, its results."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.native.kernel import Call, Float1, Int, Int1, Int2, Real, Real1, Real2, blocks, device, kernel, real
from chainrule.native.memory import View
from chainrule.native.state import POSITION, STEP, STOP

CHECK_TILE = 16384  # gradient elements checked by one tile
GATHER_TILE = 4096  # batch elements copied by one tile, at least one row


@kernel
def begin(tile: Int, state: Int1, coefficients: Float1, columns: Int, current: Float1) -> None:
    """Start the next step: count it, and copy its row of coefficients for the update."""
    state[POSITION] += 1
    state[STEP] += 1
    row = coefficients[state[POSITION] * columns : (state[POSITION] + 1) * columns]
    for i in range(row.size):
        current[i] = row[i]


@device
def copy_rows(index: Int1, source: Any, target: Any, first: Int, rows: Int) -> None:
    """target[i] = source[index[i]] for up to `rows` rows i, starting from `first`."""
    for i in range(first, min(first + rows, target.shape[0])):
        row, to = source[index[i]], target[i]
        for j in range(to.size):
            to[j] = row[j]


@kernel
def gather(tile: Int, state: Int1, indices: Int2, source: Real2, target: Real2, rows: Int) -> None:
    """Rows of the batch: target[i] = source[indices[step of this call, i]]."""
    copy_rows(indices[state[POSITION]], source, target, tile * rows, rows)


@kernel
def gather_labels(tile: Int, state: Int1, indices: Int2, source: Int2, target: Int2, rows: Int) -> None:
    """The same for int64 labels."""
    copy_rows(indices[state[POSITION]], source, target, tile * rows, rows)


def gathering(state: View, indices: View, source: View, target: View) -> Call:
    """The call that gathers a batch of real numbers or labels."""
    batch = target.shape[0]
    flat = target.reshape(batch, target.size // max(1, batch))
    rows = max(1, GATHER_TILE // max(1, flat.shape[1]))
    chosen = gather_labels if target.dtype.kind == "i" else gather
    return chosen(blocks(batch, rows), state, indices, source, flat, rows)


@kernel
def record(tile: Int, state: Int1, loss: Real1, losses: Float1) -> None:
    """Record the step's loss; a non-finite one stops the run (x·0 is 0 for finite x only)."""
    losses[state[POSITION]] = loss[0]
    if loss[0] * 0.0 != 0.0:
        state[STOP] = 1


@kernel
def check(tile: Int, state: Int1, gradient: Real1, size: Int) -> None:
    """Stop the run if a gradient is not finite, before clipping."""
    part = gradient[tile * size : tile * size + size]
    total = real(0)
    for i in range(part.size):
        total += part[i] * 0.0
    if total != 0.0:
        state[STOP] = 1


@kernel
def squares(tile: Int, gradient: Real1, partial: Float1, size: Int) -> None:
    """The sum of squares of one tile of the gradient, in float64: the square of 2e19 is beyond float32."""
    part = gradient[tile * size : tile * size + size]
    total = np.float64(0)
    for i in range(part.size):
        value = np.float64(part[i])
        total += value * value
    partial[tile] = total


@kernel
def clip_by_norm(tile: Int, gradient: Real1, partial: Float1, limit: Real, size: Int) -> None:
    """g = g·min(1, limit/(‖g‖ + 1e-6)), with ‖g‖ from the partial sums of squares, added in tile order."""
    total = 0.0
    for i in range(partial.size):
        total += partial[i]
    scale = real(min(limit / (total**0.5 + 1e-6), 1.0))
    part = gradient[tile * size : tile * size + size]
    for i in range(part.size):
        part[i] *= scale


@kernel
def clip_by_value(tile: Int, gradient: Real1, limit: Real, size: Int) -> None:
    """g = min(max(g, -limit), limit)."""
    part = gradient[tile * size : tile * size + size]
    for i in range(part.size):
        part[i] = min(max(part[i], -limit), limit)


@kernel
def deliver(tile: Int, state: Int1, result: Real2, target: Real2, rows: Int) -> None:
    """Append a batch of results to those of earlier steps."""
    batch = result.shape[0]
    block = target[state[POSITION] * batch : (state[POSITION] + 1) * batch]
    for i in range(tile * rows, min(tile * rows + rows, batch)):
        row, to = result[i], block[i]
        for j in range(to.size):
            to[j] = row[j]
