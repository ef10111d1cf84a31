"""Rotary positions: queries and keys are turned by angles that grow with their step, so that scores depend on the
distance between them alone.

Source: Su et al., RoFormer: enhanced transformer with rotary position embedding, arXiv:2104.09864 (2021). The first
half of a head is paired with its second, as in Llama.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.native.kernel import Call, Int, Real, Real1, Real2, blocks, kernel
from chainrule.native.memory import Array, Shape, View, constant
from chainrule.ops.record import Example, Sample, op

TILE = 8192  # elements


@op(
    formula="(y₁, y₂) = (x₁·cos a - x₂·sin a, x₂·cos a + x₁·sin a), a = step·base^(-2i/size)",
    flops=lambda x: 3.0 * math.prod(x),
)
def rotary(x: Array, *, heads: int, turned: int, base: float = 10000.0, start: int = 0) -> Array:
    """x (n, t, heads·size) with each pair i of elements, size/2 apart, of the first `turned` heads turned by the angle
    step·base^(-2i/size); steps count from `start`, other heads stay as they are.

    Raises ShapeError unless the heads' size is even, OptionError for more turned heads than there are.
    """
    return _turn(x, heads, turned, base, start, 1.0)


@rotary.shape
def _(x: Shape, *, heads: int, turned: int, base: float, start: int) -> Shape:
    if len(x) != 3 or x[2] % (2 * heads if turned else heads):
        raise ShapeError(f"rotary: x has shape {x}, expected (sequences, steps, {heads}·size), an even size")
    if turned > heads:
        raise OptionError(f"rotary: turned is {turned}, expected no more than there are heads, {heads}")
    return x


@rotary.lower
def _(y: View, x: View, *, heads: int, turned: int, base: float, start: int) -> list[Call]:
    return _calls(y, x, heads, turned, base, start, 1.0)


@rotary.gradient("x", formula="dx = dy turned back")
def _(dy: Array, *, heads: int, turned: int, base: float, start: int) -> Array:
    return _turn(dy, heads, turned, base, start, -1.0)


@rotary.lower("x")
def _(dx: View, dy: View, *, heads: int, turned: int, base: float, start: int) -> list[Call]:
    return _calls(dx, dy, heads, turned, base, start, -1.0)


@kernel
def turn(
    tile: Int, y: Real1, x: Real1, cosines: Real2, sines: Real2, wide: Int, turned: Int, sign: Real, rows: Int
) -> None:  # fmt: skip
    """`rows` steps of y from row tile·rows on: heads turned by their angles, or, with a sign of -1, back."""
    steps, half = cosines.shape
    for row in range(tile * rows, min((tile + 1) * rows, x.size // wide)):
        cosine, sine = cosines[row % steps], sines[row % steps]
        for head in range(turned):
            at = row * wide + 2 * half * head
            first, second = x[at : at + half], x[at + half : at + 2 * half]
            to_first, to_second = y[at : at + half], y[at + half : at + 2 * half]
            for i in range(half):
                a, b = first[i], second[i]
                to_first[i] = a * cosine[i] - sign * (b * sine[i])
                to_second[i] = b * cosine[i] + sign * (a * sine[i])
        rest = x[row * wide + 2 * half * turned : (row + 1) * wide]
        to = y[row * wide + 2 * half * turned : (row + 1) * wide]
        for i in range(rest.size):
            to[i] = rest[i]


def _calls(y: View, x: View, heads: int, turned: int, base: float, start: int, sign: float) -> list[Call]:
    if not x.size:
        return []
    n, steps, wide = x.shape
    cosines, sines = _views(steps, wide // heads, base, start, x.dtype)
    rows = max(1, TILE // wide)
    last = (cosines, sines, wide, turned, sign, rows)
    return [turn(blocks(n * steps, rows), y.flat(), x.flat(), *last, flops=3.0 * x.size)]


def _turn(x: Array, heads: int, turned: int, base: float, start: int, sign: float) -> Array:
    if not turned:
        return x.copy()
    n, steps, wide = x.shape
    size = wide // heads
    cosines, sines = _tables(steps, size, base, start, x.dtype)
    parts = x.reshape(n, steps, heads, 2, size // 2)
    y = parts.copy()
    first, second = parts[:, :, :turned, 0], parts[:, :, :turned, 1]
    cosine, sine = cosines[:, np.newaxis], sign * sines[:, np.newaxis]
    y[:, :, :turned, 0] = first * cosine - second * sine
    y[:, :, :turned, 1] = second * cosine + first * sine
    return y.reshape(x.shape)


def _tables(steps: int, size: int, base: float, start: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The cosine and sine of each angle, (steps, size/2)."""
    speeds = float(base) ** (-2.0 * np.arange(size // 2) / max(1, size))
    angles = np.arange(start, start + steps)[:, np.newaxis] * speeds
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


@functools.lru_cache(64)
def _views(steps: int, size: int, base: float, start: int, dtype: np.dtype[Any]) -> tuple[View, View]:
    cosines, sines = _tables(steps, size, base, start, dtype)
    return constant(cosines), constant(sines)


def _with(heads: int, turned: int, **others: float) -> dict[str, Any]:
    return {"heads": heads, "turned": turned, "base": 10000.0, "start": 0, **others}


rotary.cases(
    samples=[
        Sample(((2, 5, 8),), _with(2, 2)),
        Sample(((2, 5, 12),), _with(3, 2, start=4, base=100.0)),
        Sample(((3, 400, 36),), _with(3, 1)),
        Sample(((1, 1, 2),), _with(1, 1)),
        Sample(((1, 1, 1),), _with(1, 0)),
        Sample(((0, 3, 4),), _with(1, 1)),
        Sample(((2, 5, 6),), _with(2, 2), error=ShapeError),
        Sample(((5, 8),), _with(2, 2), error=ShapeError),
        Sample(((2, 5, 8),), _with(2, 3), error=OptionError),
    ],
    examples=[
        # Step 1: the angles of the two pairs are 1 and 1/10.
        Example(
            ([[[1.0, 2.0, 0.0, 0.0]] * 2],),
            [[[1.0, 2.0, 0.0, 0.0], [math.cos(1), 2 * math.cos(0.1), math.sin(1), 2 * math.sin(0.1)]]],
            _with(1, 1, base=100.0),
        ),
        Example(
            ([[[3.0, 5.0, 1.0, 1.0]]],),
            [[[3 * math.cos(2) - 5 * math.sin(2), 5 * math.cos(2) + 3 * math.sin(2), 1.0, 1.0]]],
            _with(2, 1, start=2),
        ),
    ],
)
