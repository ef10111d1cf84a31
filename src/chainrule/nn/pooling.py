"""Pooling layers, for images (n, h, w, c)."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.module import Module
from chainrule.settings import flag, pair

Size = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest element of each window of x (n, h, w, c), in each channel; y has shape (n, oh, ow, c).

    oh = (h + 2·padding - dilation·(kernel_size - 1) - 1) / stride + 1, rounded down, or up with `ceil_mode` (off by
    default, and keyword-only because torch has another argument in that position). Sizes are whole numbers, or pairs
    (down, across). By default the stride is the kernel size, padding 0 and dilation 1. Padding is ignored, NaN counts
    as the largest; the first largest element gets the gradient, as in torch. Raises OptionError if the padding is more
    than half of the kernel, ShapeError if the image is smaller than the kernel.

    >>> nn.MaxPool2d(2)(np.ones((1, 28, 28, 6))).shape
    (1, 14, 14, 6)
    >>> nn.MaxPool2d(3, stride=2, padding=1)(np.ones((1, 28, 28, 6))).shape
    (1, 14, 14, 6)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair("MaxPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("MaxPool2d", "stride", stride, 1)
        self.padding = pair("MaxPool2d", "padding", padding, 0)
        self.dilation = pair("MaxPool2d", "dilation", dilation, 1)
        self.ceil_mode = flag("MaxPool2d", "ceil_mode", ceil_mode)

    def config(self) -> dict[str, Any]:
        sizes = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        return {**sizes, "dilation": self.dilation, "ceil_mode": self.ceil_mode}

    def forward(self, x: Tensor) -> Tensor:
        return functions.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(Module):
    """The mean of each window of x (n, h, w, c), in each channel; y has shape (n, oh, ow, c), with oh as in MaxPool2d.

    By default the stride is the kernel size, padding 0 and `ceil_mode` off. With `count_include_pad`, the default, the
    zeros of the padding are averaged too. Raises OptionError if the padding is more than half of the kernel, ShapeError
    if the image is smaller than the kernel.

    >>> nn.AvgPool2d(2)(np.ones((1, 28, 28, 6))).shape
    (1, 14, 14, 6)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = pair("AvgPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("AvgPool2d", "stride", stride, 1)
        self.padding = pair("AvgPool2d", "padding", padding, 0)
        self.ceil_mode = flag("AvgPool2d", "ceil_mode", ceil_mode)
        self.count_include_pad = flag("AvgPool2d", "count_include_pad", count_include_pad)

    def config(self) -> dict[str, Any]:
        sizes = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        return {**sizes, "ceil_mode": self.ceil_mode, "count_include_pad": self.count_include_pad}

    def forward(self, x: Tensor) -> Tensor:
        settings = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return functions.avg_pool2d(x, *settings)


class AdaptiveAvgPool2d(Module):
    """Means over windows chosen to give images of `output_size`: x (n, h, w, c) becomes y (n, oh, ow, c).

    Window a covers rows a·h/oh, rounded down, to (a + 1)·h/oh, rounded up, as in torch. `output_size` is a whole number
    or a pair (down, across). Raises OptionError for sizes below 1, ShapeError unless x has four axes.

    >>> nn.AdaptiveAvgPool2d(7)(np.ones((1, 20, 30, 6))).shape
    (1, 7, 7, 6)
    """

    def __init__(self, output_size: Size) -> None:
        self.output_size = pair("AdaptiveAvgPool2d", "output_size", output_size, 1)

    def config(self) -> dict[str, Any]:
        return {"output_size": self.output_size}

    def forward(self, x: Tensor) -> Tensor:
        return functions.adaptive_avg_pool2d(x, self.output_size)


class GlobalAvgPool2d(Module):
    """The mean of each channel over all pixels: images x (n, h, w, c) become rows y (n, c), ready for `Linear`.

    In torch: AdaptiveAvgPool2d(1), then Flatten(). Lin et al., Network In Network, ICLR 2014. Raises ShapeError unless
    x has four axes, with at least one pixel.

    >>> nn.GlobalAvgPool2d()(np.ones((4, 7, 7, 64))).shape
    (4, 64)
    """

    def forward(self, x: Tensor) -> Tensor:
        return functions.global_avg_pool2d(x)
