"""How layers create their parameters and buffers: with memory and initial values, or as shapes only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from chainrule.autodiff.tensor import Buffer, Parameter
from chainrule.native.memory import Array, Shape
from chainrule.nn import init

_outlined: ContextVar[bool] = ContextVar("outlined", default=False)


@contextmanager
def outlined() -> Iterator[None]:
    """Context in which layers are built without memory for their weights, which must be set before use."""
    before = _outlined.get()
    try:
        _outlined.set(True)
        yield
    finally:
        _outlined.set(before)


def uniform(shape: Shape, bound: float, terms: int = 1) -> Parameter:
    """A float32 parameter whose initial values are uniform in ±bound, or the sum of several such numbers."""
    if _outlined.get():
        return Parameter(_outline(shape))
    first, *others = (init.uniform(np.empty(shape, np.float32), -bound, bound) for _ in range(terms))
    return Parameter(sum(others, first))


def normal(shape: Shape) -> Parameter:
    """A float32 parameter with initial values from the standard normal distribution."""
    if _outlined.get():
        return Parameter(_outline(shape))
    return Parameter(init.normal(np.empty(shape, np.float32)))


def constant(shape: Shape, value: float) -> Parameter:
    """A float32 parameter whose elements all start at one value."""
    return Parameter(_full(shape, value))


def buffer(shape: Shape, value: float, name: str) -> Buffer:
    """A float32 buffer whose elements all start at one value."""
    return Buffer(_full(shape, value), name=name)


def _full(shape: Shape, value: float) -> Array:
    return _outline(shape) if _outlined.get() else np.full(shape, value, np.float32)


def _outline(shape: Shape) -> Array:
    """An array of this shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)
