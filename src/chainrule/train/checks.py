"""Data is checked before anything runs; errors name the row, if there is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from chainrule.arrays import all_finite, to_array
from chainrule.errors import DataError, DtypeError, LabelError, NonFiniteError, ShapeError
from chainrule.native.memory import Array, Shape


def check_inputs(name: str, x: Any) -> Array:
    """Inputs (n, ...) as an array of numbers.

    Raises DtypeError for text, objects and complex numbers, DataError for ragged or empty data.
    """
    array = _array(name, x)
    if array.ndim == 0:
        raise ShapeError(
            f"{name}: is a single number, expected one row per sample: pass an array of shape (n, features)"
        )
    if len(array) == 0:
        raise DataError(f"{name}: has no samples, its shape is {array.shape}: pass at least one row")
    return array


def check_labels(name: str, y: Any, samples: int, outputs: Shape, ignored: int | None = None) -> Array:
    """Class labels, one for each row of the outputs (n, ..., C), as int64 in 0 .. C - 1 or `ignored`; floats may hold
    whole numbers.

    Raises LabelError, naming the row, for text, NaN, fractions and labels out of range; ShapeError for one-hot rows.
    """
    array = _array(name, y, labels=True).copy()  # kernels use them as addresses: nobody else may change them
    _same_length(name, array, samples)
    classes, expected = outputs[-1], (samples, *outputs[1:-1])
    if array.shape != expected:
        if array.shape == (*expected, classes) and classes > 1:
            fix = f": convert one-hot rows to labels with {name}.argmax(axis=-1)"
        elif array.size == int(np.prod(expected)):
            fix = f": pass {name}.reshape{expected}"
        else:
            single = array.shape == (samples,)  # of a whole sequence, say
            fix = f": for one label per sample the model must return (n, {classes})" if single else ""
        raise ShapeError(
            f"{name}: labels have shape {array.shape}, expected {expected}, one whole number per sample, "
            f"as the model's outputs are {(samples, *outputs[1:])}{fix}"
        )
    if array.dtype.kind == "f":
        whole = np.equal(array, np.floor(array))  # false for NaN; infinities are out of range
        if not whole.all():
            raise LabelError(
                f"{name}: row {_first(~whole)} is {array[~whole].flat[0]}, expected whole numbers from 0 to "
                f"{classes - 1}: remove such rows, or use a regression loss (nn.MSELoss)"
            )
    outside = (array < 0) | (array >= classes)
    if outside.any() and (outside := outside & (array != ignored)).any():
        row = _first(outside)
        raise LabelError(
            f"{name}: row {row} is {array[outside].flat[0]:.15g}, expected 0 to {classes - 1} as the model "
            f"has {classes} outputs: renumber the labels from 0, or give the last layer one output per class"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def check_targets(name: str, y: Any, samples: int, outputs: Shape | None, dtype: np.dtype[Any], unit: bool) -> Array:
    """Targets of exactly the outputs' shape, finite, of the parameters' dtype; within 0 .. 1 if `unit`.

    `outputs` is None for a custom loss, which checks its own shapes. Raises ShapeError for another shape, LabelError,
    naming the row, for a target outside 0 .. 1.
    """
    array = _array(name, y)
    _same_length(name, array, samples)
    if outputs is not None and array.shape != (samples, *outputs[1:]):
        expected = (samples, *outputs[1:])
        fix = f": pass {name}.reshape{expected}" if array.size == int(np.prod(expected)) else ""
        raise ShapeError(f"{name}: has shape {array.shape}, the model's outputs have {expected}{fix}")
    if outputs is None and array.dtype.kind in "biu":
        return array.astype(np.int64, order="C")  # a copy, as of labels, which they may be
    array = finite(name, array, dtype)
    outside = (array < 0) | (array > 1)
    if unit and outside.any():
        raise LabelError(
            f"{name}: row {_first(outside)} is {array[outside].flat[0]:g}, this loss expects targets from 0 (no) to 1 "
            "(yes): use nn.CrossEntropyLoss for several classes, nn.MSELoss for quantities"
        )
    return array


def check_weight(name: str, weight: Any, samples: int, dtype: np.dtype[Any]) -> Array | None:
    """Sample weights (n,), finite, at least 0 and not all 0; None stays None."""
    if weight is None:
        return None
    array = _array(name, weight)
    if array.shape != (samples,):
        raise ShapeError(f"{name}: has shape {array.shape}, expected ({samples},), one weight per sample")
    array = finite(name, array, dtype)
    if (array < 0).any():
        row = _first(array < 0)
        raise DataError(f"{name}: row {row} is {array[row]:g}, weights must be at least 0")
    if not array.any():
        raise DataError(f"{name}: every weight is 0, there is nothing to learn from")
    if array.sum(dtype=np.float64) > np.finfo(dtype).max:
        raise DataError(f"{name}: the sum of the weights is beyond {dtype}: divide them by their mean")
    return array


def check_divisor(name: str, divisor: Array | None, dtype: np.dtype[Any]) -> None:
    """Raise DataError if a mean loss cannot be divided by the rows' weights, which include those of their classes."""
    if divisor is None:
        return
    if not divisor.any():
        raise DataError(
            f"{name}: every row is of a class of weight 0 or has a label that is ignored, so the mean loss would be "
            "divided by 0: give one of these classes a weight above 0, or add rows of other classes"
        )
    least = np.finfo(dtype).tiny
    small = (divisor > 0) & (divisor < least)
    if small.any():
        row = _first(small)
        raise DataError(
            f"{name}: row {row} has weight {divisor[row]:g}, too small to divide by in {dtype}, expected at least "
            f"{least:.3g}: make such weights 0, or divide all of them by the largest"
        )


def check_outputs(place: str, outputs: Array, fix: Callable[[], str]) -> None:
    """Raise NonFiniteError, naming the row and column, if an output (n, ...) is NaN or infinite."""
    if outputs.dtype.kind != "f" or all_finite(outputs):
        return
    row, *column = np.argwhere(~np.isfinite(outputs))[0].tolist()
    value = float(outputs[row, *column])
    where = f", output {', '.join(map(str, column))}" if column else ""
    raise NonFiniteError(f"{place}: row {row}{where} is {value}: {fix()}", row=row, value=value)


def _array(name: str, values: Any, labels: bool = False) -> Array:
    error = LabelError if labels else DtypeError
    array = to_array(name, values, error)
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "O" and array.size and not isinstance(array.flat[0], str):
        raise error(
            f"{name}: contains objects, row 0 is {' '.join(repr(array[0]).split()):.60}: convert it to an array of "
            "numbers first"
        )
    if array.dtype.kind in "USTO" and array.size:
        text = f"{name}: row 0 is text, {str(array.flat[0])!r:.40}"
        if labels:
            raise error(f"{text}, expected whole numbers from 0: classes, y = np.unique(y, return_inverse=True)")
        raise error(f"{text}, expected numbers: encode it, or convert with {name}.astype(float) if it contains numbers")
    if array.size == 0:
        return array.astype(np.float64)
    raise error(f"{name}: has dtype {array.dtype}, expected real numbers: convert it first")


def finite(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in this dtype. Raises DataError, naming the row, for NaN, infinities and numbers that are too large."""
    with np.errstate(over="ignore") if array.dtype != dtype else nullcontext():
        result = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and not all_finite(result):
        wrong = ~np.isfinite(result)
        value = array[wrong].flat[0]
        why = f" (too large for {dtype})" if np.isfinite(value) else ""
        raise DataError(
            f"{name}: row {_first(wrong)} holds {value:g}{why}: "
            "fill in or remove such values, or scale them, before training"
        )
    return result


def _same_length(name: str, array: Array, samples: int) -> None:
    length = len(array) if array.ndim else 0
    if length != samples:
        raise ShapeError(f"{name}: has {length} samples, the inputs have {samples}: both must have one row per sample")


def _first(wrong: Array) -> int:
    """The first row with a wrong element."""
    return int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))
