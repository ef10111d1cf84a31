"""The buffers of a model (running statistics, for example), in memory that all its programs share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Tensor
from chainrule.engine.checks import check_dtype
from chainrule.engine.memory import allocate_storage
from chainrule.native.memory import Array, View


class Buffers:
    """The memory of buffers, allocated in `dtype` when a program first uses one; names are those in `named`."""

    def __init__(self, dtype: np.dtype[Any], named: Mapping[str, Tensor]) -> None:
        self._dtype = dtype
        self._names = {id(tensor): name for name, tensor in named.items()}
        self._homes: dict[int, tuple[Tensor, View, Array]] = {}

    def view(self, tensor: Tensor) -> View:
        """The memory of a buffer; its tensor becomes a view of it."""
        if id(tensor) not in self._homes:
            name = self._names.get(id(tensor), tensor.name or "buffer")
            memory = allocate_storage(tensor.size, self._dtype, "buffer", name)
            view = View(memory, tensor.shape)
            self._homes[id(tensor)] = tensor, view, view.numpy()
            self.adopt()
        return self._homes[id(tensor)][1]

    def adopt(self) -> None:
        """Make the tensors views of their memory again, keeping values assigned to them since."""
        for tensor, _, array in self._homes.values():
            if tensor.data is not array:
                check_dtype(tensor.name, tensor, self._dtype)
                array[...] = tensor.data
                tensor.data = array
