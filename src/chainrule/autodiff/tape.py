"""Records of a computation: the `Origin` of an eager tensor, `Node`s on a `Tape` while tracing.

Eager tensors refer to their origins, so that a graph lives exactly as long as one of its tensors. A tape lists the
ops of one forward pass in order, on tensors that have shapes but no values, for the compiled engine.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.errors import GraphError
from chainrule.native.memory import Array
from chainrule.ops.record import Op

if TYPE_CHECKING:
    from chainrule.autodiff.tensor import Tensor

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_tape: ContextVar[Tape | None] = ContextVar("tape", default=None)
_numbers = itertools.count(1)


@dataclass(eq=False, slots=True)
class Node:
    """One op of a forward pass: its inputs, its outputs, and the values saved for its gradients.

    Of an eager op, an output that no tensor holds any more is None.
    """

    op: Op
    inputs: tuple[Tensor | None, ...]
    attributes: dict[str, Any]
    outputs: tuple[Tensor | None, ...]
    saved: tuple[Tensor, ...] = ()

    @property
    def known(self) -> list[Tensor]:
        """The outputs that there are."""
        return [output for output in self.outputs if output is not None]

    @property
    def output(self) -> Tensor:
        """The first of them, y in a trace."""
        return self.known[0]

    def __repr__(self) -> str:
        inputs = ", ".join("-" if t is None else str(t.shape) for t in self.inputs)
        return f"{self.op.name}({inputs}) {', '.join(str(t.shape) for t in self.known)}"


class Tape:
    """The ops of one forward pass, in order."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.nodes: list[Node] = []
        self.draws = 0  # random arrays so far
        self.buffers: dict[int, Tensor] = {}  # what was assigned to, by id
        self.assigned: dict[int, Tensor] = {}  # the value each of them has from then on

    def __repr__(self) -> str:
        return "\n".join([f"tape of {len(self.nodes)} ops", *(f"  {node}" for node in self.nodes)])


class Origin:
    """The op that made an eager tensor, with the arrays its gradients need.

    `number` counts origins as they are made: descending order is an order for backpropagation. `values` holds the
    arrays by the names the gradient rules use; each has a fingerprint, so that a change in place, by a tensor or by
    NumPy, is detected.
    """

    __slots__ = ("__weakref__", "attributes", "fingerprints", "inputs", "number", "op", "values")

    def __init__(
        self, op: Op, inputs: tuple[Tensor | None, ...], attributes: dict[str, Any], values: dict[str, Array]
    ) -> None:
        self.number = next(_numbers)
        self.op = op
        self.inputs = inputs
        self.attributes = attributes
        self.values: dict[str, Array] | None = values
        self.fingerprints = {name: fingerprint(array) for name, array in values.items()}

    def arrays(self) -> dict[str, Array]:
        """The kept arrays; raises GraphError when they were freed by an earlier backward pass."""
        if self.values is None:
            raise GraphError(
                f"backward: the graph at op {self.op.name} was freed by an earlier backward(): "
                "compute the loss again, or call backward(retain_graph=True) the first time"
            )
        return self.values

    def check(self) -> None:
        """Raise GraphError when an array kept for the gradients has changed since the forward pass."""
        for name, array in self.arrays().items():
            if fingerprint(array) != self.fingerprints[name]:
                raise GraphError(
                    f"backward: {name} of op {self.op.name}, shape {array.shape}, was changed in place after "
                    "the forward pass, but its gradient needs the old values: write x = x + v, or change a copy"
                )

    def free(self) -> None:
        """Drop inputs and arrays, keeping only a marker that they existed."""
        self.values = None
        self.inputs = ()


def fingerprint(array: Array) -> int:
    """A checksum of the array's bytes: it differs after any change but one in 2**32."""
    return zlib.crc32(array.ravel(order="K").data)  # "K" copies nothing that is contiguous in some order


def recording() -> bool:
    """Whether ops on tensors that require gradients are being recorded."""
    return _recording.get()


@contextmanager
def no_grad() -> Iterator[None]:
    """Context (or decorator) in which eager ops are not recorded, so that no gradient flows through them.

    >>> weight = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (weight * weight).sum().backward()
    >>> with no_grad():
    ...     weight -= 0.1 * weight.grad
    >>> weight.data
    array([0.8, 1.6], dtype=float32)
    """
    before = _recording.get()
    try:  # from here on: a signal may come after any call
        _recording.set(False)
        yield
    finally:
        _recording.set(before)


def active_tape() -> Tape | None:
    """The tape being written in this thread, if any."""
    return _tape.get()


@contextmanager
def tracing() -> Iterator[Tape]:
    """Context in which ops on symbols and parameters are written to a new tape instead of being computed.

    >>> from chainrule.autodiff.tensor import symbol
    >>> model = nn.Sequential(nn.Linear(64, 10), nn.Tanh())
    >>> with tracing() as tape:
    ...     y = model(symbol((32, 64), "float32", "x"))
    >>> [node.op.name for node in tape.nodes]
    ['linear', 'tanh']
    """
    tape, before = Tape(), _tape.get()
    try:
        _tape.set(tape)
        yield tape
    finally:
        _tape.set(before)
