"""The microkernel as kernels see it: its symbols, emitted by `microkernel.py`, and the same in Python."""

from __future__ import annotations

from typing import Any

from chainrule.native.kernel import Address, External


def _panel(
    rows: int, n_outer: int, n_inner: int, a: Address, a_row: int, a_col: int, a_outer: int,
    b: Address, b_row: int, b_outer: int, c: Address, c_row: int, add: int, bias: Any, columns: int,
) -> None:  # fmt: skip
    left = a.strided((n_outer, n_inner, rows, 1), (a_outer, a_col, a_row, 0))
    _product(left, rows, n_outer, n_inner, b, b_row, b_outer, c, c_row, add, bias, columns)


def _lane_panel(
    rows: int, n_outer: int, n_inner: int, a: Address, a_row: int, a_col: int, a_outer: int,
    b: Address, b_row: int, b_outer: int, c: Address, c_row: int, add: int, bias: Any, columns: int,
) -> None:  # fmt: skip
    left = a.strided((n_outer, n_inner, rows, columns), (a_outer, a_col, a_row, 1))
    _product(left, rows, n_outer, n_inner, b, b_row, b_outer, c, c_row, add, bias, columns)


def _product(
    left: Any, rows: int, n_outer: int, n_inner: int, b: Address, b_row: int, b_outer: int, c: Address, c_row: int,
    add: int, bias: Any, columns: int,
) -> None:  # fmt: skip
    right = b.strided((n_outer, n_inner, 1, columns), (b_outer, b_row, 0, 1))
    total = (left * right).sum(axis=(0, 1))
    if bias:
        total += bias.strided((columns,), (1,))
    target = c.strided((rows, columns), (c_row, 1))
    target[...] = target + total if add else total


def _pack_transposed(depth: int, columns: int, source: Address, source_row: int, target: Address, width: int) -> None:
    packed = target.strided((depth, width), (width, 1))
    packed[:, :columns] = source.strided((columns, depth), (source_row, 1)).T
    packed[:, columns:] = 0.0


panel = External("panel_{dtype}", "iiiiiiiiiiiiiii", _panel)
panel_ahead = External("panel_ahead_{dtype}", "iiiiiiiiiiiiiii", _panel)
lane_panel = External("lane_panel_{dtype}", "iiiiiiiiiiiiiii", _lane_panel)
pack_transposed = External("pack_transposed_{dtype}", "iiiiii", _pack_transposed)
EXTERNALS = (panel, panel_ahead, lane_panel, pack_transposed)
