"""Programs run without compilation, for debugging: every kernel as plain Python, every access checked by NumPy.

Used in place of the compiled replay when the environment variable NUMBA_DISABLE_JIT is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chainrule.native.kernel import RANK, Address
from chainrule.native.state import STOP

if TYPE_CHECKING:
    from chainrule.engine.program import Program


def interpret(program: Program, steps: int) -> None:
    """Replay `steps` steps, tile by tile, one worker."""
    state = program.state.numpy()
    for _ in range(steps):
        for number, instruction in enumerate(program.instructions):
            call = instruction.call
            arguments = [
                _argument(program, number, name, kind, value)
                for (name, kind), value in zip(call.kernel.parameters, call.arguments, strict=True)
            ]
            for tile in range(call.tiles):
                call.kernel.function(tile, *arguments)
            if instruction.stops and state[STOP]:
                return


def _argument(program: Program, number: int, name: str, kind: str, value: Any) -> Any:
    """What a kernel's Python function takes for an argument of an instruction."""
    slot = program.slots.get((number, name))
    if slot is not None and slot.array is not None:
        return slot.array
    if kind in RANK:
        return value.numpy()
    if value is None:
        return 0
    return Address(value.storage.array, value.offset) if kind == "Pointer" else value
