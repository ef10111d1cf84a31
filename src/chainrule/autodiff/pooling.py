"""Pooling, resizing and padding of images as functions of tensors; `chainrule.autodiff.functions` offers them with all
others."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from chainrule.autodiff.apply import apply
from chainrule.autodiff.tensor import Tensor
from chainrule.ops import padding as framing
from chainrule.ops import pooling, reductions, resizing

Size: TypeAlias = int | tuple[int, int]


def max_pool2d(
    x: Any, kernel_size: Size, stride: Size | None = None, padding: Any = 0, dilation: Size = 1, ceil_mode: bool = False
) -> Tensor:  # fmt: skip
    """The largest element of each window of images (n, h, w, c); the stride is the kernel's size unless given."""
    kernel = _pair(kernel_size)
    step = kernel if stride is None else _pair(stride)
    sides = _sides(padding)
    return apply(
        pooling.max_pool2d, x, kernel=kernel, stride=step, padding=sides, dilation=_pair(dilation), ceil_mode=ceil_mode
    )


def avg_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of images (n, h, w, c); the stride is the kernel's size unless given."""
    kernel = _pair(kernel_size)
    return apply(
        pooling.avg_pool2d,
        x,
        kernel=kernel,
        stride=kernel if stride is None else _pair(stride),
        padding=_sides(padding),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def adaptive_avg_pool2d(x: Any, output_size: Size) -> Tensor:
    """The mean of each of output_size windows that cover images (n, h, w, c)."""
    return apply(pooling.adaptive_avg_pool2d, x, size=_pair(output_size))


def global_avg_pool2d(x: Any) -> Tensor:
    """The mean of each channel over all pixels: images (n, h, w, c) become rows (n, c)."""
    shape = np.shape(x) if not isinstance(x, Tensor) else x.shape
    pooling.check_images("global_avg_pool2d", shape)
    return apply(reductions.mean, x, axis=(1, 2), keepdims=False)


def upsample_nearest(x: Any, scale_factor: Size) -> Tensor:
    """Every pixel of images (n, h, w, c) repeated scale_factor times down and across."""
    return apply(resizing.upsample_nearest, x, scale=_pair(scale_factor))


def zero_pad2d(x: Any, padding: int | tuple[int, int, int, int]) -> Tensor:
    """Images (n, h, w, c) amid zeros: as many on each side, or (left, right, top, bottom)."""
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, (int, np.integer)) else padding
    return apply(framing.zero_pad2d, x, padding=((int(top), int(bottom)), (int(left), int(right))))


def _pair(value: Size) -> tuple[int, int]:
    """(rows, columns); one number is both."""
    down, across = (value, value) if isinstance(value, (int, np.integer)) else value
    return int(down), int(across)


def _sides(padding: Size) -> tuple[tuple[int, int], tuple[int, int]]:
    down, across = _pair(padding)
    return (down, down), (across, across)
