"""A program: one whole step as a flat list of instructions on fixed memory, ready to be replayed."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from chainrule.engine.encoding import Encoding
from chainrule.engine.instruction import Instruction, Slot
from chainrule.engine.interpret import interpret
from chainrule.engine.memory import empty_arena, plan, reserve
from chainrule.engine.printing import printed, table
from chainrule.engine.team import Team
from chainrule.native import load
from chainrule.native.handover import attend, complete, hand_out
from chainrule.native.kernel import RANK, Call, Kernel, Pointwise, words_of
from chainrule.native.memory import Storage, View, address_of
from chainrule.native.replay import BARRIER, BROKEN, HEADER, MAY_STOP, replay
from chainrule.native.state import POSITION, STEP, STOP
from chainrule.native.workers import run_together


class Program:
    """Instructions encoded as int64 words, with the memory they work on.

    `print(program)` shows one line per instruction, as wide as the terminal; `program.table()` has the full lines, for
    a file. `run(steps)` replays it. Programs of which one runs at a time may share an `arena`. `block_bytes` is the
    size of parameters, gradients and optimizer states, which outlive the program.
    """

    def __init__(
        self,
        instructions: Sequence[Instruction],
        dtype: np.dtype[Any],
        state: View,
        workers: int,
        block_bytes: int = 0,
        arena: Storage | None = None,
    ) -> None:
        self.instructions, self.dtype, self.state = list(instructions), dtype, state
        calls = self.calls
        self.arena = empty_arena() if arena is None else arena
        self.arena_bytes, self.block_bytes = plan(calls, self.arena), block_bytes
        self.recomputed: list[str] = []  # values of the forward pass that are recomputed to save memory
        self.workers = workers if _worth_sharing(self.instructions) else 1
        self.team = Team(self.workers)
        self.barrier = np.zeros(16, np.int64)
        self.counters = state.numpy()
        self.slots: dict[tuple[int, str], Slot] = {}
        self.interpreted = os.environ.get("NUMBA_DISABLE_JIT") == "1"
        if not self.interpreted:
            self._encode(calls)
            for part in (attend, hand_out, complete) if workers > 1 else ():
                part()
            nothing = ctypes.create_string_buffer(16)
            words, starts = address_of(self.words), address_of(self.starts)
            memory = words, starts, len(self.starts), address_of(self.counters), address_of(self.barrier)
            self._replay = functools.partial(replay(), nothing, nothing, *memory)  # takes (worker, workers, steps)
            # What the other workers read; the last two change from run to run.
            loop = ctypes.cast(replay(), ctypes.c_void_p).value
            self.job = np.array([loop, *memory, self.workers, 0], np.int64)
            self.job_address = address_of(self.job)

    @property
    def calls(self) -> list[Call]:
        return [instruction.call for instruction in self.instructions]

    def _encode(self, calls: list[Call]) -> None:
        """Encode the words, and record where instructions begin and which words are arena addresses."""
        encoding = Encoding()
        for number, instruction in enumerate(self.instructions):
            following = self.instructions[(number + 1) % len(calls)]
            shared = instruction.call.tiles > 1 or following.call.tiles > 1
            # Also before an instruction that may stop: a late worker must not see its word at an earlier barrier.
            stops = instruction.call.stops or following.call.stops
            flags = (BARRIER if shared or stops else 0) | (MAY_STOP if instruction.call.stops else 0)
            encoding.add(instruction.call, flags)
        self._load(encoding.codes, encoding.words)
        self.words, self.starts = np.array(encoding.words, np.int64), np.array(encoding.starts, np.int64)
        self._moving, self._arena_start = np.array(encoding.moving, np.int64), 0

    def _load(self, codes: Sequence[tuple[int, Kernel | Pointwise]], words: list[int]) -> None:
        """Write the addresses of code into words."""
        used = dict.fromkeys(code for _, code in codes)
        addresses = {code: load.address(code, self.dtype) for code in used}
        for at, code in codes:
            words[at] = addresses[code]

    def _settle(self) -> None:
        """Turn positions in the arena into addresses, again whenever it has moved."""
        reserve(self.arena, self.arena_bytes)  # it is smaller if memory for a larger program ran out
        assert self.arena.own is not None
        start = address_of(self.arena.own)
        if not self.interpreted and start != self._arena_start:
            self.words[self._moving] += start - self._arena_start
            self._arena_start = start

    def slot(self, kernel: Kernel, parameter: str, which: int = 0) -> Slot:
        """The slot of array argument `parameter` in the `which`-th call of `kernel`, to point it at other arrays
        later.
        """
        found = [i for i, x in enumerate(self.instructions) if x.call.kernel is kernel][which]
        kinds = dict(kernel.parameters)
        before = list(kinds)[: list(kinds).index(parameter)]
        at = HEADER + sum(words_of(kinds[name]) for name in before)
        words = None if self.interpreted else self.words[int(self.starts[found]) // 8 + at :]
        slot = self.slots[found, parameter] = Slot(words, RANK[kinds[parameter]])
        return slot

    def run(self, steps: int, first_step: int) -> int:
        """Replay `steps` steps, the first numbered `first_step`; returns how many were started.

        The program's `begin` instruction counts them.
        """
        counters = self.counters
        counters[STOP], counters[STEP], counters[POSITION] = 0, first_step - 1, -1
        if steps == 0:
            return 0
        self._settle()
        if self.interpreted:
            interpret(self.instructions, self.slots, self.counters, steps)
            return int(counters[POSITION]) + 1
        if self.workers == 1:
            self._replay(0, 1, steps)
            return int(counters[POSITION]) + 1
        left = steps
        while left and not self.stopped:
            workers, part = self.team.part(left)
            start = time.perf_counter()
            self._run(workers, part)
            self.team.measure(workers, part, time.perf_counter() - start)
            left -= part
        return int(counters[POSITION]) + 1

    def _run(self, workers: int, steps: int) -> None:
        if workers == 1:
            self._replay(0, 1, steps)
        else:
            self.barrier[:] = 0
            self.job[-2:] = workers, steps
            run_together(self.job_address, workers, self._abort)

    def _abort(self) -> None:
        """Let every worker leave at the next barrier: if this thread has not started its share, nothing was done."""
        self.barrier[0] = BROKEN

    @property
    def peak_bytes(self) -> int:
        """Memory of a step: parameters, gradients, optimizer states, and the arena for everything else."""
        return self.arena_bytes + self.block_bytes

    @property
    def stopped(self) -> bool:
        """Whether the last run was stopped by an instruction."""
        return bool(self.counters[STOP])

    def table(self, width: int | None = None) -> str:
        """One line per instruction; text, but not numbers, is shortened if lines would be longer than `width`."""
        return table(self.instructions, self._totals(), width)

    def __str__(self) -> str:
        """The table, shortened to the width of the terminal if there is one; `table()` always has the full lines."""
        return printed(self.instructions, self._totals())

    def _totals(self) -> list[str]:
        """The last lines of the table."""
        flops, workers = sum(i.call.flops for i in self.instructions), f"{self.workers} worker"
        lines = [
            f"{len(self.instructions)} instructions, {flops:,.0f} flops per step, "
            f"arena of {self.arena_bytes:,} bytes, "
            f"parameters, gradients and states {self.block_bytes:,} bytes, "
            f"{workers}{'s' if self.workers > 1 else ''}, {self.dtype.name}"
        ]
        if self.recomputed:
            what = f"{len(self.recomputed)} value{'s' if len(self.recomputed) > 1 else ''} recomputed"
            lines.append(f"{what} to save memory, marked *: {', '.join(self.recomputed)}")
        return lines


# Barriers of a step cost a few microseconds in all: below this much arithmetic one worker is as fast.
SHARE_FROM = 60e-6
FLOPS_PER_SECOND, BYTES_PER_SECOND, SECONDS_PER_CALL = 60e9, 20e9, 10e-9


def _worth_sharing(instructions: list[Instruction]) -> bool:
    """Whether one worker takes so long that several are faster."""
    return any(seconds >= SHARE_FROM for seconds in accumulate(map(_seconds, instructions)))


def _seconds(instruction: Instruction) -> float:
    """The approximate time of an instruction on one worker: arithmetic plus memory."""
    return instruction.call.flops / FLOPS_PER_SECOND + instruction.bytes / BYTES_PER_SECOND + SECONDS_PER_CALL
