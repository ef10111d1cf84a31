"""Pooling of images (n, h, w, c): the largest element or the mean of each window.

Compiled by `kernels/pooling.py`, whose inner loop over the taps of a window is `native/window_code.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from chainrule.errors import OptionError, ShapeError
from chainrule.kernels.pooling import Grid, Window, clipped, pool, unpool
from chainrule.kernels.windows import Axis, Padding, Pair
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y[a, b] = max x[a·s + i·d - top, b·s + j·d - left] over i, j, within x",
    saves=("argmax",),
    selects_largest=True,
    flops=lambda x: float(math.prod(x)),
)
def max_pool2d(
    x: Array, *, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """The largest element of each window of x (n, h, w, c), in each channel; NaN where a window holds one.

    Padding is never the largest. The number of the tap that was (the first of equals, the last NaN) is saved for the
    gradient. Comparing x with y again instead would read three times as much for windows of 2 x 2: with plain loops
    such a gradient took 2 to 4.3 times as long on 16 to 64 channels, 1.3 to 2.1 for 3 x 3, but less on 6 channels.

    y is (n, (h + 2p - d·(k - 1) - 1) / s + 1, ..., c), rounded down, or up with ceil_mode. Raises ShapeError for images
    smaller than the kernel, OptionError for invalid settings.
    """
    axes = axes_of("max_pool2d", x.shape, kernel, stride, padding, dilation, ceil_mode)
    rows, columns = ([window.tap for window in clipped(axis)] for axis in axes)
    y = np.full(pooled(x.shape, axes), -np.inf, x.dtype)
    first = np.add.outer(np.multiply(rows, kernel[1]), columns)  # the number of the first tap inside
    argmax = np.broadcast_to(first[:, :, np.newaxis], y.shape)
    for number, pixels in taps_of(with_frame(x, axes, -np.inf), axes):
        larger = (pixels > y) | np.isnan(pixels)
        y, argmax = np.where(larger, pixels, y), np.where(larger, number, argmax)
    return y, argmax.astype(x.dtype)


@max_pool2d.shape
def _(x: Shape, *, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool) -> list[Shape]:
    y = pooled(x, axes_of("max_pool2d", x, kernel, stride, padding, dilation, ceil_mode))
    return [y, y]


@max_pool2d.lower
def _(
    y: View, argmax: View, x: View, *, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool,
    epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    axes = axes_of("max_pool2d", x.shape, kernel, stride, padding, dilation, ceil_mode)
    return pool(y, x, _max_grid(axes), argmax, epilogue)


@max_pool2d.gradient("x", formula="dx[u, v] = Σ dy[a, b] over windows whose largest, the first of equals, is x[u, v]")
def _(
    dy: Array, argmax: Array, *, x_shape: Shape,
    kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool,
) -> Array:  # fmt: skip
    axes = axes_of("max_pool2d", x_shape, kernel, stride, padding, dilation, ceil_mode)
    framed = with_frame(np.zeros(x_shape, dy.dtype), axes, 0.0)
    for number, pixels in taps_of(framed, axes):
        pixels += np.where(argmax == number, dy, 0.0)
    return inner(framed, axes)


@max_pool2d.lower("x")
def _(
    dx: View, dy: View, argmax: View, *, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair,
    ceil_mode: bool, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    axes = axes_of("max_pool2d", x_shape, kernel, stride, padding, dilation, ceil_mode)
    return unpool(dx, dy, _max_grid(axes), argmax, epilogue)


def _max_grid(axes: tuple[Axis, Axis]) -> Grid:
    rows, columns = axes
    return Grid(clipped(rows), clipped(columns), (rows.dilation, columns.dilation), columns.taps)


@op(formula="y[a, b] = Σᵢⱼ x[a·s + i - top, b·s + j - left] / size of the window", flops=lambda x: float(math.prod(x)))
def avg_pool2d(
    x: Array, *, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool, count_include_pad: bool
) -> Array:
    """The mean of each window of x (n, h, w, c), in each channel.

    With count_include_pad the size of a window includes padding; what ceil_mode adds beyond it never counts. Shape
    and errors as in `max_pool2d`.
    """
    axes = axes_of("avg_pool2d", x.shape, kernel, stride, padding, (1, 1), ceil_mode)
    y = np.zeros(pooled(x.shape, axes), x.dtype)
    for _, pixels in taps_of(with_frame(x, axes, 0.0), axes):
        y += pixels
    y /= _divisors(axes, padding, count_include_pad)
    return y


@avg_pool2d.shape
def _(x: Shape, *, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool, count_include_pad: bool) -> Shape:
    return pooled(x, axes_of("avg_pool2d", x, kernel, stride, padding, (1, 1), ceil_mode))


@avg_pool2d.lower
def _(
    y: View, x: View, *, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool, count_include_pad: bool,
    epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    axes = axes_of("avg_pool2d", x.shape, kernel, stride, padding, (1, 1), ceil_mode)
    return pool(y, x, _avg_grid(axes, padding, count_include_pad), epilogue=epilogue)


@avg_pool2d.gradient("x", formula="dx[u, v] = Σ dy[a, b] / size of the window, over windows that hold x[u, v]")
def _(
    dy: Array, *, x_shape: Shape,
    kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool, count_include_pad: bool,
) -> Array:  # fmt: skip
    axes = axes_of("avg_pool2d", x_shape, kernel, stride, padding, (1, 1), ceil_mode)
    framed = with_frame(np.zeros(x_shape, dy.dtype), axes, 0.0)
    share = dy / _divisors(axes, padding, count_include_pad).astype(dy.dtype)
    for _, pixels in taps_of(framed, axes):
        pixels += share
    return inner(framed, axes)


@avg_pool2d.lower("x")
def _(
    dx: View, dy: View, *, x_shape: Shape, kernel: Pair, stride: Pair, padding: Padding, ceil_mode: bool,
    count_include_pad: bool, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    axes = axes_of("avg_pool2d", x_shape, kernel, stride, padding, (1, 1), ceil_mode)
    return unpool(dx, dy, _avg_grid(axes, padding, count_include_pad), epilogue=epilogue)


def _avg_grid(axes: tuple[Axis, Axis], padding: Padding, count_include_pad: bool) -> Grid:
    rows, columns = (
        [
            window._replace(divisor=min(axis.taps, axis.size + axis.before + after - position * axis.stride))
            if count_include_pad
            else window
            for position, window in enumerate(clipped(axis))
        ]
        for axis, (_, after) in zip(axes, padding, strict=True)
    )
    return Grid(rows, columns)


def _divisors(axes: tuple[Axis, Axis], padding: Padding, count_include_pad: bool) -> Array:
    """What each window's sum is divided by: (out, out, 1)."""
    grid = _avg_grid(axes, padding, count_include_pad)
    return np.multiply.outer([w.divisor for w in grid.rows], [[w.divisor] for w in grid.columns])


@op(formula="y[a, b] = mean x[a·h/oh ... (a + 1)·h/oh, b·w/ow ... (b + 1)·w/ow]", flops=lambda x: float(math.prod(x)))
def adaptive_avg_pool2d(x: Array, *, size: Pair) -> Array:
    """The mean of each of size[0] x size[1] windows that cover x (n, h, w, c), giving y (n, *size, c).

    Window a begins at a·h/size, rounded down, and ends before (a + 1)·h/size, rounded up: where h is no multiple of the
    size, neighbors overlap by one row (as in torch). Raises ShapeError unless x is a batch of images.
    """
    rows, columns = _windows_of("adaptive_avg_pool2d", x.shape, size)
    y = np.zeros((x.shape[0], *size, x.shape[3]), x.dtype)
    for (a, row), (b, column) in product(enumerate(rows), enumerate(columns)):
        y[:, a, b] = x[:, row.at : row.at + row.taps, column.at : column.at + column.taps].mean(axis=(1, 2))
    return y


@adaptive_avg_pool2d.shape
def _(x: Shape, *, size: Pair) -> Shape:
    _windows_of("adaptive_avg_pool2d", x, size)
    return (x[0], *size, x[3])


@adaptive_avg_pool2d.lower
def _(y: View, x: View, *, size: Pair, epilogue: Epilogue = ()) -> list[Call]:
    return pool(y, x, Grid(*_windows_of("adaptive_avg_pool2d", x.shape, size)), epilogue=epilogue)


@adaptive_avg_pool2d.gradient("x", formula="dx[u, v] = Σ dy[a, b] / size of the window, over windows that hold x[u, v]")
def _(dy: Array, *, size: Pair, x_shape: Shape) -> Array:
    rows, columns = _windows_of("adaptive_avg_pool2d", x_shape, size)
    dx = np.zeros(x_shape, dy.dtype)
    for (a, row), (b, column) in product(enumerate(rows), enumerate(columns)):
        share = dy[:, a : a + 1, b : b + 1] / np.asarray(row.divisor * column.divisor, dy.dtype)
        dx[:, row.at : row.at + row.taps, column.at : column.at + column.taps] += share
    return dx


@adaptive_avg_pool2d.lower("x")
def _(dx: View, dy: View, *, size: Pair, x_shape: Shape, epilogue: Epilogue = ()) -> list[Call]:
    return unpool(dx, dy, Grid(*_windows_of("adaptive_avg_pool2d", x_shape, size)), epilogue=epilogue)


def _windows_of(name: str, x: Shape, size: Pair) -> tuple[list[Window], list[Window]]:
    """`size` windows along h and w that cover the image, of equal size where possible. Raises as `axes_of` does."""
    check_images(name, x)
    if min(size) < 1:
        raise OptionError(f"{name}: output size {size}, expected whole numbers of at least 1")
    rows, columns = (
        [(a * n // out, -(-(a + 1) * n // out)) for a in range(out)] for n, out in zip(x[1:3], size, strict=True)
    )
    return [Window(a, 0, b - a, b - a) for a, b in rows], [Window(a, 0, b - a, b - a) for a, b in columns]


def axes_of(
    name: str, x: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> tuple[Axis, Axis]:
    """The windows along h and w. Raises OptionError for invalid settings, ShapeError for images that are too small.

    Without ceil_mode every window fits into the padded image; with it, the last may reach beyond, if it begins before
    the image's end (as in torch).
    """
    check_images(name, x)
    axes = []
    for axis, size, k, s, (before, after), d in zip(
        ("rows", "columns"), x[1:3], kernel, stride, padding, dilation, strict=True
    ):
        if k < 1 or s < 1 or d < 1 or min(before, after) < 0:
            raise OptionError(
                f"{name}: kernel {kernel}, stride {stride}, dilation {dilation}, padding {padding}: "
                "expected whole numbers of at least 1, for padding of at least 0"
            )
        reach = d * (k - 1) + 1
        if max(before, after) > reach // 2:
            raise OptionError(
                f"{name}: padding {padding} is more than half of the kernel {kernel} (dilation {dilation}): "
                "windows would hold nothing but padding; pad with nn.ZeroPad2d instead"
            )
        out = (size + before + after - reach + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= size + before:
            out -= 1
        found = Axis(size, out, k, s, d, before)
        if out < 1 or any(found.reach(a) == (0, 0) for a in range(out)):
            raise ShapeError(
                f"{name}: images {x[1]} x {x[2]} are too small for a kernel that reaches over {reach} {axis} "
                f"with padding {(before, after)}: use a smaller kernel, or pool less often before"
            )
        axes.append(found)
    return axes[0], axes[1]


def check_images(name: str, x: Shape) -> None:
    """Raise ShapeError unless x is a batch of images with pixels and channels."""
    if len(x) != 4:
        raise ShapeError(
            f"{name}: x has shape {x}, expected four axes, (images, height, width, channels): "
            "add the missing ones, as in x.reshape(n, h, w, 1)"
        )
    if 0 in x[1:]:
        raise ShapeError(f"{name}: images have shape {x[1:]}, expected at least one row, one column and one channel")


def pooled(x: Shape, axes: tuple[Axis, Axis]) -> Shape:
    """The shape of y: one pixel for each window."""
    return (x[0], axes[0].out, axes[1].out, x[3])


def with_frame(x: Array, axes: tuple[Axis, Axis], fill: float) -> Array:
    """x within padding that is large enough for every window."""
    sizes = [max(a.before + a.size, (a.out - 1) * a.stride + (a.taps - 1) * a.dilation + 1) for a in axes]
    framed = np.full((x.shape[0], *sizes, x.shape[3]), fill, x.dtype)
    inner(framed, axes)[...] = x
    return framed


def inner(framed: Array, axes: tuple[Axis, Axis]) -> Array:
    """The image within its padding."""
    rows, columns = axes
    return framed[:, rows.before : rows.before + rows.size, columns.before : columns.before + columns.size]


def taps_of(framed: Array, axes: tuple[Axis, Axis]) -> Iterator[tuple[int, Array]]:
    """Each tap's number, and what all windows hold there as a view (n, out, out, c)."""
    rows, columns = axes
    for i in range(rows.taps):
        for j in range(columns.taps):
            top, left = i * rows.dilation, j * columns.dilation
            down = slice(top, top + (rows.out - 1) * rows.stride + 1, rows.stride)
            right = slice(left, left + (columns.out - 1) * columns.stride + 1, columns.stride)
            yield i * columns.taps + j, framed[:, down, right]


NONE = ((0, 0), (0, 0))


def _max(
    kernel: Pair, stride: Pair, padding: Padding = NONE, dilation: Pair = (1, 1), ceil_mode: bool = False
) -> dict[str, Any]:
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}


def _avg(
    kernel: Pair, stride: Pair, padding: Padding = NONE, ceil_mode: bool = False, count_include_pad: bool = True
) -> dict[str, Any]:
    settings = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    return {**settings, "count_include_pad": count_include_pad}


def _halves(x: Array) -> Array:
    """Numbers so far apart that finite differences do not change which is the largest."""
    return np.argsort(np.argsort(x, axis=None)).reshape(x.shape) / 2.0 - x.size / 4.0


_TWO = _max((2, 2), (2, 2))
_ONES = ((1, 1), (1, 1))
_IMAGE = [[[[1.0], [5.0], [2.0]], [[4.0], [3.0], [6.0]], [[9.0], [7.0], [8.0]]]]  # 3 x 3 pixels of one channel

max_pool2d.cases(
    samples=[
        Sample(((2, 4, 6, 3),), _TWO, _halves),
        Sample(((1, 1, 1, 1),), _max((1, 1), (1, 1)), _halves),
        Sample(((0, 4, 4, 2),), _TWO, _halves),
        Sample(((2, 5, 7, 18),), _TWO, _halves),
        Sample(((2, 5, 7, 18),), _max((2, 2), (2, 2), ceil_mode=True), _halves),
        Sample(((2, 7, 6, 5),), _max((3, 3), (2, 2), _ONES), _halves),
        Sample(((2, 7, 6, 5),), _max((3, 3), (2, 2), _ONES, ceil_mode=True), _halves),
        Sample(((1, 6, 5, 33),), _max((3, 2), (1, 1)), _halves),
        Sample(((1, 9, 8, 2),), _max((3, 2), (2, 3), ((1, 1), (0, 0)), (2, 3)), _halves),
        Sample(((2, 3, 9, 4),), _max((1, 4), (3, 1), ((0, 0), (0, 2))), _halves),
        Sample(((3, 40, 40, 16),), _max((3, 3), (1, 1), _ONES), _halves),
        Sample(((40, 8, 8, 16),), _TWO, _halves),
        Sample(((2, 2, 2, 3),), _max((3, 3), (2, 2)), error=ShapeError),
        Sample(((2, 1, 1, 3),), _max((2, 2), (1, 1), ((2, 2), (2, 2)), (3, 3)), error=ShapeError),
        Sample(((4, 4, 3),), _TWO, error=ShapeError),
        Sample(((2, 4, 4, 0),), _TWO, error=ShapeError),
        Sample(((2, 4, 4, 3),), _max((0, 2), (2, 2)), error=OptionError),
        Sample(((2, 4, 4, 3),), _max((2, 2), (0, 1)), error=OptionError),
        Sample(((2, 4, 4, 3),), _max((2, 2), (2, 2), ((2, 0), (0, 0))), error=OptionError),
    ],
    examples=[
        Example((_IMAGE,), [[[[5.0], [6.0]], [[9.0], [8.0]]]], _max((2, 2), (1, 1))),
        Example((_IMAGE,), [[[[5.0], [6.0]], [[9.0], [8.0]]]], _max((2, 2), (2, 2), ceil_mode=True)),
        Example((_IMAGE,), [[[[9.0]]]], _max((2, 2), (2, 2), dilation=(2, 2))),
        Example(([[[[math.nan], [5.0], [2.0]]]],), [[[[math.nan], [5.0]]]], _max((1, 2), (1, 1))),
    ],
)

avg_pool2d.cases(
    samples=[
        Sample(((2, 4, 6, 3),), _avg((2, 2), (2, 2))),
        Sample(((1, 1, 1, 1),), _avg((1, 1), (1, 1))),
        Sample(((0, 4, 4, 2),), _avg((2, 2), (2, 2))),
        Sample(((2, 5, 7, 18),), _avg((2, 2), (2, 2))),
        Sample(((2, 5, 7, 18),), _avg((2, 2), (2, 2), ceil_mode=True)),
        Sample(((2, 7, 6, 5),), _avg((3, 3), (2, 2), _ONES)),
        Sample(((2, 7, 6, 5),), _avg((3, 3), (2, 2), _ONES, ceil_mode=True)),
        Sample(((2, 6, 7, 5),), _avg((3, 3), (2, 2), _ONES, True, False)),
        Sample(((1, 6, 5, 33),), _avg((3, 2), (1, 1), ((1, 1), (0, 0)), False, False)),
        Sample(((3, 40, 40, 16),), _avg((3, 3), (1, 1), _ONES)),
        Sample(((40, 8, 8, 16),), _avg((2, 2), (2, 2))),
        Sample(((2, 2, 2, 3),), _avg((3, 3), (2, 2)), error=ShapeError),
        Sample(((4, 4),), _avg((2, 2), (2, 2)), error=ShapeError),
        Sample(((2, 0, 4, 3),), _avg((2, 2), (2, 2)), error=ShapeError),
        Sample(((2, 4, 4, 3),), _avg((2, 2), (2, 2), ((0, 0), (0, -1))), error=OptionError),
    ],
    examples=[
        Example((_IMAGE,), [[[[3.25], [4.0]], [[5.75], [6.0]]]], _avg((2, 2), (1, 1))),
        Example((_IMAGE,), [[[[0.25], [1.75]], [[3.25], [6.0]]]], _avg((2, 2), (2, 2), _ONES)),
        Example((_IMAGE,), [[[[1.0], [3.5]], [[6.5], [6.0]]]], _avg((2, 2), (2, 2), _ONES, False, False)),
    ],
)

adaptive_avg_pool2d.cases(
    samples=[
        Sample(((2, 4, 6, 3),), {"size": (2, 3)}),
        Sample(((1, 1, 1, 1),), {"size": (1, 1)}),
        Sample(((0, 4, 4, 2),), {"size": (2, 2)}),
        Sample(((2, 7, 5, 17),), {"size": (3, 4)}),
        Sample(((2, 3, 2, 4),), {"size": (5, 4)}),
        Sample(((2, 8, 8, 32),), {"size": (1, 1)}),
        Sample(((2, 4, 4, 3),), {"size": (0, 1)}, error=OptionError),
        Sample(((2, 4),), {"size": (1, 1)}, error=ShapeError),
        Sample(((2, 4, 0, 3),), {"size": (1, 1)}, error=ShapeError),
    ],
    examples=[
        Example((_IMAGE,), [[[[5.0]]]], {"size": (1, 1)}),
        Example((_IMAGE,), [[[[3.25], [4.0]], [[5.75], [6.0]]]], {"size": (2, 2)}),
    ],
)
