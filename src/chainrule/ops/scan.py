"""The loop over time of recurrent ops in NumPy: what their kernels do, step by step for all running sequences; and
where sequences of different lengths stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import ShapeError
from chainrule.native import cells
from chainrule.native.memory import Array, Shape
from chainrule.ops.record import Limit

# By the names of the formulas: rows (R, directions, gates, hidden), states (directions, n, gates, hidden).
Memory = dict[str, Array]


@dataclass(frozen=True)
class Offsets(Limit):
    """Offsets rise, from 0 on."""

    def wrong(self, values: Array, *beside: Array) -> Array:
        falls = np.diff(values, prepend=0) < 0
        falls[:1] |= values[:1] != 0
        return np.flatnonzero(falls | (values >= self.below))


@dataclass(frozen=True)
class Order(Limit):
    """The numbers of sequences by falling length, equal ones in their order."""

    goes_with: ClassVar[str] = "offsets"

    def wrong(self, values: Array, *beside: Array) -> Array:
        outside = super().wrong(values)
        return outside if outside.size or not beside else np.flatnonzero(values != falling(beside[0]))


def falling(offsets: Array) -> Array:
    """The numbers of sequences with these offsets by falling length."""
    return np.argsort(-np.diff(offsets), kind="stable")


def offsets_limit(a: Shape, *_: Any, **attributes: Any) -> Limit:
    reason, fix = f"they rise from 0 to at most the {a[0]} rows of a", "make them as np.cumsum([0, *lengths])"
    return Offsets("offset", "offsets", a[0] + 1, reason, fix)


def order_limit(*shapes: Any, **attributes: Any) -> Limit:
    reason = "these are the sequences by falling length, equal ones in their order"
    fix = 'make it as np.argsort(-np.diff(offsets), kind="stable")'
    return Order("number", "numbers", shapes[-1][0], reason, fix)


def check_sequences(name: str, a: Array, offsets: Array | None, order: Array | None) -> None:
    """Raise LabelError for offsets or an order that do not fit."""
    if offsets is not None and order is not None:
        offsets_limit(a.shape).check(f"{name}: offsets", offsets)
        order_limit(order.shape).check(f"{name}: order", order, offsets)


def ragged(*lengths: int) -> tuple[Any, Any]:
    """offsets and order of sequences of these lengths."""
    offsets = np.cumsum([0, *lengths])
    return offsets, falling(offsets)


def shapes(
    name: str, gates: int, a: Shape, wh: Shape, states: dict[str, Shape | None], offsets: Shape | None,
    order: Shape | None,
) -> tuple[Shape, Shape]:  # fmt: skip
    """The shapes of y and of the last state. Raises ShapeError."""
    if len(wh) != 3 or wh[0] not in (1, 2) or wh[1] == 0 or wh[2] != gates * wh[1]:
        raise ShapeError(f"{name}: wh has shape {wh}, expected (1 or 2 directions, hidden, {gates}·hidden)")
    directions, hidden, wide = wh
    given = "(rows, features)" if offsets else "(n, steps, features)"
    if len(a) != (2 if offsets else 3) or a[-1] != directions * wide:
        raise ShapeError(f"{name}: a has shape {a}, expected {given} with {directions * wide} features as wh is {wh}")
    n = a[0] if offsets is None else offsets[0] - 1
    if (offsets is None) != (order is None) or (order is not None and order != (n,)):
        raise ShapeError(f"{name}: offsets have shape {offsets}, order {order}: pass both, n + 1 and n whole numbers")
    state = (directions, n, hidden)
    for key, shape in states.items():
        if shape is not None and shape != state:
            raise ShapeError(f"{name}: {key} has shape {shape}, expected {state}: directions, sequences, units")
    return (*a[:-1], directions * hidden), state


def wrong() -> list[tuple[Any, Any]]:
    """offsets and order that do not fit 8 rows, or each other."""
    offsets = ([0, 4, 9], [0, 9, 8], [-1, 4, 8], [0.0, 4.0, 8.0])
    tables = [
        *((of, [0, 1]) for of in (*offsets, [0, 2, 8])),
        *(([0, 4, 8], order) for order in ([0, 2], [1, 0], [0, 0], [-1, 0])),
        ([2, 4, 8], [1, 0]),
    ]
    return [(np.array(of), np.array(order)) for of, order in tables]


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
