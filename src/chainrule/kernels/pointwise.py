"""The kernel behind every pointwise task: tiles of a span."""

from __future__ import annotations

from chainrule.native.kernel import Call, Int, Pointer, Pointwise, Real, Span, advance, blocks, call_span, kernel
from chainrule.native.memory import View

TILE = 8192  # elements: 32 KiB of float32, about what the first-level cache holds


@kernel
def pointwise(
    tile: Int, span: Span, y: Pointer, a: Pointer, b: Pointer, c: Pointer, n: Int, size: Int, p0: Real, p1: Real
) -> None:  # fmt: skip
    """Elements tile·size to (tile + 1)·size of y = f(a, b, c, p0, p1)."""
    at = tile * size
    call_span(span, advance(y, at), advance(a, at), advance(b, at), advance(c, at), min(size, n - at), p0, p1)


def pointwise_call(
    span: Pointwise, y: View, operands: list[View], numbers: tuple[float, ...], flops: float
) -> list[Call]:
    """The call that runs a span over a whole array."""
    a, b, c = (*operands, None, None, None)[:3]
    p0, p1 = (*numbers, 0.0, 0.0)[:2]
    if y.size == 0:
        return []
    return [pointwise(blocks(y.size, TILE), span, y, a, b, c, y.size, TILE, p0, p1, flops=flops * y.size)]


def _same(x: float) -> float:
    return x


COPY = Pointwise("copy", _same, 1, 0)


def copy(target: View, source: View) -> list[Call]:
    """The call that copies an array of the program's dtype."""
    return pointwise_call(COPY, target, [source], (), 0.0)
