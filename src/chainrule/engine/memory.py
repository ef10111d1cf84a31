"""The memory plan: one arena, whose parts are shared by values with disjoint lifetimes, and which is shared by programs
that run one at a time.
"""

from __future__ import annotations

import contextlib
import mmap
from dataclasses import dataclass

import numpy as np

from chainrule.native.kernel import Call
from chainrule.native.memory import Kind, Storage

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
HEADROOM = 2  # a large arena's size relative to the program it grows for
LARGE = 2 << 20  # bytes of a huge page


@dataclass
class Lifetime:
    """The first and last call that touch a storage, and the bytes of the arena it takes."""

    storage: Storage
    first: int
    last: int
    start: int = 0
    stop: int = 0


def lifetimes(calls: list[Call]) -> list[Lifetime]:
    """When each storage of the arena is in use, in order of first use."""
    found: dict[Storage, Lifetime] = {}
    for number, call in enumerate(calls):
        for view in call.views():
            if view.storage.kind == "arena":
                life = found.get(view.storage)
                if life is None:
                    found[view.storage] = Lifetime(view.storage, number, number)
                else:
                    life.last = number
    return list(found.values())


def plan(calls: list[Call], arena: Storage) -> int:
    """Give every storage its place in `arena`, which grows if necessary; returns the bytes used."""
    lives = lifetimes(calls)
    size = place(lives)
    for life in lives:
        life.storage.arena, life.storage.start = arena, life.start
    reserve(arena, size)
    return size


def reserve(arena: Storage, size: int) -> None:
    """Make the arena at least `size` bytes; if it grows, its contents are lost.

    A large one reserves more addresses. They take no memory until a larger program touches them, and then only the new
    part must be allocated: the system needs longer to provide 100 MB than a step of ResNet-20 needs to fill them.
    """
    if size > arena.size:
        arena.size, arena.own = 0, None  # free the old memory first: there may not be room for both
        try:
            arena.own = allocate(HEADROOM * size if size >= LARGE else size)
        except MemoryError:
            arena.own = allocate(size)
        arena.size = arena.own.size


def empty_arena() -> Storage:
    """An arena for `plan`. Programs of which only one runs at a time share one: nothing in it outlives a run."""
    return allocate_storage(0, np.dtype(np.uint8), "arena", "arena")


def place(lives: list[Lifetime]) -> int:
    """Give every storage its bytes of an arena; returns the arena's size.

    First fit in the order of `lives`, by start of life: each takes the lowest place that overlaps no other live one.
    """
    alive: list[Lifetime] = []  # by place
    size = 0
    for life in lives:
        alive = [other for other in alive if other.last >= life.first]
        wanted, start, number = aligned(life.storage.bytes), 0, 0
        for other in alive:
            if other.start - start >= wanted:
                break
            start = other.stop
            number += 1
        life.start, life.stop = start, start + wanted
        alive.insert(number, life)
        size = max(size, life.stop)
    return size


def aligned(size: int) -> int:
    """`size` bytes rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def allocate(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Zeroed bytes aligned to a cache line; large blocks are aligned to a huge page, and take memory when touched.

    Raises MemoryError if there is no room.
    """
    large = size >= LARGE and hasattr(mmap, "MADV_HUGEPAGE")
    alignment = LARGE if large else ALIGNMENT
    memory = _pages(size + alignment) if large else np.zeros(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size]


def _pages(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Memory directly from the system, in huge pages if available.

    The C library would return previously freed memory, cleared, in small pages: then a pass over images of many
    channels waits for address translation.
    """
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no room for {size:,} bytes: {error}") from error
    with contextlib.suppress(OSError):  # a system without huge pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


def allocate_storage(size: int, dtype: np.dtype[np.generic], kind: Kind, name: str = "") -> Storage:
    """A storage with its own zeroed memory."""
    return Storage(size, dtype, kind, name, allocate(size * dtype.itemsize).view(dtype))
