"""Errors that both engines raise, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.autodiff.tape import Node, tracing
from chainrule.autodiff.tensor import Tensor, symbol
from chainrule.errors import DtypeError, GraphError, LabelError, NonFiniteError, ShapeError, TraceError
from chainrule.kernels.updates import Update
from chainrule.native.memory import Array, View
from chainrule.ops.record import Limit


def check_loss(loss: Any) -> Tensor:
    """The value of a loss, if it is a single number; raises DtypeError or ShapeError."""
    if not isinstance(loss, Tensor):
        raise DtypeError(
            f"loss: its value is a {type(loss).__name__}, expected a tensor: compute it with operations on the outputs"
        )
    if loss.size != 1:
        raise ShapeError(f"loss: its value has shape {loss.shape}, expected one number: take the mean or the sum")
    return loss


def check_reached(some: bool) -> None:
    """Raise GraphError unless the loss depends on some of the parameters."""
    if not some:
        raise GraphError(
            "loss: it does not depend on any parameter of the model, so there is nothing to train: "
            "compute it from the outputs, without detach() and outside of no_grad()"
        )


def check_pairs(nodes: Sequence[Node], given: Mapping[str, Tensor | None]) -> None:
    """Raise ShapeError if a loss with these nodes pairs every row with every other: values (n,) and
    (n, 1) become (n, n). `given` is what the loss takes, by name."""
    tensors = {name: tensor for name, tensor in given.items() if tensor is not None}
    origins = {id(tensor): {name} for name, tensor in tensors.items()}
    for node in nodes:
        of: set[str] = set().union(*(origins.get(id(t), ()) for t in node.inputs))
        origins.update({id(output): of for output in node.known})
        if node.op.name != "broadcast" or not of or node.inputs[0] is None:
            continue
        old, new = node.inputs[0].shape, node.output.shape
        if 0 < len(old) < len(new) and old[0] == new[0] > 1:
            shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
            ones, rest = (1,) * (len(new) - len(old)), old[1:]
            raise ShapeError(
                f"loss: values of shape {old}, from {' and '.join(sorted(of))}, are broadcast to {new}, each row with "
                f"every other (it takes {shapes}): write .reshape{(-1, *rest, *ones)}, or, if all pairs are intended, "
                f".reshape{(*ones, -1, *rest)}"
            )


def check_weighted(nodes: Sequence[Node], weight: Tensor | None) -> None:
    """Raise ShapeError for a loss on steps of sequences that ignores the weights of rows: some do not count."""
    if not any(tensor is weight for node in nodes for tensor in node.inputs):
        raise ShapeError(
            "loss: it ignores sample_weight, but a batch of sequences of different lengths has rows that do not count, "
            "with weight 0: pass sample_weight on, as in nn.MSELoss()(output, target, sample_weight)"
        )


def check_pairs_of(loss: Callable[..., Any], outputs: Tensor, y: Tensor, weight: Tensor | None) -> None:
    """The same for tensors with values, by a trace of the loss, as far as that needs none."""
    given = {"the outputs": outputs, "y": y, "sample_weight": weight}
    symbols = {name: None if t is None else symbol(t.shape, t.dtype, name) for name, t in given.items()}
    with tracing() as tape, suppress(TraceError, DtypeError):
        loss(*symbols.values())
    check_pairs(tape.nodes, symbols)


@dataclass(frozen=True)
class Whole:
    """Whole numbers that an op of a program takes, and what they may be."""

    op: str
    values: View
    limit: Limit
    beside: tuple[View, ...] = ()  # what decides, too


def wrong_label(taken: Sequence[Whole], rows: Array, step: int | None, steps: Array | None = None) -> LabelError:
    """The error of a step, or of a prediction (None), on these rows of a data set, that a whole number stopped; of
    sequences of different lengths, `steps` are the rows of all their steps.
    """
    for whole in taken:
        found, limit = whole.values.numpy().ravel(), whole.limit
        wrong = limit.wrong(found, *(view.numpy() for view in whole.beside))
        if wrong.size:
            if steps is not None and found.size % len(steps) == 0:
                rows = steps
            each = max(1, found.size // len(rows))
            gathered = whole.values.storage.kind == "arena" and found.size % len(rows) == 0
            place = f"row {rows[wrong[0] // each] if gathered else wrong[0]}"
            if gathered and each > 1:
                place += f", position {wrong[0] % each}"
            place += "" if gathered else f" of those given to {whole.op}"
            when, kept = "", ""
            if step is not None:
                when, kept = f"step {step}: ", "; the weights are those from before this step"
            return LabelError(
                f"{when}{limit.noun} {found[wrong[0]]} in {place}, {limit.expected}{kept}: {limit.fix}, and do not "
                "change them while they are in use"
            )
    raise AssertionError("no whole number stopped the step")


def check_dtype(name: str, parameter: Tensor, dtype: np.dtype[Any]) -> None:
    """Raise DtypeError if a parameter or buffer was cast after training began."""
    if parameter.dtype != dtype:
        raise DtypeError(
            f'{type(parameter).__name__.lower()} "{name}" is now {parameter.dtype}, training began in {dtype}: '
            "cast the model before its Trainer is made"
        )


def check_finite(loss: float, gradients: Mapping[str, Array], step: int) -> None:
    """Raise NonFiniteError if the loss of a step or one of its gradients, by parameter, is NaN or infinite."""
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

    Raises NonFiniteError if one is NaN or infinite, including states: an infinite state would freeze its parameter.
    """
    found = []
    for name, of in arrays.items():
        with np.errstate(all="ignore"):  # non-finite values are found here, once, with their own error
            found.append(new := update(row, *of))
        for what, array in zip((f'"{name}"', *(f'{s} of "{name}"' for s in update.states)), new, strict=True):
            finite = np.isfinite(array)
            if not finite.all():
                raise not_finite(step, f"the updated {what} is {array[~finite][0]}")
    return found


def not_finite(step: int, what: str) -> NonFiniteError:
    """The error for an abandoned step."""
    return NonFiniteError(
        f"step {step}: {what}; the weights are those from before this step: "
        "lower lr, clip the gradients (clip_norm=1.0), or scale the data and look for extreme values in it",
        step,
    )
