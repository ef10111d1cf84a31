"""The layers of a model, found by tracing it on shapes: nothing is computed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from chainrule.autodiff.tape import no_grad, tracing
from chainrule.autodiff.tensor import Tensor, symbol
from chainrule.native.memory import Shape
from chainrule.nn.module import Module, switched, watching


class Row(NamedTuple):
    """A layer: its path, class, output shape (None if it was never called) and the number of its own parameters."""

    name: str
    kind: str
    output: Shape | None
    parameters: int


def summary(model: Module, input_shape: Shape, dtype: DTypeLike = np.float32) -> list[Row]:
    """A row for each layer that has parameters or no layers inside, in order; `input_shape` includes the batch.

    Raises ShapeError when the input does not fit, TraceError when `forward` needs values.

    >>> for row in nn.summary(nn.Sequential(nn.Linear(64, 10), nn.ReLU()), (1, 64)):
    ...     print(row)
    Row(name='0', kind='Linear', output=(1, 10), parameters=650)
    Row(name='1', kind='ReLU', output=(1, 10), parameters=0)
    """
    outputs = output_shapes(model, input_shape, dtype)
    named, rows = model.named_parameters(), []
    for path, module in model.named_modules().items():
        inside = f"{path}." if path else ""
        own = [named[inside + name].size for name in module.own_parameters() if inside + name in named]  # each once
        if own or not module.named_children():
            rows.append(Row(path, type(module).__name__, outputs.get(path), sum(own)))
    return rows


def output_shapes(model: Module, input_shape: Shape, dtype: DTypeLike = np.float32) -> dict[str, Shape]:
    """The output shape of each module that is called, by path: "" is the model itself. Raises the same errors."""
    outputs: dict[int, Shape] = {}

    def note(module: Module, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output  # of a recurrent layer: y
        if isinstance(first, Tensor):
            outputs[id(module)] = first.shape

    def trace() -> None:
        with watching(note), no_grad(), tracing():
            model(symbol(tuple(input_shape), dtype, "x"))

    switched(model, False, trace)  # a batch of 1 has no statistics
    modules = model.named_modules().items()
    return {path: outputs[id(module)] for path, module in modules if id(module) in outputs}
