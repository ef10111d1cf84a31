"""The networks themselves."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.networks.layers import (
    Activation,
    BatchNorm,
    Convolution,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    Pool,
    Residual,
)

RELU, TANH = Activation("relu"), Activation("tanh")


def mlp(*widths: int, activation: str = "relu") -> tuple[Layer, ...]:
    """Linear layers of these widths (inputs, hidden..., outputs), an activation after all but the last."""
    layers: list[Layer] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs), Activation(activation)]
    return tuple(layers[:-1])


def cnn() -> tuple[Layer, ...]:
    """Two 3x3 convolutions of 32 and 64 channels, each pooled by two, and a linear layer, for 28x28 images."""
    return (
        *(Convolution(1, 32, 3, padding=1), RELU, Pool("max", 2)),
        *(Convolution(32, 64, 3, padding=1), RELU, Pool("max", 2)),
        *(Flatten(), Linear(64 * 7 * 7, 10)),
    )


def lenet5() -> tuple[Layer, ...]:
    """LeNet-5 for 28x28 images, as `chainrule.models.lenet5`; LeCun et al., Proceedings of the IEEE 86 (1998)."""
    return (
        *(Convolution(1, 6, 5, padding=2), TANH, Pool("mean", 2)),
        *(Convolution(6, 16, 5), TANH, Pool("mean", 2)),
        *(Flatten(), *mlp(16 * 5 * 5, 120, 84, 10, activation="tanh")),
    )


def resnet20() -> tuple[Layer, ...]:
    """Nine residual blocks of 16, 32 and 64 channels for 32x32 images, as `chainrule.models.resnet20`.

    He et al., Deep residual learning for image recognition, CVPR 2016, section 4.2. Where a
    block changes the shape, its shortcut is a 1x1 convolution with batch normalization.
    """
    layers: list[Layer] = [Convolution(3, 16, 3, padding=1, bias=False), BatchNorm(16), RELU]
    inputs = 16
    for outputs in (16, 32, 64):
        for place in range(3):
            stride = 2 if place == 0 and outputs > 16 else 1
            layers += [_block(inputs, outputs, stride), RELU]
            inputs = outputs
    return (*layers, GlobalAveragePool(), Linear(64, 10))


def _block(inputs: int, outputs: int, stride: int) -> Residual:
    body = (
        *(Convolution(inputs, outputs, 3, stride, padding=1, bias=False), BatchNorm(outputs), RELU),
        *(Convolution(outputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs)),
    )
    if (inputs, stride) == (outputs, 1):
        return Residual(body)
    return Residual(body, (Convolution(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs)))
