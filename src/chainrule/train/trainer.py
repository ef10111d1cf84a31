"""The trainer: model, loss and optimizer made one, on either engine."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.autodiff.random import checked_seed
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Parameter, Tensor, wrap
from chainrule.data.augmentation import Augmentation, Transformation
from chainrule.errors import DataError, DtypeError, LabelError, NonFiniteError, OptionError, ShapeError
from chainrule.native.memory import Array, Shape
from chainrule.nn import Module
from chainrule.nn.module import switched
from chainrule.optim.optimizers import Optimizer
from chainrule.optim.schedules import Schedule, factors
from chainrule.settings import flag, memory, number, whole
from chainrule.train import evaluation
from chainrule.train.batches import Batches, Rows, all_rows
from chainrule.train.checks import check_inputs, check_labels, check_outputs, check_targets, check_weight
from chainrule.train.engines import Engine, make_engine
from chainrule.train.events import Events
from chainrule.train.fitting import Data, Fitting, Plan
from chainrule.train.history import History
from chainrule.train.pace import Pace
from chainrule.train.progress import make_progress
from chainrule.train.structure import Known, structure

Loss = Callable[..., Any]
BLOCK = 256  # rows predicted in one call, or a multiple of it


class Trainer:
    """Trains `model` to lower `loss` by `optimizer`, on the compiled engine or the reference engine.

    Learning rate of step s: optimizer.lr · schedule(s), steps counted from 0 over all calls. Gradients are clipped by
    value to ±`clip_value`, then by global norm to `clip_norm`. `seed` decides shuffling and dropout; results do not
    depend on `threads`. A loss of one's own is a function of (output, target, sample_weight or None) that returns one
    number; whole-number targets reach it as real numbers, unless it takes them as labels. `metrics` adds measures to
    evaluation: {"f1": function(outputs, targets) -> float}. `memory_limit` is what a training step of the compiled
    engine may take, in bytes or as "200MB": parameters, gradients, optimizer states and what the forward pass keeps for
    the backward pass, but not the data set. Where it would take more, values are computed again in place of being kept,
    which costs time and changes no bit; a line on stderr says how many. OptionError where even that is too much.

    Raises OptionError for a setting without meaning. The data's mistakes raise ShapeError, DtypeError, LabelError or
    DataError before anything runs. NonFiniteError ends training before the weights are touched.

    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = (x[:, 0] > x[:, 1]).astype(int)
    >>> model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    >>> trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(lr=0.1), clip_norm=1.0)
    >>> history = trainer.fit(x[:150], y[:150], epochs=10, batch_size=50, validation_data=(x[150:], y[150:]))
    >>> history["val_accuracy"][-1] > 0.9
    True
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        seed: int = 0,
        threads: int | None = None,
        engine: str = "compiled",
        metrics: Mapping[str, evaluation.Metric] | None = None,
        memory_limit: int | str | None = None,
    ) -> None:
        _check_parts(model, loss, optimizer, schedule, metrics or {})
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.metrics = dict(metrics or {})
        self.seed = checked_seed(seed)
        self.steps = 0  # done so far, over all calls
        self.epochs = 0
        self.history = History()
        self.plan = Plan(0, Batches(0, 1, self.seed, False), 0, 0)
        self._fitting = False
        self._task = evaluation.task_of(loss)
        self._update = optimizer.update
        self._outputs: dict[Shape, Shape] = {}  # of a row of x -> of the outputs for some rows
        self._parameters: dict[str, Parameter] = _trainable(model)
        if not self._parameters:
            raise OptionError("Trainer: the model has no parameters that require gradients: there is nothing to train")
        self._structure: list[Known] = []
        self._dtype = next(iter(self._parameters.values())).dtype
        if clip_norm is not None:
            clip_norm = number("Trainer", "clip_norm", clip_norm, above=0)
        if clip_value is not None:
            clip_value = number("Trainer", "clip_value", clip_value, above=0)
        workers = None if threads is None else whole("Trainer", "threads", threads)
        limit = None if memory_limit is None else memory("Trainer", "memory_limit", memory_limit)
        self.engine: Engine = make_engine(
            engine, model, loss, self._parameters, optimizer.update, self.seed, clip_norm, clip_value, workers, limit
        )

    @property
    def program(self) -> Any:
        """The compiled training step, for printing; OptionError on the reference engine, which has none."""
        return self.engine.program

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 10,
        batch_size: int = 64,
        *,
        validation_data: tuple[Any, ...] | None = None,
        sample_weight: Any = None,
        augment: Augmentation | Iterable[Transformation] | None = None,
        shuffle: bool = True,
        callbacks: Iterable[Any] = (),
        verbose: int | None = None,
    ) -> History:
        """Train for `epochs` passes over x (n, ...) and y; returns each metric's value for each epoch.

        "loss" is that of the epoch's rows as the loss defines it, each batch's taken before its update: the mean of the
        batches' losses by what each is divided by, its rows, their weights, or those of their classes; the sum for
        reduction="sum". That of a loss of one's own is the mean by rows or their `sample_weight`. Rows that add nothing
        by a weight of 0, their own or that of their class, are left out, so that no batch's mean is divided by 0.
        `validation_data` is (x, y) or (x, y, sample_weight), measured after each epoch as "val_...". `augment` changes
        the images of x (n, h, w, c) anew in each step, as `chainrule.data.augmentation` says. `callbacks` hear events
        (`chainrule.train.events`). `verbose`: 0 silent, 1 progress on stderr, None (the default) progress on a terminal
        only. The last batch of an epoch may be smaller. A further call goes on where this one ended. Ctrl-C ends the
        run in good order: the history so far is returned, `history.interrupted` is True.
        """
        if self._fitting:
            raise OptionError(
                "fit: this trainer is in a fit already, which called a callback or runs in another thread: wait until "
                "it ends, call step, or make another Trainer"
            )
        epochs = whole("fit", "epochs", epochs, least=0)
        batch_size = whole("fit", "batch_size", batch_size)
        flag("fit", "shuffle", shuffle)
        progress = make_progress(verbose)
        events = Events([*callbacks, *([progress] if progress else [])])
        self._notice_changes()
        data = self._check(x, y, sample_weight)
        data = self._augmented(data.without(evaluation.add_nothing(self.loss, data.weight, data.divisor)), augment)
        validation = self._check_validation(validation_data)
        samples = len(data.x)
        batches = Batches(samples, min(batch_size, samples), self.seed, shuffle)
        self.plan = Plan(epochs, batches, self.epochs, self.steps)
        self.history = History()
        self._fitting = True
        try:
            with self._mode(True):
                return Fitting(self, data, validation, events).run()
        finally:
            self._fitting = False

    def step(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """One step on one batch; returns its loss, from before the update."""
        data = self._check(x, y, sample_weight)
        with self._mode(True):
            return float(self.run(data, [all_rows(len(data.x))])[0])

    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
        """Each parameter's gradient by name, unclipped, as the next step would meet it; nothing is updated."""
        self._notice_changes()
        data = self._check(x, y, sample_weight)
        with self._mode(True):
            return self.engine.gradients(data.x, data.y, data.weight, self.steps)[1]

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """The loss and the metrics of the task, without dropout; `sample_weight` weighs both.

        Class labels (CrossEntropyLoss): "accuracy", the share of rows whose largest output, the first of equal ones, is
        that of the label. Yes or no (BCEWithLogitsLoss): "accuracy", where an output above 0 means yes and a target
        above 0.5 is one, and "auc", the area under the ROC curve, ties counting half; both are means over the outputs.
        An output whose targets are all alike has no area and is left out; without any other "auc" is NaN. Quantities
        (MSELoss, L1Loss, HuberLoss): "mae", the mean absolute error, and "r2", 1 - Σ(ŷ - y)²/Σ(y - ȳ)², which is 1 at
        best and below 0 for predictions worse than the mean; an output of constant targets counts 1 if every prediction
        is exact, else 0. Both are means over the outputs. A loss of one's own: none. Then the `metrics` of the trainer,
        which see every row alike; one that is not finite is kept, with a RuntimeWarning.

        Raises NonFiniteError, naming the row, for an output or a loss that is NaN or infinite.
        """
        self._notice_changes()
        return self.measure(self._check(x, y, sample_weight))

    def predict(self, x: Any) -> Array:
        """The model's outputs (n, ...) for x (n, ...), without dropout: logits for a classifier.

        Raises NonFiniteError, naming the row, for one that is NaN or infinite.
        """
        self._notice_changes()
        x = check_inputs("x", x, self._dtype)
        self._output_shape(x)
        return self._predict(x)

    def stop(self, reason: str) -> None:
        """End the running `fit` after the present step or epoch, for a reason that `history.stopped` will tell."""
        self.history.stopped = reason or "stopped"

    # --- for a run of fit

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """The learning rate of each step in `steps`."""
        return self.optimizer.lr * factors(self.schedule, steps)

    def run(self, data: Data, batches: Sequence[Rows]) -> NDArray[np.float64]:
        """A step for each row of each block (S, B) in `batches`, which number rows of the data; returns the losses."""
        if self.optimizer.update is not self._update:
            raise OptionError(
                f"Trainer: optimizer is now {self.optimizer!r}, which keeps other state than the one the trainer was "
                "made with: set one of the same kind (for another lr), or make a new Trainer"
            )
        steps = np.arange(self.steps, self.steps + sum(map(len, batches)), dtype=np.int64)
        coefficients = self.optimizer.coefficients(steps + 1, self.rates(steps))
        losses, done = np.empty(len(steps)), 0
        self.engine.bind(data.x, data.y, data.weight, data.augment)  # anew: an observer may have bound other data
        for rows in batches:
            part = slice(done, done + len(rows))
            try:
                losses[part] = self.engine.run(rows, coefficients[part], self.steps)
            except NonFiniteError as error:
                if error.step is not None:
                    self.steps = error.step  # the steps before it were done
                raise
            done += len(rows)
            self.steps += len(rows)
        return losses

    def measure(self, data: Data, prefix: str = "") -> dict[str, float]:
        """The loss and metrics of data that has been checked; `prefix` says in errors which data it is."""
        outputs = self._predict(data.x, prefix)
        loss = evaluation.measure_loss(prefix + "loss", self.loss, outputs, data.y, data.weight)
        measured = evaluation.measure(self._task, outputs, data.y, data.weight)
        return {"loss": loss, **measured, **evaluation.measure_extra(self.metrics, outputs, data.y)}

    # --- inside

    def _augmented(self, data: Data, augment: Augmentation | Iterable[Transformation] | None) -> Data:
        """The data with its augmentation, checked."""
        if augment is None:
            return data
        augmentation = augment if isinstance(augment, Augmentation) else Augmentation(augment)
        augmentation.check(data.x)
        return replace(data, augment=augmentation)

    def _predict(self, x: Array, prefix: str = "") -> Array:
        """Outputs of all rows, in calls of blocks that are over soon, so that Ctrl-C is answered.

        Raises NonFiniteError where one is NaN or infinite.
        """
        parts, done, pace = [], 0, Pace()
        with self._mode(False), np.errstate(all="ignore"):
            while done < len(x):
                started, blocks = time.perf_counter(), min(pace.steps, -(-(len(x) - done) // BLOCK))
                parts.append(self.engine.predict(x[done : done + blocks * BLOCK]))
                pace.measure(blocks, time.perf_counter() - started)
                done += blocks * BLOCK
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        check_outputs(prefix + "outputs", outputs, "leave such rows out, scale the inputs, or train with a smaller lr")
        return outputs

    def _check(self, x: Any, y: Any, weight: Any, prefix: str = "") -> Data:
        """The arrays of one data set in the form the engine takes; raises one clear error for each mistake."""
        x = check_inputs(prefix + "x", x, self._dtype)
        outputs, target = self._output_shape(x), prefix + "y"
        weights = check_weight(prefix + "sample_weight", weight, len(x), self._dtype)
        if self._task == evaluation.CLASSES:
            y = check_labels(target, y, len(x), outputs)
        elif self._task == evaluation.CUSTOM:
            y = check_targets(target, y, len(x), None, self._dtype, unit=False)
            if y.dtype.kind == "i":
                y = self._numbers_or_labels(y, outputs, weights)
        else:
            y = check_targets(target, y, len(x), outputs, self._dtype, unit=self._task == evaluation.BINARY)
        divisor = evaluation.divisors(self.loss, y, weights, self._dtype)
        if divisor is not None and not divisor.any():
            raise DataError(
                f"{target}: every row is of a class of weight 0, the mean loss would be divided by 0: give one of "
                "these classes a weight above 0"
            )
        return Data(x, y, weights, divisor)

    def _numbers_or_labels(self, y: Array, outputs: Shape, weight: Array | None) -> Array:
        """Whole-number targets of a loss of the user's own: real numbers where it takes them, else as they are.

        It is tried on outputs of 0, by the NumPy definitions, which check that labels are in range; kernels do not.
        """
        guess, weights = np.zeros((len(y), *outputs[1:]), self._dtype), None if weight is None else wrap(weight)
        numbers = y.astype(self._dtype)
        with no_grad(), np.errstate(all="ignore"):
            try:
                self.loss(wrap(guess), wrap(numbers), weights)
            except (LabelError, TypeError, IndexError):  # wants labels, or has a mistake, which shows again
                self.loss(wrap(guess), wrap(y), weights)
                return y
        return numbers

    def _check_validation(self, data: tuple[Any, ...] | None) -> Data | None:
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise OptionError(
                f"fit: validation_data is {type(data).__name__}, expected (x, y) or (x, y, sample_weight)"
            )
        return self._check(data[0], data[1], data[2] if len(data) == 3 else None, "validation ")

    def _output_shape(self, x: Array) -> Shape:
        """The shape of the outputs for up to two rows of x: found by the engine, once for each shape of row."""
        if x.shape[1:] not in self._outputs:
            rows = x[:2]
            with self._mode(False):
                output = self.engine.outline(rows)
            if not isinstance(output, Tensor):
                raise DtypeError(
                    f"model: forward returns {type(output).__name__}, expected one tensor: return the outputs alone"
                )
            shape = output.shape
            if not shape or shape[0] != len(rows):
                raise ShapeError(
                    f"model: outputs have shape {shape} for {len(rows)} samples, expected one row per sample"
                )
            self._outputs[x.shape[1:]] = shape
        return self._outputs[x.shape[1:]]

    def _notice_changes(self) -> None:
        """Drop what was derived from a model that has been rebuilt since; a `step` does not look, to stay quick."""
        model = self.model
        parameters = _trainable(model)
        kept = parameters.keys() == self._parameters.keys() and all(
            p is self._parameters[name] and p.dtype == self._dtype for name, p in parameters.items()
        )
        if not kept:
            raise OptionError(
                "Trainer: the model has other parameters than when the trainer was made: make a new Trainer"
            )
        found = structure(model)
        if found == self._structure:
            return
        self._structure = found
        self._outputs.clear()
        self.engine.forget()

    @contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """Training or evaluation mode for a while; then each layer is as it was, also one in a mode of its own."""
        if self.model.training == training:
            yield
            return
        with switched(self.model, training):
            yield


def _trainable(model: Module) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in model.named_parameters().items() if parameter.requires_grad}


def _check_parts(model: Any, loss: Any, optimizer: Any, schedule: Any, metrics: Mapping[str, Any]) -> None:
    if not isinstance(model, Module):
        raise OptionError(f"Trainer: model is {model!r}, expected an nn.Module such as nn.Sequential(nn.Linear(4, 2))")
    if isinstance(loss, type) or not callable(loss):
        raise OptionError(f"Trainer: loss is {loss!r}, expected a loss such as nn.CrossEntropyLoss()")
    _check_call(loss)
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, type):
        raise OptionError(f"Trainer: optimizer is {optimizer!r}, expected one such as optim.Adam(lr=1e-3)")
    if schedule is not None and (isinstance(schedule, type) or not callable(schedule)):
        raise OptionError(f"Trainer: schedule is {schedule!r}, expected one of optim's or a function of the step")
    for name, metric in metrics.items():
        if not callable(metric):
            raise OptionError(f'Trainer: metric "{name}" is {metric!r}, expected a function of (outputs, targets)')


def _check_call(loss: Any) -> None:
    """Raise OptionError for a loss that cannot be called as the engines do."""
    try:
        signature = inspect.signature(loss)
    except ValueError:  # of compiled code that does not tell
        return
    try:
        signature.bind("output", "target", "sample_weight")
    except TypeError:
        raise OptionError(
            f"Trainer: loss is {loss!r} with the parameters {signature}: write it to be called as "
            "loss(output, target, sample_weight), where sample_weight is None unless fit was given one"
        ) from None
