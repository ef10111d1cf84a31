"""Windows over the pixels of an image as kernels see them: the symbols they call, and the same in plain Python.

`big` is the image that the windows slide over, `small` has one pixel for each window; both hold `channels` contiguous
numbers a pixel, at most one vector. A call does `pixels` windows of rows x columns taps, all strides in elements; tap
(i, j) has the number first + i·across + j.

    take    small = the largest tap, place = the number of the first that is (of the last NaN, where there is one)
    give    its gradient: the tap numbered `place` gets small, or has it added, the others 0
            where `place` is 0, take is small = factor · Σ taps, and give adds or sets factor · small to each
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.native.kernel import External

SIGNATURE = "iiiiiiiiiiiirii"


def _windows(where: list[Any], channels: int) -> Iterator[tuple[Any, Any, list[tuple[int, Any]]]]:
    """For each window its pixel of `small`, that of `place` or None, and its taps: (number, pixel of `big`), as views.

    `where` are the arguments from `pixels` to `across`.
    """
    pixels, rows, columns, big, big_pixel, big_row, big_column, small, small_pixel, place, first, across = where
    image = big.strided((pixels, rows, columns, channels), (big_pixel, big_row, big_column, 1))
    results = small.strided((pixels, channels), (small_pixel, 1))
    places = place.strided((pixels, channels), (small_pixel, 1)) if place else [None] * pixels
    for p in range(pixels):
        taps = [(first + i * across + j, image[p, i, j]) for i in range(rows) for j in range(columns)]
        yield results[p], places[p], taps


def _take(*arguments: Any) -> None:
    *where, factor, _, channels = arguments
    for result, place, taps in _windows(where, channels):
        if place is None:
            result[:] = factor * sum(pixel for _, pixel in taps)
            continue
        result[:], place[:] = -np.inf, taps[0][0]
        for number, pixel in taps:
            larger = (pixel > result) | np.isnan(pixel)
            result[larger], place[larger] = pixel[larger], number


def _give(*arguments: Any) -> None:
    *where, factor, add, channels = arguments
    for result, place, taps in _windows(where, channels):
        for number, pixel in taps:
            given = factor * result if place is None else np.where(place == number, result, 0.0)
            pixel[:] = given + pixel if add else given


take = External("window_take_{dtype}", SIGNATURE, _take)
give = External("window_give_{dtype}", SIGNATURE, _give)
EXTERNALS = (take, give)
