"""LeNet-5, the convolutional network that read checks."""

from __future__ import annotations

from chainrule import nn
from chainrule.models.image import image_shape
from chainrule.native.memory import Shape


def lenet5(image: Shape = (28, 28, 1), classes: int = 10) -> nn.Sequential:
    """LeNet-5: two convolutions with average pooling, then three layers of 120, 84 and `classes` units, with tanh
    between.

    61,706 parameters for one channel and 10 classes. Images of 28 x 28 are padded by 2, as in the paper. Simpler than
    in the paper: pooling has no weights, the third layer sees all channels of the second, and the last is linear.
    Raises ShapeError for images below 16 x 16, which would shrink to nothing.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86
    (1998).
    """
    height, width, channels = image_shape("lenet5", image, least=16)
    border = 2 if (height, width) == (28, 28) else 0
    down, across = (((size + 2 * border - 4) // 2 - 4) // 2 for size in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=border),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(down * across * 16, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, classes),
    )
