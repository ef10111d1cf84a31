"""The geometry of sliding windows: which input an output position reads at each tap, and which taps fall outside.

`Axis` is one axis: position p of the output reads input p·stride + i·dilation - before at tap i. Padding is never
stored: windows are clipped, so positions at an edge have fewer taps. `Windows` are both axes of a convolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Pair: TypeAlias = tuple[int, int]
Padding: TypeAlias = tuple[Pair, Pair]  # (top, bottom), (left, right)


class Run(NamedTuple):
    """Neighboring output positions start .. stop - 1 whose windows hold the same taps, first .. last - 1."""

    start: int
    stop: int
    first: int
    last: int


class Lattice(NamedTuple):
    """Every `step`-th input from `start` on, as an axis of its own over the outputs, with the taps that reach it."""

    start: int
    step: int
    axis: Axis
    taps: range


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `size` inputs, `out` outputs, `taps` that lie `dilation` apart, `before` of padding."""

    size: int
    out: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0

    def input(self, position: int, tap: int) -> int:
        """The input that a position reads at a tap; outside 0 .. size - 1 if it is padding."""
        return position * self.stride + tap * self.dilation - self.before

    def reach(self, position: int) -> tuple[int, int]:
        """The taps (first, last + 1) of a position's window that lie inside the input."""
        start = self.input(position, 0)
        first = max(0, _up(-start, self.dilation))
        last = min(self.taps, _up(self.size - start, self.dilation))
        return (first, last) if first < last else (0, 0)

    def positions(self, tap: int) -> tuple[int, int]:
        """The positions (first, last + 1) for which a tap lies inside the input."""
        start = self.input(0, tap)
        first = max(0, _up(-start, self.stride))
        last = min(self.out, _up(self.size - start, self.stride))
        return (first, last) if first < last else (0, 0)

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[Run]:
        """The positions start .. stop - 1, in runs with the same taps."""
        stop = self.out if stop is None else stop
        reach = (self.taps - 1) * self.dilation
        whole = max(0, _up(self.before, self.stride)), (self.size - 1 + self.before - reach) // self.stride + 1
        while start < stop:
            first, last = self.reach(start)
            end = start + 1
            if whole[0] <= start < whole[1]:  # windows entirely inside the input
                end = min(stop, whole[1])
            while end < stop and self.reach(end) == (first, last):
                end += 1
            yield Run(start, end, first, last)
            start = end

    def lattices(self) -> list[Lattice]:
        """The windows of the input gradient: for each input, the outputs that read it.

        With a stride, inputs share their taps only with those of the same remainder, which form a lattice. Taps are in
        the order of rising output positions, so that a window is traversed forward.
        """
        apart = math.gcd(self.stride, self.dilation)
        lattices = []
        for start in range(min(self.stride, self.size)):
            reaching = [i for i in range(self.taps) if (start + self.before - i * self.dilation) % self.stride == 0]
            taps = range(0)
            axis = Axis(self.out, len(range(start, self.size, self.stride)), 0)
            if reaching:
                taps = range(reaching[-1], reaching[0] - 1, -(self.stride // apart))
                first = (start + self.before - taps[0] * self.dilation) // self.stride
                axis = Axis(self.out, axis.out, len(taps), 1, self.dilation // apart, -first)
            lattices.append(Lattice(start, self.stride, axis, taps))
        return lattices


def window_axis(size: int, taps: int, stride: int, padding: tuple[int, int], dilation: int) -> Axis:
    """The axis of a convolution over `size` padded inputs; its `out` is 0 or less if no window fits."""
    reach = dilation * (taps - 1) + 1
    return Axis(size, (size + sum(padding) - reach) // stride + 1, taps, stride, dilation, padding[0])


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

    @functools.cached_property
    def flops(self) -> float:
        """Of one image; clipped taps cost nothing."""
        down, across = (
            sum(stop - start for start, stop in map(axis.positions, range(axis.taps)))
            for axis in (self.down, self.across)
        )
        return 2.0 * down * across * self.tap

    def at(self, a: int, b: int, i: int, j: int) -> int:
        """The offset in the input image of tap (i, j) of position (a, b)."""
        return (self.down.input(a, i) * self.across.size + self.across.input(b, j)) * self.inputs

    @property
    def depthwise(self) -> bool:
        """Whether channels do not mix; the panels are then those of `lane_panel`."""
        return self.groups > 1 and self.groups == self.inputs == self.outputs

    @property
    def joined(self) -> bool:
        """Whether the taps in a row of a window are contiguous in memory."""
        return self.groups == 1 and (self.across.dilation == 1 or self.across.taps == 1)


def _up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)
