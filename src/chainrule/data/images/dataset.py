"""A data set of images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.arrays import to_array
from chainrule.data.dataset import Labels
from chainrule.data.images.pixels import Pixels
from chainrule.errors import DataError, LabelError

Told: TypeAlias = Callable[[str, int, int], None]  # (what is being done, pictures done, total)


@dataclass(frozen=True)
class Images:
    """Images of the same form, their labels, and which of them the data reserves for testing."""

    source: str
    pixels: Pixels  # (n, h, w, c)
    targets: NDArray[Any] | None = None  # (n,): names as objects, or whole numbers as int64; None: unknown
    validation: int = 0  # this many before the test part are the data's own validation part
    test: int = 0  # this many at the end are the data's own test part
    names: tuple[str, ...] = ()  # of the classes, if targets are class numbers
    files: tuple[str, ...] = ()  # of the pictures, in a folder
    notes: tuple[str, ...] = ()  # messages for the user about what reading changed

    def __post_init__(self) -> None:
        """Raises DataError for arrays that hide values."""
        object.__setattr__(self, "pixels", to_array(f"{self.source}: pixels", self.pixels, DataError))
        if self.targets is not None:
            object.__setattr__(self, "targets", to_array(f"{self.source}: targets", self.targets, DataError))

    def __repr__(self) -> str:
        return f"<Images {self.source}: {self.rows:,} of {' x '.join(map(str, self.pixels.shape[1:]))}>"

    @property
    def rows(self) -> int:
        return len(self.pixels)

    def number(self, row: int) -> int:
        """The number of an image, from 1, for messages."""
        return row + 1

    def where(self, row: int) -> str:
        """The location of an image, for messages."""
        if self.files:
            return self.files[row]
        train = self.rows - self.validation - self.test
        for part, start in (("test", train + self.validation), ("validation", train)):
            if row >= start:
                return f"{self.source}: row {row - start + 1} of the {part} part"
        return f"{self.source}: row {row + 1}"

    def take(self, rows: NDArray[np.int64]) -> Images:
        """These images, in this order, without separate parts."""
        return replace(
            self,
            pixels=self.pixels[rows],
            targets=None if self.targets is None else self.targets[rows],
            validation=0,
            test=0,
            files=tuple(self.files[row] for row in rows) if self.files else (),
        )

    def fingerprint(self) -> str:
        """A hash of pixels and targets, so that a run can recognize its training data."""
        form = f"images {self.pixels.shape} {self.pixels.dtype} {self.validation} {self.test}"
        digest = hashlib.sha256(form.encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        if self.targets is not None:
            digest.update("\0".join(map(str, self.targets)).encode())
        return digest.hexdigest()[:16]

    def labels(self, column: str | None = None) -> Labels:
        """The labels of the images; raises DataError if they are unknown, LabelError for numbers without a class."""
        if self.targets is None:
            raise DataError(f"{self.source}: the images have no labels: expected labels, or folders of class/name.png")
        if not self.names:
            numbered = self.targets.dtype != object
            return Labels(self.source, np.array([str(t) for t in self.targets], dtype=object), (), numbered)
        low, high = int(self.targets.min()), int(self.targets.max())
        if not 0 <= low <= high < len(self.names):
            raise LabelError(f"{self.source}: labels go from {low} to {high}, expected 0 to {len(self.names) - 1}")
        return Labels(self.source, np.array(self.names, dtype=object)[self.targets], self.names)


@dataclass(frozen=True)
class Reading:
    """How images are read: what to do with pictures of other sizes and with broken ones."""

    height: int | None = None  # None: the first picture's
    width: int | None = None
    channels: int | None = None  # None: 1 if all are gray, otherwise 3
    resize: bool = False  # other sizes are resized, otherwise rejected
    broken: str = "refuse"  # or "skip"
    labelled: bool = True  # whether labels are required
    told: Told | None = None  # called with the progress of reading many pictures

    @property
    def sized(self) -> bool:
        return self.height is not None and self.width is not None
