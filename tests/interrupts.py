"""Exceptions from signals, raised one after the other at every place where Python answers signals."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import chainrule

ANSWERED_AFTER = ("CALL", "JUMP_BACKWARD", "RESUME")  # instructions after which Python looks for signals
PACKAGE = str(Path(chainrule.__file__).parent)


class Alarm(Exception):  # noqa: N818 - what a handler of a user raises
    """A signal came."""


@functools.cache
def _instructions(code: CodeType) -> dict[int, tuple[str, int | None]]:
    """Name and exception handler of each instruction."""
    found = dis.Bytecode(code)
    return {
        i.offset: (i.opname, next((e.target for e in found.exception_entries if e.start <= i.offset < e.end), None))
        for i in found
    }


def interrupted_at(
    place: int, call: Callable[[], object], *among: str, handler: Callable[[], object] = lambda: None
) -> bool:
    """Make a call in which a signal comes at the place of this number, where "file:function" begins with one of
    `among` (the package); False where there are fewer. `handler` is called while the exception is handled.

    The exception is raised before the next instruction, so only where that has the same handler, as Python raises it
    after the last one.
    """
    count, files = 0, among or (PACKAGE,)
    previous: dict[int, tuple[str, int | None]] = {}  # instruction of each frame

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        if not f"{frame.f_code.co_filename}:{frame.f_code.co_name}".startswith(files):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            last = previous.get(id(frame), ("", None))
            here = previous[id(frame)] = _instructions(frame.f_code)[frame.f_lasti]
            count += last[0].startswith(ANSWERED_AFTER) and last[1] == here[1]
            if count == place:
                count += 1
                raise Alarm
        elif event == "return":
            previous.pop(id(frame), None)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Alarm:
        sys.settrace(before)
        handler()
        return True
    finally:
        sys.settrace(before)
    return False
