"""Gradients by backpropagation compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.backward import gradients
from chainrule.autodiff.random import random_context
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Tensor, as_array
from chainrule.errors import DtypeError, GradcheckError
from chainrule.native.memory import Array, Shape


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool:
    """Whether `function`'s gradients by `backward()` equal central differences, for every input and output element.

    df/dx ≈ (f(x + eps) - f(x - eps)) / (2·eps), in float64 whatever the inputs are; they differ when
    |backward - difference| > atol + rtol·|difference|. `inputs` is a tensor or a sequence of arguments; of these, real
    tensors that require gradients are checked, or all real tensors and arrays if none does. `function` returns a
    tensor or several. Dropout draws the same masks in each call.

    Returns True. Raises GradcheckError naming the worst element; a function with a kink within `eps` of the point, such
    as relu near 0, is not differentiable there and may fail. Tolerances as in torch.autograd.gradcheck.

    >>> gradcheck(lambda x, w: (x @ w).tanh(), (cr.tensor([[0.5, 1.0]]), cr.tensor([[1.0], [2.0]])))
    True
    """
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    checked = _checked(given)
    points = [_point(value, position in checked) for position, value in enumerate(given)]
    outputs = _call(function, points)
    misses = []
    count = 0
    for position in checked:
        numeric = _by_differences(function, points, position, eps)
        for number, output in enumerate(outputs):
            ours, expected = _by_backward(output, points[position]), numeric[number]
            excess = np.abs(ours - expected) - (atol + rtol * np.abs(expected))
            count += excess.size
            for row, column in np.argwhere(~(excess <= 0)):  # a NaN is a miss too
                place = (position, points[position].shape, number, output.shape, row, column)
                misses.append(
                    (np.nan_to_num(excess[row, column], nan=np.inf), ours[row, column], expected[row, column], place)
                )
    if misses:
        _, ours, expected, place = max(misses, key=lambda miss: miss[0])
        raise GradcheckError(
            f"gradcheck: {len(misses)} of {count} derivatives disagree, the worst is {_name(*place)}: "
            f"backward gives {ours:.9g}, finite differences {expected:.9g}, the tolerance is {atol:g} + {rtol:g} of it"
        )
    return True


def _checked(given: Sequence[Any]) -> list[int]:
    """Positions of the inputs to check."""
    required = [i for i, value in enumerate(given) if isinstance(value, Tensor) and value.requires_grad]
    real = [i for i, value in enumerate(given) if isinstance(value, (Tensor, np.ndarray)) and value.dtype.kind == "f"]
    if not (required or real):
        raise DtypeError("gradcheck: no input is a real tensor: pass floats, as in tensor([1.0, 2.0])")
    return required or real


def _point(value: Any, checked: bool) -> Any:
    """A float64 copy of a real input; other values as they are."""
    if not isinstance(value, (Tensor, np.ndarray)):
        return value
    array = as_array(value)
    return Tensor(
        np.array(array, np.float64 if array.dtype.kind == "f" else array.dtype, order="C"), requires_grad=checked
    )


def _call(function: Callable[..., Any], points: Sequence[Any]) -> list[Tensor]:
    with random_context(seed=0, step=0):
        answer = function(*points)
    return list(answer) if isinstance(answer, (tuple, list)) else [answer]


def _by_backward(output: Tensor, point: Tensor) -> Array:
    """The Jacobian (elements of the output, elements of the input), row by row."""
    jacobian = np.zeros((output.size, point.size))
    if not output.requires_grad:
        return jacobian
    for element in range(output.size):
        one = np.zeros(output.size, output.dtype)
        one[element] = 1.0
        (gradient,) = gradients(output, [point], one.reshape(output.shape), retain_graph=True)
        if gradient is not None:
            jacobian[element] = gradient.ravel()
    return jacobian


def _by_differences(function: Callable[..., Any], points: Sequence[Any], position: int, eps: float) -> list[Array]:
    """For each output, the Jacobian (elements of the output, elements of the input), column by column."""
    flat = points[position].data.reshape(-1)  # a view: the points are contiguous copies
    columns = []
    with no_grad():
        sizes = [output.size for output in _call(function, points)]
        for element in range(flat.size):
            middle = flat[element]
            flat[element] = middle + eps
            above = [as_array(output).flatten() for output in _call(function, points)]
            flat[element] = middle - eps
            below = [as_array(output).flatten() for output in _call(function, points)]
            flat[element] = middle
            columns.append([(a - b) / (2.0 * eps) for a, b in zip(above, below, strict=True)])
    return [np.reshape([c[i] for c in columns], (flat.size, size)).T for i, size in enumerate(sizes)]


def _name(position: int, shape: Shape, number: int, output_shape: Shape, row: int, column: int) -> str:
    x = f"input {position}{[int(i) for i in np.unravel_index(column, shape)]}" if shape else f"input {position}"
    y = (
        f"output {number}{[int(i) for i in np.unravel_index(row, output_shape)]}"
        if output_shape
        else f"output {number}"
    )
    return f"that of {y} for {x}"
