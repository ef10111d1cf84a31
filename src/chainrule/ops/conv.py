"""Two-dimensional convolution of images (n, height, width, channels): `conv2d`.

Compiled by `kernels/correlation.py` (kernel `convolve`), 3x3 ones of many channels by `kernels/winograd.py`; the inner
loop of both is `native/microkernel.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.correlation import correlate, correlate_transposed, weight_gradient
from chainrule.kernels.products import column_sums, rows
from chainrule.kernels.windows import Padding, Pair, Windows, window_axis
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y[p, q] = b + Σᵢⱼ x[p·s + i·d - top, q·s + j·d - left]·w[i, j]",
    weights=("w", "b"),
    flops=lambda x, w, b: 2.0 * math.prod(x) * math.prod(w[:2]) * w[3],
)
def conv2d(
    x: Array, w: Array, b: Array | None = None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Cross-correlation of images x (n, h, w, c) with weights w (kh, kw, c/groups, o), plus bias b (o,) or None.

    s is the stride and d the dilation of each axis, top and left are paddings; pixels outside the image count as 0.
    Products are of channels: y[n, p, q, o] sums over c too. With groups, the outputs of a group see the inputs of that
    group only. Sizes of y: (size + padding - d·(k - 1) - 1) // s + 1. Raises ShapeError for channels that do not fit,
    and for a kernel larger than the padded image. LeCun et al., Neural Computation 1 (1989).
    """
    y = correlation(x, w, windows_of(x.shape, w.shape, stride, padding, dilation, groups))
    return y if b is None else y + b


@conv2d.shape
def _(x: Shape, w: Shape, b: Shape | None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Shape:
    check_settings("conv2d", x, w, stride, padding, dilation, groups)
    if x[3] != w[2] * groups:
        raise ShapeError(
            f"conv2d: x has {x[3]} channels, the weight of shape {w} with groups={groups} expects {w[2] * groups}: "
            f"images are (n, height, width, channels); pass {w[2] * groups} channels or build nn.Conv2d({x[3]}, ...)"
        )
    if w[3] % groups:
        raise ShapeError(f"conv2d: {w[3]} output channels cannot be shared by {groups} groups: make them a multiple")
    check_bias("conv2d", b, w[3])
    windows = windows_of(x, w, stride, padding, dilation, groups)
    if windows.down.out < 1 or windows.across.out < 1:
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, w, strict=False))
        padded = tuple(size + sum(p) for size, p in zip(x[1:3], padding, strict=True))
        raise ShapeError(
            f"conv2d: the kernel reaches over {reach[0]} x {reach[1]} pixels, the padded image has {padded[0]} x "
            f"{padded[1]}: use a smaller kernel or dilation, or more padding"
        )
    return (x[0], windows.down.out, windows.across.out, w[3])


@conv2d.lower
def _(
    y: View, x: View, w: View, b: View | None, *, stride: Pair, padding: Padding, dilation: Pair, groups: int,
    scratch: Scratch, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    windows = windows_of(x.shape, w.shape, stride, padding, dilation, groups)
    return correlate(y, x, w, windows, scratch, bias=b, epilogue=epilogue)


def correlation(x: Array, w: Array, windows: Windows) -> Array:
    """y[p] = Σᵢ x[p·s + i·d - before]·w[i], in both axes: the products of all windows with the weights."""
    return by_group(lambda seen, weight: np.tensordot(seen, weight, 3), sliding(x, windows), w, windows.groups)


def sliding(x: Array, w: Windows) -> Array:
    """A view (n, p, q, i, j, c) of the padded images: the pixel that output (p, q) sees at tap (i, j)."""
    (down, across) = (w.down, w.across)
    ends = [max(0, (a.out - 1) * a.stride + (a.taps - 1) * a.dilation + 1 - a.before - a.size) for a in (down, across)]
    padded = np.pad(x, ((0, 0), (down.before, ends[0]), (across.before, ends[1]), (0, 0)))
    n, row, column, channel = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (len(x), down.out, across.out, down.taps, across.taps, x.shape[3]),
        (n, row * down.stride, column * across.stride, row * down.dilation, column * across.dilation, channel),
        writeable=False,
    )


def by_group(product: Callable[[Array, Array], Array], a: Array, b: Array, groups: int) -> Array:
    """The product of each group of channels of a with that of b, side by side."""
    pairs = zip(np.split(a, groups, -1), np.split(b, groups, -1), strict=True)
    return np.concatenate([product(*pair) for pair in pairs], -1)


@conv2d.gradient("x", formula="dx[u, v] = Σ dy[p, q]·w[i, j]ᵀ over u = p·s + i·d - top, v = q·s + j·d - left")
def _(dy: Array, w: Array, *, x_shape: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    return transposed_correlation(dy, w, windows_of(x_shape, w.shape, stride, padding, dilation, groups))


@conv2d.lower("x")
def _(
    dx: View, dy: View, w: View, *, stride: Pair, padding: Padding, dilation: Pair, groups: int, scratch: Scratch,
    add: bool = False, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    windows = windows_of(dx.shape, w.shape, stride, padding, dilation, groups)
    return correlate_transposed(dx, dy, w, windows, scratch, add=add, epilogue=epilogue)


def transposed_correlation(dy: Array, w: Array, windows: Windows) -> Array:
    """dx[p·s + i·d - before] += dy[p]·w[i]ᵀ, in both axes: each dy goes back to the pixels of its window."""
    down, across = windows.down, windows.across
    dx = np.zeros((len(dy), down.size, across.size, windows.inputs), dy.dtype)
    for i in range(down.taps):
        for j in range(across.taps):
            (a, a_end), (b, b_end) = down.positions(i), across.positions(j)
            back = by_group(lambda flow, weight: flow @ weight.T, dy[:, a:a_end, b:b_end], w[i, j], windows.groups)
            top, left = (axis.input(p, t) for axis, p, t in ((down, a, i), (across, b, j)))
            dx[:, top :: down.stride, left :: across.stride][:, : a_end - a, : b_end - b] += back
    return dx


@conv2d.gradient("w", formula="dw[i, j] = Σ x[n, p·s + i·d - top, q·s + j·d - left]ᵀ·dy[n, p, q] over n, p, q")
def _(dy: Array, x: Array, *, w_shape: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Array:
    return weight_sums(x, dy, windows_of(x.shape, w_shape, stride, padding, dilation, groups))


@conv2d.lower("w")
def _(
    dw: View, dy: View, x: View, *, stride: Pair, padding: Padding, dilation: Pair, groups: int, scratch: Scratch,
    sums: View | None = None,
) -> list[Call]:  # fmt: skip
    windows = windows_of(x.shape, dw.shape, stride, padding, dilation, groups)
    return weight_gradient(dw, dy, x, windows, scratch, sums)


def weight_sums(x: Array, dy: Array, windows: Windows) -> Array:
    """dw[i] = Σₚ x[p·s + i·d - before]ᵀ·dy[p], in both axes and over all images."""
    pixels = (0, 1, 2), (0, 1, 2)
    return by_group(lambda seen, flow: np.tensordot(seen, flow, pixels), sliding(x, windows), dy, windows.groups)


@conv2d.gradient("b", formula="db = Σ dy[n, p, q] over n, p, q")
def _(dy: Array) -> Array:
    db: Array = np.sum(dy, axis=(0, 1, 2))
    return db


@conv2d.lower("b")
def _(db: View, dy: View, *, scratch: Scratch, add: bool = False) -> list[Call]:
    return column_sums(db, rows(dy), scratch, add=add)


def windows_of(x: Shape, w: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Windows:
    """The windows of a convolution of images x with weights w."""
    return _windows(x[1:], w, stride, padding, dilation, groups)


@functools.lru_cache(1024)
def _windows(image: Shape, w: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int) -> Windows:
    down, across = (window_axis(image[i], w[i], stride[i], padding[i], dilation[i]) for i in range(2))
    return Windows(down, across, image[2], w[3], groups)


def check_settings(
    name: str, x: Shape, w: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> None:  # fmt: skip
    """Raise ShapeError unless x and w have four axes, sizes and settings are at least 1, and paddings at least 0."""
    if len(x) != 4:
        raise ShapeError(f"{name}: x has shape {x}, expected images (n, height, width, channels): reshape x")
    if len(w) != 4:
        raise ShapeError(f"{name}: the weight has shape {w}, expected (height, width, channels, channels): reshape it")
    for what, values in (
        ("weight's shape", w),
        ("stride", stride),
        ("dilation", dilation),
        ("number of groups", (groups,)),
    ):
        if min(values) < 1:
            raise ShapeError(f"{name}: the {what} is {values}, expected 1 or more throughout")
    if min(*padding[0], *padding[1]) < 0:
        raise ShapeError(f"{name}: the padding is {padding}, expected 0 or more on each side: crop x by slicing")


def check_bias(name: str, b: Shape | None, channels: int) -> None:
    """Raise ShapeError unless the bias has one number for each output channel."""
    if b is not None and b != (channels,):
        raise ShapeError(f"{name}: the bias has shape {b}, expected ({channels},): one number per output channel")


def _sample(
    x: Shape, w: Shape, b: bool = True, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1), groups: int = 1, error: type[Exception] | None = None,
) -> Sample:  # fmt: skip
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Sample((x, w, (w[-1],) if b else None), attributes, error=error)


_SAME: Padding = ((1, 1), (1, 1))
_PLAIN = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}

conv2d.cases(
    samples=[
        _sample((2, 5, 6, 3), (3, 3, 3, 4)),
        _sample((2, 5, 7, 2), (3, 3, 2, 5), padding=_SAME),
        _sample((1, 1, 1, 1), (1, 1, 1, 1), False),
        _sample((1, 1, 1, 3), (3, 3, 3, 2), padding=_SAME),
        _sample((0, 4, 4, 2), (3, 3, 2, 3)),
        _sample((2, 0, 3, 2), (2, 1, 2, 3), padding=((1, 2), (0, 0))),
        _sample((3, 7, 5, 2), (3, 2, 2, 3), False, (2, 2), ((1, 0), (0, 1))),
        _sample((2, 8, 8, 3), (3, 3, 3, 4), stride=(2, 2), padding=_SAME),
        _sample((2, 9, 7, 2), (2, 2, 2, 3), stride=(3, 4)),
        _sample((2, 9, 8, 2), (3, 2, 2, 3), padding=((2, 1), (1, 3)), dilation=(2, 3)),
        _sample((1, 7, 9, 2), (3, 3, 2, 3), False, (2, 3), ((2, 2), (2, 2)), (2, 2)),
        _sample((1, 9, 9, 2), (3, 3, 2, 2), stride=(4, 2), padding=((3, 3), (3, 3)), dilation=(2, 4)),
        _sample((1, 2, 2, 1), (2, 2, 1, 2), padding=((4, 3), (5, 4))),
        _sample((1, 2, 3, 1), (5, 4, 1, 2), padding=((2, 1), (1, 1)), dilation=(1, 1)),
        _sample((2, 5, 5, 4), (3, 3, 2, 6), padding=_SAME, groups=2),
        _sample((2, 8, 9, 40), (3, 3, 40, 37), padding=_SAME),
        _sample((17, 6, 5, 33), (3, 3, 33, 48), padding=((0, 1), (2, 2))),
        _sample((1, 13, 6, 40), (3, 3, 40, 40), False, padding=((0, 0), (1, 1))),
        _sample((2, 5, 4, 6), (2, 3, 2, 3), False, (2, 1), _SAME, (1, 2), 3),
        _sample((2, 7, 6, 5), (3, 2, 1, 5), padding=_SAME, groups=5),
        _sample((2, 9, 8, 37), (3, 3, 1, 37), False, (2, 1), _SAME, (1, 2), 37),
        _sample((17, 3, 4, 2), (3, 3, 1, 2), padding=_SAME, groups=2),
        _sample((2, 6, 5, 3), (3, 3, 1, 6), padding=_SAME, groups=3),
        _sample((17, 4, 4, 3), (3, 3, 3, 4), padding=_SAME),
        _sample((20, 2, 2, 3), (3, 3, 3, 35), padding=_SAME),
        _sample((1, 30, 17, 3), (3, 3, 3, 20), padding=_SAME),
        _sample((1, 1, 40, 2), (1, 5, 2, 3), padding=((0, 0), (2, 2))),
        _sample((2, 5, 5, 3), (6, 3, 3, 4), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 3, 4), dilation=(1, 3), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 2, 4), error=ShapeError),
        _sample((2, 5, 5, 4), (3, 3, 2, 3), groups=2, error=ShapeError),
        _sample((2, 5, 5, 0), (3, 3, 0, 4), error=ShapeError),
        _sample((2, 5, 5, 3), (0, 3, 3, 4), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 3, 4), stride=(0, 1), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 3, 4), dilation=(1, 0), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 3, 4), groups=0, error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 3, 4), padding=((-1, 0), (0, 0)), error=ShapeError),
        _sample((5, 5, 3), (3, 3, 3, 4), error=ShapeError),
        _sample((2, 5, 5, 3), (3, 3, 4), error=ShapeError),
        Sample(((2, 5, 5, 3), (3, 3, 3, 4), (3,)), _PLAIN, error=ShapeError),
    ],
    examples=[
        Example(
            (np.arange(9.0).reshape(1, 3, 3, 1), np.reshape([1.0, 2.0, 3.0, 4.0], (2, 2, 1, 1)), [0.5]),
            np.reshape([27.5, 37.5, 57.5, 67.5], (1, 2, 2, 1)),
            _PLAIN,
        )
    ],
)
