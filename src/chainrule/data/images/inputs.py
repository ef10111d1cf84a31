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
    """The form of images, what their values mean, and the mean and deviation of each channel."""

    shape: tuple[int, int, int]  # height, width, channels
    brightness: Brightness
    scaling: Scaling
    kind: ClassVar[str] = "images"

    def x(self, images: Images) -> NDArray[np.float32]:
        """The pixels, each channel with mean 0 and deviation 1 over the training images: (n, h, w, c) float32.

        DataError for images whose values cannot be brought to the scale of the training's.
        """
        factor = self.brightness.factor(images)
        return normalize(images.pixels, Scaling(self.scaling.mean / factor, self.scaling.deviation / factor))

    def whole_rows(self, images: Images, target: Target | None) -> Images:
        """All of the images, with notes on how their values fit the scale; DataError where they do not."""
        notes = self.brightness.check(images, np.arange(images.rows))
        return replace(images, notes=(*images.notes, *notes))

    def black(self) -> tuple[float, ...]:
        """What a black pixel is to the network, for each channel."""
        return tuple(self.scaling.apply(np.full(self.shape[-1], self.brightness.black)).tolist())

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "brightness": self.brightness.to_dict(),
            "scaling": self.scaling.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageInputs:
        """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        height, width, channels = values["shape"]
        if len(values["scaling"]["mean"]) != channels:
            raise ValueError("as many means as channels were expected")
        brightness = Brightness(**values["brightness"])
        return cls((height, width, channels), brightness, Scaling.from_dict(values["scaling"]))


def image_inputs(images: Images, rows: Rows) -> ImageInputs:
    """The inputs that images make, on the scale of some rows."""
    height, width, channels = images.pixels.shape[1:]
    brightness, scaling = Brightness.of(images.pixels, rows), channel_scaling(images.pixels, rows)
    return ImageInputs((height, width, channels), brightness, scaling)
