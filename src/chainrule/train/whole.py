"""Whole numbers among the inputs of a model: which ops take them, and whether they are within their limits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from chainrule.autodiff.tape import Node, tracing
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.engine.ragged import symbolic
from chainrule.errors import ChainruleError, LabelError
from chainrule.native.memory import Array
from chainrule.ops.record import Limit, place_of
from chainrule.sequences import Sequences


class Taken(NamedTuple):
    """An input of an op that is x, or elements of x that were only moved."""

    limit: Limit
    made: Callable[[Array], Array]  # from x


def checked(name: str, x: Any, taken: list[Taken]) -> Array:
    """A copy of whole numbers x (n, ...), which nobody else may change, as kernels use them as addresses.

    Raises LabelError, naming row and position, for one that is out of the range of an op that takes it.
    """
    copied: Array = np.array(as_array(x), np.int64, order="C")
    for limit, made in taken:
        wrong = limit.wrong(made(copied))
        if wrong.size:
            at = made(np.arange(copied.size).reshape(copied.shape)).flat[wrong[0]]
            found = f"{name}: {place_of(at, copied.shape)} is {copied.flat[at]}"
            raise LabelError(f"{found}, {limit.expected}: {limit.fix}")
    return copied


def taken_by(model: Callable[..., Any], like: Array | Sequences) -> list[Taken]:
    """What ops of a model take of whole numbers x of this shape, as far as a trace gets: the rest, kernels check."""
    x = symbolic(like)
    with tracing() as tape, suppress(ChainruleError):
        model(x)
    known: dict[int, Callable[[Array], Array]] = {id(x): lambda array: array}
    found = []
    for node in tape.nodes:
        if node.op.moves and all(id(t) in known or _is_constant(t) for t in node.inputs):
            known[id(node.output)] = _moved(node, [known.get(id(t)) for t in node.inputs])
        for name, limit in node.op.limits.items():
            tensor = node.inputs[node.op.inputs.index(name)]
            if id(tensor) in known:
                shapes = [None if t is None else t.shape for t in node.inputs]
                found.append(Taken(limit(*shapes, **node.attributes), known[id(tensor)]))
    return found


def _is_constant(tensor: Tensor | None) -> bool:
    return tensor is not None and not tensor.is_symbolic and not tensor.varies


def _moved(node: Node, inputs: list[Callable[[Array], Array] | None]) -> Callable[[Array], Array]:
    """The node's output as a function of x."""

    def made(x: Array) -> Array:
        arrays = [t.data if f is None else f(x) for f, t in zip(inputs, node.inputs, strict=True) if t is not None]
        return np.asarray(node.op(*arrays, **node.attributes))

    return made
