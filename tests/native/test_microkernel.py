"""The microkernel against NumPy, for the vector widths of all supported processors."""

from __future__ import annotations

import ctypes
from itertools import product
from typing import Any

import numpy as np
import pytest
from tests.native.emitted import CASES, emit

from chainrule.native.kernel import Address
from chainrule.native.matrix import pack_transposed, panel
from chainrule.native.microkernel import microkernel

SHAPES = [(1, 1), (2, 3), (5, 1), (6, 7), (7, 4), (9, 2), (11, 5), (12, 16), (13, 9), (24, 8), (30, 33)]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def compiled(request: Any) -> Any:
    """The symbols for one width and dtype."""
    dtype, target, places, kept = emit(microkernel, request.param, ("panel", "panel_ahead", "lane_panel", "pack"))
    functions = [
        ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(place)
        for place, count in zip(places, (15, 15, 15, 6), strict=True)
    ]
    return dtype, target.panel(dtype), functions, kept


@pytest.mark.parametrize(("rows", "depth"), SHAPES)
@pytest.mark.parametrize("turned", [False, True], ids=["by rows", "by columns"])
@pytest.mark.parametrize("symbol", [0, 1], ids=["panel", "panel_ahead"])
def test_panel_is_a_matrix_product(compiled: Any, rows: int, depth: int, turned: bool, symbol: int) -> None:
    dtype, width, symbols, _keep = compiled
    run = symbols[symbol]
    rng = np.random.default_rng(rows * depth)
    for columns in {1, width // 2 - 1, width // 2, width // 2 + 1, width - 1, width} - {0}:
        a, b = rng.normal(size=(rows, depth)).astype(dtype), rng.normal(size=(depth, columns)).astype(dtype)
        stored = np.ascontiguousarray(a.T) if turned else a
        a_row, a_col = (1, rows) if turned else (depth, 1)
        bias = rng.normal(size=columns).astype(dtype)
        for add in (0, 1):
            c = rng.normal(size=(rows, columns + 3)).astype(dtype)
            before = c.copy()
            run(
                rows, 1, depth, stored.ctypes.data, a_row, a_col, 0, b.ctypes.data, columns, 0,
                c.ctypes.data, columns + 3, add, bias.ctypes.data, columns,
            )  # fmt: skip
            expected = a.astype("d") @ b + bias + add * before[:, :columns]
            np.testing.assert_allclose(c[:, :columns], expected, rtol=0, atol=1e-5 if dtype == "f4" else 1e-13)
            np.testing.assert_array_equal(c[:, columns:], before[:, columns:])  # nothing is written beside the panel


def test_outer_loop_walks_overlapping_rows(compiled: Any) -> None:
    """As a convolution does: neighbouring rows of A overlap, the outer loop steps from one image row to the next."""
    dtype, width, (run, *_), _keep = compiled
    rng = np.random.default_rng(3)
    image, kernel = rng.normal(size=(5, 9)).astype(dtype), rng.normal(size=(3, 3, width)).astype(dtype)
    c = np.zeros((7, width), dtype)
    run(
        7, 3, 3, image.ctypes.data, 1, 1, 9, kernel.ctypes.data, width, 3 * width,
        c.ctypes.data, width, 0, 0, width,
    )  # fmt: skip
    patches = np.stack([image[:3, i : i + 3].ravel() for i in range(7)])
    np.testing.assert_allclose(c, patches.astype("d") @ kernel.reshape(9, width), atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 5, 7, 12, 31])
def test_lane_panel_keeps_channels_apart(compiled: Any, rows: int) -> None:
    """A depthwise convolution of one row of pixels, with 3 x 4 taps."""
    dtype, width, (_, _, run, _), _keep = compiled
    rng = np.random.default_rng(rows)
    narrow = {1, width // 2 - 1, width // 2, width // 2 + 1, width - 1, width} - {0}
    for channels in narrow | {2 * width + 1, 3 * width, 4 * width - 1, 4 * width + 3}:
        image = rng.normal(size=(3, rows + 3, channels)).astype(dtype)
        taps, bias = (rng.normal(size=(*shape, channels)).astype(dtype) for shape in ((3, 4), ()))
        windows = np.lib.stride_tricks.sliding_window_view(image.astype("d"), 4, axis=1)  # (3, rows, channels, 4)
        for add, beside in product((0, 1), (0, 2)):
            c = rng.normal(size=(rows + 1, channels + beside)).astype(dtype)
            before = c.copy()
            run(
                rows, 3, 4, image.ctypes.data, channels, channels, (rows + 3) * channels, taps.ctypes.data, channels,
                4 * channels, c.ctypes.data, channels + beside, add, bias.ctypes.data, channels,
            )  # fmt: skip
            expected = np.einsum("ipcj,ijc->pc", windows, taps) + bias + add * before[:rows, :channels]
            np.testing.assert_allclose(c[:rows, :channels], expected, rtol=0, atol=1e-5 if dtype == "f4" else 1e-13)
            np.testing.assert_array_equal(c[:, channels:], before[:, channels:])
            np.testing.assert_array_equal(c[rows], before[rows])


@pytest.mark.parametrize("depth", [1, 3, 15, 16, 17, 40])
def test_packing_turns_and_fills_with_zeros(compiled: Any, depth: int) -> None:
    dtype, width, (*_, pack), _keep = compiled
    for columns in (1, width // 2, width - 1, width):
        source = np.random.default_rng(depth).normal(size=(columns, depth)).astype(dtype)
        room = -(-depth // (width // 2)) * (width // 2)
        target = np.full((room, width), np.nan, dtype)
        pack(depth, columns, source.ctypes.data, depth, target.ctypes.data, width)
        np.testing.assert_array_equal(target[:depth, :columns], source.T)
        np.testing.assert_array_equal(target[:depth, columns:], 0)


def test_plain_forms_compute_the_same_and_stay_inside() -> None:
    a, b = np.arange(6.0), np.arange(8.0)
    c = np.zeros(12)
    panel(3, 1, 2, Address(a, 0), 2, 1, 0, Address(b, 0), 4, 0, Address(c, 0), 4, 0, 0, 4)
    np.testing.assert_array_equal(c.reshape(3, 4), a.reshape(3, 2) @ b.reshape(2, 4))
    turned = np.full(8, np.nan)
    pack_transposed(2, 3, Address(a, 0), 2, Address(turned, 0), 4)
    np.testing.assert_array_equal(turned.reshape(2, 4)[:, :3], a.reshape(3, 2).T)
    with pytest.raises(IndexError):
        panel(4, 1, 2, Address(a, 0), 2, 1, 0, Address(b, 0), 4, 0, Address(c, 0), 4, 0, 0, 4)
