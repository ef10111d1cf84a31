"""Claims on the parts of models (layers, parameters, buffers): what uses the same part takes turns, in any thread."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

R = TypeVar("R")


class Claim:
    """A claim on some parts, for as long as it exists; `lock` is held while they are used.

    Claims that share a part share a lock. One that comes later and connects parts with different locks holds all of
    them, in an order that is the same everywhere. `busy` is up to who uses it.
    """

    busy = False

    def __init__(self, parts: Iterable[object]) -> None:
        self._parts = frozenset(map(id, parts))
        with _registry:
            sharing = _on(self._parts)
            self._others = [weakref.ref(other) for other in sharing]
            self._locks = _locks_of(sharing) or [threading.RLock()]
            for other in sharing:
                other._others.append(weakref.ref(self))
            _all.add(self)

    @property
    def lock(self) -> AbstractContextManager[object]:
        return self._locks[0] if len(self._locks) == 1 else _together(self._locks)

    def any_busy(self) -> bool:
        """Whether this claim or one that shares a part is busy: in this thread, if it holds the lock."""
        return self.busy or any((other := found()) is not None and other.busy for found in self._others)

    def renew(self, locks: dict[threading.RLock, threading.RLock]) -> None:
        """Start without a use in this process, with new locks for those it had."""
        self._locks = sorted((locks.setdefault(lock, threading.RLock()) for lock in self._locks), key=id)
        self.busy = False


def alone(parts: Iterable[object], run: Callable[[], R]) -> R:
    """The result of `run` while no other thread uses any of these parts."""
    with _registry:
        locks = _locks_of(_on(frozenset(map(id, parts))))
    return _hold(locks, run)


def _hold(locks: list[threading.RLock], run: Callable[[], R]) -> R:
    if not locks:
        return run()
    with locks[0]:
        return _hold(locks[1:], run)


@contextmanager
def _together(locks: list[threading.RLock]) -> Iterator[None]:
    with locks[0], _together(locks[1:]) if locks[1:] else nullcontext():
        yield


_registry = threading.RLock()
_all: weakref.WeakSet[Claim] = weakref.WeakSet()


def _on(parts: frozenset[int]) -> list[Claim]:
    return [claim for claim in _all if not claim._parts.isdisjoint(parts)]


def _locks_of(claims: list[Claim]) -> list[threading.RLock]:
    return sorted({lock for claim in claims for lock in claim._locks}, key=id)


def _renew_all() -> None:
    """After a fork: the threads that held locks are not in the child."""
    global _registry
    _registry = threading.RLock()
    locks: dict[threading.RLock, threading.RLock] = {}
    for claim in _all:
        claim.renew(locks)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
