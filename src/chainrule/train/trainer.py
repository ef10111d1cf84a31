"""The trainer: a model, a loss and an optimizer, on either engine."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Never

from chainrule.autodiff.random import checked_seed
from chainrule.data.augmentation import Augmentation, Transformation
from chainrule.engine.setup import Setup
from chainrule.errors import OptionError
from chainrule.native.memory import Array
from chainrule.nn import Module
from chainrule.optim.optimizers import Optimizer
from chainrule.optim.schedules import Schedule
from chainrule.sequences import Sequences
from chainrule.settings import flag, memory, number, shown, thread_count, whole
from chainrule.train import evaluation
from chainrule.train.arguments import refuse_unknown
from chainrule.train.batches import Batches, Plan, all_rows
from chainrule.train.engines import make_engine
from chainrule.train.events import Events
from chainrule.train.fitting import Fitting
from chainrule.train.history import History
from chainrule.train.progress import make_progress
from chainrule.train.training import Training, trainable
from chainrule.train.turns import Turns

Loss = Callable[..., Any]


class Trainer(Training):
    """Trains `model` to minimize `loss` with `optimizer`, on the compiled engine or the reference engine.

    Learning rate of step s: optimizer.lr · schedule(s), steps counted from 0 over all calls. Gradients are clipped by
    value to ±`clip_value`, then by global norm to `clip_norm`. `seed` determines shuffling and dropout; results do not
    depend on `threads`. A custom loss is a function of (output, target, sample_weight or None) that returns one number;
    it gets whole-number targets as real numbers, unless it uses them as labels. `metrics` adds metrics to evaluation:
    {"f1": function(outputs, targets) -> float}. `memory_limit` limits the memory of a training step on the compiled
    engine, in bytes or as "200MB": parameters, gradients, optimizer states and what the forward pass keeps for the
    backward pass, but not the data set. If a step would take more, values are recomputed instead of being kept, which
    costs time but changes no result; a line on stderr says how many. Raises OptionError if even that takes too much.

    Several threads may share a trainer: calls wait for each other, during a `fit` for the end of a group of steps, so
    `predict` uses the weights of that moment. A `step` or `fit` during another thread's fit, and any call from within a
    step or prediction (by the model or a signal handler), raises OptionError. Trainers whose models share layers or
    parameters wait for each other in the same way, and so do `state_dict`, `load_state_dict` and `cr.save`. A trainer
    cannot be copied or pickled, but its model can.

    Raises OptionError for an invalid setting. Invalid data raises ShapeError, DtypeError, LabelError or DataError
    before anything runs. NonFiniteError ends training before the weights change.

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
        **unknown: Never,
    ) -> None:
        refuse_unknown("Trainer", unknown, Trainer.__init__, Trainer.fit)
        _check_parts(model, loss, optimizer, schedule, metrics or {})
        parameters = trainable(model)
        if not parameters:
            raise OptionError("Trainer: the model has no parameters that require gradients: there is nothing to train")
        setup = Setup(
            model,
            loss,
            parameters,
            optimizer.update,
            seed=checked_seed(seed),
            clip_norm=None if clip_norm is None else number("Trainer", "clip_norm", clip_norm, above=0),
            clip_value=None if clip_value is None else number("Trainer", "clip_value", clip_value, above=0),
            workers=None if threads is None else thread_count("Trainer", threads),
            memory_limit=None if memory_limit is None else memory("Trainer", "memory_limit", memory_limit),
            buffers=model.named_buffers(),
        )
        turns = Turns(model)
        with turns.lock:  # the engine moves the parameters, which others may be using
            made = make_engine(engine, setup)
        super().__init__(model, optimizer, schedule, metrics or {}, setup, made, turns)

    @property
    def program(self) -> Any:
        """The latest training step's program, for printing.

        Raises OptionError before the first step, and on the reference engine, which has no programs.
        """
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
        **unknown: Never,
    ) -> History:
        """Train for `epochs` passes over x (n, ...) and y; returns each metric's value for each epoch.

        "loss" is the loss of the epoch's rows as the loss defines it, each batch's taken before its update: the mean of
        the batches' losses, weighted by what each is divided by (number of rows, sample weights or class weights); the
        sum for reduction="sum". For a custom loss it is the mean weighted by rows or their `sample_weight`. Rows whose
        own weight or class weight is 0 are removed, so that no batch's mean is divided by 0. `validation_data` is (x,
        y) or (x, y, sample_weight), measured after each epoch as "val_...". `augment` transforms the images of x (n, h,
        w, c) differently in each step (`chainrule.data.augmentation`). `callbacks` receive events
        (`chainrule.train.events`). `verbose`: 0 silent, 1 progress on stderr, None (the default) progress on a terminal
        only. The last batch of an epoch may be smaller. A further call continues where this one ended. Ctrl-C ends the
        run cleanly: the history so far is returned, and `history.interrupted` is True.
        """
        refuse_unknown("fit", unknown, Trainer.fit, Trainer.__init__)
        epochs = whole("fit", "epochs", epochs, least=0)
        batch_size = whole("fit", "batch_size", batch_size)
        flag("fit", "shuffle", shuffle)
        progress = make_progress(verbose)
        events = Events(callbacks)
        if progress:
            events.add(progress)
        begun = False
        try:
            with self.turns.lock:
                self.turns.refuse_second_fit()
                self._notice_changes()
                data = self._requirements.counted(x, y, sample_weight).augmented(augment)
                validation = self._requirements.validation(validation_data)
                samples = len(data.x)
                lengths = data.x.lengths if isinstance(data.x, Sequences) else None
                batches = Batches(samples, min(batch_size, samples), self.seed, shuffle, lengths)
                self._requirements.check_batches(data.x, batches.size)
                self.plan = Plan(epochs, batches, self.epochs, self.steps)
                self.history = History()
                fitting = Fitting(self, data, validation, events)
                self.turns.fitting, begun = threading.get_ident(), True
            return fitting.run()
        finally:
            if begun:
                self.turns.fitting = 0

    def step(self, x: Any, y: Any, sample_weight: Any = None) -> float:
        """One step on one batch; returns the loss from before the update."""
        with self.turns.lock:
            self.turns.refuse_step()
            data = self._requirements.data(x, y, sample_weight)
            return float(self.run(data, [all_rows(len(data.x))])[0])

    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Array]:
        """Each parameter's gradient by name, unclipped, as the next step would compute it; nothing is updated."""
        with self.turns.lock:
            self._notice_changes()
            data = self._requirements.data(x, y, sample_weight)
            return self._alone(True, lambda: self.engine.gradients(data.x, data.y, data.weight, self.steps)[1])

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """The loss and the metrics of the task, without dropout; `sample_weight` weights both.

        Class labels (CrossEntropyLoss): "accuracy", the fraction of rows whose largest output, the first of equal ones,
        is that of the label. Yes or no (BCEWithLogitsLoss): "accuracy", where an output above 0 and a target above 0.5
        mean yes, and "auc", the area under the ROC curve, ties counting half; both are means over the outputs. An
        output whose targets are all equal has no area and is skipped; if there is no other, "auc" is NaN. Quantities
        (MSELoss, L1Loss, HuberLoss): "mae", the mean absolute error, and "r2", 1 - Σ(ŷ - y)²/Σ(y - ȳ)², which is at
        most 1, and below 0 for predictions worse than the mean; an output of constant targets counts as 1 if every
        prediction is exact, otherwise as 0. Both are means over the outputs. A custom loss has no metrics of its own.
        Then come the trainer's `metrics`, which are not weighted; a value that is not finite is kept, with a
        RuntimeWarning.

        Raises NonFiniteError, naming the row, for an output or a loss that is NaN or infinite.
        """
        with self.turns.lock:
            modules = self._notice_changes()
            return self.measure(self._requirements.data(x, y, sample_weight), modules=modules)

    def predict(self, x: Any) -> Any:
        """The model's outputs (n, ...) for x (n, ...), without dropout: logits for a classifier.

        Of sequences of different lengths, it is a list of arrays (steps, ...) if there is an output for each step.
        Raises NonFiniteError, naming the row, for one that is NaN or infinite.
        """
        with self.turns.lock:
            modules = self._notice_changes()
            outputs = self.outputs(self._requirements.inputs(x)[0], modules=modules)
            return list(outputs) if isinstance(outputs, Sequences) else outputs

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OptionError(
            "Trainer: cannot be copied or pickled, as programs point into its memory: make another Trainer with "
            "copy.deepcopy(model), or save the model with cr.save(model, path)"
        )


def _check_parts(model: Any, loss: Any, optimizer: Any, schedule: Any, metrics: Mapping[str, Any]) -> None:
    if not isinstance(model, Module):
        raise OptionError(
            f"Trainer: model is {shown(model)}, expected an nn.Module such as nn.Sequential(nn.Linear(4, 2))"
        )
    if isinstance(loss, type) or not callable(loss):
        raise OptionError(f"Trainer: loss is {shown(loss)}, expected a loss such as nn.CrossEntropyLoss()")
    _check_call(loss)
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, type):
        raise OptionError(f"Trainer: optimizer is {shown(optimizer)}, expected one such as optim.Adam(lr=1e-3)")
    if schedule is not None and (isinstance(schedule, type) or not callable(schedule)):
        raise OptionError(f"Trainer: schedule is {shown(schedule)}, expected one of optim's or a function of the step")
    if not isinstance(metrics, Mapping):
        raise OptionError(f'Trainer: metrics is {shown(metrics)}, expected functions by name such as {{"f1": f1}}')
    for name, metric in metrics.items():
        if not callable(metric):
            raise OptionError(f'Trainer: metric "{name}" is {shown(metric)}, expected a function of (outputs, targets)')


def _check_call(loss: Any) -> None:
    """Raise OptionError for a loss that cannot be called the way the engines do."""
    try:
        signature = inspect.signature(loss)
    except ValueError:  # compiled code without a signature
        return
    try:
        signature.bind("output", "target", "sample_weight")
    except TypeError:
        raise OptionError(
            f"Trainer: loss is {shown(loss)} with the parameters {signature}: make it callable as "
            "loss(output, target, sample_weight), where sample_weight is None unless fit was given one"
        ) from None
