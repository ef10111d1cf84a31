"""Deep networks without any remedy for vanishing and exploding gradients, to compare those with remedies to."""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule import nn
from chainrule.errors import OptionError
from chainrule.models.resnet import WIDTHS
from chainrule.ops.record import Shape


def plain_mlp(
    depth: int = 30,
    image: Shape = (28, 28, 1),
    classes: int = 10,
    width: int = 64,
    activation: Callable[[], nn.Module] = nn.Sigmoid,
) -> nn.Sequential:
    """`depth` fully connected layers, `width` units in all but the last, with an activation between.

    A sigmoid's slope is at most a quarter, so the gradient shrinks from layer to layer and the first hardly learn
    (Hochreiter 1991; Glorot and Bengio, AISTATS 2010). Raises OptionError for less than two layers.
    """
    if depth < 2:
        raise OptionError(f"plain_mlp: depth is {depth}, expected at least 2 layers")
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = math.prod(image)
    for _ in range(depth - 1):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def plain_cnn(
    depth: int = 20, image: Shape = (28, 28, 1), classes: int = 10, activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """The residual network of the same depth (`models.resnet`) without its skips and normalisation.

    6n + 2 layers: He et al. (CVPR 2016) show that such networks become worse with depth, also on the training data.
    Raises OptionError for other depths.
    """
    if depth < 8 or depth % 6 != 2:
        raise OptionError(f"plain_cnn: depth is {depth}, expected 6n + 2 layers: 8, 14, 20, 32, 56, ...")
    layers: list[nn.Module] = [nn.Conv2d(image[-1], WIDTHS[0], 3, padding=1), activation()]
    inputs = WIDTHS[0]
    for width in WIDTHS:
        for place in range((depth - 2) // 3):
            stride = 2 if place == 0 and width != inputs else 1
            layers += [nn.Conv2d(inputs, width, 3, stride, padding=1), activation()]
            inputs = width
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Linear(inputs, classes))
