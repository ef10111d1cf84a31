"""The panels of a convolution, as a table of integers: how its windows become matrix products.

A job is a number of equal panels; `chainrule.native.microkernel` says what a panel computes. Output pixels whose
windows hold the same taps form a region. The rows of its panels run across the image, down it, or over the images of a
tile, whichever fills the microkernel's tiles best.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from chainrule.kernels.windows import Run, Windows
from chainrule.native.machine import processor

EACH, AS_ROWS, AS_OUTER = 0, 1, 2  # how a job handles the images of a tile: one by one, as its rows, as its outer loop
ROWS_OF_B = 192  # of 128 bytes: as many as stay in the first-level cache next to what is read of A


class Job(NamedTuple):
    """`repeats` panels of equal sizes and strides; one row of the table."""

    images: int
    repeats: int
    rows: int
    outer: int
    inner: int  # 0 where no tap reaches: these pixels are the bias
    a: int
    a_step: int  # from one panel to the next; panels are summed where c_step is 0
    a_row: int
    a_col: int
    a_outer: int
    b: int
    b_step: int
    b_row: int
    b_outer: int
    c: int
    c_step: int
    c_row: int
    add: int  # whether an earlier job began these sums


class Layout(NamedTuple):
    """Where output pixel (a, b) of an image is stored, start + a·row + b·column, and its first tap in the weight."""

    image: int
    row: int
    column: int
    start: int = 0
    weight: int = 0


class Terms(NamedTuple):
    """How a window is summed: its start in A and B, and two loops; `row` is the only row of taps, if there is one."""

    a: int = 0
    b: int = 0
    outer: int = 0
    inner: int = 0
    a_col: int = 0
    a_outer: int = 0
    b_outer: int = 0
    add: int = 0
    row: int = 0


def correlate_jobs(w: Windows, layout: Layout, start: int, stop: int, batch: int) -> list[Job]:
    """The panels of output rows start .. stop - 1, for tiles of `batch` images.

    Rows of taps are separate jobs if a whole panel of the weight would not stay in the first-level cache.
    """
    jobs: list[tuple[int, Job]] = []
    for down in w.down.runs(start, stop):
        for across in w.across.runs():
            for terms in _terms(w, down, across):
                jobs += [(terms.row, job) for job in _panels(w, layout, down, across, batch, terms)]
    # The largest regions first: their rows are contiguous.
    return [job for _, job in sorted(jobs, key=lambda pair: (pair[0], -pair[1].repeats * pair[1].rows))]


def _terms(w: Windows, down: Run, across: Run) -> Iterator[Terms]:
    """The sums of a region: one, or one for each row of taps."""
    high, wide = down.last - down.first, across.last - across.first
    group = w.inputs // w.groups
    if not high * wide * group:
        yield Terms()
        return
    line, pixel = w.down.dilation * w.across.size * w.inputs, w.across.dilation * w.inputs
    if w.depthwise:
        inner, a_col = wide, pixel
    elif w.joined:
        inner, a_col = wide * group, 1
    for i in range(down.first, down.last):
        a, b = w.at(down.start, across.start, i, across.first), (i * w.across.taps + across.first) * w.tap
        more, row = int(i > down.first), i + 1
        if not (w.depthwise or w.joined):
            yield Terms(a, b, wide, group, 1, pixel, w.tap, more, row)
        elif w.down.taps * w.across.taps * group > ROWS_OF_B:
            yield Terms(a, b, 1, inner, a_col, line, 0, more, row)
        else:
            yield Terms(a, b, high, inner, a_col, line, w.across.taps * w.tap)
            return


def _panels(w: Windows, layout: Layout, down: Run, across: Run, batch: int, terms: Terms) -> Iterator[Job]:
    high, wide = down.stop - down.start, across.stop - across.start
    a_down, a_across = w.down.stride * w.across.size * w.inputs, w.across.stride * w.inputs
    a, b = terms.a, layout.weight + terms.b
    c = layout.start + down.start * layout.row + across.start * layout.column

    def job(
        images: int, repeats: int, rows: int, a_step: int, a_row: int, c_step: int, c_row: int, line: int = 0
    ) -> Job:
        return Job(
            images, repeats, rows, terms.outer, terms.inner, a + line * a_down, a_step, a_row, terms.a_col,
            terms.a_outer, b, 0, w.outputs, terms.b_outer, c + line * layout.row, c_step, c_row, terms.add,
        )  # fmt: skip

    costs = (high * cost(wide), wide * cost(high), high * wide * cost(batch) / batch)
    if a_down == wide * a_across and layout.row == wide * layout.column:
        yield job(EACH, 1, high * wide, 0, a_across, 0, layout.column)
    elif costs[0] == min(costs):
        yield job(EACH, high, wide, a_down, a_across, layout.row, layout.column)
    elif costs[1] == min(costs):
        yield job(EACH, wide, high, a_across, a_down, layout.column, layout.row)
    else:
        for line in range(high):
            yield job(AS_ROWS, wide, 0, a_across, w.image, layout.column, layout.image, line)


def cost(rows: int) -> float:
    """The cost of a panel, in rows: beginning and ending a tile of left-over rows takes the time of one row."""
    left = rows % processor().tile_rows
    return rows + (1 if left else 0)


def weight_jobs(w: Windows, taps: range, batch: int, band: int) -> Iterator[Job]:
    """The panels of the weight gradient at some rows of taps, for tiles of `batch` images: sums over output pixels.

    A is x by columns, B is dy. Rows of C are taps and input channels, adjacent in x as in the weight. They sum one
    `band` of output rows after another, which stays in cache for all taps.
    """
    begun = set()
    for start in range(0, w.down.out, band):
        for i in taps:
            first, last = w.down.positions(i)
            down = Run(max(first, start), min(last, start + band), i, i + 1)
            if down.start < down.stop:
                yield from _weight_band(w, down, batch, i in begun)
                begun.add(i)
    for i in taps:
        if i not in begun:
            yield from _weight_band(w, Run(0, 0, i, i + 1), batch, False)


def _weight_band(w: Windows, down: Run, batch: int, begun: bool) -> Iterator[Job]:
    """The panels of one row of taps and a band of output rows."""
    rows = w.inputs // w.groups
    if not (w.joined or w.depthwise):
        for j in range(w.across.taps):
            yield _weight_job(w, rows, down, Run(*w.across.positions(j), j, j + 1), batch, begun)
        return
    runs = [run for run in w.across.runs() if run.first < run.last]
    runs.sort(key=lambda run: (run.first - run.last, run.start))
    if not begun and (not runs or runs[0].last - runs[0].first < w.across.taps):
        runs.insert(0, Run(0, 0, 0, w.across.taps))  # the first job must write all rows
    for number, run in enumerate(runs):
        yield _weight_job(w, (run.last - run.first) * rows, down, run, batch, begun or number > 0)


def _weight_job(w: Windows, rows: int, down: Run, across: Run, batch: int, add: bool) -> Job:
    """The product over one region of output pixels; zero if there are none."""
    loops = [
        (down.stop - down.start, w.down.stride * w.across.size * w.inputs, w.across.out * w.outputs),
        (across.stop - across.start, w.across.stride * w.inputs, w.outputs),
    ]
    (few, a_few, b_few), (many, a_many, b_many) = sorted(loops)
    c = (down.first * w.across.taps + across.first) * w.tap
    if not few * many:
        return Job(EACH, 1, rows, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, c, 0, w.outputs, int(add))
    a = w.at(down.start, across.start, down.first, across.first)
    b = (down.start * w.across.out + across.start) * w.outputs
    a_row = w.across.dilation * w.inputs if w.depthwise else 1
    images, repeats, outer, a_step, a_outer, b_step, b_outer = EACH, 1, few, 0, a_few, 0, b_few
    if a_few == many * a_many and b_few == many * b_many:
        outer, many = 1, few * many
    elif few < batch:
        b_image = w.down.out * w.across.out * w.outputs
        images, repeats, outer, a_step, a_outer, b_step, b_outer = AS_OUTER, few, 0, a_few, w.image, b_few, b_image
    return Job(
        images, repeats, rows, outer, many, a, a_step, a_row, a_many, a_outer, b, b_step, b_many, b_outer, c, 0,
        w.outputs, int(add),
    )  # fmt: skip
