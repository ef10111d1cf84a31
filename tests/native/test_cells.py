"""Steps of recurrent cells as vector code against plain Python, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from tests.native.emitted import CASES, emit

from chainrule.native import cells
from chainrule.native.cells_code import cells_code
from chainrule.native.kernel import Address

LENGTHS = [3, 5, 2, 4]  # of the sequences in memory
ORDER = [1, 3, 0, 2]  # by falling length
ROWS = sum(LENGTHS)
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: Any) -> Any:
    """All steps for one width and dtype, by name."""
    names = [formula.__name__ for formula, _ in cells.STEPS]
    dtype, _, addresses, kept = emit(cells_code, request.param, names)
    functions = {
        name: ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(address)
        for name, address, (_, arguments) in zip(names, addresses, cells.STEPS, strict=True)
    }
    return dtype, functions, kept


@pytest.mark.parametrize("number", range(len(cells.STEPS)), ids=[f.__name__ for f, _ in cells.STEPS])
@pytest.mark.parametrize(("directions", "end", "move"), [(1, 0, 1), (2, 1, -1)])
def test_agrees_with_plain_python(compiled: Any, number: int, directions: int, end: int, move: int) -> None:
    dtype, functions, _ = compiled
    formula, names = cells.STEPS[number]
    gate_count = GATES[formula.__name__.removesuffix("_gradient")]
    tolerance = 1e-12 if dtype == np.float64 else 2e-6
    tables = {"order": np.array(ORDER, np.int64), "offsets": np.cumsum([0, *LENGTHS]).astype(np.int64)}
    for hidden in (1, 3, 4, 8, 15, 16, 17, 37):
        rng = np.random.default_rng(hidden)
        size = ROWS * directions * gate_count * hidden + 64
        before = {name: rng.normal(size=size).astype(dtype) for name in cells.POINTERS - tables.keys()} | tables
        ours, theirs = ({name: array.copy() for name, array in before.items()} for _ in range(2))
        numbers = {
            "rows": 2, "hidden": hidden, "gate_count": gate_count, "directions": directions, "first": 1, "deal": 2,
            "dy_row": directions * hidden, "end": end, "move": move,
        }  # fmt: skip
        pointers = {name: array.ctypes.data for name, array in ours.items()}
        functions[formula.__name__](*((numbers | pointers)[name] for name in names))
        addresses = {name: Address(array, 0) for name, array in theirs.items()}
        cells.EXTERNALS[number](*((numbers | addresses)[name] for name in names))
        for name, array in ours.items():
            np.testing.assert_allclose(array, theirs[name], rtol=tolerance, atol=tolerance, err_msg=name)
        written = {name for name, array in ours.items() if not np.array_equal(array, before[name])}
        assert written == {cells.place(name)[0] for name in cells.writes(formula)}


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_functions_of_extreme_numbers(compiled: Any, name: str) -> None:
    """The gates of one LSTM step without a state are the functions themselves."""
    dtype, functions, _ = compiled
    big = float(np.finfo(dtype).max)
    x = np.array([0.0, -0.0, 1e-30, -1e-30, 1e-4, 30.0, -30.0, 1e4, -1e4, big, -big, np.inf, -np.inf, np.nan], dtype)
    hidden = x.size
    memory = {name: np.zeros(4 * hidden, dtype) for name in cells.POINTERS}
    memory["a"] = np.tile(x, 4)
    memory |= {"order": np.zeros(1, np.int64), "offsets": np.array([0, 1], np.int64)}
    numbers = dict.fromkeys(cells.NUMBERS, 0) | {"rows": 1, "hidden": hidden, "gate_count": 4, "directions": 1}
    pointers = {key: array.ctypes.data for key, array in memory.items()}
    functions["lstm"](*((numbers | pointers)[key] for key in cells.FORWARD))
    gate = {"sigmoid": 0, "tanh": 2}[name]
    found = memory["gates"][gate * hidden : (gate + 1) * hidden]
    with np.errstate(over="ignore"):
        expected = np.tanh(x) if name == "tanh" else 1.0 / (1.0 + np.exp(-x))
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-37)
