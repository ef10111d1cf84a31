"""Transposed two-dimensional convolution of images (n, height, width, channels)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import ShapeError
from chainrule.kernels.correlation import correlate, correlate_transposed, weight_gradient
from chainrule.kernels.products import column_sums, rows
from chainrule.kernels.windows import Axis, Padding, Pair, Windows
from chainrule.native.kernel import Call, Epilogue
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops.conv import check_bias, check_settings, correlation, transposed_correlation, weight_sums
from chainrule.ops.record import Example, Sample, op


@op(
    formula="y[u, v] = b + Σ x[p, q]·w[i, j]ᵀ over u = p·s + i·d - top, v = q·s + j·d - left",
    flops=lambda x, w, b: 2.0 * math.prod(x) * math.prod(w[:3]),
)
def conv_transpose2d(
    x: Array, w: Array, b: Array | None = None, *,
    stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int,
) -> Array:  # fmt: skip
    """The input gradient of a convolution as a layer: images x (n, h, w, c), weights w (kh, kw, o/groups, c).

    The bias b is (o,) or None. Sizes of y: (size - 1)·s - padding + d·(k - 1) + 1 + output_padding. With a stride, a
    convolution takes images y of several sizes to one of x: `output_padding` chooses among them, by rows and columns at
    the end. Raises ShapeError for channels that do not fit, an image y without pixels, and output_padding that is not
    below stride or dilation. Zeiler et al., CVPR 2010.
    """
    y = transposed_correlation(x, w, windows_of(x.shape, w.shape, stride, padding, output_padding, dilation, groups))
    return y if b is None else y + b


@conv_transpose2d.shape
def _(
    x: Shape, w: Shape, b: Shape | None, *,
    stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int,
) -> Shape:  # fmt: skip
    name = "conv_transpose2d"
    check_settings(name, x, w, stride, padding, dilation, groups)
    if x[3] != w[3]:
        raise ShapeError(
            f"{name}: x has {x[3]} channels, the weight of shape {w} expects {w[3]}: images are (n, height, width, "
            f"channels); pass {w[3]} channels or build nn.ConvTranspose2d({x[3]}, ...)"
        )
    if w[3] % groups:
        raise ShapeError(f"{name}: {w[3]} input channels cannot be shared by {groups} groups: make them a multiple")
    check_bias(name, b, w[2] * groups)
    for extra, s, d in zip(output_padding, stride, dilation, strict=True):
        if not 0 <= extra < max(s, d):
            raise ShapeError(
                f"{name}: output_padding is {output_padding}, expected 0 or more and less than the stride {stride} or "
                f"the dilation {dilation}"
            )
    windows = windows_of(x, w, stride, padding, output_padding, dilation, groups)
    if windows.down.size < 1 or windows.across.size < 1:
        raise ShapeError(
            f"{name}: images of {x[1]} x {x[2]} pixels become {windows.down.size} x {windows.across.size}: use less "
            "padding or a larger kernel"
        )
    return (x[0], windows.down.size, windows.across.size, windows.inputs)


@conv_transpose2d.lower
def _(
    y: View, x: View, w: View, b: View | None, *, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair,
    groups: int, scratch: Scratch, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    windows = windows_of(x.shape, w.shape, stride, padding, output_padding, dilation, groups)
    return correlate_transposed(y, x, w, windows, scratch, bias=b, epilogue=epilogue)


@conv_transpose2d.gradient("x", formula="dx[p, q] = Σᵢⱼ dy[p·s + i·d - top, q·s + j·d - left]·w[i, j]")
def _(
    dy: Array, w: Array, *, x_shape: Shape, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    return correlation(dy, w, windows_of(x_shape, w.shape, stride, padding, output_padding, dilation, groups))


@conv_transpose2d.lower("x")
def _(
    dx: View, dy: View, w: View, *, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int,
    scratch: Scratch, add: bool = False, epilogue: Epilogue = (),
) -> list[Call]:  # fmt: skip
    windows = windows_of(dx.shape, w.shape, stride, padding, output_padding, dilation, groups)
    return correlate(dx, dy, w, windows, scratch, add=add, epilogue=epilogue)


@conv_transpose2d.gradient(
    "w", formula="dw[i, j] = Σ dy[n, p·s + i·d - top, q·s + j·d - left]ᵀ·x[n, p, q] over n, p, q"
)
def _(
    dy: Array, x: Array, *, w_shape: Shape, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair,
    groups: int,
) -> Array:  # fmt: skip
    return weight_sums(dy, x, windows_of(x.shape, w_shape, stride, padding, output_padding, dilation, groups))


@conv_transpose2d.lower("w")
def _(
    dw: View, dy: View, x: View, *, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int,
    scratch: Scratch,
) -> list[Call]:  # fmt: skip
    windows = windows_of(x.shape, dw.shape, stride, padding, output_padding, dilation, groups)
    return weight_gradient(dw, x, dy, windows, scratch)


@conv_transpose2d.gradient("b", formula="db = Σ dy[n, u, v] over n, u, v")
def _(dy: Array) -> Array:
    db: Array = np.sum(dy, axis=(0, 1, 2))
    return db


@conv_transpose2d.lower("b")
def _(db: View, dy: View, *, scratch: Scratch, add: bool = False) -> list[Call]:
    return column_sums(db, rows(dy), scratch, add=add)


def windows_of(
    x: Shape, w: Shape, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair, groups: int
) -> Windows:
    """The windows of the convolution in the other direction, from images y to images x."""
    down, across = (
        Axis(
            (x[1 + i] - 1) * stride[i] + dilation[i] * (w[i] - 1) + 1 + output_padding[i] - sum(padding[i]),
            x[1 + i], w[i], stride[i], dilation[i], padding[i][0],
        )
        for i in range(2)
    )  # fmt: skip
    return Windows(down, across, w[2] * groups, w[3], groups)


def _sample(
    x: Shape, w: Shape, b: bool = True, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)),
    output_padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1, error: type[Exception] | None = None,
) -> Sample:  # fmt: skip
    attributes: dict[str, Any] = {"stride": stride, "padding": padding, "output_padding": output_padding}
    attributes |= {"dilation": dilation, "groups": groups}
    return Sample((x, w, (w[2] * groups,) if b else None), attributes, error=error)


_SAME: Padding = ((1, 1), (1, 1))

conv_transpose2d.cases(
    samples=[
        _sample((2, 4, 5, 3), (3, 3, 4, 3)),
        _sample((2, 4, 5, 3), (3, 2, 4, 3), False, (2, 3)),
        _sample((1, 1, 1, 1), (1, 1, 1, 1)),
        _sample((0, 3, 3, 2), (3, 3, 2, 2)),
        _sample((2, 4, 3, 2), (3, 3, 5, 2), stride=(2, 2), padding=_SAME, output_padding=(1, 1)),
        _sample((2, 4, 3, 2), (2, 2, 3, 2), stride=(3, 3), output_padding=(1, 2)),
        _sample((1, 3, 4, 2), (2, 3, 3, 2), False, (2, 1), ((1, 0), (2, 1)), (2, 0), (3, 2)),
        _sample((2, 3, 4, 4), (3, 3, 3, 4), stride=(2, 2), padding=_SAME, groups=2),
        _sample((2, 3, 4, 5), (3, 3, 1, 5), stride=(2, 1), padding=_SAME, groups=5),
        _sample((2, 3, 3, 3), (3, 3, 2, 4), error=ShapeError),
        _sample((2, 3, 3, 3), (3, 3, 2, 3), groups=2, error=ShapeError),
        _sample((2, 1, 1, 3), (3, 3, 2, 3), padding=((2, 1), (1, 1)), error=ShapeError),
        _sample((2, 3, 3, 3), (3, 3, 2, 3), stride=(2, 2), output_padding=(2, 0), error=ShapeError),
        _sample((2, 3, 3, 3), (3, 3, 2, 3), output_padding=(-1, 0), error=ShapeError),
        _sample((2, 3, 3), (3, 3, 2, 3), error=ShapeError),
        Sample(((2, 3, 3, 3), (3, 3, 2, 3), (3,)), _sample((0,), (1, 1, 1, 1)).attributes, error=ShapeError),
    ],
    examples=[
        Example(
            (np.reshape([1.0, 2.0], (1, 1, 2, 1)), np.reshape([1.0, 10.0, 100.0], (1, 3, 1, 1)), [0.5]),
            np.reshape([1.5, 10.5, 102.5, 20.5, 200.5], (1, 1, 5, 1)),
            _sample((0,), (1, 1, 1, 1), stride=(1, 2)).attributes,
        )
    ],
)
