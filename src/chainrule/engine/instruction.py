"""An instruction of a program: a call, how it is printed, and arguments that change from run to run."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainrule.engine.operands import Operands
from chainrule.native.kernel import Call
from chainrule.native.memory import Array, address_of

PHASES = ("batch", "forward", "loss", "backward", "update", "result")


@dataclass(frozen=True)
class Instruction:
    """A call and how it is printed."""

    call: Call
    phase: str
    name: str
    formula: str
    operands: Operands = field(default_factory=Operands)

    @property
    def bytes(self) -> int:
        """The bytes of the arrays it touches, each counted once (for a data set, only the rows of a batch)."""
        views = {(id(v.storage), v.offset): v for v in self.call.views()}
        return sum(v.size * v.dtype.itemsize for v in views.values() if v.storage.kind not in ("data", "state"))


class Slot:
    """An array argument of an instruction that changes from run to run; `words` are its address and sizes."""

    def __init__(self, words: Array | None, rank: int) -> None:
        self.words = None if words is None else words.data  # a memoryview, quicker to write to
        self.rank = rank
        self.array: Array | None = None

    def point_at(self, array: Array) -> None:
        """Make the argument refer to `array`, which is kept alive."""
        if array is self.array:
            return
        assert array.ndim == self.rank
        assert array.flags.c_contiguous
        self.array = None  # where an interrupt comes now, the next call writes the words again
        if self.words is not None:
            self.words[0] = address_of(array)
            for axis, size in enumerate(array.shape, 1):
                self.words[axis] = size
        self.array = array
