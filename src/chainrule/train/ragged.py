"""Checks of sequences of different lengths: those of arrays, on the rows of all steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from chainrule.errors import DataError, NonFiniteError, ShapeError
from chainrule.native.memory import Array
from chainrule.sequences import Sequences

R = TypeVar("R")


def of_steps(sequences: Any, check: Callable[[], R]) -> R:
    """The result of a check of the rows of all steps, whose errors name a row; they get its sequence and step."""
    try:
        return check()
    except (DataError, NonFiniteError) as error:
        if isinstance(sequences, Sequences):
            error.args = (re.sub(r"\brow (\d+)", lambda found: _place(sequences, int(found[1])), str(error)),)
        raise


def _place(sequences: Sequences, row: int) -> str:
    return "sequence {}, step {}".format(*sequences.place(row))


def targets_like(name: str, y: Any, x: Any) -> Any:
    """Targets for each step of x, from a list of arrays with as many steps. Raises ShapeError."""
    count = len(y) if hasattr(y, "__len__") else 0
    if count != len(x):
        raise ShapeError(f"{name}: has {count} sequences, the inputs {len(x)}: pass an array for each")
    if not all(np.ndim(one) for one in y):
        raise ShapeError(
            f"{name}: the model has an output for each step: pass a list of arrays, a target for each step"
        )
    y = y if isinstance(y, Sequences) else Sequences.of(name, y)
    wrong = np.flatnonzero(y.lengths != x.lengths)
    if wrong.size:
        i = int(wrong[0])
        raise ShapeError(
            f"{name}[{i}]: has {y.lengths[i]} steps, the inputs of this sequence have {x.lengths[i]}: pass a target "
            "for each step"
        )
    return y


def by_step(weight: Array | None, y: Any) -> Array | None:
    """Weights of sequences as weights of their steps, if y has a row for each step."""
    return np.repeat(weight, y.lengths) if weight is not None and isinstance(y, Sequences) else weight


def values_of(array: Any) -> Array:
    """The rows of all steps; an array itself."""
    values: Array = array.values if isinstance(array, Sequences) else array
    return values


def of_rows(each: Array, y: Any) -> Array:
    """The sum of each sequence's steps, or the mean over the labels of each row of an array."""
    if isinstance(y, Sequences):
        steps: Array = each.reshape(len(each), -1).mean(axis=1)
        return np.asarray(np.add.reduceat(steps, y.offsets[:-1]))
    return np.asarray(each.reshape(len(y), -1).mean(axis=1))
