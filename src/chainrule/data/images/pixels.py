"""Pixels: arrays of any kind to (n, h, w, c), without loss, and from there to a network's inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows
from chainrule.errors import DataError

Array = NDArray[Any]
Pixels: TypeAlias = NDArray[Any]  # uint8, uint16, or numbers: int16 to int64, float32, float64

DEPTHS = {"uint8": 255.0, "uint16": 65535.0}  # kinds of values with known full brightness
NUMBERS = "numbers"  # the kind of all others
WIDEN = 257  # 65535 / 255
LARGEST = 1e30  # larger values mark missing pixels
FINE = 2.0**-14  # if the range is at least this fraction of the values, float32 is precise enough for it
MOST_BYTES = 2 << 30  # per data set, if `limits.room` is no less; inputs are float32, four times as much
BLOCK = 1 << 22  # values converted at once
CHANNELS = (1, 3, 4)  # of pictures: gray, RGB, RGBA


def kind_of(pixels: Pixels) -> str:
    """ "uint8" or "uint16", whose full brightness is known, or "numbers"."""
    return pixels.dtype.name if pixels.dtype.name in DEPTHS else NUMBERS


def to_pixels(source: str, array: Array) -> Pixels:
    """Images (n, h, w) or (n, h, w, c) as (n, h, w, c); booleans become 0 and 255, other values do not change.

    Raises DataError for values that are not finite, for no images, and for images without pixels.
    """
    array = _with_channels(source, array)
    low, high = _range(source, array)
    kind: np.dtype[Any] = array.dtype.newbyteorder("=")
    if kind == np.bool_:
        return array.view(np.uint8) * np.uint8(255)
    if kind.kind in "iu" and kind.name not in DEPTHS:
        fits = (f"int{size}" for size in (16, 32, 64) if -(2 ** (size - 1)) <= low <= high < 2 ** (size - 1))
        kind = np.dtype(next(fits, "float64"))
    elif kind.kind == "f":
        coarse = kind.itemsize > 4 and 0 < high - low < FINE * max(abs(low), abs(high))
        kind = np.dtype(np.float64 if coarse else np.float32)
    return array.astype(kind, copy=False)


def join(named: Sequence[tuple[str, Pixels]]) -> tuple[Pixels, tuple[str, ...]]:
    """Parts of a data set as one array, and a message if one had to be converted; raises DataError if impossible."""
    kinds = {kind_of(part) for _, part in named}
    if len(named) == 1:
        return named[0][1], ()
    if len(kinds) == 1:
        return np.concatenate([part for _, part in named]), ()
    if NUMBERS not in kinds:
        parts = [part if kind_of(part) == "uint16" else part.astype(np.uint16) * WIDEN for _, part in named]
        eight = next(name for name, part in named if kind_of(part) == "uint8")
        return np.concatenate(parts), (f"{eight}: 8-bit pixels are multiplied by {WIDEN}, as others have 16 bits",)
    depth = min(kinds - {NUMBERS}, key=lambda kind: DEPTHS[kind])
    for name, part in named:
        if kind_of(part) == NUMBERS and (part.dtype.kind != "i" or part.min() < 0 or part.max() > DEPTHS[depth]):
            other = next(name for name, part in named if kind_of(part) != NUMBERS)
            raise DataError(f"{name} holds {part.dtype}, {other} {depth}: save both in the same way, on the same scale")
    return np.concatenate([part.astype(depth) for _, part in named]), ()


def blocks(pixels: Pixels, rows: Rows) -> Iterator[Pixels]:
    """Some rows of images, in blocks of about BLOCK values."""
    step = max(1, BLOCK // max(1, pixels[:1].size))
    for start in range(0, len(rows), step):
        yield pixels[rows[start : start + step]]


def channel_scaling(pixels: Pixels, rows: Rows) -> Scaling:
    """The mean and standard deviation of each channel of some rows of images (n, h, w, c).

    For 8 bits they are exact, from counts of the 256 values. A constant channel is centered but not scaled.
    """
    if pixels.dtype == np.uint8:
        return _counted_scaling(pixels, rows)
    total = len(rows) * pixels.shape[1] * pixels.shape[2]
    axes = (0, 1, 2)
    mean = sum(part.sum(axis=axes, dtype=np.float64) for part in blocks(pixels, rows)) / total
    square = sum(((part - mean) ** 2).sum(axis=axes) for part in blocks(pixels, rows)) / total
    return Scaling(mean, _deviation(mean, np.sqrt(square)))


def _counted_scaling(pixels: Pixels, rows: Rows) -> Scaling:
    counts = np.zeros((pixels.shape[-1], 256), np.int64)
    for part in blocks(pixels, rows):
        for channel in range(pixels.shape[-1]):
            counts[channel] += np.bincount(part[..., channel].ravel(), minlength=256)
    values, total = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / total
    return Scaling(mean, _deviation(mean, np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / total)))


def _deviation(mean: Array, deviation: Array) -> Array:
    """The standard deviation, or 1 if it is only rounding error."""
    return np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)


def normalize(pixels: Pixels, scaling: Scaling) -> NDArray[np.float32]:
    """(v - mean) / deviation for each channel of (n, h, w, c), as float32; for 8 bits one table lookup per value."""
    table = scaling.apply(np.arange(256.0)[:, None])
    result = np.empty(pixels.shape, np.float32)
    done = 0
    for part in blocks(pixels, np.arange(len(pixels))):
        target = result[done : done + len(part)]
        if part.dtype != np.uint8:
            target[...] = scaling.apply(part)
        else:
            for channel in range(pixels.shape[-1]):
                target[..., channel] = table[:, channel][part[..., channel]]
        done += len(part)
    return result


def _with_channels(source: str, array: Array) -> Array:
    if array.ndim not in (3, 4):
        raise DataError(f"{source}: the images have shape {array.shape}, expected (n, height, width[, channels])")
    if array.ndim == 3:
        array = array[..., None]
    if array.shape[1] in CHANNELS and array.shape[3] not in CHANNELS:
        raise DataError(
            f"{source}: the images have shape {array.shape}, with the channels first: "
            "save x.transpose(0, 2, 3, 1), as channels come last here"
        )
    if not len(array):
        raise DataError(f"{source}: holds no image: some of each class are needed")
    if not array[0].size:
        raise DataError(f"{source}: the images have shape {array.shape[1:]}, without a pixel: check how they were made")
    return array


def _range(source: str, array: Array) -> tuple[float, float]:
    """The smallest and the largest value; raises DataError naming the first image with a value that is not a
    brightness.
    """
    if array.dtype.kind not in "buif":
        raise DataError(f"{source}: the images are {array.dtype}, expected numbers: convert them")
    low, high = float(array.min()), float(array.max())
    if not -LARGEST < low <= high < LARGEST:  # NaN propagates to both
        for row, image in enumerate(array):
            check_finite(f"{source}: row {row + 1}", image)
    return low, high


def check_finite(source: str, image: Array) -> None:
    """Raise DataError for a value that is not finite, or so large that it can only mark a missing pixel."""
    wrong = ~(np.abs(image) < LARGEST) if image.dtype.kind == "f" else np.False_
    if wrong.any():
        value = image.ravel()[np.argmax(wrong)]
        what = "a mark for what is missing" if np.isfinite(value) else "not finite"
        raise DataError(f"{source} holds the pixel {value:g}, {what}: put a number in its place")
