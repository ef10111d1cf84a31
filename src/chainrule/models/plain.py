"""Deep networks without any remedy for vanishing and exploding gradients, for comparison."""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule import nn
from chainrule.models.image import image_shape
from chainrule.models.resnet import WIDTHS, blocks_of
from chainrule.native.memory import Shape
from chainrule.settings import whole


def plain_mlp(
    image: Shape = (28, 28, 1),
    classes: int = 10,
    *,
    depth: int = 30,
    width: int = 64,
    activation: Callable[[], nn.Module] = nn.Sigmoid,
) -> nn.Sequential:
    """`depth` fully connected layers, `width` units in all but the last, with activations between.

    A sigmoid's slope is at most a quarter, so the gradient shrinks from layer to layer and the first layers hardly
    learn (Hochreiter 1991; Glorot and Bengio, AISTATS 2010). Raises OptionError for fewer than two layers.

    >>> model = plain_mlp((28, 28, 1), classes=10, depth=30, activation=nn.Tanh)
    """
    whole("plain_mlp", "depth", depth, least=2)
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = math.prod(image_shape("plain_mlp", image))
    for _ in range(depth - 1):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def plain_cnn(
    image: Shape = (28, 28, 1), classes: int = 10, *, depth: int = 20, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """The residual network of the same depth (`models.resnet`) without its skips and normalization.

    6n + 2 layers: He et al. (CVPR 2016) show that such networks become worse with depth, even on the training data.
    Raises OptionError for other depths.

    >>> model = plain_cnn((32, 32, 3), classes=10, depth=32)
    """
    blocks = blocks_of("plain_cnn", depth)
    channels = image_shape("plain_cnn", image)[-1]
    layers: list[nn.Module] = [nn.Conv2d(channels, WIDTHS[0], 3, padding=1), activation()]
    inputs = WIDTHS[0]
    for width in WIDTHS:
        for place in range(2 * blocks):
            stride = 2 if place == 0 and width != inputs else 1
            layers += [nn.Conv2d(inputs, width, 3, stride, padding=1), activation()]
            inputs = width
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(inputs, classes))
