"""A small convolutional network that trains quickly and works well on small images."""

from __future__ import annotations

from chainrule import nn
from chainrule.models.image import image_shape
from chainrule.native.memory import Shape


def small_cnn(image: Shape = (28, 28, 1), classes: int = 10) -> nn.Sequential:
    """Three pairs of 3x3 convolutions with 16, 32 and 64 channels, batch-normalized, then the mean over all pixels.

    72,666 parameters for one channel and 10 classes. Halving the image when the channels double keeps the work of each
    pair about equal (Simonyan and Zisserman, ICLR 2015); taking the mean instead of a large layer at the end saves most
    of the parameters (Lin et al., ICLR 2014). Pooling comes before ReLU, which gives the same result for a quarter of
    the work. Raises ShapeError for images below 4 x 4.
    """
    channels = image_shape("small_cnn", image, least=4)[-1]
    return nn.Sequential(
        *_pair(channels, 16),
        *_pair(16, 32),
        *_pair(32, 64, pool=False),
        nn.GlobalAvgPool2d(),
        nn.Dropout(0.2),
        nn.Linear(64, classes),
    )


def _pair(inputs: int, outputs: int, pool: bool = True) -> list[nn.Module]:
    """Two convolutions that keep the image's size, and pooling that halves it."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),  # the normalization's shift is its bias
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.ReLU(),
    ]
