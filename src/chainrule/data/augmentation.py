"""Augmentation: training images are shifted, mirrored, cropped, rotated or cut out, differently in each step.

What happens to a sample depends only on (seed, step, its row in the data set, the transformation's position in the
list), through Philox4x32-10: not on its batch, the engine or the number of workers. Evaluation uses unchanged images.

This is the definition, which the reference engine computes; `chainrule.kernels.augmentation` does the same in programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import DtypeError, OptionError, ShapeError
from chainrule.kernels.augmentation import CROP, CUT_OUT, FLIP, ROTATE, SHIFT, Change
from chainrule.native.philox import AUGMENT, MOST_TRANSFORMATIONS, philox, split
from chainrule.settings import flag, number, whole

Array = NDArray[Any]
Words = NDArray[np.uint32]  # (n, 4): the random words of each sample
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Shift:
    """Moves an image by whole pixels, at most `pixels` up, down, left and right, each number equally likely.

    Formula: out[i, j] = x[i − a, j − b] with a, b in −p..p; new pixels are the fill. Equivalent to padding by p and
    cropping to the old size. Raises OptionError unless `pixels` is a whole number of at least 1.
    """

    pixels: int = 2

    def __post_init__(self) -> None:
        whole("Shift", "pixels", self.pixels)

    @property
    def change(self) -> Change:
        return Change(SHIFT, self.pixels)

    def draw(self, words: Words, height: int, width: int) -> Whole:
        """The shifts (n, 2), down and right."""
        return uniform_whole(words[:, :2], 2 * self.pixels + 1) - self.pixels

    def apply(self, x: Array, moves: Array, fill: Array) -> Array:
        height, width = x.shape[1:3]
        rows = np.arange(height) - moves[:, :1]
        columns = np.arange(width) - moves[:, 1:]
        return pick(x, rows[:, :, None], columns[:, None, :], fill)


@dataclass(frozen=True)
class Flip:
    """Mirrors an image left to right, or with `vertical` top to bottom, with probability 1/2.

    Formula: out[i, j] = x[i, w − 1 − j]. Raises OptionError unless `vertical` is True or False.
    """

    vertical: bool = False

    def __post_init__(self) -> None:
        flag("Flip", "vertical", self.vertical)

    @property
    def change(self) -> Change:
        return Change(FLIP, self.vertical)

    def draw(self, words: Words, height: int, width: int) -> NDArray[np.bool_]:
        """Which images are mirrored (n,)."""
        mirrored: NDArray[np.bool_] = uniform_whole(words[:, 0], 2) == 1
        return mirrored

    def apply(self, x: Array, mirrored: Array, fill: Array) -> Array:
        flipped = x[:, ::-1] if self.vertical else x[:, :, ::-1]
        return np.where(mirrored[:, None, None, None], flipped, x)


@dataclass(frozen=True)
class Crop:
    """Enlarges a window to the image's full size; its sides are between `least` and 1 of the image's.

    Formula: out[i, j] = x(t + (i + 1/2)·s − 1/2, l + (j + 1/2)·s − 1/2), bilinear, with s uniform in least..1,
    t in 0..h·(1 − s) and l in 0..w·(1 − s). Raises OptionError unless 0 < least <= 1.
    """

    least: float = 0.8

    def __post_init__(self) -> None:
        number("Crop", "least", self.least, above=0, most=1)

    @property
    def change(self) -> Change:
        return Change(CROP, self.least)

    def draw(self, words: Words, height: int, width: int) -> Floats:
        """The windows (n, 3): top, left, and the fraction of the sides."""
        u = uniform(words)
        share = self.least + (1 - self.least) * u[:, 0]
        return np.stack([u[:, 1] * height * (1 - share), u[:, 2] * width * (1 - share), share], axis=1)

    def apply(self, x: Array, windows: Array, fill: Array) -> Array:
        height, width = x.shape[1:3]
        top, left, share = windows.astype(x.dtype).T[:, :, None]
        half = x.dtype.type(0.5)
        rows = np.clip(top + (np.arange(height, dtype=x.dtype) + half) * share - half, 0, height - 1)
        columns = np.clip(left + (np.arange(width, dtype=x.dtype) + half) * share - half, 0, width - 1)
        return bilinear(x, rows[:, :, None], columns[:, None, :], fill)


@dataclass(frozen=True)
class Rotate:
    """Rotates an image about its center by an angle uniform in −degrees..degrees, positive counterclockwise.

    Formula: out(u, v) = x(u·cos θ + v·sin θ, v·cos θ − u·sin θ), u to the right and v upwards from the center,
    bilinear; new pixels are the fill. Raises OptionError unless 0 < degrees <= 180.
    """

    degrees: float = 10.0

    def __post_init__(self) -> None:
        number("Rotate", "degrees", self.degrees, above=0, most=180)

    @property
    def change(self) -> Change:
        return Change(ROTATE, self.degrees)

    def draw(self, words: Words, height: int, width: int) -> Floats:
        """Cosine and sine of the angles (n, 2)."""
        angle = math.radians(self.degrees) * (2 * uniform(words[:, 0]) - 1)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def apply(self, x: Array, turns: Array, fill: Array) -> Array:
        height, width = x.shape[1:3]
        cosine, sine = turns.astype(x.dtype).T[:, :, None, None]
        middle_row, middle_column = x.dtype.type((height - 1) / 2), x.dtype.type((width - 1) / 2)
        v = middle_row - np.arange(height, dtype=x.dtype)[:, None]
        u = np.arange(width, dtype=x.dtype) - middle_column
        return bilinear(x, middle_row - (v * cosine - u * sine), middle_column + (u * cosine + v * sine), fill)


@dataclass(frozen=True)
class CutOut:
    """Covers a square of `size` pixels with the fill; its center is any pixel, so it may extend past the edge.

    Formula: out[i, j] = fill for i in a..a + size − 1, j in b..b + size − 1. Raises OptionError unless `size` is a
    whole number of at least 1.
    Source: T. DeVries, G. W. Taylor, Improved regularization of convolutional neural networks with Cutout, 2017.
    """

    size: int = 8

    def __post_init__(self) -> None:
        whole("CutOut", "size", self.size)

    @property
    def change(self) -> Change:
        return Change(CUT_OUT, self.size)

    def draw(self, words: Words, height: int, width: int) -> Whole:
        """The upper left corners (n, 2)."""
        centres = [uniform_whole(words[:, 0], height), uniform_whole(words[:, 1], width)]
        return np.stack(centres, axis=1) - self.size // 2

    def apply(self, x: Array, corners: Array, fill: Array) -> Array:
        height, width = x.shape[1:3]
        rows = np.arange(height) - corners[:, :1]
        columns = np.arange(width) - corners[:, 1:]
        covered = ((rows >= 0) & (rows < self.size))[:, :, None] & ((columns >= 0) & (columns < self.size))[:, None, :]
        return np.where(covered[..., None], fill, x)


Transformation: TypeAlias = Shift | Flip | Crop | Rotate | CutOut


class Augmentation:
    """Transformations in sequence, and the `fill` for pixels from outside: a number, or one for each channel.

    Raises OptionError for anything but the transformations of this module, or more than 16 of them.

    >>> augment = Augmentation([Shift(2), Flip()], fill=-0.5)
    >>> x = np.random.default_rng(0).normal(size=(4, 28, 28, 1))
    >>> augment(x, seed=0, steps=[7, 7, 7, 7], samples=[0, 1, 2, 3]).shape
    (4, 28, 28, 1)
    """

    def __init__(self, transformations: Iterable[Transformation], fill: ArrayLike = 0.0) -> None:
        if not isinstance(transformations, Iterable):
            kind = type(transformations).__name__
            raise OptionError(f"augment: is one {kind}, expected a list: pass augment=[...] with it inside")
        self.transformations = tuple(transformations)
        for transformation in self.transformations:
            if not isinstance(transformation, Transformation):
                raise OptionError(
                    f"augment: {transformation!r} is not a transformation: expected one such as Shift(2) or Flip()"
                )
        if len(self.transformations) > MOST_TRANSFORMATIONS:
            raise OptionError(
                f"augment: got {len(self.transformations)} transformations, expected at most {MOST_TRANSFORMATIONS}"
            )
        self.fill = np.asarray(fill, np.float64)
        if self.fill.ndim > 1 or not np.isfinite(self.fill).all():
            raise OptionError(f"augment: fill is {fill!r}, expected a finite number, or one for each channel")

    def __repr__(self) -> str:
        return f"Augmentation({list(self.transformations)}, fill={self.fill.tolist()})"

    @property
    def changes(self) -> tuple[Change, ...]:
        """The transformations, in the form a program needs."""
        return tuple(transformation.change for transformation in self.transformations)

    def check(self, x: Array) -> None:
        """Raise ShapeError unless x is images (n, h, w, c) with as many channels as the fill, DtypeError unless
        floats.
        """
        if x.ndim != 4:
            raise ShapeError(f"augment: x has shape {x.shape}, expected images (n, height, width, channels)")
        if self.fill.ndim and self.fill.shape != x.shape[3:]:
            raise ShapeError(f"augment: fill has {self.fill.size} values, the images {x.shape[3]} channels")
        if x.dtype.kind != "f":
            raise DtypeError(f"augment: x is {x.dtype}, expected floating-point numbers")

    def __call__(self, x: Array, seed: int, steps: ArrayLike, samples: ArrayLike) -> Array:
        """Images x (n, h, w, c), rows `samples` (n,) of the data set, transformed as in `steps` (n,)."""
        self.check(x)
        fill = self.fill.astype(x.dtype)
        for place, transformation in enumerate(self.transformations):
            words = random_words(seed, np.asarray(steps), np.asarray(samples), place)
            drawn = transformation.draw(np.broadcast_to(words, (len(x), 4)), *x.shape[1:3])
            x = transformation.apply(x, drawn, fill)
        return x


def random_words(seed: int, steps: Whole, samples: Whole, place: int) -> Words:
    """The four random words of each sample in each step, for the transformation at position `place`."""
    low, high = steps & 0xFFFFFFFF, steps >> 32
    return philox((samples, AUGMENT + place, low, high), split(seed))


def uniform(words: Words) -> Floats:
    """Numbers from 0 to below 1. Formula: word / 2³²."""
    return words / np.float64(2**32)


def uniform_whole(words: Words, bound: int) -> Whole:
    """Whole numbers from 0 to bound − 1. Formula: ⌊word·bound / 2³²⌋, uniform to one part in 2³²/bound."""
    return ((words.astype(np.uint64) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def pick(x: Array, rows: Whole, columns: Whole, fill: Array) -> Array:
    """x[n, rows, columns], or the fill outside the image; rows and columns broadcast to (n, h, w)."""
    height, width = x.shape[1:3]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    samples = np.arange(len(x))[:, None, None]
    return np.where(inside[..., None], x[samples, rows.clip(0, height - 1), columns.clip(0, width - 1)], fill)


def bilinear(x: Array, rows: Array, columns: Array, fill: Array) -> Array:
    """x between pixels, weighted by the distance to the four around a point; outside the image it is the fill.

    Formula: (1 − p)·((1 − q)·x₀₀ + q·x₀₁) + p·((1 − q)·x₁₀ + q·x₁₁), p and q the fractions of row and column.
    """
    above, left = np.floor(rows), np.floor(columns)
    p, q = (rows - above)[..., None], (columns - left)[..., None]
    i, j = above.astype(np.int64), left.astype(np.int64)
    upper = (1 - q) * pick(x, i, j, fill) + q * pick(x, i, j + 1, fill)
    lower = (1 - q) * pick(x, i + 1, j, fill) + q * pick(x, i + 1, j + 1, fill)
    result: Array = (1 - p) * upper + p * lower
    return result
