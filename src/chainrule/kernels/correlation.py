"""Convolution on the microkernel, without copies of windows: one kernel that goes through a table of panels.

Neighboring output pixels are rows of a matrix product whose A is the image itself: one row is a stride of pixels after
the previous one, and a row of a window is contiguous. Windows are clipped at the edge, so padding is neither stored nor
multiplied. The panels follow from shapes alone: `chainrule.kernels.panels` lists them in a table of integers. Forward
pass (`correlate`), input gradient (`correlate_transposed`) and weight gradient differ only in their tables.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from chainrule.kernels.copies import zero
from chainrule.kernels.panels import Job, Layout, correlate_jobs, weight_jobs
from chainrule.kernels.products import one
from chainrule.kernels.reductions import reduce, sum_parts
from chainrule.kernels.windows import Lattice, Windows
from chainrule.kernels.winograd import correlate_tiles, suits, suits_weight, weight_gradient_tiles
from chainrule.native.kernel import (
    Call,
    Epilogue,
    Int,
    Int1,
    Int2,
    Pointer,
    Real1,
    advance,
    blocks,
    device,
    kernel,
    run_epilogue,
)
from chainrule.native.machine import processor
from chainrule.native.matrix import lane_panel, panel, panel_ahead
from chainrule.native.memory import Scratch, View, constant

Table: TypeAlias = tuple[View, View]  # the jobs, and where those of each part of an image begin

TILES = 16  # groups of images, times bands of rows if there are fewer images
PIXELS = 64  # of dy at a time in a weight gradient: they stay in the first-level cache for all rows of C
SQUARE = 16  # columns that are transposed together: the next row reads the same cache lines
BAND = 4  # rows of a band, at least
SUMS = 32_768  # the most elements of a weight gradient for each of the TILES to have a copy of its own
FEW = 8  # fewer images than this are too few to share among workers
(
    KIND, REPEATS, ROWS, OUTER, INNER, A, A_STEP, A_ROW, A_COL, A_OUTER, B, B_STEP, B_ROW, B_OUTER, C, C_STEP, C_ROW,
    ADD,
) = range(len(Job._fields))  # fmt: skip


@device
def run_job(
    job: Int1, a: Pointer, b: Pointer, c: Pointer, bias: Pointer, add: Int, wide: Int, images: Int, lanes: Int
) -> None:  # fmt: skip
    """The panels of one job, on one image or on all images of the tile."""
    rows = images if job[KIND] == 1 else job[ROWS]
    outer = images if job[KIND] == 2 else job[OUTER]
    bias = bias if job[ADD] == 0 else 0
    for repeat in range(job[REPEATS]):
        more = 1 if add + job[ADD] > 0 or (repeat > 0 and job[C_STEP] == 0) else 0
        to = advance(c, job[C] + repeat * job[C_STEP])
        a_at = advance(a, job[A] + repeat * job[A_STEP])
        b_at = advance(b, job[B] + repeat * job[B_STEP])
        if lanes:
            lane_panel(
                rows, outer, job[INNER], a_at, job[A_ROW], job[A_COL], job[A_OUTER], b_at, job[B_ROW], job[B_OUTER],
                to, job[C_ROW], more, bias, wide,
            )  # fmt: skip
        else:
            panel_ahead(
                rows, outer, job[INNER], a_at, job[A_ROW], job[A_COL], job[A_OUTER], b_at, job[B_ROW], job[B_OUTER],
                to, job[C_ROW], more, bias, wide,
            )  # fmt: skip


@kernel
def convolve(
    tile: Int, jobs: Int2, starts: Int1, images: Int, batch: Int, a: Pointer, a_image: Int, a_group: Int, b: Pointer,
    b_image: Int, c: Pointer, c_batch: Int, c_image: Int, groups: Int, columns: Int, width: Int, lanes: Int,
    bias: Pointer, add: Int, sums: Pointer, one: Pointer, part_size: Int, epilogue: Epilogue,
) -> None:  # fmt: skip
    """One part of the table for `batch` images, one panel of columns after another.

    With `lanes`, channels do not mix: each column of C has its own column of A, and all columns of a row of the image
    come before its next row. Without, a panel of the weight stays in cache for the whole image. `sums` receives the
    column sums of B's images (the gradient of a bias).
    """
    parts = starts.size - 1
    part = tile % parts
    first = tile // parts * batch
    count = min(batch, images - first)
    c_first = tile // parts * c_batch
    sweep = columns if lanes else width
    for start in range(0, columns, sweep):
        stop = min(columns, start + sweep)
        for group in range(groups):
            for left in range(start, stop if sums and part == 0 else start, width):
                at = group * columns + left
                panel(
                    1, 1, count * (b_image // (groups * columns)), one, 0, 0, 0, advance(b, first * b_image + at),
                    groups * columns, 0, advance(sums, tile // parts * groups * columns + at), 0, 0, 0,
                    min(width, stop - left),
                )  # fmt: skip
            for image in range(count):
                for number in range(starts[part], starts[part + 1]):
                    if image == 0 or jobs[number, KIND] == 0:
                        at = group * columns + start
                        run_job(
                            jobs[number], advance(a, (first + image) * a_image + group * a_group + start * lanes),
                            advance(b, (first + image) * b_image + at), advance(c, c_first + image * c_image + at),
                            advance(bias, at), add + (1 if image > 0 and c_image == 0 else 0), stop - start, count,
                            lanes,
                        )  # fmt: skip
    if epilogue:
        for image in range(count):
            at = c_first + image * c_image + part * part_size
            size = min(part_size, c_image - part * part_size)
            run_epilogue(epilogue, c, at, size)


@kernel
def transpose_taps(
    tile: Int, target: Real1, source: Real1, order: Int1, inputs: Int, outputs: Int, groups: Int
) -> None:
    """Tap `tile` of target: tap `order[tile]` of a weight (inputs/groups, outputs), transposed within each group."""
    deep, wide = inputs // groups, outputs // groups
    to = target[tile * deep * outputs : (tile + 1) * deep * outputs]
    tap = source[order[tile] * deep * outputs : (order[tile] + 1) * deep * outputs]
    for group in range(groups):
        for left in range(0, deep, SQUARE):
            for o in range(wide):
                for c in range(left, min(deep, left + SQUARE)):
                    to[(o * groups + group) * deep + c] = tap[c * outputs + group * wide + o]


def correlate(
    y: View, x: View, w: View, windows: Windows, scratch: Scratch, *, bias: View | None = None, add: bool = False,
    epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    """The calls for y (+)= x correlated with w (kh, kw, inputs/groups, outputs), plus bias."""
    if y.size and suits(windows):
        return correlate_tiles(y, x, w, windows, scratch, bias, add, epilogue)
    return _call(_correlate_table, x, w, y, windows, windows, bias, add, epilogue)


def correlate_transposed(
    dx: View, dy: View, w: View, windows: Windows, scratch: Scratch, *, bias: View | None = None, add: bool = False,
    epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    """The calls for the input gradient dx (+)= Σ over taps of dy·wᵀ, also the transposed convolution (plus bias).

    For each lattice of input pixels it is a correlation of dy with the transposed taps that reach them.
    """
    packed, order = scratch(w.size), _tap_order(windows)
    transposing = transpose_taps(order.size, packed, w.flat(), order, windows.inputs, windows.outputs, windows.groups)
    if dx.size and (back := _transposed_windows(windows)) and suits(back):
        return [transposing, *correlate_tiles(dx, dy, packed, back, scratch, bias, add, epilogue)]
    return [transposing, *_call(_transposed_table, dy, packed, dx, windows, exchanged(windows), bias, add, epilogue)]


def exchanged(w: Windows) -> Windows:
    """With input and output channels exchanged."""
    return Windows(w.down, w.across, w.outputs, w.inputs, w.groups)


def _call(
    table: Callable[[Windows, int, int], Table], a: View, b: View, c: View, windows: Windows, roles: Windows,
    bias: View | None, add: bool, epilogue: Epilogue,
) -> list[Call]:  # fmt: skip
    """The call for images C = images A times weights B; `roles` has A's channels as inputs and C's as outputs."""
    if not c.size:
        return []
    images, height = c.shape[:2]
    batch = _batch(windows, images)
    band = max(min(height, BAND), blocks(height, blocks(TILES, images)))
    jobs, starts = table(windows, batch, band)
    a_image, c_image = a.size // images, c.size // images
    a_group, groups, columns, lanes = _channels(roles)
    return [
        convolve(
            (starts.size - 1) * blocks(images, batch), jobs, starts, images, batch, a, a_image, a_group, b, 0,
            c, batch * c_image, c_image, groups, columns, processor().panel(c.dtype), lanes, bias, int(add),
            None, None, band * c_image // height, epilogue, flops=images * windows.flops,
        )
    ]  # fmt: skip


def weight_gradient(
    dw: View, dy: View, x: View, windows: Windows, scratch: Scratch, sums: View | None = None
) -> list[Call]:
    """The calls for the weight gradient dw = Σ over pixels of xᵀ·dy, and for that of the bias, `sums`.

    Each group of images has its own partial sums, which are added in order.
    """
    if not (dy.size and dw.size):
        return [*zero(dw), *(zero(sums) if sums else [])]
    if suits_weight(windows):
        return weight_gradient_tiles(dw, dy, x, windows, scratch, sums)
    images = x.shape[0]
    rows = windows.down.taps if _by_rows(windows, images, processor().panel(dw.dtype)) else 1
    batch = _batch(windows, images, rows)
    jobs, starts = _weight_table(windows, rows, min(batch, 1 + _weight_band(windows)))
    parts = blocks(images, batch)
    partial = dw if parts == 1 else scratch(parts * dw.size)
    partial_sums = sums if parts == 1 or not sums else scratch(parts * sums.size)
    a_group, groups, columns, lanes = _channels(windows)
    calls = [
        convolve(
            (starts.size - 1) * parts, jobs, starts, images, batch, x, x.size // images, a_group, dy,
            dy.size // images, partial, dw.size, 0, groups, columns, processor().panel(dw.dtype), lanes, None, 0,
            partial_sums, one(dw.dtype), 0, (), flops=images * windows.flops,
        )
    ]  # fmt: skip
    for whole, part in ((dw, partial), (sums, partial_sums)):
        if whole and part and parts > 1:
            calls += reduce(sum_parts, whole, part.reshape(parts, whole.size), (0,), scratch)
    return calls


def _by_rows(w: Windows, images: int, panel: int) -> bool:
    """Whether each row of taps of a weight gradient is a separate part, which reads dy again.

    That pays if partial sums are large, if there are too few images to be parts, and if dy is narrow: its panels are
    then so short that beginning and ending them takes longest, and parts with more images have fewer of them.
    """
    narrow = w.outputs // w.groups < panel
    large = w.down.taps * w.across.taps * w.tap > SUMS
    return (large or narrow or images < FEW) and not w.depthwise


def _channels(w: Windows) -> tuple[int, int, int, int]:
    """The step between groups in A, the number of groups, columns of each, and whether channels do not mix."""
    if w.depthwise:
        return 0, 1, w.outputs, 1
    return w.inputs // w.groups, w.groups, w.outputs // w.groups, 0


@functools.lru_cache(1024)
def _correlate_table(w: Windows, batch: int, band: int) -> Table:
    layout = Layout(w.down.out * w.across.out * w.outputs, w.across.out * w.outputs, w.outputs)
    bands = range(0, w.down.out, band)
    return _table([correlate_jobs(w, layout, at, min(at + band, w.down.out), batch) for at in bands])


@functools.lru_cache(1024)
def _transposed_table(w: Windows, batch: int, band: int) -> Table:
    line = w.across.size * w.inputs
    parts = []
    for first in range(0, w.down.size, band):
        jobs: list[Job] = []
        for down, across, weight in _lattices(w):
            start, stop = (blocks(edge - down.start, down.step) for edge in (first, min(first + band, w.down.size)))
            at = down.start * line + across.start * w.inputs
            layout = Layout(w.image, down.step * line, across.step * w.inputs, at, weight)
            windows = Windows(down.axis, across.axis, w.outputs, w.inputs, w.groups)
            jobs += correlate_jobs(windows, layout, start, stop, batch)
        parts.append(jobs)
    return _table(parts)


@functools.lru_cache(1024)
def _weight_table(w: Windows, parts: int, batch: int) -> Table:
    """The table with `parts` equal parts; it is the same for all batches of more images than a band has rows."""
    taps = [range(i * w.down.taps // parts, (i + 1) * w.down.taps // parts) for i in range(parts)]
    return _table(weight_jobs(w, part, batch, _weight_band(w)) for part in taps)


def _weight_band(w: Windows) -> int:
    """The rows of dy at a time in a weight gradient."""
    return blocks(PIXELS, w.across.out)


def _batch(w: Windows, images: int, parts: int = 1) -> int:
    """How many images make a tile; one where channels do not mix, as those panels are walked image by image."""
    return 1 if w.depthwise else blocks(images, blocks(TILES, parts))


def _lattices(w: Windows) -> Iterator[tuple[Lattice, Lattice, int]]:
    """The lattices down and across, and where the taps of each begin in the transposed weight."""
    weight = 0
    for down in w.down.lattices():
        for across in w.across.lattices():
            yield down, across, weight
            weight += len(down.taps) * len(across.taps) * w.tap


@functools.lru_cache(1024)
def _transposed_windows(w: Windows) -> Windows | None:
    """The windows of the input gradient over dy, where it is one lattice."""
    (down, across, _), *others = _lattices(w)
    return None if others else Windows(down.axis, across.axis, w.outputs, w.inputs, w.groups)


@functools.lru_cache(1024)
def _tap_order(w: Windows) -> View:
    """The numbers of the taps in lattice order."""
    found = [
        i * w.across.taps + j
        for down in w.down.lattices()
        for across in w.across.lattices()
        for i in down.taps
        for j in across.taps
    ]
    return constant(np.array(found, np.int64))


def _table(parts: Iterable[Iterable[Job]]) -> Table:
    listed = [list(jobs) for jobs in parts]
    starts = np.cumsum([0, *map(len, listed)])
    jobs = np.array([job for part in listed for job in part], np.int64)
    return constant(jobs), constant(starts)
