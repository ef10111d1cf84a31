"""How the pixels of images become inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import channel_scaling, normalize
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows


@dataclass(frozen=True)
class ImageInputs:
    """The form of images, and the mean and deviation of each channel."""

    shape: tuple[int, int, int]  # height, width, channels
    scaling: Scaling
    kind: ClassVar[str] = "images"

    def x(self, images: Images) -> NDArray[np.float32]:
        """The pixels, each channel with mean 0 and deviation 1 over the training images: (n, h, w, c) float32."""
        return normalize(images.pixels, self.scaling)

    def whole_rows(self, images: Images, target: str | None) -> Images:
        """All of the images, as there are none without pixels."""
        return images

    def black(self) -> tuple[float, ...]:
        """What a black pixel is to the network, for each channel."""
        return tuple(self.scaling.apply(np.zeros(self.shape[-1])).tolist())

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "shape": list(self.shape), "scaling": self.scaling.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageInputs:
        """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        height, width, channels = values["shape"]
        if len(values["scaling"]["mean"]) != channels:
            raise ValueError("as many means as channels were expected")
        return cls((height, width, channels), Scaling.from_dict(values["scaling"]))


def image_inputs(images: Images, rows: Rows) -> ImageInputs:
    """The inputs that images make, each channel scaled by some rows."""
    height, width, channels = images.pixels.shape[1:]
    return ImageInputs((height, width, channels), channel_scaling(images.pixels[rows]))
