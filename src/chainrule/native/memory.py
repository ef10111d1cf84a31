"""Memory of programs: storages, and contiguous views of them, which are the operands of kernel calls."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = NDArray[Any]
# Whose memory it is: values of one step share an arena; data is the user's, or changes from run to run; state is the
# program's own words; a buffer belongs to a layer; an output outlives the step.
Kind: TypeAlias = Literal[
    "arena", "buffer", "constant", "data", "gradient", "optimizer state", "output", "parameter", "state"
]


@dataclass(eq=False)
class Storage:
    """A block of memory: its own array or, once memory is planned, a part of an arena, which is a storage too."""

    size: int  # elements
    dtype: np.dtype[Any]
    kind: Kind
    name: str = ""
    own: Array | None = None  # one-dimensional
    arena: Storage | None = None  # of which it is a part, from byte `start` on
    start: int = 0

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def array(self) -> Array | None:
        """The memory itself, one-dimensional; in an arena it changes when the arena grows."""
        if self.arena is None or self.arena.own is None:
            return self.own
        return self.arena.own[self.start : self.start + self.bytes].view(self.dtype)

    @functools.cached_property
    def address(self) -> int:
        """Where its own memory begins (not for arenas); cached, as many programs use the same weights and tables."""
        assert self.own is not None, f"storage {self.name} ({self.kind}) has no memory of its own"
        return address_of(self.own)


@dataclass(frozen=True, eq=False)
class View:
    """A contiguous array inside a storage: an operand of kernel calls."""

    storage: Storage
    shape: Shape
    offset: int = 0  # elements from the storage's start

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.storage.dtype

    def reshape(self, *shape: int) -> View:
        """The same elements under another shape of the same size."""
        return View(self.storage, shape, self.offset)

    def flat(self) -> View:
        return View(self.storage, (self.size,), self.offset)

    def numpy(self) -> Array:
        """The elements as a NumPy array that shares the storage's memory."""
        array = self.storage.array
        assert array is not None, f"storage {self.storage.name} has no memory yet"
        return array[self.offset : self.offset + self.size].reshape(self.shape)


def address_of(array: Array) -> int:
    """The address of an array's first element, faster than NumPy's own ways, which take microseconds."""
    if array.flags.writeable and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    address: int = array.__array_interface__["data"][0]
    return address


def constant(array: Array) -> View:
    """An array that a program only reads."""
    return View(Storage(array.size, array.dtype, "constant", "constant", array.reshape(-1)), array.shape)


Scratch: TypeAlias = Callable[[int], View]  # memory for a number of elements, for the calls of one lowering
