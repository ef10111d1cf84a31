"""Labels of images in arrays: names or whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, LabelError

Array = NDArray[Any]


def check_targets(source: str, array: Array, images: int) -> Array:
    """Targets (n,) as int64 or, for text and booleans, as objects.

    Raises DataError for another length, LabelError for values that are not classes.
    """
    if array.ndim == 2 and array.shape[1] == 1:  # a column, as CIFAR-10 is often saved
        array = array[:, 0]
    if array.shape != (images,):
        raise DataError(f"{source}: the labels have shape {array.shape}, expected one for each of {images:,} images")
    if array.dtype.kind == "U":
        empty = array == ""
        if empty.any():
            raise LabelError(f"{source}: row {int(np.argmax(empty)) + 1} has no label: name its class, or leave it out")
        return array.astype(object)
    if array.dtype.kind not in "buif":
        raise LabelError(f"{source}: the labels are {array.dtype}, expected whole numbers or text: convert them")
    if array.dtype.kind == "b":
        return np.array(["False", "True"], dtype=object)[array.astype(np.intp)]
    wrong = ~np.isfinite(array) | (array != np.round(array))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(f"{source}: row {row + 1} is {array[row]:g}, labels are whole numbers or text: correct it")
    if np.any(array < -(2.0**63)) or np.any(array >= 2.0**63):  # beyond int64: the same digits as text
        return np.array([str(int(value)) for value in array.tolist()], dtype=object)
    return array.astype(np.int64)
