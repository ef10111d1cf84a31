"""What images show: names or whole numbers, and the classes these make."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import suggestion
from chainrule.data.target import Class
from chainrule.errors import DataError, LabelError

Array = NDArray[Any]


def check_targets(source: str, array: Array, images: int) -> Array:
    """Targets (n,) as int64 or, for text, as objects. DataError for another length, LabelError for what is no class."""
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
        raise LabelError(f"{source}: the labels are {array.dtype}, whole numbers or text were expected: convert them")
    with np.errstate(invalid="ignore"):
        numbers = array.astype(np.int64)
    wrong = numbers != array
    if wrong.any():
        row = int(np.argmax(wrong))
        raise LabelError(f"{source}: row {row + 1} is {array[row]:g}, labels are whole numbers or text: mend it")
    return numbers


def find_image_classes(source: str, targets: Array, names: tuple[str, ...]) -> tuple[Class, ...]:
    """The classes, sorted; `names`, where the targets number them. DataError for one class, or nearly one an image."""
    found = np.unique(targets)
    if names and not 0 <= found[0] <= found[-1] < len(names):
        raise LabelError(f"{source}: labels go from {found[0]} to {found[-1]}, expected 0 to {len(names) - 1}")
    if len(found) < 2:
        only = names[found[0]] if names else found[0]
        raise DataError(
            f"{source}: all images show one class, {only}: at least two are needed, there is nothing to tell apart"
        )
    if names:
        return names
    if len(found) > max(2, len(targets) // 2):
        raise DataError(
            f"{source}: {len(found):,} different labels of {len(targets):,} images are too many for classes: "
            "is it the right array?"
        )
    return tuple(str(value) if targets.dtype == object else int(value) for value in found)


def class_places(source: str, targets: Array, names: tuple[str, ...], classes: tuple[Class, ...]) -> NDArray[np.int64]:
    """Each target's place among `classes`. Numbers of classes that have names are their places.

    LabelError names the first that is none of them.
    """
    values, inverse = np.unique(targets, return_inverse=True)
    places = {str(name): place for place, name in enumerate(classes)}
    if names:
        words = [names[value] for value in values]
    elif targets.dtype != object and isinstance(classes[0], str) and not {str(v) for v in values} <= places.keys():
        words = [str(classes[value]) if 0 <= value < len(classes) else str(value) for value in values]
    else:
        words = [str(value) for value in values]
    unknown = next((word for word in words if word not in places), None)
    if unknown is not None:
        raise LabelError(f'{source}: "{unknown}" is not one of the classes: {suggestion(unknown, places)}')
    return np.array([places[word] for word in words], np.int64)[inverse.reshape(targets.shape)]
