"""Pointwise functions run on a tile of results while it is in cache: an activation, the sum with a skip, a gradient.

A lowering that asks for `epilogue` gets a tuple of `Finish`es, to be run in order. Its kernel takes the eight arguments
that `arguments` returns and calls `finish` on each stretch of results, a chain of up to `MOST`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from chainrule.native.kernel import Int, Pointer, Pointwise, Real, Span, advance, call_span, device
from chainrule.ops.record import View

MOST = 2


@dataclass(frozen=True)
class Finish:
    """y = f(y, other, p0, p1), in place; `other` has the shape of y."""

    span: Pointwise
    other: View | None = None
    numbers: tuple[float, ...] = ()


Epilogue: TypeAlias = tuple[Finish, ...]


def arguments(epilogue: Epilogue) -> tuple[Any, ...]:
    """What a kernel hands to `finish`: span, other, p0 and p1 of each function, 0 for none."""
    assert len(epilogue) <= MOST
    words: list[Any] = []
    for step in epilogue:
        words += [step.span, step.other, *(*step.numbers, 0.0, 0.0)[:2]]
    return (*words, *(None, None, 0.0, 0.0) * (MOST - len(epilogue)))


@device
def finish(
    y: Pointer, at: Int, n: Int, span: Span, other: Pointer, p0: Real, p1: Real,
    after: Span, another: Pointer, q0: Real, q1: Real,
) -> None:  # fmt: skip
    """Run the functions over elements at .. at + n - 1 of y."""
    if span:
        call_span(span, advance(y, at), advance(y, at), advance(other, at), 0, n, p0, p1)
    if after:
        call_span(after, advance(y, at), advance(y, at), advance(another, at), 0, n, q0, q1)
