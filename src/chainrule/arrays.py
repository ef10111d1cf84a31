"""Converts what a user passes to a NumPy array, or raises an error that says what it got and how to fix it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ChainruleError, DataError, DtypeError

SMALL = 8192  # elements; NumPy may compute products of larger arrays in threads of its own


def to_array(name: str, values: Any, error: type[ChainruleError] = DtypeError) -> NDArray[Any]:
    """`values` as an array of any dtype; text and other objects inside it are left for the caller to check.

    Raises `error` for values that are not arrays (None, a dict, a generator, a sparse matrix), DataError for rows of
    different lengths and for masked arrays that hide values.

    >>> to_array("x", [[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if _is_masked(values):
        return _unmasked(name, values)
    if isinstance(values, (list, tuple)):
        values = [_unmasked(f"{name}[{i}]", v) if _is_masked(v) else v for i, v in enumerate(values)]
    elif not isinstance(values, np.ndarray):  # most are
        fix = _instead(values)
        if fix:
            raise error(f"{name}: is {_article(values)}, expected an array of numbers: {fix}")
    try:
        array = np.asarray(values)
    except ChainruleError:
        raise
    except ValueError:
        raise DataError(f"{name}: rows have different lengths: pad or cut them to one length") from None
    except (TypeError, RuntimeError) as why:
        raise error(f"{name}: {_article(values)} cannot be read as an array ({why}): convert it first") from None
    if array.dtype.kind == "O" and array.ndim == 0:
        raise error(f"{name}: is {_article(values)}, expected an array of numbers: convert it first")
    return array


def all_finite(array: NDArray[Any]) -> bool:
    """Whether no element of an array of floats is NaN or infinite.

    Their sum of squares answers for a small array in a third of the time, unless it overflows.
    """
    if array.size <= SMALL and math.isfinite(np.vdot(array, array)):
        return True
    return bool(np.isfinite(array).all())


def _instead(values: Any) -> str:
    """What to pass instead of such values; empty if NumPy can read them."""
    if values is None:
        return "pass one"
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        return "pass its .toarray()"
    if isinstance(values, Mapping):
        return "pass its values side by side, as in np.column_stack(list(d.values()))"
    if isinstance(values, Set):
        return "it has no order, pass a list"
    if isinstance(values, Iterator):
        return "pass a list or an array of the values it yields"
    return ""


def _is_masked(values: Any) -> bool:
    """Whether values are a masked array; there is none before `numpy.ma` is loaded, which takes 10 ms."""
    return "numpy.ma" in sys.modules and isinstance(values, np.ma.MaskedArray)


def _unmasked(name: str, values: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    hidden = np.ma.getmaskarray(values)
    if hidden.any():
        row = int(np.argmax(hidden.reshape(len(hidden), -1).any(axis=1))) if hidden.ndim else 0
        raise DataError(
            f"{name}: is a masked array that hides {int(hidden.sum()):,} of {hidden.size:,} values, the first in row "
            f"{row}: fill them in with .filled(value), or leave such rows out"
        )
    return values.data


def _article(values: Any) -> str:
    if values is None:
        return "None"
    kind = type(values).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
