"""The bundled data set: 1,797 handwritten digits of 8 x 8 pixels (UCI optdigits, CC BY 4.0; see digits.LICENSE.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.tables import Table


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The digits: x (1797, 8, 8, 1) float32 in 0..1, dark ink high; y (1797,) int64 in 0..9.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998,
    https://doi.org/10.24432/C50P49.
    """
    pixels, labels = digit_images()
    return pixels[..., None].astype(np.float32) / np.float32(16), labels.astype(np.int64)


def digits_table() -> Table:
    """The digits as a table: columns `pixel_0_0` .. `pixel_7_7` in 0..16, and `digit`."""
    pixels, labels = digit_images()
    columns: dict[str, NDArray[Any]] = {
        f"pixel_{row}_{column}": pixels[:, row, column].astype(np.float64) for row in range(8) for column in range(8)
    }
    columns["digit"] = labels.astype(np.float64)
    return Table("digits", columns)


def digit_images() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The digits as scanned: pixels (1797, 8, 8) in 0..16, and their labels."""
    with np.load(Path(__file__).with_name("digits.npz")) as archive:
        return archive["x"], archive["y"]
