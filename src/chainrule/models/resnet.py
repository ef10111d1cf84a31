"""Residual networks for small images."""

from __future__ import annotations

from chainrule import nn
from chainrule.errors import OptionError
from chainrule.models.image import image_shape
from chainrule.native.memory import Shape
from chainrule.nn import init
from chainrule.settings import whole

WIDTHS = (16, 32, 64)  # channels of the three stages


def resnet20(image: Shape = (32, 32, 3), classes: int = 10) -> nn.Sequential:
    """The residual network of 20 layers; 272,474 parameters for three channels. See `resnet`."""
    return resnet(20, image, classes)


def resnet32(image: Shape = (32, 32, 3), classes: int = 10) -> nn.Sequential:
    """The residual network of 32 layers; 466,906 parameters for three channels. See `resnet`."""
    return resnet(32, image, classes)


def resnet56(image: Shape = (32, 32, 3), classes: int = 10) -> nn.Sequential:
    """The residual network of 56 layers; 855,770 parameters for three channels. See `resnet`."""
    return resnet(56, image, classes)


def resnet(depth: int, image: Shape = (32, 32, 3), classes: int = 10) -> nn.Sequential:
    """A residual network of 6n + 2 layers for small images: three stages of n blocks with 16, 32 and 64 channels.

    A block is relu(x + F(x)), with F two 3x3 convolutions, each batch-normalized. The first block of the second and the
    third stage halves the image; its skip is a 1x1 convolution with stride 2, normalized too (the paper's option B).
    Option A, skipping pixels and adding channels of zeros, has no parameters, but would need its own layer and two
    passes over memory; B is made of existing layers, for 1 % more parameters. Convolutions are initialized as in He et
    al. (ICCV 2015). Raises OptionError for other depths.

    K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image recognition, CVPR 2016, section 4.2.
    """
    blocks = blocks_of("resnet", depth)
    channels = image_shape("resnet", image)[-1]
    layers: list[nn.Module] = [_conv(channels, WIDTHS[0]), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()]
    inputs = WIDTHS[0]
    for width in WIDTHS:
        for block in range(blocks):
            stride = 2 if block == 0 and width != inputs else 1
            layers += [_block(inputs, width, stride), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(inputs, classes))


def blocks_of(model: str, depth: int) -> int:
    """n of 6n + 2 layers: each of the three stages has n blocks of two layers. Raises OptionError for other depths."""
    if whole(model, "depth", depth) < 8 or depth % 6 != 2:
        raise OptionError(f"{model}: depth is {depth}, expected 6n + 2 layers: 8, 14, 20, 32, 56, ...")
    return (depth - 2) // 6


def _block(inputs: int, width: int, stride: int) -> nn.Residual:
    body = nn.Sequential(
        _conv(inputs, width, stride=stride),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        _conv(width, width),
        nn.BatchNorm2d(width),
    )
    if stride == 1:
        return nn.Residual(body)
    return nn.Residual(body, nn.Sequential(_conv(inputs, width, size=1, stride=stride), nn.BatchNorm2d(width)))


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the image's size, except for its stride; the normalization after it has the bias."""
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    init.he_normal(layer.weight)
    return layer
