"""The loop over time of recurrent ops in NumPy: what their kernels do, step by step for all running sequences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.native import cells
from chainrule.native.memory import Array

# By the names of the formulas: rows (R, directions, gates, hidden), states (directions, n, gates, hidden).
Memory = dict[str, Array]


def through(
    cell: int, a: Array, wh: Array, h0: Array | None, c0: Array | None, offsets: Array | None, reverse: bool,
    bias: Array | None = None,
) -> Memory:  # fmt: skip
    """All steps of all sequences; what the formula writes, and the last state and carry."""
    begins = _offsets(a, offsets)
    directions, hidden, wide = wh.shape
    rows, n = a.size // (directions * wide), len(begins) - 1
    memory = {"a": a.reshape(rows, directions, wide // hidden, hidden)}
    memory["gates"] = np.zeros_like(memory["a"])
    memory["z"] = np.zeros((directions, n, wide // hidden, hidden), a.dtype)
    memory |= {name: np.zeros((rows, directions, 1, hidden), a.dtype) for name in ("y", "kept", "before")}
    memory |= {"state": _state(h0, wh, n), "carry": _state(c0, wh, n)}
    if bias is not None:
        memory["bias"] = bias
    for direction, weight in enumerate(wh):
        for running, at in _steps(begins, reverse ^ (direction == 1)):
            z = memory["state"][direction, running, 0] @ weight
            memory["z"][direction, running] = z.reshape(len(running), wide // hidden, hidden)
            _apply(cells.CELLS[cell], memory, direction, running, at)
    return _shaped(memory, a.shape[:-1])


def back(
    cell: int, wh: Array, values: Memory, dy: Array | None, last: tuple[Array | None, Array | None],
    offsets: Array | None, reverse: bool, starts: bool,
) -> Memory:  # fmt: skip
    """The gradients of all steps, da and ds, and of the first state and carry, which are 0 unless the op `starts` with
    some. `values` are gates, kept and before, `last` dh and dc.
    """
    gates = values["gates"]
    begins = _offsets(gates, offsets)
    directions, hidden, wide = wh.shape
    rows, n = gates.size // (directions * wide), len(begins) - 1
    memory = {
        name: array.reshape(rows, directions, array.shape[-1] // (directions * hidden), hidden)
        for name, array in values.items()
    }
    memory |= {name: np.zeros_like(memory["gates"]) for name in ("da", "ds")}
    memory["dy"] = np.zeros((rows, directions, 1, hidden), gates.dtype)
    if dy is not None:
        memory["dy"][...] = dy.reshape(memory["dy"].shape)
    memory["flow"] = np.zeros((directions, n, wide // hidden, hidden), gates.dtype)
    memory |= {name: _state(given, wh, n) for name, given in zip(("state", "carry"), last, strict=True)}
    for direction, weight in enumerate(wh):
        for running, at in reversed(list(_steps(begins, reverse ^ (direction == 1)))):
            if "state" not in _apply(cells.GRADIENTS[cell], memory, direction, running, at):
                memory["state"][direction, running] = 0.0
            flow = memory["flow"][direction, running].reshape(len(running), wide)
            memory["state"][direction, running, 0] += flow @ weight.T
    if not starts:
        memory |= {name: np.zeros_like(memory[name]) for name in ("state", "carry")}
    return _shaped(memory, gates.shape[:-1])


def weight_gradient(before: Array, da: Array, wh_shape: tuple[int, ...]) -> Array:
    """The sum over all steps of the state beforeᵀ·da, for each direction."""
    directions, hidden, wide = wh_shape
    rows = da.size // (directions * wide)
    states, flows = before.reshape(rows, directions, hidden), da.reshape(rows, directions, wide)
    return np.stack([states[:, d].T @ flows[:, d] for d in range(directions)])


def _offsets(a: Array, offsets: Array | None) -> Array:
    return np.arange(a.shape[0] + 1) * a.shape[1] if offsets is None else offsets


def _state(given: Array | None, wh: Array, n: int) -> Array:
    state = np.zeros((wh.shape[0], n, 1, wh.shape[1]), wh.dtype)
    if given is not None:
        state[:, :, 0] = given
    return state


def _steps(offsets: Array, reverse: bool) -> Iterator[tuple[Array, Array]]:
    """For each step the sequences that have it, and their rows."""
    lengths = np.diff(offsets)
    for t in range(int(lengths.max(initial=0))):
        running = np.flatnonzero(lengths > t)
        yield running, offsets[running + 1] - 1 - t if reverse else offsets[running] + t


def _apply(formula: Callable[..., Any], memory: Memory, direction: int, running: Array, rows: Array) -> Any:
    """One step: the formula on all units of the running sequences."""

    def find(name: str) -> tuple[Array, Any]:
        array, gate = cells.place(name)
        if array == "bias":
            return memory[array], direction
        return memory[array], (direction, running, gate) if array in cells.OWN else (rows, direction, gate)

    written = formula(cells.NumPyMath, *(array[at] for array, at in map(find, cells.reads(formula))))
    for name, value in written.items():
        array, at = find(name)
        array[at] = value
    return written


def _shaped(memory: Memory, leading: tuple[int, ...]) -> Memory:
    """Rows as (..., directions·gates·hidden), states as (directions, n, hidden)."""
    return {
        name: array[:, :, 0] if name in ("state", "carry") else array.reshape(*leading, math.prod(array.shape[1:]))
        for name, array in memory.items()
        if name not in ("z", "flow", "bias")
    }
