"""Training data: arrays, checked against a model and its loss before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Tensor, wrap
from chainrule.data.augmentation import Augmentation, Transformation
from chainrule.engine.setup import PREDICT_BATCH
from chainrule.errors import ChainruleError, DtypeError, LabelError, OptionError, ShapeError
from chainrule.native.memory import Array, Shape
from chainrule.nn import Module
from chainrule.nn.module import in_mode
from chainrule.sequences import Sequences, as_sequences
from chainrule.train import evaluation
from chainrule.train.checks import check_divisor, check_inputs, check_labels, check_targets, check_weight, finite
from chainrule.train.engines import Engine
from chainrule.train.ragged import by_step, of_steps, targets_like, values_of
from chainrule.train.whole import Taken, checked, taken_by

SHAPES = 64  # of whole inputs whose use by the model is remembered


@dataclass(frozen=True)
class Data:
    """Arrays that have been checked."""

    x: Array | Sequences
    y: Array | Sequences
    weight: Array | None
    divisor: Array | None = None  # what each row adds to the divisor of a mean loss, if not 1
    augment: Augmentation | None = None
    shapes: tuple[Shape, ...] = ()  # of x and weight, which are the user's arrays where they need no conversion

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", self._shapes())

    def _shapes(self) -> tuple[Shape, ...]:
        return (self.x.shape,) if self.weight is None else (self.x.shape, self.weight.shape)

    def refuse_resized(self) -> None:
        """Raise ShapeError where a callback gave x or the weights another shape: kernels take rows by number."""
        if self._shapes() != self.shapes:
            raise ShapeError(
                f"fit: the arrays in use had the shapes {self.shapes}, now {self._shapes()}: do not resize or reshape "
                "them in place during fit, pass copies"
            )

    def without(self, rows: Array) -> Data:
        """Without the rows of a mask."""
        if not rows.any():
            return self
        kept = np.flatnonzero(~rows)
        parts = {name: getattr(self, name) for name in ("x", "y", "weight", "divisor")}
        return replace(self, **{name: array[kept] for name, array in parts.items() if array is not None})

    def augmented(self, augment: Augmentation | Iterable[Transformation] | None) -> Data:
        """With an augmentation, which is checked."""
        if augment is None:
            return self
        if isinstance(self.x, Sequences):
            raise DtypeError("fit: augment takes images, x holds sequences of different lengths: leave augment out")
        augmentation = augment if isinstance(augment, Augmentation) else Augmentation(augment)
        if self.x.dtype.kind == "i":
            raise DtypeError("fit: augment takes images of real numbers, x holds whole ones that the model needs")
        augmentation.check(self.x)
        return replace(self, augment=augmentation)


class Outputs(NamedTuple):
    """The shape of a model's outputs for some rows of x, and whether they have one for each step of sequences of
    different lengths.
    """

    shape: Shape
    by_step: bool


class Requirements:
    """What a model and its loss require of the data; each method raises a clear error for each mistake."""

    def __init__(self, loss: Callable[..., Any], dtype: np.dtype[Any], model: Module, engine: Engine) -> None:
        self.task = evaluation.task_of(loss)
        self._loss, self._dtype, self._model, self._engine = loss, dtype, model, engine
        self._outputs: dict[tuple[str, Shape], Outputs] = {}  # kind and shape of a row of x -> outputs for some rows
        self._taken: dict[Shape, list[Taken]] = {}  # shape of whole x -> what ops take of it

    def forget(self) -> None:
        """Drop what is cached about the model, after its structure changed."""
        self._outputs.clear()
        self._taken.clear()

    def inputs(self, x: Any, prefix: str = "") -> tuple[Any, Outputs]:
        """Inputs (n, ...) in the form the engine expects, and the outputs for some of their rows.

        Whole numbers stay whole if the model needs them, as `nn.Embedding` does; otherwise they become real. Sequences
        of different lengths become `Sequences`.
        """
        name = prefix + "x"
        x = as_sequences(name, x)
        array = check_inputs(name, values_of(x))
        rows = x.like(array) if isinstance(x, Sequences) else array
        if array.dtype.kind in "iu" and self._needs_whole(rows):
            array = of_steps(x, lambda: checked(name, array, self._whole(rows)))
        else:
            array = of_steps(x, lambda: finite(name, array, self._dtype))
        rows = x.like(array) if isinstance(x, Sequences) else array
        return rows, self._outputs_for(name, rows)

    def data(self, x: Any, y: Any, weight: Any, prefix: str = "") -> Data:
        """The arrays of one data set in the form the engine expects."""
        x, outputs = self.inputs(x, prefix)
        target, weights = prefix + "y", check_weight(prefix + "sample_weight", weight, len(x), self._dtype)
        if outputs.by_step:
            y = targets_like(target, y, x)
            y = y.like(of_steps(y, lambda: self._targets(target, y.values, outputs.shape, by_step(weights, y))))
        else:
            y = self._targets(target, y, (len(x), *outputs.shape[1:]), weights)
        divisor = evaluation.divisors(self._loss, y, weights, self._dtype)
        check_divisor(target, divisor, self._dtype)
        return Data(x, y, weights, divisor)

    def _targets(self, name: str, y: Any, outputs: Shape, weight: Array | None) -> Array:
        """Targets for rows of the outputs, one for each."""
        samples = outputs[0]
        if self.task == evaluation.CLASSES:
            return check_labels(name, y, samples, outputs, evaluation.ignored(self._loss))
        if self.task != evaluation.CUSTOM:
            return check_targets(name, y, samples, outputs, self._dtype, unit=self.task == evaluation.BINARY)
        y = check_targets(name, y, samples, None, self._dtype, unit=False)
        return self._numbers_or_labels(y, outputs, weight) if y.dtype.kind == "i" else y

    def counted(self, x: Any, y: Any, weight: Any) -> Data:
        """The same for training, without rows that do not count: a batch with no other rows would have no mean loss."""
        data = self.data(x, y, weight)
        return data.without(evaluation.add_nothing(self._loss, data.y, data.weight, data.divisor))

    def validation(self, data: tuple[Any, ...] | None) -> Data | None:
        """The same for `validation_data` of fit."""
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise OptionError(
                f"fit: validation_data is {type(data).__name__}, expected (x, y) or (x, y, sample_weight)"
            )
        checked = self.data(data[0], data[1], data[2] if len(data) == 3 else None, "validation ")
        self.check_predictions(checked.x, "validation ")
        return checked

    def check_batches(self, x: Array | Sequences, size: int) -> None:
        """Raise ShapeError if the last of x's batches of `size` is too small for a layer, such as one row for
        BatchNorm.

        The suggested batch size leaves no last batch, or a larger one.
        """
        rows, left = len(x), len(x) % size
        try:
            self._check_rest(x, left, training=True)
        except ShapeError as error:
            others = chain(range(size - 1, left, -1), range(size + 1, rows))
            better = next((other for other in others if not 0 < rows % other <= left), rows)
            raise ShapeError(
                f"fit: with batches of {size}, the last one has {left} of the {rows} rows: "
                f"pass batch_size={better}, or remove {left} ({error})"
            ) from None

    def check_predictions(self, x: Array | Sequences, prefix: str = "") -> None:
        """The same for predictions, whose batches have a fixed size."""
        left = len(x) % PREDICT_BATCH
        try:
            self._check_rest(x, left, training=False)
        except ShapeError as error:
            raise ShapeError(
                f"{prefix}x: predictions are made in batches of {PREDICT_BATCH}, and the last one has {left} of the "
                f"{len(x)} rows: remove {left} ({error})"
            ) from None

    def _check_rest(self, x: Array | Sequences, left: int, training: bool) -> None:
        if 0 < left < len(x):
            in_mode(self._model, training, lambda: self._engine.outline(x[:left]))

    def _numbers_or_labels(self, y: Array, outputs: Shape, weight: Array | None) -> Array:
        """Whole-number targets of a custom loss: as real numbers if it accepts those, otherwise as they are.

        The loss is tried on outputs of 0 with the NumPy definitions, which check that labels are in range; kernels do
        not.
        """
        guess, weights = np.zeros((len(y), *outputs[1:]), self._dtype), None if weight is None else wrap(weight)
        numbers = y.astype(self._dtype)
        with no_grad(), np.errstate(all="ignore"):
            try:
                self._loss(wrap(guess), wrap(numbers), weights)
            except (LabelError, TypeError, IndexError):  # needs labels, or has an error, which is raised again below
                self._loss(wrap(guess), wrap(y), weights)
                return y
        return numbers

    def _needs_whole(self, x: Array | Sequences) -> bool:
        """Whether the model refuses rows of real numbers, but not of whole ones."""
        key = x.shape[1:]
        if ("f", key) in self._outputs or ("i", key) in self._outputs:
            return ("i", key) in self._outputs
        try:
            self._outputs["f", key] = self._traced(_of(x[:2], self._dtype))
        except LabelError:
            self._outputs["i", key] = self._traced(_of(x[:2], np.dtype(np.int64)))
            return True
        except ChainruleError:  # which is raised again, with its place
            pass
        return False

    def _whole(self, x: Array | Sequences) -> list[Taken]:
        """What ops take of whole numbers x of this shape."""
        shape = (len(x), *values_of(x).shape)
        if shape not in self._taken:
            if len(self._taken) == SHAPES:
                self._taken.clear()
            self._taken[shape] = in_mode(self._model, False, lambda: taken_by(self._model, x))
        return self._taken[shape]

    def _outputs_for(self, name: str, x: Array | Sequences) -> Outputs:
        """The outputs for up to two rows of x, cached by kind and shape; for all steps, if they have one for each."""
        key = x.dtype.kind, x.shape[1:]
        if key not in self._outputs:
            try:
                self._outputs[key] = self._traced(x[:2])
            except ShapeError as error:
                raise (None if isinstance(x, Sequences) else self._with_axes(name, x)) or error from None
        found = self._outputs[key]
        return found._replace(shape=(len(values_of(x)), *found.shape[1:])) if found.by_step else found

    def _traced(self, rows: Array | Sequences) -> Outputs:
        """The outputs for a few rows."""
        output = in_mode(self._model, False, lambda: self._engine.outline(rows))
        if not isinstance(output, Tensor):
            raise DtypeError(
                f"model: forward returns {type(output).__name__}, expected one tensor: return only the outputs"
            )
        shape, by_step = output.shape, isinstance(rows, Sequences) and output.sequences is not None
        if not by_step and (not shape or shape[0] != len(rows)):
            raise ShapeError(f"model: outputs have shape {shape} for {len(rows)} samples, expected one row per sample")
        return Outputs(shape, by_step)

    def _with_axes(self, name: str, x: Array) -> ShapeError | None:
        """The error for x that would fit with its axes changed: a single sample, no channels, or channels first.

        To know, it calls the model again, in evaluation mode: buffers and random numbers are as before, but what a
        `forward` of the user's does besides (counting its calls) is done again, as in any trace.
        """
        changed = {"[None]": x[None]}
        if x.ndim in (1, 3):
            changed["[..., None]"] = x[..., None]
        if x.ndim == 4:
            changed[".transpose(0, 2, 3, 1)"] = x.transpose(0, 2, 3, 1)
        for change, array in changed.items():
            try:
                self._traced(array[:2])
            except (ValueError, TypeError, IndexError):  # does not fit either, here or in a custom `forward`
                continue
            expected = ", ".join(map(str, array.shape[1:]))
            if_so = "if that is a single sample, " if change == "[None]" and x.ndim > 1 else ""
            advice = f"{if_so}pass {name.split()[-1]}{change}"
            return ShapeError(f"{name}: has shape {x.shape}, expected (n, {expected}): {advice}")
        return None


def _of(x: Array | Sequences, dtype: np.dtype[Any]) -> Any:
    """Rows in another dtype, to trace with; whole ones are 0."""
    values = np.zeros_like(values_of(x), dtype) if dtype.kind == "i" else values_of(x).astype(dtype)
    return x.like(values) if isinstance(x, Sequences) else values
