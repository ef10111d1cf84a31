"""Images -> arrays to train on, and the record by which later images are treated the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import channel_scaling, normalize
from chainrule.data.images.targets import class_places, find_image_classes
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows, Split, split_rows
from chainrule.data.target import Class
from chainrule.errors import DataError

KIND = "images"  # by which a run's record is told from that of a table


@dataclass(frozen=True)
class ImagePreparation:
    """How images become arrays: their form, the classes, and the mean and deviation of each channel.

    The interface is that of `chainrule.data.preparation.Preparation`.
    """

    input_shape: tuple[int, int, int]  # height, width, channels
    classes: tuple[Class, ...]
    inputs: Scaling
    task: str = "classify"
    quantity: Scaling | None = None

    @property
    def outputs(self) -> int:
        """How many numbers a network for these classes puts out."""
        return len(self.classes)

    def x(self, images: Images) -> NDArray[np.float32]:
        """The pixels, each channel with mean 0 and deviation 1 over the training images: (n, h, w, c) float32."""
        return normalize(images.pixels, self.inputs)

    def y(self, images: Images) -> NDArray[np.int64]:
        """The class numbers (n,); LabelError names a class that is none of these."""
        assert images.targets is not None, "images without targets"
        return class_places(images.source, images.targets, images.names, self.classes)

    def whole_rows(self, images: Images, with_target: bool) -> Images:
        """The images this preparation can use: all of them. DataError where targets are needed and there are none."""
        if with_target and images.targets is None:
            raise DataError(f"{images.source}: what the images show is not known: expected labels, or class/name.png")
        return images

    def split(self, images: Images, y: Rows, *, validation: float, test: float, seed: int) -> Split:
        return split_images(images, y, validation=validation, test=test, seed=seed)

    def black(self) -> tuple[float, ...]:
        """What a black pixel is to the network, for each channel."""
        return tuple(self.inputs.apply(np.zeros(self.input_shape[-1])).tolist())

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "input_shape": list(self.input_shape),
            "classes": list(self.classes),
            "inputs": self.inputs.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreparation:
        """What `to_dict` wrote; KeyError, TypeError or ValueError for anything else."""
        height, width, channels = values["input_shape"]
        if len(values["inputs"]["mean"]) != channels:
            raise ValueError("as many means as channels were expected")
        return cls((height, width, channels), tuple(values["classes"]), Scaling.from_dict(values["inputs"]))


@dataclass(frozen=True)
class ImageParts:
    """Images made ready: their split, their class numbers, and the inputs of any of them when asked."""

    images: Images
    preparation: ImagePreparation
    split: Split
    y: NDArray[np.int64]

    @property
    def data(self) -> Images:
        return self.images

    @property
    def notes(self) -> tuple[str, ...]:
        return self.images.notes

    def arrays(self, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """x and y of some rows."""
        return self.preparation.x(self.images.take(rows)), self.y[rows]


def prepare_images(
    images: Images, *, validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> tuple[ImagePreparation, ImageParts]:
    """Find the classes, split the images, and measure the channels of the training ones.

    The data's own validation and test parts are taken as they are, unless `validation` or `test` is 0; the fractions
    are of the others. Raises
    DataError for one class or too few images, OptionError for fractions without meaning.
    """
    if images.targets is None:
        raise DataError(f"{images.source}: what the images show is not known: expected labels, or class/name.png")
    classes = find_image_classes(images.source, images.targets, images.names)
    y = class_places(images.source, images.targets, images.names, classes)
    split = split_images(images, y, validation=validation, test=test, seed=seed)
    height, width, channels = images.pixels.shape[1:]
    scaling = channel_scaling(images.pixels[split.train])
    preparation = ImagePreparation((height, width, channels), classes, scaling)
    return preparation, ImageParts(images, preparation, split, y)


def split_images(images: Images, y: Rows, *, validation: float, test: float, seed: int) -> Split:
    """The parts of images of classes y (n,); see `prepare_images`."""
    own = images.rows - images.validation - images.test
    drawn = (0.0 if images.validation else validation, 0.0 if images.test else test)
    split = split_rows(own, validation=drawn[0], test=drawn[1], seed=seed, classes=y[:own])
    given = np.arange(own, images.rows)
    validated, tested = given[: images.validation], given[images.validation :]
    return Split(
        split.train,
        validated if images.validation and validation > 0 else split.validation,
        tested if images.test and test > 0 else split.test,
    )
