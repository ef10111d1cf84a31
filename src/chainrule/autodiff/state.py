"""State that a model carries from one training step to the next, in `Buffer`s: running statistics, for example.

`assign` is how a layer's `forward` changes it. In a traced program assignments take effect at the end of a step, after
the checks that may stop it, so that an abandoned step leaves no trace; in a pass without an update they are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

import numpy as np

from chainrule.autodiff.tape import active_tape
from chainrule.autodiff.tensor import Buffer, Tensor
from chainrule.errors import DtypeError, ShapeError
from chainrule.native.memory import Array

_kept: ContextVar[dict[int, tuple[Buffer, Array]] | None] = ContextVar("kept", default=None)


def assign(buffer: Buffer, value: Tensor) -> None:
    """Give `buffer` the values of a tensor of its shape, without a gradient; later reads see them.

    Eager: at once, in a new array, so that views of the old values and gradients that need them are not disturbed.
    Traced: written to the tape. Raises ShapeError for another shape, DtypeError if the first argument is not a Buffer.

    >>> mean = nn.Buffer([0.0, 0.0])
    >>> assign(mean, 0.5 * mean + 0.5 * cr.tensor([2.0, 4.0]))
    >>> mean.data.tolist()
    [1.0, 2.0]
    """
    if not isinstance(buffer, Buffer) or not isinstance(value, Tensor):
        raise DtypeError(
            f"assign: expected a Buffer and a tensor, got {type(buffer).__name__} and {type(value).__name__}: "
            "keep state in nn.Buffer(...)"
        )
    if buffer.shape != value.shape:
        raise ShapeError(
            f"assign: {buffer.label} has shape {buffer.shape}, the value {value.shape}: they must be equal"
        )
    if (tape := active_tape()) is not None:
        tape.buffers[id(buffer)], tape.assigned[id(buffer)] = buffer, value
        return
    if (kept := _kept.get()) is not None:
        kept.setdefault(id(buffer), (buffer, buffer.data))
    buffer.data = np.array(value.data)


Assigned: TypeAlias = list[tuple[Buffer, Array]]
R = TypeVar("R")


def apart(run: Callable[[], R]) -> tuple[R, Assigned]:
    """The result of `run`, and what it assigned to buffers, which then have their values from before again."""
    kept: dict[int, tuple[Buffer, Array]] = {}
    before = _kept.get()

    def restore() -> None:
        _kept.set(before)
        give(kept.values())

    try:
        _kept.set(kept)
        result = run()
        return result, [(buffer, buffer.data) for buffer, _ in kept.values()]
    finally:
        wholly(restore)


def give(values: Iterable[tuple[Buffer, Array]]) -> None:
    """Give buffers these values."""
    for buffer, array in values:
        buffer.data = array


def wholly(change: Callable[[], None]) -> None:
    """Make a change that may be made twice; where a signal's exception comes in between, it is made again first."""
    try:
        change()
    except BaseException:
        change()
        raise
