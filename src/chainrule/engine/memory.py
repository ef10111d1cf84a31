"""The memory plan: one arena, its parts shared in time by values whose lifetimes do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chainrule.native.kernel import Call
from chainrule.ops.record import Buffer, View

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass
class Lifetime:
    """The first and last call that touch a buffer."""

    buffer: Buffer
    first: int
    last: int
    offset: int = 0


def lifetimes(calls: list[Call]) -> list[Lifetime]:
    """When each arena buffer is in use, in order of first use."""
    found: dict[Buffer, Lifetime] = {}
    for number, call in enumerate(calls):
        for argument in call.arguments:
            if isinstance(argument, View) and argument.buffer.kind == "arena":
                life = found.setdefault(argument.buffer, Lifetime(argument.buffer, number, number))
                life.last = number
    return list(found.values())


def plan(calls: list[Call]) -> int:
    """Give every arena buffer its place and memory; answers the arena's size in bytes."""
    lives = lifetimes(calls)
    size = place(lives)
    arena = allocate(size)
    for life in lives:
        bytes_ = arena[life.offset : life.offset + life.buffer.bytes]
        life.buffer.array = bytes_.view(life.buffer.dtype)
    return size


def place(lives: list[Lifetime]) -> int:
    """Give every buffer its offset in an arena; answers the arena's size in bytes.

    First fit by start of life: each buffer takes the lowest place that no buffer alive at the same time overlaps.
    """
    placed: list[Lifetime] = []
    size = 0
    for life in lives:
        neighbours = sorted(
            (p for p in placed if p.last >= life.first and p.first <= life.last), key=lambda p: p.offset
        )
        offset = 0
        for other in neighbours:
            if other.offset - offset >= aligned(life.buffer.bytes):
                break
            offset = max(offset, other.offset + aligned(other.buffer.bytes))
        life.offset = offset
        placed.append(life)
        size = max(size, offset + aligned(life.buffer.bytes))
    return size


def aligned(size: int) -> int:
    """`size` bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def allocate(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Zeroed bytes that start on a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def allocate_buffer(size: int, dtype: np.dtype[np.generic], kind: str, name: str = "") -> Buffer:
    """A buffer with zeroed memory of its own."""
    buffer = Buffer(size, dtype, kind, name)
    buffer.array = allocate(buffer.bytes).view(dtype)
    return buffer
