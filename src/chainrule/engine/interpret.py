"""Programs run without compilation, for debugging: every kernel as plain Python, every access checked by NumPy.

Used instead of the compiled replay when the environment variable NUMBA_DISABLE_JIT is 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from chainrule.engine.instruction import Instruction, Slot
from chainrule.native.kernel import RANK, Address
from chainrule.native.memory import Array
from chainrule.native.state import STOP

Slots: TypeAlias = Mapping[tuple[int, str], Slot]  # by number of the instruction and name of the argument


def interpret(instructions: Sequence[Instruction], slots: Slots, state: Array, steps: int) -> None:
    """Replay `steps` steps, tile by tile, one worker."""
    for _ in range(steps):
        for number, instruction in enumerate(instructions):
            call = instruction.call
            arguments = [
                _argument(slots.get((number, name)), kind, value)
                for (name, kind), value in zip(call.kernel.parameters, call.arguments, strict=True)
            ]
            for tile in range(call.tiles):
                call.kernel.function(tile, *arguments)
            if call.stops and state[STOP]:
                return


def _argument(slot: Slot | None, kind: str, value: Any) -> Any:
    """The argument of an instruction in the form that a kernel's Python function expects."""
    if slot is not None and slot.array is not None:
        return slot.array
    if kind in RANK:
        return value.numpy()
    if value is None:
        return 0
    return Address(value.storage.array, value.offset) if kind == "Pointer" else value
