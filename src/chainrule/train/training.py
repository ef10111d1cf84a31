"""Training in progress: what the methods of `Trainer` and a run of `fit` share, from the state to the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule.autodiff.tensor import Parameter
from chainrule.engine.setup import PREDICT_BATCH, Setup
from chainrule.errors import OptionError, ShapeError
from chainrule.nn import Module
from chainrule.nn.module import in_mode
from chainrule.optim.optimizers import Optimizer
from chainrule.optim.schedules import Schedule
from chainrule.sequences import joined
from chainrule.train import evaluation
from chainrule.train.batches import Batches, Plan, Rows
from chainrule.train.checks import check_outputs
from chainrule.train.coefficients import Coefficients, rates
from chainrule.train.data import Data, Requirements
from chainrule.train.engines import Engine
from chainrule.train.history import History
from chainrule.train.pace import Pace
from chainrule.train.ragged import by_step, of_steps, values_of
from chainrule.train.structure import Known, Snapshot, structure
from chainrule.train.turns import Turns

R = TypeVar("R")


class Training:
    """A model, how it is trained, how far training has come, and the engine."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        schedule: Schedule | None,
        metrics: Mapping[str, evaluation.Metric],
        setup: Setup,
        engine: Engine,
        turns: Turns,
    ) -> None:
        self.model, self.loss, self.optimizer, self.schedule = model, setup.loss, optimizer, schedule
        self.metrics, self.seed, self.engine = dict(metrics), setup.seed, engine
        self.turns = turns
        self.steps = 0  # done so far, over all calls
        self.epochs = 0
        self.history = History()
        self.plan = Plan(0, Batches(0, 1, setup.seed, False), 0, 0)
        self._setup = setup
        self._dtype = next(iter(setup.parameters.values())).dtype
        self._structure: list[Known] = []
        self._snapshot: Snapshot | None = None
        self._coefficients = Coefficients()
        self._requirements = Requirements(setup.loss, self._dtype, model, engine)

    def stop(self, reason: str) -> None:
        """End the running `fit` after the current step or epoch; `reason` is stored in `history.stopped`."""
        self.history.stopped = reason or "stopped"

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """The learning rate of each step in `steps`."""
        return rates(self.optimizer, self.schedule, steps)

    def run(self, data: Data, batches: Sequence[Rows]) -> NDArray[np.float64]:
        """A step for each row of each block (S, B) of row numbers in `batches`; returns the losses."""
        if self.optimizer.update is not self._setup.update:
            raise OptionError(
                f"Trainer: optimizer is now {self.optimizer!r}, which keeps other state than the one the trainer was "
                "made with: set one of the same kind (for another lr), or make a new Trainer"
            )
        count = sum(map(len, batches))
        coefficients = self._coefficients.of(self.optimizer, self.schedule, self.steps, count)
        return self._alone(True, lambda: self._run(data, batches, coefficients))

    def _run(self, data: Data, batches: Sequence[Rows], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        losses, done, bound = np.empty(len(coefficients)), 0, False
        try:
            # Again: a callback may have bound other data.
            self.engine.bind(data.x, data.y, data.weight, data.augment, self.steps)
            bound = True
            for rows in batches:
                part = slice(done, done + len(rows))
                losses[part] = self.engine.run(rows, coefficients[part], self.steps)
                done += len(rows)
                self.steps += len(rows)
        except BaseException:
            if bound:
                self.steps = self.engine.steps  # done before it
            raise
        return losses

    def _alone(self, training: bool, run: Callable[[], R], modules: Sequence[Module] | None = None) -> R:
        """The result of `run`, which uses the engine, with the model in this mode; `modules` are its, if known."""
        self.turns.refuse_nesting()
        try:
            self.turns.busy = True
            return in_mode(self.model, training, run, modules)
        finally:
            self.turns.busy = False

    def measure(self, data: Data, prefix: str = "", modules: Sequence[Module] | None = None) -> dict[str, float]:
        """The loss and metrics of checked data; `prefix` says in errors which data it is."""
        outputs, y = values_of(self.outputs(data.x, prefix, modules)), values_of(data.y)
        weight = by_step(data.weight, data.y)
        loss = evaluation.measure_loss(prefix + "loss", self.loss, outputs, y, weight)
        measured = evaluation.measure(self.loss, outputs, y, weight)
        return {"loss": loss, **measured, **evaluation.measure_extra(self.metrics, outputs, y)}

    def outputs(self, x: Any, prefix: str = "", modules: Sequence[Module] | None = None) -> Any:
        """Outputs of all rows of checked inputs, computed in short calls so that Ctrl-C works; `modules` are the
        model's, if known.

        Raises NonFiniteError if one is NaN or infinite.
        """
        try:
            outputs = self._alone(False, lambda: self._outputs(x), modules)
        except ShapeError:
            self._requirements.check_predictions(x, prefix)  # says more where it is a last, small batch
            raise
        of_steps(outputs, lambda: check_outputs(prefix + "outputs", values_of(outputs), self._fix))
        return outputs

    def _outputs(self, x: Any) -> Any:
        parts, done, pace = [], 0, Pace()
        while done < len(x):
            started, blocks = time.perf_counter(), min(pace.steps, -(-(len(x) - done) // PREDICT_BATCH))
            parts.append(self.engine.predict(x[done : done + blocks * PREDICT_BATCH]))
            pace.measure(blocks, time.perf_counter() - started)
            done += blocks * PREDICT_BATCH
        return joined(parts)

    def _fix(self) -> str:
        """What to do about outputs that are not finite."""
        for name, array in self.model.state_dict().items():
            if not np.isfinite(array).all():
                return f'"{name}" of the model contains values that are not finite: load or train other weights'
        return "remove such rows, scale the inputs, or train with a smaller lr"

    def _notice_changes(self) -> Sequence[Module]:
        """Drop cached data if the model was rebuilt; `step` does not check, to stay fast. Returns its modules."""
        if self._snapshot is not None and self._snapshot.holds():
            return self._snapshot.modules
        snapshot, parameters = Snapshot(self.model), trainable(self.model)
        kept = parameters.keys() == self._setup.parameters.keys() and all(
            p is self._setup.parameters[name] and p.dtype == self._dtype for name, p in parameters.items()
        )
        if not kept:
            raise OptionError("Trainer: the model's parameters changed after the trainer was made: make a new Trainer")
        found = structure(self.model)
        if found != self._structure:
            self._requirements.forget()
            self.engine.forget()
        self._structure, self._snapshot = found, snapshot
        return snapshot.modules


def trainable(model: Module) -> dict[str, Parameter]:
    """The parameters that require gradients, by name."""
    return {name: parameter for name, parameter in model.named_parameters().items() if parameter.requires_grad}
