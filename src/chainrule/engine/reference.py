"""The reference engine: one training step after another, op by op, using the NumPy definitions.

It is slow and readable: the compiled engine is tested against it, and it runs models whose control flow depends on
values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.autodiff.random import random_context
from chainrule.autodiff.state import Assigned, apart, give, wholly
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Layout, Tensor, wrap
from chainrule.engine.checks import check_dtype, check_finite, check_loss, check_pairs_of, check_reached, updated
from chainrule.engine.setup import PREDICT_BATCH, Setup
from chainrule.errors import DtypeError, OptionError
from chainrule.kernels.augmentation import Augment
from chainrule.native.memory import Array, Shape
from chainrule.sequences import Sequences, joined

Batch: TypeAlias = tuple[Any, Any, Array | None]  # x and y, as arrays or as sequences, and weights
EPS = 1e-6  # in the divisor of clipping by norm, as in torch


class ReferenceEngine:
    """Trains according to a `Setup`, one op after another.

    Steps are counted from 0 over the whole training. All parameters live in one flat block, of which `parameter.data`
    is a view; an array assigned to `parameter.data` is copied into it before the next step.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        dtypes = {p.dtype for p in setup.parameters.values()}
        if len(dtypes) > 1:
            raise DtypeError(f"engine: parameters have several dtypes, {', '.join(map(str, dtypes))}: give them one")
        size = sum(p.size for p in setup.parameters.values())
        self.block: Array = np.zeros(size, next(iter(dtypes), np.dtype(np.float32)))
        self.states: list[Array] = [np.zeros_like(self.block) for _ in setup.update.states]
        self._views: dict[str, Array] = {}
        self._data: Batch | None = None
        self._augment: Augment | None = None
        self.steps = 0  # done, counted over all calls, as far as `run` has come since `bind`
        self._known: set[Shape] = set()  # of targets for which the loss has been looked at
        self._adopt()

    @property
    def program(self) -> str:
        """Raises OptionError: there is no program."""
        raise OptionError('engine: the reference engine runs op by op and has no program: use engine="compiled"')

    def bind(
        self,
        x: Array | Sequences,
        y: Array | Sequences,
        weight: Array | None = None,
        augment: Augment | None = None,
        first_step: int = 0,
    ) -> None:
        """Take the data set that `run` draws its batches from: x (n, ...), y (n, ...), weight (n,) or None. `augment`
        transforms the images of x (n, h, w, c) differently in each step. `first_step` is the number of the first step
        to come.
        """
        self._data, self._augment, self.steps = (x, y, weight), augment, first_step

    def run(
        self, indices: NDArray[np.int64], coefficients: NDArray[np.float64], first_step: int
    ) -> NDArray[np.float64]:
        """Run one step for each row of `indices` (S, B) with that row of `coefficients` (S, C); returns the losses
        (S,).

        Raises NonFiniteError at a step whose loss, gradient or new weights are not finite; the weights are then those
        from before it.
        """
        assert self._data is not None, "bind the data before running"
        self._adopt()
        x, y, weight = self._data
        losses = np.empty(len(indices))
        for position, (rows, row) in enumerate(zip(indices, coefficients, strict=True)):
            step, images = first_step + position, x[rows]
            if self._augment is not None:
                images = self._augment(images, self.setup.seed, np.full(len(rows), step), rows)
            losses[position] = self._step((images, y[rows], None if weight is None else weight[rows]), row, step)
        return losses

    def gradients(
        self, x: Array | Sequences, y: Array | Sequences, weight: Array | None = None, step: int = 0
    ) -> tuple[float, dict[str, Array]]:
        """The loss and each parameter's gradient, unclipped, with the random numbers of `step`; nothing is updated."""
        self._adopt()
        (loss, gradient), _ = apart(lambda: self._differentiate((x, y, weight), step))
        return loss, {name: part.copy() for name, part in self._parts(gradient)}

    def outline(self, x: Array | Sequences) -> Tensor:
        """The model's output for x (n, ...), used for its shape."""
        with no_grad(), random_context(self.setup.seed, 0), np.errstate(all="ignore"):
            output, _ = apart(lambda: self.setup.model(tensor_of(x)))
        return output

    def predict(self, x: Array | Sequences) -> Any:
        """The model's outputs for x (n, ...), in batches of a fixed size, which affects some layers' outputs."""
        self._adopt()
        starts = range(0, max(1, len(x)), PREDICT_BATCH)
        batches = [x[start : start + PREDICT_BATCH] for start in starts]
        with no_grad(), np.errstate(all="ignore"):  # the caller looks for values that are not finite
            parts: list[Any]
            parts, _ = apart(lambda: [_values(self.setup.model(tensor_of(batch)), batch) for batch in batches])
        return joined(parts)

    def forget(self) -> None:
        """Nothing is kept between steps: this is for the compiled engine's programs."""

    def _step(self, batch: Batch, row: NDArray[np.float64], step: int) -> float:
        """One step: all is computed first, then stored at once, so that a signal's exception leaves no half of it."""
        with np.errstate(all="ignore"):  # non-finite values are found here, once, with their own error
            (loss, gradient), assigned = apart(lambda: self._differentiate(batch, step))
            check_finite(loss, dict(self._parts(gradient)), step)
            gradient = clip(gradient, self.setup.clip_norm, self.setup.clip_value)
        parts = zip(*(self._parts(block) for block in (self.block, gradient, *self.states)), strict=True)
        arrays = {of[0][0]: tuple(part for _, part in of) for of in parts}
        old = [(p, *states) for p, _, *states in arrays.values()]
        new = updated(self.setup.update, arrays, row, step)
        wholly(lambda: self._store(old, new, assigned, step))
        return loss

    def _store(self, old: list[tuple[Array, ...]], new: list[tuple[Array, ...]], assigned: Assigned, step: int) -> None:
        """Store what a step computed: parameters and states, buffers, and how many steps are done."""
        for arrays, values in zip(old, new, strict=True):
            for array, value in zip(arrays, values, strict=True):
                array[...] = value
        give(assigned)
        self.steps = step + 1

    def _differentiate(self, batch: Batch, step: int) -> tuple[float, Array]:
        x, y, weight = batch
        for parameter in self.setup.parameters.values():
            parameter.grad = None
        if isinstance(y, Sequences):
            each = np.ones(len(y), self.block.dtype) if weight is None else weight
            weight = np.repeat(each, y.lengths)
        with random_context(self.setup.seed, step):
            output, weights = self.setup.model(inputs := tensor_of(x)), None if weight is None else wrap(weight)
            target = wrap(y.values if isinstance(y, Sequences) else y)
            if isinstance(y, Sequences) and weights is not None:
                target.sequences = weights.sequences = inputs.sequences
            if y.shape not in self._known:
                check_pairs_of(self.setup.loss, output, target, weights)
                self._known.add(y.shape)
            loss = check_loss(self.setup.loss(output, target, weights))
        check_reached(loss.requires_grad)
        value = float(loss.detach().item())
        loss.backward()
        gradient = np.zeros_like(self.block)
        for parameter, (_, part) in zip(self.setup.parameters.values(), self._parts(gradient), strict=True):
            if parameter.grad is not None:  # a parameter the loss does not depend on has gradient 0
                part[...] = parameter.grad
        return value, gradient

    def _adopt(self) -> None:
        """Make every parameter a view of the block, copying the values of those that are not."""
        for (name, part), parameter in zip(self._parts(self.block), self.setup.parameters.values(), strict=True):
            if self._views.get(name) is not parameter.data:
                check_dtype(name, parameter, self.block.dtype)
                part[...] = parameter.data
                parameter.data = part
                self._views[name] = parameter.data

    def _parts(self, block: Array) -> Iterator[tuple[str, Array]]:
        """Views of a flat block, one for each parameter."""
        start = 0
        for name, parameter in self.setup.parameters.items():
            yield name, block[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size


def tensor_of(x: Array | Sequences) -> Tensor:
    """A batch as a tensor; sequences of different lengths as the rows of all their steps."""
    if not isinstance(x, Sequences):
        return wrap(x)
    rows = wrap(x.values)
    rows.sequences = Layout(wrap(x.offsets), wrap(np.argsort(-x.lengths, kind="stable")))
    return rows


def _values(output: Tensor, batch: Array | Sequences) -> Any:
    """The outputs of a batch, as sequences where they have a row for each step."""
    return output.data if output.sequences is None or not isinstance(batch, Sequences) else batch.like(output.data)


def clip(gradient: Array, norm: float | None, value: float | None) -> Array:
    """Clip a flat gradient, first by value, then by global norm.

    Formula: g ← min(max(g, -value), value), then g ← g·min(1, norm / (‖g‖₂ + 1e-6)).
    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, ICML 2013;
    torch.nn.utils.clip_grad_value_ and clip_grad_norm_.
    """
    if value is not None:
        gradient = np.clip(gradient, -value, value)
    if norm is not None:
        length = float(np.linalg.norm(gradient.astype(np.float64)))
        if norm < length + EPS:
            gradient = gradient * gradient.dtype.type(norm / (length + EPS))
    return gradient
