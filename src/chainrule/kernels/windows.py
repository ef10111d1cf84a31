"""Sliding windows along one axis: which input an output position reads at each tap, and which taps fall outside.

Position a of the output reads input a·stride + i·dilation - before at tap i. Padding is never made: windows are
clipped, so positions at an edge just have fewer taps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Run(NamedTuple):
    """Neighbouring output positions start .. stop - 1 whose windows hold the same taps, first .. last - 1."""

    start: int
    stop: int
    first: int
    last: int


class Lattice(NamedTuple):
    """Every `step`-th position of a spread axis from `start` on: an axis of its own, with the taps that reach it."""

    start: int
    step: int
    axis: Axis
    taps: range


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: `size` inputs, `out` outputs, `taps` apart by `dilation`, `before` padding in front."""

    size: int
    out: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0

    def input(self, position: int, tap: int) -> int:
        """The input that a position reads at a tap; outside of 0 .. size - 1 where it is padding."""
        return position * self.stride + tap * self.dilation - self.before

    def reach(self, position: int) -> tuple[int, int]:
        """The taps (first, last + 1) of a position's window that lie inside of the input."""
        start = self.input(position, 0)
        first = max(0, _up(-start, self.dilation))
        last = min(self.taps, _up(self.size - start, self.dilation))
        return (first, last) if first < last else (0, 0)

    def positions(self, tap: int) -> tuple[int, int]:
        """The positions (first, last + 1) for which a tap lies inside of the input."""
        start = self.input(0, tap)
        first = max(0, _up(-start, self.stride))
        last = min(self.out, _up(self.size - start, self.stride))
        return (first, last) if first < last else (0, 0)

    def runs(self, start: int = 0, stop: int | None = None) -> Iterator[Run]:
        """The positions start .. stop - 1 in runs of equal taps."""
        stop = self.out if stop is None else stop
        reach = (self.taps - 1) * self.dilation
        whole = max(0, _up(self.before, self.stride)), (self.size - 1 + self.before - reach) // self.stride + 1
        while start < stop:
            first, last = self.reach(start)
            end = start + 1
            if whole[0] <= start < whole[1]:  # windows that lie inside altogether
                end = min(stop, whole[1])
            while end < stop and self.reach(end) == (first, last):
                end += 1
            yield Run(start, end, first, last)
            start = end

    def spread(self) -> list[Lattice]:
        """The windows of the gradient of the input: what outputs each input position went to.

        With a stride only every stride-th position shares its taps: those of one remainder are a lattice. Taps are in
        the order of growing output position, so that a window walks forward.
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
    """The axis of a convolution over `size` inputs between paddings; its `out` is 0 or less where none fits."""
    reach = dilation * (taps - 1) + 1
    return Axis(size, (size + sum(padding) - reach) // stride + 1, taps, stride, dilation, padding[0])


def _up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)
