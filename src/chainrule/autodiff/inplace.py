"""Changing a tensor's array in place: allowed if no gradient is involved, an error if one would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.autodiff.tape import recording
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import GraphError, ShapeError


def update(tensor: Tensor, ufunc: np.ufunc, function: Callable[[Any, Any], Tensor], other: Any) -> Tensor:
    """`tensor op= other`: in place by `ufunc`, or a new tensor by `function` if it is part of a graph.

    Raises GraphError for a leaf that requires gradients, outside `no_grad()`.
    """
    in_graph = _in_graph(tensor, other)
    if in_graph and tensor.requires_grad and tensor.is_leaf and not tensor.is_symbolic:
        raise GraphError(
            f"{tensor.label}: a leaf that requires gradients cannot be changed in place: "
            "write inside `with no_grad():`, or make a new tensor, as in y = x + v"
        )
    if in_graph or tensor.is_symbolic or (isinstance(other, Tensor) and other.is_symbolic):
        return function(tensor, other)
    value, shape = as_array(other), tensor.shape
    try:
        fits = np.broadcast_shapes(shape, value.shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{tensor.label}: shape {shape} cannot be changed in place by {value.shape}: write x = x + v")
    array = _writable(tensor)
    with np.errstate(all="ignore"):
        ufunc(array, value, out=array, casting="unsafe" if array.dtype.kind == "f" else "same_kind")
    return tensor


def assign(tensor: Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value`. Raises GraphError in a graph, ShapeError if index or value do not fit."""
    if _in_graph(tensor, value):
        raise GraphError(
            f"{tensor.label}: x[i] = v cannot be done in a graph: build the result with where or concatenate, "
            "or write inside `with no_grad():`"
        )
    values, array = as_array(value), _writable(tensor)
    parts = index if isinstance(index, tuple) else (index,)
    plain = tuple(part.data if isinstance(part, Tensor) else part for part in parts)
    try:
        array[plain] = values
    except (IndexError, ValueError) as error:
        raise ShapeError(
            f"{tensor.label}: x[i] = v for x of shape {tensor.shape} and v of {values.shape}: {error}"
        ) from None


def _in_graph(tensor: Tensor, other: Any) -> bool:
    return recording() and (tensor.requires_grad or (isinstance(other, Tensor) and other.requires_grad))


def _writable(tensor: Tensor) -> Any:
    tensor._concrete("it was changed in place")
    if not tensor.data.flags.writeable:  # a broadcast view, for example
        tensor.data = tensor.data.copy()
    return tensor.data
