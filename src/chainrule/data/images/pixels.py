"""Pixels: arrays of any kind to (n, h, w, c) of 0..255, and those to what a network is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.scaling import Scaling
from chainrule.errors import DataError

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

MOST_BYTES = 2 << 30  # of one data set; a network takes four times as much, as its inputs are float32
BLOCK = 1 << 22  # values converted at once
CHANNELS = (1, 3, 4)  # what pictures have: grey, RGB, RGBA


def size_text(size: int) -> str:
    """`2 << 30` -> "2.0 GiB"."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):,.1f} {unit}"
    return f"{size} bytes"


def to_pixels(source: str, array: Array) -> tuple[Pixels, tuple[str, ...]]:
    """Images (n, h, w) or (n, h, w, c) as uint8 (n, h, w, c), and notes on what that changed.

    Taken as they are: whole numbers of 0..255, and fractions of 0..255, rounded. Stretched to 0..255: truth values,
    fractions of 0..1, and 16 bits. Raises DataError for any other range, for no image, and for images without pixels.
    """
    array = _with_channels(source, array)
    low, high = _range(source, array)
    if array.dtype == np.uint8:
        return array, ()
    scale, note = _scale(source, array.dtype, low, high)
    pixels = np.empty(array.shape, np.uint8)
    exact = scale == 1
    step = max(1, BLOCK // array[0].size)
    for start in range(0, len(array), step):
        values = array[start : start + step] * scale
        rounded = np.rint(values)
        exact = exact and bool((values == rounded).all())
        pixels[start : start + step] = rounded
    return pixels, () if exact or not note else (f"{source}: {note}",)


def channel_scaling(pixels: Pixels) -> Scaling:
    """The mean and standard deviation of each channel of (n, h, w, c), exact, from counts of the 256 values.

    A channel of one value is centred and not stretched.
    """
    channels = pixels.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    step = max(1, BLOCK // max(1, pixels[:1].size))
    for start in range(0, len(pixels), step):
        for channel in range(channels):
            counts[channel] += np.bincount(pixels[start : start + step, ..., channel].ravel(), minlength=256)
    values, total = np.arange(256.0), counts.sum(axis=1)
    mean = counts @ values / total
    deviation = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(axis=1) / total)
    return Scaling(mean, np.where(deviation > 0, deviation, 1.0))


def normalize(pixels: Pixels, scaling: Scaling) -> NDArray[np.float32]:
    """(v - mean) / deviation for each channel of (n, h, w, c), as float32: one table look-up a value."""
    table = scaling.apply(np.arange(256.0)[:, None])
    result = np.empty(pixels.shape, np.float32)
    step = max(1, BLOCK // max(1, pixels[:1].size))
    for start in range(0, len(pixels), step):
        part = pixels[start : start + step]
        for channel in range(pixels.shape[-1]):
            result[start : start + step, ..., channel] = table[:, channel][part[..., channel]]
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
    """The least and the largest value."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{source}: the images are {array.dtype}, numbers of 0 to 255 were expected: convert them")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):  # NaN carries over to both
        raise DataError(f"{source}: the images hold values that are not finite: mend them")
    return low, high


def _scale(source: str, dtype: np.dtype[Any], low: float, high: float) -> tuple[float, str]:
    """What values of this kind and range are multiplied by, and a note about it."""
    if low < 0 or high > (65535 if dtype.kind in "ui" else 255):
        raise DataError(
            f"{source}: the images hold values from {low:g} to {high:g}, 0 to 255 were expected: scale them"
        )
    if dtype.kind == "b":
        return 255.0, ""
    if dtype.kind == "f" and high <= 1:
        return 255.0, "values of 0 to 1 are taken as 256 steps of brightness"
    if high > 255:
        return 255 / 65535, "16-bit values are taken as 256 steps of brightness"
    return 1.0, "fractions are rounded to whole numbers of 0 to 255"
