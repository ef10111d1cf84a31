"""A set of images in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Labels
from chainrule.data.images.pixels import Pixels
from chainrule.errors import DataError, LabelError

Told: TypeAlias = Callable[[str, int, int], None]  # (what is being done, pictures done, of so many)


@dataclass(frozen=True)
class Images:
    """Images of one form, what each shows, and which of them the data sets aside for testing."""

    source: str
    pixels: Pixels  # (n, h, w, c)
    targets: NDArray[Any] | None = None  # (n,): names as objects, or whole numbers as int64; None: nothing is known
    validation: int = 0  # so many before the test part are the data's own validation part
    test: int = 0  # so many at the end are the data's own test part
    names: tuple[str, ...] = ()  # of the classes, where targets are their numbers
    files: tuple[str, ...] = ()  # of the pictures, in a folder
    notes: tuple[str, ...] = ()  # what reading changed, for the user

    @property
    def rows(self) -> int:
        return len(self.pixels)

    def number(self, row: int) -> int:
        """The number of an image, from 1, for messages."""
        return row + 1

    def where(self, row: int) -> str:
        """The place of an image, for messages."""
        return self.files[row] if self.files else f"{self.source}: row {row + 1}"

    def take(self, rows: NDArray[np.int64]) -> Images:
        """These images, in this order; none of them are a part of their own."""
        return replace(
            self,
            pixels=self.pixels[rows],
            targets=None if self.targets is None else self.targets[rows],
            validation=0,
            test=0,
            files=tuple(self.files[row] for row in rows) if self.files else (),
        )

    def fingerprint(self) -> str:
        """A hash of pixels and targets, by which a run knows the data it was trained on."""
        form = f"images {self.pixels.shape} {self.pixels.dtype} {self.validation} {self.test}"
        digest = hashlib.sha256(form.encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        if self.targets is not None:
            digest.update("\0".join(map(str, self.targets)).encode())
        return digest.hexdigest()[:16]

    def labels(self, column: str | None = None) -> Labels:
        """What the images show; DataError where that is not known, LabelError for numbers that name no class."""
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
    """How images are read: what becomes of pictures of other sizes and of broken ones."""

    height: int | None = None  # None: of the first picture
    width: int | None = None
    channels: int | None = None  # None: 1 where all are grey, else 3
    resize: bool = False  # other sizes are resized, or refused
    broken: str = "refuse"  # or "skip"
    labelled: bool = True  # whether it must be known what they show
    told: Told | None = None  # hears how far the reading of many pictures is

    @property
    def sized(self) -> bool:
        return self.height is not None and self.width is not None
