"""Convolutions as functions of tensors. Images are (n, height, width, channels), sequences (n, length, channels)."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import OptionError, ShapeError
from chainrule.ops import conv_transpose, convolution, shapes
from chainrule.ops.convolution import Padding, Pair
from chainrule.settings import choice


def conv2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor:
    """Cross-correlation of images with weights (kh, kw, c/groups, o) and bias (o,) or None; see `ops.convolution`.

    Stride, padding and dilation are whole numbers or pairs (down, across); padding is also ((top, bottom), (left,
    right)), "same" for as many outputs as inputs, with stride 1, or "valid" for 0.
    """
    stride, dilation = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    sides = paddings("conv2d", padding, np.shape(w)[:2], stride, dilation)
    return apply(convolution.conv2d, x, w, b, stride=stride, padding=sides, dilation=dilation, groups=groups)


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
        conv_transpose.conv_transpose2d, x, w, b, stride=pair(name, "stride", stride, 1),
        padding=paddings(name, padding), output_padding=pair(name, "output_padding", output_padding, 0),
        dilation=pair(name, "dilation", dilation, 1), groups=groups,
    )  # fmt: skip


def pair(owner: str, name: str, value: Any, least: int) -> Pair:
    """(down, across) of a whole number or a pair. Raises OptionError for others, and below `least`."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(_is_whole(v) and v >= least for v in both):
        raise OptionError(
            f"{owner}: {name} is {value!r}, expected a whole number of at least {least}, or a pair of them"
        )
    return int(both[0]), int(both[1])


def paddings(
    owner: str, value: Any, kernel: tuple[int, ...] = (), stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> Padding:
    """((top, bottom), (left, right)) of a whole number, a pair, pairs of pairs; "same" or "valid" too with a `kernel`.

    "same" puts an odd pixel at the end, as torch does. Raises OptionError for others, and for "same" with a stride.
    """
    if kernel and isinstance(value, str):
        value = 0 if choice(owner, "padding", value, ("same", "valid")) == "valid" else value
    if kernel and value == "same":
        if stride != (1, 1):
            raise OptionError(f'{owner}: padding is "same" with stride {stride}: use stride 1, or padding as numbers')
        down, across = (d * (k - 1) for d, k in zip(dilation, kernel, strict=False))
        return (down // 2, down - down // 2), (across // 2, across - across // 2)
    down, across = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    return pair(owner, "padding", down, 0), pair(owner, "padding", across, 0)


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
