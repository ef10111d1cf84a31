"""Convolutions: layers that apply the same weights to the neighborhood of every pixel.

Arguments and initial weights are the same as in torch. Array layouts are not: images are (n, height, width, channels),
sequences (n, length, channels), and weights end in (in, out), as everywhere in chainrule.
"""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.padding import paddings
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.errors import OptionError
from chainrule.native.memory import Shape
from chainrule.nn import init, weights
from chainrule.nn.module import Module
from chainrule.settings import flag, pair, whole


class Conv2d(Module):
    """y = x ⋆ w + b for images x (n, h, w, in), weight (kh, kw, in/groups, out) and bias (out,).

    kernel_size, stride, padding and dilation are whole numbers or pairs (down, across); padding "same" keeps the size
    of the images (with stride 1), "valid" is 0. `groups` divides the channels into separate groups: groups = in = out
    is a depthwise convolution. y has (size + 2·padding - dilation·(kernel_size - 1) - 1) // stride + 1 rows and
    columns. Weights and bias start uniform in ±1/sqrt(kh·kw·in/groups), as in torch. Raises OptionError if the number
    of channels is not a multiple of the number of groups. LeCun et al., Neural Computation 1 (1989).

    >>> Conv2d(3, 8, 3, padding="same")(np.ones((4, 32, 32, 3), np.float32)).shape
    (4, 32, 32, 8)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        self.in_channels, self.out_channels, self.groups = _channels("Conv2d", in_channels, out_channels, groups)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.padding = padding
        paddings("Conv2d", padding, self.kernel_size, self.stride, self.dilation)  # only checks it
        shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)
        self.weight, self.bias = _parameters(shape, self.out_channels if flag("Conv2d", "bias", bias) else None)

    def config(self) -> dict[str, Any]:
        return _config(self)

    def forward(self, x: Tensor) -> Tensor:
        return functions.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(Module):
    """A convolution over sequences x (n, length, in), with weight (kernel_size, in/groups, out); all sizes are numbers.

    >>> Conv1d(2, 4, 5, stride=2)(np.ones((3, 11, 2), np.float32)).shape
    (3, 4, 4)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int | str = 0,
        dilation: int = 1, groups: int = 1, bias: bool = True,
    ) -> None:  # fmt: skip
        self.in_channels, self.out_channels, self.groups = _channels("Conv1d", in_channels, out_channels, groups)
        self.kernel_size = whole("Conv1d", "kernel_size", kernel_size, least=1)
        self.stride = whole("Conv1d", "stride", stride, least=1)
        self.dilation = whole("Conv1d", "dilation", dilation, least=1)
        self.padding = padding
        paddings("Conv1d", padding, (1, self.kernel_size), (1, self.stride), (1, self.dilation))
        shape = (self.kernel_size, self.in_channels // self.groups, self.out_channels)
        self.weight, self.bias = _parameters(shape, self.out_channels if flag("Conv1d", "bias", bias) else None)

    def config(self) -> dict[str, Any]:
        return _config(self)

    def forward(self, x: Tensor) -> Tensor:
        return functions.conv1d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(Module):
    """Transposed convolution, the input gradient of Conv2d as a layer: x (n, h, w, in), weight (kh, kw, out/groups,
    in).

    Enlarges images by the stride: y has (size - 1)·stride - 2·padding + dilation·(kernel_size - 1) + 1 +
    output_padding rows and columns; output_padding must be below the stride or the dilation. Weights and bias start
    uniform in ±1/sqrt(kh·kw·out/groups), as in torch. Zeiler et al., CVPR 2010.

    >>> ConvTranspose2d(8, 3, 2, stride=2)(np.ones((4, 16, 16, 8), np.float32)).shape
    (4, 32, 32, 3)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1,
    ) -> None:  # fmt: skip
        name = "ConvTranspose2d"
        self.in_channels, self.out_channels, self.groups = _channels(name, in_channels, out_channels, groups)
        self.kernel_size = pair(name, "kernel_size", kernel_size, 1)
        self.stride = pair(name, "stride", stride, 1)
        self.dilation = pair(name, "dilation", dilation, 1)
        self.output_padding = pair(name, "output_padding", output_padding, 0)
        self.padding = padding
        paddings(name, padding)
        shape = (*self.kernel_size, self.out_channels // self.groups, self.in_channels)
        self.weight, self.bias = _parameters(shape, self.out_channels if flag(name, "bias", bias) else None)

    def config(self) -> dict[str, Any]:
        return {**_config(self), "output_padding": self.output_padding}

    def forward(self, x: Tensor) -> Tensor:
        return functions.conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


def _config(layer: Conv2d | Conv1d | ConvTranspose2d) -> dict[str, Any]:
    """The settings that all convolutions have."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {**{name: getattr(layer, name) for name in names}, "bias": layer.bias is not None}


def _channels(owner: str, in_channels: int, out_channels: int, groups: int) -> tuple[int, int, int]:
    """The three numbers, checked: channels must divide evenly into groups."""
    groups = whole(owner, "groups", groups, least=1)
    for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
        if whole(owner, name, count, least=1) % groups:
            raise OptionError(f"{owner}: {name} is {count} with groups={groups}, expected a multiple of the groups")
    return int(in_channels), int(out_channels), groups


def _parameters(shape: Shape, biases: int | None) -> tuple[Parameter, Parameter | None]:
    """Weight and bias, uniform in ±1/sqrt(fan_in): torch's kaiming_uniform with a = sqrt 5."""
    bound = init.fans(shape)[0] ** -0.5
    weight = weights.uniform(shape, bound)  # drawn first, so that a seed always gives the same network
    return weight, None if biases is None else weights.uniform((biases,), bound)
