"""The panels of a convolution, as a table of integers: how its windows become matrix products.

A job is a number of equal panels (see `chainrule.native.microkernel` for what one computes). Output pixels whose
windows hold the same taps are a region; its panels' rows run across the image, down it, or over the images of a tile,
whichever fills the microkernel's tiles best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from chainrule.native.machine import processor
from chainrule.ops.taps import Axis, Run

EACH, AS_ROWS, AS_OUTER = 0, 1, 2  # what the images of a tile are to a job: rounds of it, its rows, its outer loop
FEW = 200  # terms: sums shorter than this go over all images of a tile, so that C is loaded less often


class Job(NamedTuple):
    """`repeats` panels of equal sizes and strides; one row of the table."""

    images: int
    repeats: int
    rows: int
    outer: int
    inner: int  # 0 where no tap reaches: these pixels get the bias alone
    a: int
    a_step: int  # from one panel to the next; where c_step is 0 they are added up
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
    add: int  # a job before it has begun these sums


@dataclass(frozen=True)
class Windows:
    """The windows of a convolution: its two axes, channels in and out, and groups of channels."""

    down: Axis
    across: Axis
    inputs: int
    outputs: int
    groups: int = 1

    @property
    def tap(self) -> int:
        """Elements of the weight at one tap."""
        return self.inputs // self.groups * self.outputs

    @property
    def image(self) -> int:
        """Elements of one input image."""
        return self.down.size * self.across.size * self.inputs

    @property
    def flops(self) -> float:
        """Of one image; what is clipped costs nothing."""
        down, across = (
            sum(stop - start for start, stop in map(axis.positions, range(axis.taps)))
            for axis in (self.down, self.across)
        )
        return 2.0 * down * across * self.tap

    def at(self, a: int, b: int, i: int, j: int) -> int:
        """Where position (a, b) finds tap (i, j), from the start of the input image."""
        return (self.down.input(a, i) * self.across.size + self.across.input(b, j)) * self.inputs

    @property
    def depthwise(self) -> bool:
        """Whether each channel is by itself; then panels are those of `lane_panel`."""
        return self.groups > 1 and self.groups == self.inputs == self.outputs

    @property
    def joined(self) -> bool:
        """Whether the taps of a row of a window are one stretch of memory."""
        return self.groups == 1 and (self.across.dilation == 1 or self.across.taps == 1)


class Place(NamedTuple):
    """Where the output pixel (a, b) of an image is stored, start + a·row + b·column, and where the taps begin."""

    image: int
    row: int
    column: int
    start: int = 0
    weight: int = 0


class Terms(NamedTuple):
    """How a window is summed: where in A and B it starts, and two loops."""

    a: int = 0
    b: int = 0
    outer: int = 0
    inner: int = 0
    a_col: int = 0
    a_outer: int = 0
    b_outer: int = 0
    add: int = 0


def correlate_jobs(w: Windows, place: Place, start: int, stop: int, batch: int) -> Iterator[Job]:
    """The panels of output rows start .. stop - 1, for tiles of `batch` images."""
    for down in w.down.runs(start, stop):
        for across in w.across.runs():
            for terms in _terms(w, down, across):
                yield from _panels(w, place, down, across, batch, terms)


def _terms(w: Windows, down: Run, across: Run) -> Iterator[Terms]:
    """One for a region whose rows of taps are stretches of memory; else one for each row of taps."""
    high, wide = down.last - down.first, across.last - across.first
    group = w.inputs // w.groups
    if not high * wide * group:
        yield Terms()
        return
    row_of_taps = w.across.taps * w.tap
    for i in range(down.first, down.last):
        a, b = w.at(down.start, across.start, i, across.first), i * row_of_taps + across.first * w.tap
        line, pixel = w.down.dilation * w.across.size * w.inputs, w.across.dilation * w.inputs
        if w.joined or w.depthwise:
            inner, a_col = (wide, pixel) if w.depthwise else (wide * group, 1)
            yield Terms(a, b, high, inner, a_col, line, row_of_taps)
            return
        yield Terms(a, b, wide, group, 1, pixel, w.tap, int(i > down.first))


def _panels(w: Windows, place: Place, down: Run, across: Run, batch: int, terms: Terms) -> Iterator[Job]:
    high, wide = down.stop - down.start, across.stop - across.start
    a_down, a_across = w.down.stride * w.across.size * w.inputs, w.across.stride * w.inputs
    a, b = terms.a, place.weight + terms.b
    c = place.start + down.start * place.row + across.start * place.column

    def job(
        images: int, repeats: int, rows: int, a_step: int, a_row: int, c_step: int, c_row: int, line: int = 0
    ) -> Job:
        return Job(
            images, repeats, rows, terms.outer, terms.inner, a + line * a_down, a_step, a_row, terms.a_col,
            terms.a_outer, b, 0, w.outputs, terms.b_outer, c + line * place.row, c_step, c_row, terms.add,
        )  # fmt: skip

    costs = (high * cost(wide), wide * cost(high), high * wide * cost(batch) / batch)
    if a_down == wide * a_across and place.row == wide * place.column:
        yield job(EACH, 1, high * wide, 0, a_across, 0, place.column)
    elif costs[0] == min(costs):
        yield job(EACH, high, wide, a_down, a_across, place.row, place.column)
    elif costs[1] == min(costs):
        yield job(EACH, wide, high, a_across, a_down, place.column, place.row)
    else:
        for line in range(high):
            yield job(AS_ROWS, wide, 0, a_across, w.image, place.column, place.image, line)


def cost(rows: int) -> float:
    """What a panel of so many rows costs, in rows: thin tiles wait for their own sums."""
    full, left = divmod(rows, processor().tile_rows)
    return full * processor().tile_rows + (max(left, 4) + 1 if left else 0)


def weight_jobs(w: Windows, i: int, batch: int) -> Iterator[Job]:
    """The panels of the weight gradient at row i of the taps, for tiles of `batch` images: sums over output pixels.

    A is x by columns, B is dy. Rows of C are taps and input channels, neighbours in x as in the weight.
    """
    start, stop = w.down.positions(i)
    high = stop - start
    width = w.inputs // w.groups
    if not (w.joined or w.depthwise):
        for j in range(w.across.taps):
            left, right = w.across.positions(j)
            yield _weight_job(w, i, j, width, Run(start, stop, i, i + 1), Run(left, right, j, j + 1), batch, 0)
        return
    runs = [r for r in w.across.runs() if r.first < r.last] if high else []
    runs.sort(key=lambda run: (run.first - run.last, run.start))  # the one that writes all rows comes first
    if not runs or runs[0].last - runs[0].first < w.across.taps:
        runs.insert(0, Run(0, 0, 0, w.across.taps))
    for number, run in enumerate(runs):
        taps = run.last - run.first
        yield _weight_job(w, i, run.first, taps * width, Run(start, stop, i, i + 1), run, batch, int(number > 0))


def _weight_job(w: Windows, i: int, j: int, rows: int, down: Run, across: Run, batch: int, add: int) -> Job:
    """The product over one region of output pixels; without any it is zero."""
    loops = [
        (down.stop - down.start, w.down.stride * w.across.size * w.inputs, w.across.out * w.outputs),
        (across.stop - across.start, w.across.stride * w.inputs, w.outputs),
    ]
    (few, a_few, b_few), (many, a_many, b_many) = sorted(loops)
    a, b = w.at(down.start, across.start, i, j), (down.start * w.across.out + across.start) * w.outputs
    c = (i * w.across.taps + j) * w.tap
    if not few * many:
        return Job(EACH, 1, rows, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, c, 0, w.outputs, add)
    a_row = w.across.dilation * w.inputs if w.depthwise else 1
    if few * many >= FEW or batch == 1:
        return Job(EACH, 1, rows, few, many, a, 0, a_row, a_many, a_few, b, 0, b_many, b_few, c, 0, w.outputs, add)
    b_image = w.down.out * w.across.out * w.outputs
    return Job(
        AS_OUTER, few, rows, 0, many, a, a_few, a_row, a_many, w.image, b, b_few, b_many, b_image, c, 0, w.outputs, add
    )
