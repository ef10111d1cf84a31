"""Sources of randomness: the keys of dropout masks, and the generator of initial weights.

A dropout mask is a function of (seed, step, number of the call within the step, element): see `chainrule.ops.dropout`.
A training run sets seed and step with `random_context`; outside it, each call takes a new step of a default stream.
Both that stream and the generator of weights start at seed 0, or at the seed set by `chainrule.seed`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from chainrule.autodiff.tape import active_tape
from chainrule.errors import OptionError


class Draw(NamedTuple):
    """The key of one random array; seed and step are None while tracing: a program has them in its state."""

    number: int
    seed: int | None
    step: int | None


class _Stream:
    def __init__(self, seed: int, step: int = 0) -> None:
        self.seed, self.step, self.number = seed, step, 0


_lock = threading.Lock()
_context: ContextVar[_Stream | None] = ContextVar("random", default=None)
_default = _Stream(0)
_generator = np.random.Generator(np.random.Philox(0))


def seed(n: int) -> None:
    """Restart the randomness of new weights, and of dropout outside training, at seed `n`.

    A Trainer has its own seed: this one determines the initial weights of a model when it is built.

    >>> seed(1)
    >>> model = nn.Linear(2, 8)      # the same weights each time
    """
    global _default, _generator
    checked = checked_seed(n)
    with _lock:
        _default = _Stream(checked)
        _generator = np.random.Generator(np.random.Philox(checked))


def checked_seed(n: Any) -> int:
    """`n` as a seed. Raises OptionError unless it is a whole number in 0 .. 2**64 - 1."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 <= n < 2**64:
        raise OptionError(f"seed: {n!r} is not a seed: pass a whole number from 0 to 2**64 - 1")
    return int(n)


def generator(source: int | np.random.Generator | None = None) -> np.random.Generator:
    """A NumPy generator: the one given, a new one for a seed, or the default one."""
    if isinstance(source, np.random.Generator):
        return source
    if source is not None:
        return np.random.Generator(np.random.Philox(checked_seed(source)))
    return _generator


@contextmanager
def random_context(seed: int, step: int) -> Iterator[None]:
    """Context in which dropout draws for one step of a run, in the order of its calls."""
    before = _context.get()
    try:
        _context.set(_Stream(checked_seed(seed), step))
        yield
    finally:
        _context.set(before)


def next_draw() -> Draw:
    """The key for the next random array."""
    if (tape := active_tape()) is not None:
        tape.draws += 1
        return Draw(tape.draws - 1, None, None)
    if (stream := _context.get()) is not None:
        stream.number += 1
        return Draw(stream.number - 1, stream.seed, stream.step)
    with _lock:
        _default.step += 1
        return Draw(0, _default.seed, _default.step - 1)
