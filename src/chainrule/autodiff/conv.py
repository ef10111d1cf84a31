"""Convolutions as functions of tensors. Images are (n, height, width, channels), sequences (n, length, channels)."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff.apply import apply
from chainrule.autodiff.padding import paddings
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import ShapeError
from chainrule.ops import conv, conv_transpose, shapes
from chainrule.settings import pair, whole


def conv2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of images with weights (kh, kw, c/groups, o) and bias (o,) or None; see `ops.conv`.

    Stride, padding and dilation are whole numbers or pairs (down, across); padding is also ((top, bottom), (left,
    right)), "same" for as many outputs as inputs, with stride 1, or "valid" for 0.
    """
    stride, dilation = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    sides = paddings("conv2d", padding, np.shape(w)[:2], stride, dilation)
    return apply(
        conv.conv2d,
        x,
        w,
        b,
        stride=stride,
        padding=sides,
        dilation=dilation,
        groups=whole("conv2d", "groups", groups, least=None),
    )


def conv1d(
    x: Any, w: Any, b: Any = None, stride: int = 1, padding: Any = 0, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of sequences (n, length, c) with weights (k, c/groups, o): conv2d on images of one row."""
    x, w = (v if isinstance(v, Tensor) else Tensor(as_array(v)) for v in (x, w))
    if x.ndim != 3 or w.ndim != 3:
        raise ShapeError(
            f"conv1d: x has shape {x.shape}, the weight {w.shape}: expected (n, length, channels) and (kernel, "
            "channels, channels)"
        )
    image, weight = (
        apply(shapes.reshape, v, shape=s) for v, s in ((x, (x.shape[0], 1, *x.shape[1:])), (w, (1, *w.shape)))
    )
    sides = padding if isinstance(padding, str) else (0, padding)
    y = conv2d(image, weight, b, (1, stride), sides, (1, dilation), groups)
    return apply(shapes.reshape, y, shape=(y.shape[0], *y.shape[2:]))


def conv_transpose2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The input gradient of conv2d as a layer, with weights (kh, kw, o/groups, c); see `ops.conv_transpose`."""
    name = "conv_transpose2d"
    return apply(
        conv_transpose.conv_transpose2d, x, w, b, stride=pair(name, "stride", stride),
        padding=paddings(name, padding), output_padding=pair(name, "output_padding", output_padding, 0),
        dilation=pair(name, "dilation", dilation), groups=whole(name, "groups", groups, least=None),
    )  # fmt: skip
