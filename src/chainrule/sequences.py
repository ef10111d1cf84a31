"""Sequences of different lengths: their steps in one array, one sequence after the other, without padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.arrays import to_array
from chainrule.errors import DataError, ShapeError

Array: TypeAlias = NDArray[Any]


class Sequences:
    """n sequences of at least one step each: `values` (rows, ...), sequence s in rows offsets[s] .. offsets[s + 1] - 1.

    It is indexed like an array of sequences: `s[3]` is the array of one, `s[1:3]` and `s[numbers]` are several. Raises
    ShapeError unless all steps have one shape, DataError for a sequence without steps.

    >>> s = Sequences.of("x", [[1.0, 2.0, 3.0], [4.0]])
    >>> s.values, s.offsets
    (array([1., 2., 3., 4.]), array([0, 3, 4]))
    >>> s[0], len(s[:1])
    (array([1., 2., 3.]), 1)
    """

    def __init__(self, values: Array, offsets: Array) -> None:
        self.values, self.offsets = values, offsets

    @classmethod
    def of(cls, name: str, sequences: Any) -> Sequences:
        """From a list of arrays (steps, ...)."""
        arrays = [to_array(f"{name}[{i}]", one) for i, one in enumerate(sequences)]
        for i, array in enumerate(arrays):
            if array.ndim == 0:
                raise ShapeError(f"{name}[{i}]: is a single number, expected a sequence: an array of steps")
            if len(array) == 0:
                raise DataError(f"{name}[{i}]: has no steps, expected at least one: leave such sequences out")
            if array.shape[1:] != arrays[0].shape[1:]:
                raise ShapeError(
                    f"{name}[{i}]: its steps have shape {array.shape[1:]}, those of {name}[0] {arrays[0].shape[1:]}: "
                    "give all steps the same features"
                )
        lengths = np.array([len(array) for array in arrays], np.int64)
        return cls(np.concatenate(arrays), np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def lengths(self) -> Array:
        lengths: Array = np.diff(self.offsets)
        return lengths

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, -1, ...), as the number of steps differs."""
        return (len(self), -1, *self.values.shape[1:])

    @property
    def ndim(self) -> int:
        return 1 + self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, which: Any) -> Any:
        numbers = np.arange(len(self))[which]
        if numbers.ndim == 0:
            return self.values[self.offsets[numbers] : self.offsets[numbers + 1]]
        if isinstance(which, slice) and which.step in (None, 1):
            ends = self.offsets[numbers[0] : numbers[-1] + 2] if len(numbers) else self.offsets[:1]
            return Sequences(self.values[ends[0] : ends[-1]], ends - ends[0])
        lengths = self.lengths[numbers]
        return Sequences(self.values[rows_of(self.offsets, numbers)], np.concatenate([[0], np.cumsum(lengths)]))

    def __iter__(self) -> Iterator[Array]:
        return (self[i] for i in range(len(self)))

    def like(self, values: Array) -> Sequences:
        """Other values for the same steps."""
        return Sequences(values, self.offsets)

    def place(self, row: int) -> tuple[int, int]:
        """The sequence and the step of a row of `values`."""
        sequence = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return sequence, row - int(self.offsets[sequence])


def rows_of(offsets: Array, numbers: Array) -> Array:
    """The rows of some sequences, in their order."""
    lengths = np.diff(offsets)[numbers]
    ends = np.cumsum(lengths)
    rows: Array = np.repeat(offsets[numbers] - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
    return rows


def joined(parts: list[Any]) -> Any:
    """Arrays, or sequences, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not isinstance(parts[0], Sequences):
        return np.concatenate(parts)
    lengths = np.concatenate([part.lengths for part in parts])
    return Sequences(np.concatenate([part.values for part in parts]), np.concatenate([[0], np.cumsum(lengths)]))


def as_sequences(name: str, values: Any) -> Any:
    """Sequences, where `values` is a list of arrays or lists of different lengths; anything else as it is."""
    if not isinstance(values, (list, tuple)) or isinstance(values, Sequences):
        return values
    sized = [isinstance(one, (list, tuple, np.ndarray)) for one in values]
    if not sized or not all(sized):
        return values
    lengths = {len(one) if not isinstance(one, np.ndarray) or one.ndim else -1 for one in values}
    return Sequences.of(name, values) if len(lengths) > 1 and -1 not in lengths else values
