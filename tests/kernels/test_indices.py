"""Numbers that kernels take as addresses: where each comes from, and that none leads out of an array.

Plain Python takes -1 for the last element, so these arrays refuse it.
"""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import chainrule
from chainrule.kernels.bookkeeping import gather, gather_labels
from chainrule.kernels.recurrent import check_sequences
from chainrule.native.kernel import KERNELS
from chainrule.native.state import STOP, WORDS, WRONG_LABEL
from chainrule.ops import scan
from chainrule.ops.cross_entropy import cross_entropy_gradient, cross_entropy_parts
from chainrule.ops.embedding import add_rows, take_rows

# Every kernel with an array of whole numbers: what bounds them.
DATA = "values from data: bounded in the kernel, tested below"
SHAPE = "a table that Python makes from shapes alone"
ROWS = "row numbers that a trainer makes: 0 .. n - 1 for data of n rows, whose shape is checked again before each run"
LENGTHS = "where sequences begin: `check_sequences` stops the program before them, tested below"
CLAMPED = "where sequences begin: kept within the rows by the kernel"
COUNT = "only the state's counters, or whole numbers that are values and no addresses"
BOUNDED = {
    "cross_entropy_parts": DATA, "cross_entropy_gradient": DATA, "take_rows": DATA, "add_rows": DATA,
    "gather": ROWS, "gather_labels": ROWS, "gather_augmented": ROWS,
    "convolve": SHAPE, "transpose_taps": SHAPE, "pool_windows": SHAPE, "unpool_windows": SHAPE,
    "attend": SHAPE, "attend_gradient": SHAPE,
    "clear_rest": LENGTHS, "recur": LENGTHS, "recur_gradient": LENGTHS, "check_sequences": LENGTHS,
    "mean_steps": CLAMPED, "mean_steps_gradient": CLAMPED, "max_steps": CLAMPED, "max_steps_gradient": CLAMPED,
    "last_steps": CLAMPED, "sum_steps": CLAMPED, "repeat_steps": CLAMPED, "last_steps_gradient": CLAMPED,
    "strided_copy_whole": COUNT, "whole_to_real": COUNT, "drop": COUNT, "begin": COUNT, "record": COUNT,
    "check": COUNT, "deliver": COUNT, "shuffle": COUNT, "sample": COUNT,
}  # fmt: skip
WILD = [-(2**63), -(10**12), -1, 3, 10**12, 2**63 - 1]


def test_every_kernel_with_whole_numbers_is_known():
    for part in ("ops", "kernels", "optim"):
        package = importlib.import_module(f"chainrule.{part}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"chainrule.{part}.{module.name}")
    ours = [k for k in KERNELS if k.function.__module__.startswith(f"{chainrule.__name__}.")]
    found = {
        kernel.name
        for kernel in ours
        if any(kind in ("Int1", "Int2") or name == "argmax" for name, kind in kernel.parameters)
    }
    assert found <= BOUNDED.keys(), "say here what bounds the numbers of these kernels"


class Strict(np.ndarray):
    """An array that takes no negative number as an address, as compiled code does not."""

    def __getitem__(self, key):
        assert not isinstance(key, (int, np.integer)) or 0 <= key < len(self)
        return super().__getitem__(key)

    def __setitem__(self, key, value):
        assert not isinstance(key, (int, np.integer)) or 0 <= key < len(self)
        super().__setitem__(key, value)


def strict(array):
    return np.asarray(array).view(Strict)


@pytest.mark.parametrize("wild", WILD)
def test_wild_labels_are_bounded_and_stop_the_program(wild):
    labels, state = np.array([0, 1, wild, 2], np.int64), np.zeros(WORDS, np.int64)
    p, weights = strict(np.zeros(12)), strict([1.0, 2.0, 0.5])
    totals = strict(np.zeros(1)), strict(np.zeros(1))
    cross_entropy_parts.function(
        0, *totals, p, strict(np.ones(12)), strict(labels), strict(np.ones(4)), weights, 3, 1, 4, 0.1, 0.0, -100, state
    )
    assert state[STOP] == WRONG_LABEL
    one = strict(np.ones(1))
    cross_entropy_gradient.function(
        0, strict(np.zeros(12)), one, p, strict(labels), one, strict(np.ones(4)), weights, 3, 1, 4, 0.1, -100
    )


@pytest.mark.parametrize("wild", WILD)
def test_wild_numbers_of_rows_are_bounded_and_stop_the_program(wild):
    index, state = strict(np.array([0, 2, wild, 1], np.int64)), np.zeros(WORDS, np.int64)
    take_rows.function(0, strict(np.zeros((4, 5))), index, strict(np.ones((3, 5))), 4, state)
    assert state[STOP] == WRONG_LABEL
    add_rows.function(0, strict(np.zeros((3, 5))), strict(np.ones((4, 5))), index, -1, 16)


def test_there_is_a_row_for_each_number():
    """What bounds the gathers: see also the test of arrays that a callback resizes."""
    names = {kernel.name for kernel in (gather, gather_labels)}
    assert {name for name, why in BOUNDED.items() if why == ROWS} >= names


@pytest.mark.parametrize(("offsets", "order"), [t for t in scan.wrong() if t[0].dtype.kind == "i"])
def test_sequences_that_do_not_fit_stop_the_program_before_the_loop_over_them(offsets, order):
    state = np.zeros(WORDS, np.int64)
    check_sequences.function(0, state, *scan.ragged(3, 5), 8)
    assert state[STOP] == 0
    check_sequences.function(0, state, offsets, order, 8)
    assert state[STOP] == WRONG_LABEL
