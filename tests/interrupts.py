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
def _names(code: CodeType) -> dict[int, str]:
    return {i.offset: i.opname for i in dis.get_instructions(code)}


def interrupted_at(place: int, call: Callable[[], object], among: str = PACKAGE) -> bool:
    """Make a call in which a signal comes at the place of this number, in files whose path begins with `among`; False
    where there are fewer."""
    count = 0
    previous: dict[int, str] = {}  # instruction of each frame

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(among):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += previous.get(id(frame), "").startswith(ANSWERED_AFTER)
            previous[id(frame)] = _names(frame.f_code)[frame.f_lasti]
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
        return True
    finally:
        sys.settrace(before)
    return False
