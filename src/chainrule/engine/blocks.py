"""Parameters, gradients and optimizer state, each one contiguous block, with a view for every parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Tensor
from chainrule.engine.checks import check_dtype
from chainrule.engine.memory import ALIGNMENT, allocate
from chainrule.errors import DtypeError, OptionError
from chainrule.native.memory import Array, Kind, Storage, View


@dataclass(eq=False)
class Block(Storage):
    """One array for every parameter (values, gradients or a state), each at its offset."""

    offsets: Mapping[str, int] = field(default_factory=dict)

    def owner(self, view: View) -> str | None:
        """The parameter that a whole view belongs to; None if it spans several."""
        touched = [name for name, start in self.offsets.items() if start < view.offset + max(view.size, 1)]
        return touched[-1] if touched and self.offsets[touched[-1]] <= view.offset else None


class Blocks:
    """The memory of a training: `parameters`, `gradients` and one block per optimizer state, with the same layout."""

    def __init__(self, tensors: Mapping[str, Tensor], states: tuple[str, ...]) -> None:
        if not tensors:
            raise OptionError("the model has no parameters: add a layer with weights")
        dtypes = {t.dtype for t in tensors.values()}
        if len(dtypes) > 1:
            found = ", ".join(f"{name} {t.dtype}" for name, t in tensors.items())
            raise DtypeError(f"parameters of different dtypes ({found}): use one dtype for the whole model")
        self.tensors = dict(tensors)
        self.dtype: np.dtype[Any] = dtypes.pop()
        step = ALIGNMENT // self.dtype.itemsize
        self.offsets, size = {}, 0
        for name, tensor in tensors.items():
            self.offsets[name] = size
            size += -(-tensor.size // step) * step
        self.size = max(size, step)
        self.parameters = self._block("parameter", "parameters")
        self.gradients = self._block("gradient", "gradients")
        self.states = {name: self._block("optimizer state", name) for name in states}
        self.arrays = {name: self.parameter(name).numpy() for name in tensors}
        self.slopes = {name: self.gradient(name).numpy() for name in tensors}
        self.adopt()

    def _block(self, kind: Kind, name: str) -> Block:
        memory = allocate(self.size * self.dtype.itemsize).view(self.dtype)
        return Block(self.size, self.dtype, kind, name, memory, offsets=self.offsets)

    @property
    def bytes(self) -> int:
        """The size of parameters, gradients and states together."""
        return self.parameters.bytes + self.gradients.bytes + sum(b.bytes for b in self.states.values())

    def parameter(self, name: str) -> View:
        """Where a parameter lives."""
        return View(self.parameters, self.tensors[name].shape, self.offsets[name])

    def gradient(self, name: str) -> View:
        """Where its gradient lives."""
        return View(self.gradients, self.tensors[name].shape, self.offsets[name])

    def state(self, name: str) -> dict[str, Array]:
        """One optimizer state, by parameter."""
        buffer = self.states[name]
        return {n: View(buffer, t.shape, self.offsets[n]).numpy() for n, t in self.tensors.items()}

    def adopt(self) -> None:
        """Make the parameters views of the block again, keeping values assigned to them since."""
        for name, tensor in self.tensors.items():
            view = self.arrays[name]
            if tensor.data is not view:
                check_dtype(name, tensor, self.dtype)
                view[...] = tensor.data
                tensor.data = view

    def moved(self) -> dict[str, tuple[Array, ...]]:
        """What an update reads and writes for each parameter: values, gradient, states."""
        states = [self.state(name) for name in self.states]
        return {
            name: (values, self.slopes[name], *(state[name] for state in states))
            for name, values in self.arrays.items()
        }
