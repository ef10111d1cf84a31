"""From the losses of elements to one number, a weighted mean or sum (see `chainrule.ops.losses`), and back.

Losses of elements and their derivatives are pointwise spans, so one pair of kernels serves them all. Sums over samples
are in float64, since they may have many terms.
"""

from __future__ import annotations

import numpy as np

from chainrule.native.kernel import (
    Call,
    Int,
    Pointer,
    Pointwise,
    Real,
    Real1,
    Span,
    advance,
    blocks,
    call_span,
    device,
    kernel,
    real,
)
from chainrule.native.memory import Scratch, View

TILE = 8192  # elements


@device
def combine(y: Real1, denominator: Real1, totals: Real1, counts: Real1, count: Real) -> None:
    """The loss from its parts, in order; `count` is the denominator, or 0 where that is the sum of `counts`."""
    loss = np.float64(0.0)
    counted = np.float64(0.0)
    for i in range(totals.size):
        loss += totals[i]
        counted += counts[i]
    if count > 0.0:
        counted = np.float64(count)
    denominator[0] = counted
    y[0] = loss / counted


@kernel
def combine_parts(tile: Int, y: Real1, denominator: Real1, totals: Real1, counts: Real1, count: Real) -> None:
    """The loss from the parts of several tiles."""
    combine(y, denominator, totals, counts, count)


@kernel
def loss_parts(
    tile: Int, totals: Real1, counts: Real1, element: Span, losses: Real1, losses_at: Pointer,
    x: Pointer, target: Pointer, other: Pointer, weight: Real1, inner: Int, rows: Int, count: Real, p0: Real,
) -> None:  # fmt: skip
    """Part `tile` of Σ w·ℓ and Σ w: `rows` runs of `inner` elements that share a weight. A single part is the loss."""
    start = tile * rows * inner
    stop = min(losses.size, start + rows * inner)
    call_span(
        element, advance(losses_at, start), advance(x, start), advance(target, start), advance(other, start),
        stop - start, p0, 0.0,
    )  # fmt: skip
    part = np.float64(0.0)
    counted = np.float64(0.0)
    row = tile * rows
    for at in range(start, stop, inner):
        run = losses[at : min(at + inner, stop)]
        one = 0.0
        for i in range(run.size):
            one += run[i]
        w = weight[row] if weight.size > 0 else 1.0
        part += w * one
        counted += w
        row += 1
    totals[tile] = part
    counts[tile] = counted * real(inner)
    if totals.size == 1:
        combine(totals, counts, totals, counts, count)


@kernel
def loss_gradient(
    tile: Int, dx: Real1, dx_at: Pointer, derivative: Span, x: Pointer, target: Pointer, other: Pointer,
    dy: Real1, denominator: Real1, weight: Real1, inner: Int, rows: Int, p0: Real,
) -> None:  # fmt: skip
    """Tile `tile` of dx = dy/N · w · dℓ/dx, cut as in `loss_parts`."""
    start = tile * rows * inner
    stop = min(dx.size, start + rows * inner)
    call_span(
        derivative, advance(dx_at, start), advance(x, start), advance(target, start), advance(other, start),
        stop - start, p0, 0.0,
    )  # fmt: skip
    factor = dy[0] / denominator[0]
    row = tile * rows
    for at in range(start, stop, inner):
        run = dx[at : min(at + inner, stop)]
        flow = factor * weight[row] if weight.size > 0 else factor
        for i in range(run.size):
            run[i] = flow * run[i]
        row += 1


def absent(like: View) -> View:
    """The view that stands for an optional array that is missing: it has no elements."""
    return View(like.storage, (0,), like.offset)


def partial_losses(y: View, denominator: View, tiles: int, scratch: Scratch) -> tuple[View, View]:
    """Where each tile writes its part of Σ w·ℓ and of Σ w; a single tile writes the results themselves."""
    if tiles == 1:
        return y.flat(), denominator.flat()
    parts = scratch(2 * tiles)
    return View(parts.storage, (tiles,), parts.offset), View(parts.storage, (tiles,), parts.offset + tiles)


def combine_calls(y: View, denominator: View, parts: tuple[View, View], count: float) -> list[Call]:
    """The call that adds the parts, where there are several."""
    return [] if parts[0].size == 1 else [combine_parts(1, y.flat(), denominator.flat(), *parts, count)]


def loss_calls(
    element: Pointwise, y: View, denominator: View, operands: tuple[View, ...], weight: View | None,
    reduction: str, scratch: Scratch, number: float = 0.0,
) -> list[Call]:  # fmt: skip
    """The calls for a loss of elements; `operands` are the span's arrays, x and target first, `number` its number."""
    size = operands[0].size
    inner, rows, tiles = _cut(size, weight)
    parts = partial_losses(y, denominator, tiles, scratch)
    count = 1.0 if reduction == "sum" else float(size) if weight is None else 0.0
    losses = scratch(size)
    x, target, other = (*operands, None)[:3]
    weights = weight.flat() if weight else absent(y)
    call = loss_parts(
        tiles, *parts, element, losses, losses, x, target, other, weights, inner, rows, count, number,
        flops=3.0 * size,
    )  # fmt: skip
    return [call, *combine_calls(y, denominator, parts, count)]


def gradient_calls(
    derivative: Pointwise, dx: View, dy: View, denominator: View, operands: tuple[View, ...], weight: View | None,
    number: float = 0.0,
) -> list[Call]:  # fmt: skip
    """The calls for the gradient of `loss_calls`; `derivative` is that of the element's loss."""
    inner, rows, tiles = _cut(dx.size, weight)
    x, target, other = (*operands, None)[:3]
    weights = weight.flat() if weight else absent(dy)
    return [
        loss_gradient(
            tiles, dx.flat(), dx, derivative, x, target, other, dy.flat(), denominator.flat(), weights,
            inner, rows, number, flops=3.0 * dx.size,
        )
    ]  # fmt: skip


def _cut(size: int, weight: View | None) -> tuple[int, int, int]:
    """Elements that share a weight, runs of them in a tile, tiles; an empty loss has one tile, to write the result."""
    if weight is None or not size:
        return TILE, 1, max(1, blocks(size, TILE))
    inner = size // weight.size
    rows = max(1, TILE // inner)
    return inner, rows, blocks(weight.size, rows)
