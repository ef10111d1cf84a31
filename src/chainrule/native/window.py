"""Pooling of windows as kernels see it: its symbols, emitted by `window_code.py`, and the same in Python.

The windows slide over the image `big`; `small` has one pixel for each window. A pixel is `channels` contiguous numbers,
at most one vector. A call handles `pixels` windows of rows x columns taps, with all strides in elements; tap (i, j) has
the number first + i·across + j.

    pool_taps    small = the largest tap, argmax = its number (the first of equals, the last NaN)
    unpool_taps  the gradient: tap `argmax` becomes small, the others 0; with `add` both are added to what is there

Without `argmax` (an address of 0) they are sums: small = factor · Σ taps, and each tap becomes factor · small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.native.kernel import External

SIGNATURE = "iiiiiiiiiiiirii"


def _windows(where: list[Any], channels: int) -> Iterator[tuple[Any, Any, list[tuple[int, Any]]]]:
    """For each window its pixel of `small`, that of `argmax` or None, and its taps: (number, pixel of `big`), as views.

    `where` are the arguments from `pixels` to `across`.
    """
    pixels, rows, columns, big, big_pixel, big_row, big_column, small, small_pixel, argmax, first, across = where
    image = big.strided((pixels, rows, columns, channels), (big_pixel, big_row, big_column, 1))
    results = small.strided((pixels, channels), (small_pixel, 1))
    argmaxes = argmax.strided((pixels, channels), (small_pixel, 1)) if argmax else [None] * pixels
    for p in range(pixels):
        taps = [(first + i * across + j, image[p, i, j]) for i in range(rows) for j in range(columns)]
        yield results[p], argmaxes[p], taps


def _pool(*arguments: Any) -> None:
    *where, factor, _, channels = arguments
    for result, argmax, taps in _windows(where, channels):
        if argmax is None:
            result[:] = factor * sum(pixel for _, pixel in taps)
            continue
        result[:], argmax[:] = -np.inf, taps[0][0]
        for number, pixel in taps:
            larger = (pixel > result) | np.isnan(pixel)
            result[larger], argmax[larger] = pixel[larger], number


def _unpool(*arguments: Any) -> None:
    *where, factor, add, channels = arguments
    for result, argmax, taps in _windows(where, channels):
        for number, pixel in taps:
            given = factor * result if argmax is None else np.where(argmax == number, result, 0.0)
            pixel[:] = given + pixel if add else given


pool_taps = External("pool_taps_{dtype}", SIGNATURE, _pool)
unpool_taps = External("unpool_taps_{dtype}", SIGNATURE, _unpool)
EXTERNALS = (pool_taps, unpool_taps)
