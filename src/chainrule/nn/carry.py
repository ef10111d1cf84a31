"""States that layers carry from one call of a model to the next, as in a stream of steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import numpy as np

from chainrule.autodiff.state import assign
from chainrule.autodiff.tensor import Buffer, Tensor
from chainrule.native.memory import Array, Shape

if TYPE_CHECKING:
    from chainrule.nn.module import Module

_active: ContextVar[Carried | None] = ContextVar("carried", default=None)


class Carried:
    """The states of a model's layers, in buffers that are made when a layer first needs them; they begin as 0."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[Module, str], Buffer] = {}

    def state(self, layer: Module, name: str, shape: Shape, like: Tensor) -> Buffer:
        """The state `name` of a layer."""
        key = (layer, name)
        if key not in self._buffers:
            self._buffers[key] = Buffer(np.zeros(shape, like.dtype), name=name)
        return self._buffers[key]

    def keep(self, layer: Module, name: str, state: Tensor) -> None:
        """Give a state that the layer asked for its new value."""
        assign(self._buffers[layer, name], state)

    def arrays(self) -> list[Array]:
        """The value of each state."""
        return [buffer.data for buffer in self._buffers.values()]


@contextmanager
def carrying(carried: Carried) -> Iterator[None]:
    """Context in which layers begin with the states of `carried`, and leave their last states there."""
    before = _active.get()
    try:
        _active.set(carried)
        yield
    finally:
        _active.set(before)


def carried() -> Carried | None:
    """Where layers find and leave their states; None outside of `carrying`."""
    return _active.get()
