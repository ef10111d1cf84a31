"""How the pixels of images become inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.brightness import Brightness
from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import channel_scaling, normalize
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows
from chainrule.data.target import Target


@dataclass(frozen=True)
class ImageInputs:
    """The form of images, what their values mean, and the mean and standard deviation of each channel."""

    shape: tuple[int, int, int]  # height, width, channels
    brightness: Brightness
    scaling: Scaling
    kind: ClassVar[str] = "images"

    def x(self, images: Images) -> NDArray[np.float32]:
        """The pixels, scaled to mean 0 and deviation 1 per channel over the training images: (n, h, w, c) float32.

        Raises DataError for images whose values cannot be converted to the scale of the training images.
        """
        factor = self.brightness.factor(images)
        return normalize(images.pixels, Scaling(self.scaling.mean / factor, self.scaling.deviation / factor))

    def whole_rows(self, images: Images, target: Target | None) -> Images:
        """All of the images, with messages on how their values fit the scale; raises DataError if they do not."""
        notes = self.brightness.check(images, np.arange(images.rows))
        return replace(images, notes=(*images.notes, *notes))

    def black(self) -> tuple[float, ...]:
        """The scaled value of a black pixel, for each channel."""
        return tuple(self.scaling.apply(np.full(self.shape[-1], self.brightness.black)).tolist())

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "brightness": self.brightness.to_dict(),
            "scaling": self.scaling.to_dict(),
        }


def image_inputs(images: Images, rows: Rows) -> ImageInputs:
    """The inputs for images, on the scale of some rows."""
    height, width, channels = images.pixels.shape[1:]
    brightness, scaling = Brightness.of(images.pixels, rows), channel_scaling(images.pixels, rows)
    return ImageInputs((height, width, channels), brightness, scaling)
