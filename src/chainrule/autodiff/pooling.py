"""Pooling of images as functions of tensors."""

from __future__ import annotations

from typing import Any, TypeAlias

from chainrule.autodiff.apply import apply
from chainrule.autodiff.padding import paddings
from chainrule.autodiff.tensor import Tensor
from chainrule.kernels.windows import Padding, Pair
from chainrule.ops import pooling, shapes
from chainrule.settings import pair

Size: TypeAlias = int | tuple[int, int]


def max_pool2d(
    x: Any, kernel_size: Size, stride: Size | None = None, padding: Any = 0, dilation: Size = 1, ceil_mode: bool = False
) -> Tensor:  # fmt: skip
    """The largest element of each window of images (n, h, w, c); the stride is the kernel's size unless given."""
    kernel, step, sides = _window("max_pool2d", kernel_size, stride, padding)
    apart = pair("max_pool2d", "dilation", dilation)
    return apply(pooling.max_pool2d, x, kernel=kernel, stride=step, padding=sides, dilation=apart, ceil_mode=ceil_mode)


def avg_pool2d(
    x: Any, kernel_size: Size, stride: Size | None = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of each window of images (n, h, w, c); the stride is the kernel's size unless given."""
    kernel, step, sides = _window("avg_pool2d", kernel_size, stride, padding)
    settings = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    return apply(pooling.avg_pool2d, x, kernel=kernel, stride=step, padding=sides, **settings)


def adaptive_avg_pool2d(x: Any, output_size: Size) -> Tensor:
    """The mean of each of output_size windows that cover images (n, h, w, c)."""
    return apply(pooling.adaptive_avg_pool2d, x, size=pair("adaptive_avg_pool2d", "output_size", output_size))


def global_avg_pool2d(x: Any) -> Tensor:
    """The mean of each channel over all pixels: images (n, h, w, c) become rows (n, c)."""
    y = adaptive_avg_pool2d(x, 1)
    return apply(shapes.reshape, y, shape=(y.shape[0], y.shape[3]))


def _window(owner: str, kernel_size: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, Padding]:
    kernel = pair(owner, "kernel_size", kernel_size)
    return kernel, kernel if stride is None else pair(owner, "stride", stride), paddings(owner, padding)
