"""Calls as the int64 words that the replay loop reads: a header, then each argument by its kind."""

from __future__ import annotations

import struct
from typing import Any

from chainrule.native.kernel import RANK, STEPS, Call, Kernel, Pointwise, Step
from chainrule.native.memory import View

NO_STEP = (0, 0, 0, 0)


class Encoding:
    """The words of a program; `starts` are where instructions begin, in bytes.

    `moving` are the positions of arena addresses, `codes` the positions of code addresses, with the code.
    """

    def __init__(self) -> None:
        self.words: list[int] = []
        self.starts: list[int] = []
        self.moving: list[int] = []
        self.codes: list[tuple[int, Kernel | Pointwise]] = []

    def add(self, call: Call, flags: int) -> None:
        """Append one instruction."""
        self.starts.append(8 * len(self.words))
        self._code(call.kernel)
        self.words += (call.tiles, flags)
        for (_, kind), value in zip(call.kernel.parameters, call.arguments, strict=True):
            self._argument(kind, value)

    def _argument(self, kind: str, value: Any) -> None:
        if kind == "Int":
            self.words.append(value)
        elif isinstance(value, View):
            if value.storage.arena is not None:
                self.moving.append(len(self.words))
            self.words += (_address(value), *value.shape[: RANK.get(kind, 0)])
        elif isinstance(value, Pointwise):
            self._code(value)
        elif kind == "Epilogue":
            self._epilogue(value)
        else:
            self.words.append(_bits(value) if kind == "Real" else 0)

    def _epilogue(self, steps: tuple[Step, ...]) -> None:
        assert len(steps) <= STEPS, f"an epilogue of {len(steps)} steps, {STEPS} at most"
        for step in steps:
            self._code(step.span)
            self._argument("Pointer", step.other)
            self.words += map(_bits, (*step.numbers, 0.0, 0.0)[:2])
        self.words += NO_STEP * (STEPS - len(steps))

    def _code(self, code: Kernel | Pointwise) -> None:
        """A code address, filled in when the code is loaded."""
        self.codes.append((len(self.words), code))
        self.words.append(0)


def _bits(value: float) -> int:
    """The word of a number."""
    bits: int = struct.unpack("q", struct.pack("d", value))[0]
    return bits


def _address(view: View) -> int:
    """Where a view begins: in memory, or in the arena."""
    storage = view.storage
    start = storage.address if storage.arena is None else storage.start
    return start + view.offset * storage.dtype.itemsize if view.offset else start
