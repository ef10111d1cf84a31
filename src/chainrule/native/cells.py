"""Cells of recurrent networks: one step of some sequences, as vector code (`cells_code.py`) and in Python.

Each step is a formula of one unit. Its parameters are what it reads, what it returns is written; a digit is the number
of a gate. The same formula runs on NumPy arrays and writes the vector code, where all of a unit stays in registers.

    a, da, ds, gates    one row for each step of each sequence, `gates` parts of `hidden` units for each direction
    y, dy, before, kept the same with one part: outputs, the state before the step, and what a gradient needs besides
    z, flow             one row for each running sequence, `gates` parts: the state's product, what flows back into it
    state, carry        the same with one part: h and c, or their gradients
    bias                one row

The i-th of the running sequences is order[first + i·deal]; its row is offsets[sequence + end] + move.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.native.kernel import External

LSTM, GRU, RNN_TANH, RNN_RELU = range(4)
NUMBERS = tuple("rows hidden gate_count directions dy_row order first deal offsets end move".split())
FORWARD = (*NUMBERS, *"a z bias state carry y gates kept before".split())
BACKWARD = (*NUMBERS, *"gates kept before dy state carry da ds flow".split())
POINTERS = frozenset((*FORWARD[len(NUMBERS) :], *BACKWARD[len(NUMBERS) :], "order", "offsets"))
WIDE, OWN = frozenset({"a", "da", "ds", "gates", "z", "flow"}), frozenset({"z", "flow", "state", "carry"})


def lstm(
    math: Any, a0: Any, a1: Any, a2: Any, a3: Any, z0: Any, z1: Any, z2: Any, z3: Any, state: Any, carry: Any
) -> Any:
    i, f, g, o = math.sigmoid(a0 + z0), math.sigmoid(a1 + z1), math.tanh(a2 + z2), math.sigmoid(a3 + z3)
    cell = f * carry + i * g
    h = o * math.tanh(cell)
    return {**_numbered("gates", i, f, g, o), "kept": carry, "before": state, "carry": cell, "state": h, "y": h}


def lstm_gradient(
    math: Any, gates0: Any, gates1: Any, gates2: Any, gates3: Any, kept: Any, dy: Any, state: Any, carry: Any
) -> Any:
    i, f, g, o = gates0, gates1, gates2, gates3
    squashed, dh = math.tanh(f * kept + i * g), state + dy
    dc = carry + dh * o * (1.0 - squashed * squashed)
    di, df = dc * g * i * (1.0 - i), dc * kept * f * (1.0 - f)
    dg, do = dc * i * (1.0 - g * g), dh * squashed * o * (1.0 - o)
    return {**_numbered("da", di, df, dg, do), **_numbered("flow", di, df, dg, do), "carry": dc * f}


def gru(math: Any, a0: Any, a1: Any, a2: Any, z0: Any, z1: Any, z2: Any, bias: Any, state: Any) -> Any:
    r, z, m = math.sigmoid(a0 + z0), math.sigmoid(a1 + z1), z2 + bias
    n = math.tanh(a2 + r * m)
    h = n + z * (state - n)
    return {**_numbered("gates", r, z, n), "kept": m, "before": state, "state": h, "y": h}


def gru_gradient(math: Any, gates0: Any, gates1: Any, gates2: Any, kept: Any, before: Any, dy: Any, state: Any) -> Any:
    r, z, n = gates0, gates1, gates2
    dh = state + dy
    dn, dz = dh * (1.0 - z) * (1.0 - n * n), dh * (before - n) * z * (1.0 - z)
    dr, dm = dn * kept * r * (1.0 - r), dn * r
    into_state = {**_numbered("ds", dr, dz, dm), **_numbered("flow", dr, dz, dm)}
    return {**_numbered("da", dr, dz, dn), **into_state, "state": dh * z}


def rnn_tanh(math: Any, a: Any, z: Any, state: Any) -> Any:
    h = math.tanh(a + z)
    return {"before": state, "state": h, "y": h}


def rnn_tanh_gradient(math: Any, gates: Any, dy: Any, state: Any) -> Any:
    da = (state + dy) * (1.0 - gates * gates)
    return {"da": da, "flow": da}


def rnn_relu(math: Any, a: Any, z: Any, state: Any) -> Any:
    h = math.relu(a + z)
    return {"before": state, "state": h, "y": h}


def rnn_relu_gradient(math: Any, gates: Any, dy: Any, state: Any) -> Any:
    da = math.where_positive(gates, state + dy)
    return {"da": da, "flow": da}


def _numbered(name: str, *values: Any) -> dict[str, Any]:
    return {f"{name}{number}": value for number, value in enumerate(values)}


@functools.cache
def reads(formula: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what a formula reads."""
    return tuple(inspect.signature(formula).parameters)[1:]


@functools.cache
def writes(formula: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what it writes."""
    return tuple(formula(NumPyMath, *(np.zeros(1) for _ in reads(formula))))


def place(name: str) -> tuple[str, int]:
    """The array behind a name of a formula, and the number of its gate."""
    array = name.rstrip("0123456789")
    return array, int(name[len(array) :] or 0)


class NumPyMath:
    """The functions of formulas on NumPy arrays."""

    tanh = staticmethod(np.tanh)

    @staticmethod
    def sigmoid(x: Any) -> Any:
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-x))

    @staticmethod
    def relu(x: Any) -> Any:
        return np.maximum(x, 0.0)

    @staticmethod
    def where_positive(x: Any, y: Any) -> Any:
        """y where x is positive, elsewhere 0."""
        return np.where(x > 0.0, y, 0.0)


@dataclass(frozen=True)
class _Plain:
    """A step in plain Python."""

    formula: Callable[..., Any]
    names: tuple[str, ...]

    def __call__(self, *arguments: Any) -> None:
        arg = dict(zip(self.names, arguments, strict=True))
        for i in range(arg["rows"]):
            sequence = arg["order"].strided((arg["first"] + i * arg["deal"] + 1,), (1,))[-1]
            start = arg["offsets"].strided((sequence + arg["end"] + 1,), (1,))[-1]
            at = functools.partial(self._at, arg, i, int(start) + arg["move"])
            values = self.formula(NumPyMath, *(at(name).copy() for name in reads(self.formula)))
            for name, value in values.items():
                at(name)[:] = value

    def _at(self, arg: dict[str, Any], i: int, row: int, name: str) -> Any:
        array, gate = place(name)
        hidden, directions = arg["hidden"], arg["directions"]
        parts = arg["gate_count"] if array in WIDE else 1
        start = i * parts * hidden if array in OWN else row * directions * parts * hidden
        start = {"bias": 0, "dy": row * arg["dy_row"]}.get(array, start)
        address = arg[array]
        return type(address)(address.array, address.offset + start + gate * hidden).strided((hidden,), (1,))


CELLS = (lstm, gru, rnn_tanh, rnn_relu)
GRADIENTS = (lstm_gradient, gru_gradient, rnn_tanh_gradient, rnn_relu_gradient)
STEPS = [(formula, FORWARD) for formula in CELLS] + [(formula, BACKWARD) for formula in GRADIENTS]
EXTERNALS = tuple(
    External(f"cell_{formula.__name__}_{{dtype}}", "i" * len(names), _Plain(formula, names)) for formula, names in STEPS
)
(
    lstm_step, gru_step, rnn_tanh_step, rnn_relu_step,
    lstm_step_gradient, gru_step_gradient, rnn_tanh_step_gradient, rnn_relu_step_gradient,
) = EXTERNALS  # fmt: skip
