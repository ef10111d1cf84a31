"""What pixel values mean: one scale for a data set, determined from its training images and saved with the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import BLOCK, DEPTHS, NUMBERS, Pixels, blocks, kind_of
from chainrule.data.split import Rows
from chainrule.errors import DataError

TOLERANCE = 0.02  # of full brightness: rounding and resizing may exceed it by this much
STRAYS = 0.02  # fraction of the values other than 0 that may be anywhere
PERCENT = 100  # values up to this may be percentages as well as brightness from 0 to 255
BROKEN = 100  # times the scale: a single such pixel would outweigh all others
MARKED = 50  # times the range of nearly all values
SMALLER = 50  # numbers this many times smaller than in training are on another scale
BRIGHTER = 4  # times the brightest value of training


@dataclass(frozen=True)
class Brightness:
    """The kind of the training images' values, the value of full brightness, and their range."""

    kind: str  # "uint8", "uint16", or "numbers" in unknown units
    full: float | None  # None if unknown
    low: float
    high: float

    @classmethod
    def of(cls, pixels: Pixels, rows: Rows) -> Brightness:
        """The scale of some rows of images (n, h, w, c)."""
        low, high = value_range(pixels, rows)
        kind = kind_of(pixels)
        if kind == NUMBERS:
            return cls(kind, _guess(pixels, rows), low, high)
        fits = [full for full in (1.0, *DEPTHS.values()) if high <= full]
        return cls(kind, fits[0] if high > 0 else DEPTHS[kind], low, high)

    @property
    def black(self) -> float:
        """0, or the smallest value if 0 may be far from all values, as in thermal images."""
        return 0.0 if self.kind == "uint8" else self.low

    def told(self, images: Images, rows: Rows) -> tuple[str, ...]:
        """Messages about the training images: what was assumed, and values that make all others look the same."""
        values = f"{images.source}: pixels go from {self.low:g} to {self.high:g}"
        notes = []
        if self.full is None:
            notes.append(f"{values}, in units of their own: later images are expected in the same")
        elif self.full != DEPTHS.get(self.kind):
            notes.append(f"{values}, taken as brightness of 0 to {self.full:g}")
        if self.kind == NUMBERS:
            notes += self._beyond(images, rows)
        low, high = (0.0, 0.0) if self.kind == "uint8" else _nearly_all(images.pixels, rows)
        if self.high - self.low > MARKED * (high - low) > 0:
            fix = "if others mark what is missing, replace them"
            notes.append(f"{values}, but nearly all of them from {low:g} to {high:g}: {fix}")
        return tuple(notes)

    def factor(self, images: Images) -> float:
        """The factor for the values of other images; raises DataError if it is unknown."""
        kind = kind_of(images.pixels)
        if kind in (self.kind, NUMBERS):
            return 1.0
        if self.full is None:
            raise DataError(
                f"{images.source}: brightness of 0 to {DEPTHS[kind]:g} ({kind}), but the training images hold "
                f"{self._scale()} in units of their own: save the images in these units"
            )
        return self.full / DEPTHS[kind]

    def check(self, images: Images, rows: Rows, part: str = "") -> tuple[str, ...]:
        """Messages about images on another scale than in training; raises DataError if they cannot be used.

        `part` is the name of the part that consists of these rows, for messages.
        """
        if not len(rows):
            return ()
        factor, kind = self.factor(images), kind_of(images.pixels)
        low, high = value_range(images.pixels, rows)
        values = f"{images.source}: pixels{part and f' of the {part} part'} go from {low:g} to {high:g}"
        notes = []
        if factor != 1:
            by = f"divided by {1 / factor:g}" if factor < 1 else f"multiplied by {factor:g}"
            notes.append(f"{images.source}: {kind} pixels are {by}, as the training images hold {self._scale()}")
        else:
            self._refuse_dim(values, kind, low, high)
            if kind != "uint16":  # all uint16 values are on one scale, however dark the training images are
                notes += self._beyond(images, rows)
        if kind == NUMBERS != self.kind:
            notes.append(f"{values}, taken as brightness of 0 to {self.full:g}, as in training")
        if self._nearly_black(kind, low, high, self.high / factor):
            notes.append(f"{values}: nearly black to a network trained on {self._scale()}")
        if kind == self.kind != NUMBERS and high > BRIGHTER * self.high > 0:
            notes.append(f"{values}: much brighter than the training images, which end at {self.high:g}")
        if self.full is None and self.low < 0 and low >= 0:
            notes.append(f"{values}, none of them below 0: the training images hold {self._scale()}")
        return tuple(notes)

    @staticmethod
    def _nearly_black(kind: str, low: float, high: float, top: float) -> bool:
        """Whether values from `low` to `high` are next to nothing where training goes up to `top`."""
        masks = kind != NUMBERS and high <= 1 < top
        return low >= 0 and high > 0 and (masks or high * SMALLER < top)

    def _refuse_dim(self, values: str, kind: str, low: float, high: float) -> None:
        """Raise DataError for numbers so much smaller than in training that they must be on another scale."""
        fractions = low >= -1 - TOLERANCE and high <= 1 + TOLERANCE
        small = fractions or (kind != self.kind and high * SMALLER < self._top)
        if kind != NUMBERS or not small or high <= 0 or self._top <= SMALLER:
            return
        fix = "bring them to the same scale"
        if fractions and low >= -TOLERANCE and self.full is not None:
            fix = f"multiply them by {self.full:g}"
        otherwise = f", or save them as {self.kind} if they are that dark" if self.kind != NUMBERS else ""
        raise DataError(f"{values}, the training images hold {self._scale()}: {fix}{otherwise}")

    def _beyond(self, images: Images, rows: Rows) -> list[str]:
        """A message about a few values far outside the scale; raises DataError if there are many."""
        low, high = (0.0, self.full) if self.full is not None else (min(0.0, self.low), max(0.0, self.high))
        slack = (high - low) * (0.5 if self.full is not None else 1.0)
        beyond, counted, row = _outside(images.pixels, rows, low - slack, high + slack)
        if not beyond:
            return []
        values = images.pixels[row].astype(np.float64).ravel()
        value = values[np.argmax(np.abs(values))]
        where = f"{images.where(row)} holds {value:g}, the training images hold {self._scale()}"
        if beyond > STRAYS * counted or abs(value) > BROKEN * (high - low):
            raise DataError(f"{where}: bring the images to the same scale")
        return [f"{where}: such values are taken as they are, {beyond:,} of {counted:,}"]

    @property
    def _top(self) -> float:
        return self.high if self.full is None else self.full

    def _scale(self) -> str:
        if self.full is None:
            return f"values from {self.low:g} to {self.high:g}"
        return f"brightness of 0 to {self.full:g}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def value_range(pixels: Pixels, rows: Rows) -> tuple[float, float]:
    """The smallest and the largest value of some rows."""
    ends = [(part.min(), part.max()) for part in blocks(pixels, rows)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _nearly_all(pixels: Pixels, rows: Rows) -> tuple[float, float]:
    """The range of 98 % of the pixels of some rows, estimated from a sample."""
    some = rows[:: max(1, len(rows) * pixels[0].size // BLOCK)]
    low, high = np.percentile(pixels[some], (1, 99))
    return float(low), float(high)


def _guess(pixels: Pixels, rows: Rows) -> float | None:
    """Full brightness of numbers: 1 or 255 if nearly all values are between 0 and it and some are near it."""
    for full, some in ((1.0, 0.0), (255.0, float(PERCENT))):
        beyond, counted, _ = _outside(pixels, rows, -TOLERANCE * full, (1 + TOLERANCE) * full)
        above, _, _ = _outside(pixels, rows, -np.inf, some)
        if beyond <= STRAYS * counted < above:
            return full
    return None


def _outside(pixels: Pixels, rows: Rows, low: float, high: float) -> tuple[int, int, int]:
    """The number of values below `low` or above `high`, the number other than 0, and the first row with one outside."""
    outside = counted = done = 0
    first = -1
    for part in blocks(pixels, rows):
        wrong = (part < low) | (part > high)
        if first < 0 and wrong.any():
            first = int(rows[done + np.argmax(wrong.reshape(len(part), -1).any(axis=1))])
        outside += int(np.count_nonzero(wrong))
        counted += int(np.count_nonzero(part))
        done += len(part)
    return outside, counted, first
