"""Checks the shape of the images a model is built for."""

from __future__ import annotations

from chainrule.errors import ShapeError
from chainrule.native.memory import Shape
from chainrule.settings import whole


def image_shape(model: str, image: Shape, least: int = 1) -> tuple[int, int, int]:
    """(height, width, channels), checked; raises ShapeError unless there are three, and for sides below `least`."""
    if not isinstance(image, (tuple, list)) or len(image) != 3:
        raise ShapeError(f"{model}: image is {image!r}, expected (height, width, channels), as in (28, 28, 1)")
    height, width, channels = (whole(model, "image", number) for number in image)
    if min(height, width) < least:
        raise ShapeError(
            f"{model}: images are {height} x {width}, expected at least {least} x {least}: pad or enlarge them"
        )
    return height, width, channels
