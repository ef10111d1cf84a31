"""Images between pixels: the parts of the augmenting kernel that stretch and rotate, bilinear.

Formula: x(r, s) = (1 − p)·((1 − q)·x₀₀ + q·x₀₁) + p·((1 − q)·x₁₀ + q·x₁₁), p and q the fractions of row and column.
An image is flat, (h·w·c,); `rest` is memory of `room` elements, so that no pixel needs a question whether it is inside.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.native.kernel import Int, Real1, device, real

RADIANS = math.pi / 180  # stays float64, as a module's constant


def room(height: int, width: int, channels: int) -> int:
    """Elements of an image in a border of fill: a pixel on each side, one more row below, and one more pixel."""
    return ((height + 3) * (width + 2) + 1) * channels


@device
def index(i: Int) -> Any:
    """An index, known not to be negative: asking whether it counts from the end would cost vector code."""
    return np.uint64(i)


@device
def paint(to: Real1, first: Int, last: Int, fill: Real1) -> None:
    """Pixels first .. last − 1 become the fill."""
    if fill.size == 1:
        value = fill[0]
        for pixel in range(first, last):
            to[index(pixel)] = value
        return
    for pixel in range(first, last):
        for c in range(fill.size):
            to[index(pixel * fill.size + c)] = fill[c]


@device
def uniform(word: Int) -> Any:
    """A float64 of 0 to below 1. Formula: word / 2³²."""
    return np.float64(word) / 4294967296


@device
def crop(
    to: Real1, image: Real1, rest: Real1, a: Int, b: Int, c: Int, least: float, channels: Int, height: Int, width: Int
) -> None:
    """out[i, j] = x(top + (i + 1/2)·share − 1/2, left + (j + 1/2)·share − 1/2), no further out than the last pixels.

    Rows come first: neighbors are mixed pixel by pixel into `rest`, from where the columns are read.
    """
    exact = least + (1 - least) * uniform(a)
    top, left = real(uniform(b) * height * (1 - exact)), real(uniform(c) * width * (1 - exact))
    share, wide = real(exact), width * channels
    mixed = rest[: wide + channels]
    for k in range(channels):
        mixed[wide + k] = 0.0  # read beside the last pixel, with weight 0
    for i in range(height):
        r = min(max(top + (real(i) + 0.5) * share - 0.5, 0.0), real(height - 1))
        above = int(r)
        below, p = min(above + 1, height - 1), r - real(above)
        upper, lower = image[above * wide : (above + 1) * wide], image[below * wide : (below + 1) * wide]
        for k in range(upper.size):
            mixed[k] = (1.0 - p) * upper[k] + p * lower[k]
        row = to[i * wide : (i + 1) * wide]
        if channels == 1:  # numbers that the compiler knows make quicker code
            stretch(row, mixed, left, share, width, 1)
        elif channels == 3:
            stretch(row, mixed, left, share, width, 3)
        else:
            stretch(row, mixed, left, share, width, channels)


@device
def stretch(row: Real1, mixed: Real1, left: float, share: float, width: Int, channels: Int) -> None:
    """row[j] = mixed(left + (j + 1/2)·share − 1/2)."""
    last = real(width - 1)
    for j in range(width):
        s = min(max(left + (real(j) + 0.5) * share - 0.5, 0.0), last)
        before = np.floor(s)
        q, at = s - before, np.int64(before) * channels
        for k in range(channels):
            row[index(j * channels + k)] = (1.0 - q) * mixed[index(at + k)] + q * mixed[index(at + channels + k)]


@device
def rotate(
    to: Real1, image: Real1, rest: Real1, a: Int, degrees: float, fill: Real1, height: Int, width: Int
) -> None:  # fmt: skip
    """out(u, v) = x(u·cos θ + v·sin θ, v·cos θ − u·sin θ), u to the right and v upwards from the centre.

    The image is copied into a border of fill, where row and column count from 1; points beyond it are moved onto it.
    """
    direction = cosine_sine(degrees * RADIANS * (2 * uniform(a) - 1))
    cosine, sine = real(direction[0]), real(direction[1])
    channels, across = fill.size, width + 2
    wide = width * channels
    paint(rest, 0, (height + 3) * across + 1, fill)
    for i in range(height):
        start = ((i + 1) * across + 1) * channels
        row, x = rest[start : start + wide], image[i * wide : (i + 1) * wide]
        for k in range(row.size):
            row[k] = x[k]
    for i in range(height):
        row = to[i * wide : (i + 1) * wide]
        if channels == 1:
            slant(row, rest, cosine, sine, i, height, width, 1)
        elif channels == 3:
            slant(row, rest, cosine, sine, i, height, width, 3)
        else:
            slant(row, rest, cosine, sine, i, height, width, channels)


@device
def slant(
    row: Real1, bordered: Real1, cosine: float, sine: float, i: Int, height: Int, width: Int, channels: Int
) -> None:  # fmt: skip
    """Row i of the rotated image: the bordered one along a slanting line."""
    middle_row, middle_column = 0.5 * real(height - 1), 0.5 * real(width - 1)
    v = middle_row - real(i)
    lowest, rightmost, across = real(height + 1), real(width + 1), (width + 2) * channels
    for j in range(width):
        u = real(j) - middle_column
        r = min(max(middle_row - (v * cosine - u * sine) + 1.0, 0.0), lowest)
        s = min(max(middle_column + (u * cosine + v * sine) + 1.0, 0.0), rightmost)
        above, before = np.floor(r), np.floor(s)
        p, q = r - above, s - before
        at = np.int64(above) * across + np.int64(before) * channels
        under = at + across
        for k in range(channels):
            upper = (1.0 - q) * bordered[index(at + k)] + q * bordered[index(at + channels + k)]
            lower = (1.0 - q) * bordered[index(under + k)] + q * bordered[index(under + channels + k)]
            row[index(j * channels + k)] = (1.0 - p) * upper + p * lower


@device
def cosine_sine(angle: Any) -> Any:
    """Both in float64, for −π..π: Taylor's series of a quarter of the angle, doubled twice.

    Not the C library's, so that images are the same on every platform.
    """
    quarter = angle / 4
    square = quarter * quarter
    odd, even = quarter, np.float64(1)
    cosine, sine = even, odd
    for k in range(1, 9):
        even *= -square / ((2 * k - 1) * 2 * k)
        odd *= -square / (2 * k * (2 * k + 1))
        cosine, sine = cosine + even, sine + odd
    for _ in range(2):
        cosine, sine = 1 - 2 * sine * sine, 2 * sine * cosine
    return cosine, sine
