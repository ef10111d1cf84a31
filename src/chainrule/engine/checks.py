"""What both engines refuse, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Tensor
from chainrule.errors import DtypeError, GraphError, NonFiniteError, ShapeError
from chainrule.kernels.updates import Update
from chainrule.native.memory import Array


def check_loss(loss: Any) -> Tensor:
    """The loss a model was given, if it is one number; raises DtypeError or ShapeError."""
    if not isinstance(loss, Tensor):
        raise DtypeError(
            f"loss: its value is a {type(loss).__name__}, expected a tensor: compute it by operations on the outputs"
        )
    if loss.size != 1:
        raise ShapeError(f"loss: its value has shape {loss.shape}, expected one number: take the mean or the sum")
    return loss


def check_reached(some: bool) -> None:
    """Raise GraphError unless the loss depends on some of the parameters."""
    if not some:
        raise GraphError(
            "loss: it depends on no parameter of the model, there is nothing to train: "
            "compute it from the outputs, without detach() and outside of no_grad()"
        )


def check_dtype(name: str, parameter: Tensor, dtype: np.dtype[Any]) -> None:
    """Raise DtypeError where a parameter or buffer was cast after training began."""
    if parameter.dtype != dtype:
        raise DtypeError(
            f'{type(parameter).__name__.lower()} "{name}" is now {parameter.dtype}, training began in {dtype}: '
            "cast the model before its Trainer is made"
        )


def check_finite(loss: float, gradients: Mapping[str, Array], step: int) -> None:
    """Raise NonFiniteError where the loss of a step or one of its gradients, by parameter, is NaN or infinite."""
    if not np.isfinite(loss):
        raise not_finite(step, f"the loss is {loss}")
    for name, gradient in gradients.items():
        finite = np.isfinite(gradient)
        if not finite.all():
            raise not_finite(step, f'the gradient of "{name}" is {gradient[~finite][0]}')


def updated(
    update: Update, arrays: Mapping[str, tuple[Array, ...]], row: Array, step: int
) -> list[tuple[Array, ...]]:  # fmt: skip
    """New values of each parameter and its states, given by name as (p, gradient, *states), with coefficients `row`.

    Raises NonFiniteError where one is NaN or infinite. A state counts too: one of infinity would keep its parameter
    where it is for good.
    """
    found = []
    for name, of in arrays.items():
        with np.errstate(all="ignore"):  # what is not finite is found here, once, and has an error of its own
            found.append(new := update(row, *of))
        for what, array in zip((f'"{name}"', *(f'{s} of "{name}"' for s in update.states)), new, strict=True):
            finite = np.isfinite(array)
            if not finite.all():
                raise not_finite(step, f"the updated {what} is {array[~finite][0]}")
    return found


def not_finite(step: int, what: str) -> NonFiniteError:
    """The error of a step that was given up."""
    return NonFiniteError(
        f"step {step}: {what}; the weights are those before this step: "
        "lower lr, clip the gradients (clip_norm=1.0), or scale the data and look for extreme values in it",
        step,
    )
