"""Windows slid over images (n, h, w, c): the kernels of pooling and upsampling.

`pool` makes one pixel of `small` from each window of `big`: the largest of its taps, or their mean. `unpool` is the
gradient of both, from small to big. The positions of windows are computed here, in Python, and passed to the kernels as
tables, so that padding, dilation and windows of unequal size cost nothing inside the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chainrule.kernels.windows import Axis
from chainrule.native.kernel import (
    Call,
    Epilogue,
    Int,
    Int2,
    Pointer,
    Real1,
    advance,
    blocks,
    kernel,
    real,
    run_epilogue,
)
from chainrule.native.machine import processor
from chainrule.native.memory import Storage, View
from chainrule.native.window import pool_taps, unpool_taps

TILE = 16384  # elements of the image: 64 KiB of float32, which stays in the second-level cache for the epilogue


class Window(NamedTuple):
    """Where one window lies along one axis; taps outside the image are left out."""

    at: int  # the first tap's position in the image
    tap: int  # its number
    taps: int  # how many there are, `dilation` apart
    divisor: int  # what a sum over the window is divided by


@dataclass(frozen=True)
class Grid:
    """The windows of each row and each column of `small`; their taps are `dilation` apart, `across` in a row."""

    rows: Sequence[Window]
    columns: Sequence[Window]
    dilation: tuple[int, int] = (1, 1)
    across: int = 0


def clipped(axis: Axis) -> list[Window]:
    """The windows along an axis, each without the taps that lie in the padding."""
    windows = []
    for position in range(axis.out):
        first, last = axis.reach(position)
        start = position * axis.stride - axis.before + first * axis.dilation
        windows.append(Window(start, first, last - first, last - first))
    return windows


@kernel
def pool_windows(
    tile: Int, small: Pointer, argmax: Pointer, big: Pointer, rows: Int2, runs: Int2, count: Int, height: Int,
    across: Int, channels: Int, lanes: Int, row_step: Int, column_step: Int, taps_across: Int, items: Int,
    epilogue: Epilogue,
) -> None:  # fmt: skip
    """`items` rows of small: each window's largest element and in `argmax` its tap, or without argmax the mean."""
    out = rows.shape[0]
    wide = runs[runs.shape[0] - 1, 0] + runs[runs.shape[0] - 1, 1]
    first = tile * items
    last = min(first + items, count)
    for item in range(first, last):
        row = item % out
        line = (item // out * height + rows[row, 0]) * across * channels
        for r in range(runs.shape[0]):
            tap = rows[row, 1] * taps_across + runs[r, 4]
            factor = 1.0 / real(rows[row, 3] * runs[r, 6])
            to = (item * wide + runs[r, 0]) * channels
            at = line + runs[r, 2] * channels
            for c in range(0, channels, lanes):
                pool_taps(
                    runs[r, 1], rows[row, 2], runs[r, 5], advance(big, at + c), runs[r, 3] * channels, row_step,
                    column_step, advance(small, to + c), channels, advance(argmax, to + c), tap, taps_across,
                    factor, 0, min(lanes, channels - c),
                )  # fmt: skip
    if epilogue:
        line = wide * channels
        run_epilogue(epilogue, small, first * line, (last - first) * line)


@kernel
def unpool_windows(
    tile: Int, image: Real1, big: Pointer, small: Pointer, argmax: Pointer, rows: Int2, runs: Int2, count: Int,
    height: Int, across: Int, channels: Int, lanes: Int, row_step: Int, column_step: Int, taps_across: Int, apart: Int,
    clear: Int, add: Int, band: Int, items: Int, epilogue: Epilogue,
) -> None:  # fmt: skip
    """`items` bands of `band` rows of big (as an array, `image`): the sums of all windows that reach into them."""
    out = rows.shape[0]
    wide = runs[runs.shape[0] - 1, 0] + runs[runs.shape[0] - 1, 1]
    bands = (height + band - 1) // band
    line = across * channels
    for item in range(tile * items, min(tile * items + items, count)):
        top = item % bands * band
        end = min(height, top + band)
        start = (item // bands * height + top) * line
        size = (end - top) * line
        if clear:
            cleared = image[start : start + size]
            for i in range(cleared.size):
                cleared[i] = 0.0
        for row in range(out):
            first = max(0, (top - rows[row, 0] + apart - 1) // apart)  # the taps inside the band
            last = min(rows[row, 2], (end - rows[row, 0] + apart - 1) // apart)
            if last <= first:
                continue
            inside = (item // bands * height + rows[row, 0] + first * apart) * line
            for r in range(runs.shape[0]):
                tap = (rows[row, 1] + first) * taps_across + runs[r, 4]
                factor = 1.0 / real(rows[row, 3] * runs[r, 6])
                at = ((item // bands * out + row) * wide + runs[r, 0]) * channels
                to = inside + runs[r, 2] * channels
                for c in range(0, channels, lanes):
                    unpool_taps(
                        runs[r, 1], last - first, runs[r, 5], advance(big, to + c), runs[r, 3] * channels, row_step,
                        column_step, advance(small, at + c), channels, advance(argmax, at + c), tap, taps_across,
                        factor, add, min(lanes, channels - c),
                    )  # fmt: skip
        if epilogue:
            run_epilogue(epilogue, big, start, size)


def pool(small: View, big: View, grid: Grid, argmax: View | None = None, epilogue: Epilogue = ()) -> list[Call]:
    """The calls for small = the largest element of each window of big if `argmax` is given, otherwise the mean."""
    if not small.size:
        return []
    n, height, across, channels = big.shape
    count = n * len(grid.rows)
    items = max(1, TILE * count // big.size)
    return [
        pool_windows(
            blocks(count, items), small, argmax, big, *_tables(grid), count, height, across, channels,
            processor().lanes(big.dtype), *_steps(big, grid), grid.across, items, epilogue,
            flops=float(small.size * max(w.taps for w in grid.rows) * max(w.taps for w in grid.columns)),
        )
    ]  # fmt: skip


def unpool(big: View, small: View, grid: Grid, argmax: View | None = None, epilogue: Epilogue = ()) -> list[Call]:
    """The calls for the gradient of `pool`: each pixel of big is the sum of its shares of the windows that hold it."""
    if not big.size:
        return []
    n, height, across, channels = big.shape
    band = min(height, max(1, TILE // (across * channels)))
    count = n * blocks(height, band)
    items = max(1, TILE // (band * across * channels))
    met = [_times_met(windows, size, apart) for windows, size, apart in zip(
        (grid.rows, grid.columns), (height, across), grid.dilation, strict=True)]  # fmt: skip
    return [
        unpool_windows(
            blocks(count, items), big.flat(), big, small, argmax, *_tables(grid), count, height, across, channels,
            processor().lanes(big.dtype), *_steps(big, grid), grid.across, grid.dilation[0],
            int(any(times != {1} for times in met)), int(any(max(times) > 1 for times in met)), band, items,
            epilogue, flops=float(big.size),
        )
    ]  # fmt: skip


def _steps(big: View, grid: Grid) -> tuple[int, int]:
    """Elements from one tap to the next, down and across."""
    _, _, across, channels = big.shape
    return grid.dilation[0] * across * channels, grid.dilation[1] * channels


def _times_met(windows: Sequence[Window], size: int, apart: int) -> set[int]:
    """In how many windows positions of an axis lie."""
    times = [0] * size
    for window in windows:
        for tap in range(window.taps):
            times[window.at + tap * apart] += 1
    return set(times)


def _tables(grid: Grid) -> tuple[View, View]:
    """Rows: (at, tap, taps, divisor) of each. Columns: runs of windows alike, (first, count, at, step, tap, taps,
    divisor)."""
    runs: list[list[int]] = []
    for position, window in enumerate(grid.columns):
        if runs and runs[-1][4:] == list(window[1:]):
            count, at, step = runs[-1][1:4]
            apart = window.at - at - (count - 1) * step
            if count == 1 or apart == step:
                runs[-1][1:4] = count + 1, at, apart
                continue
        runs.append([position, 1, window.at, 0, *window[1:]])
    return _table([list(window) for window in grid.rows], "rows"), _table(runs, "columns")


def _table(lines: list[list[int]], name: str) -> View:
    array = np.array(lines, np.int64)
    return View(Storage(array.size, array.dtype, "constant", name, array.ravel()), array.shape)
