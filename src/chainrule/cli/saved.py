"""What a run's files say, checked one by one and against each other before anything is made of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import nn
from chainrule.cli import factory
from chainrule.cli.config import read_config
from chainrule.cli.record import DataRecord, ResultsRecord
from chainrule.cli.report import count, error_console
from chainrule.cli.run import UNFINISHED, UNSAVED, Run
from chainrule.cli.settings import Settings
from chainrule.data.images.pixels import MOST_BYTES
from chainrule.data.preparation import Preparation
from chainrule.data.tables.inputs import TableInputs
from chainrule.errors import ChainruleError, DataError
from chainrule.nn.summary import output_shapes
from chainrule.records import RESTORE, read_record
from chainrule.settings import shown


@dataclass(frozen=True)
class Saved:
    """A run's settings, preparation, the hash of its training data, results (None while it is training, and if it was
    killed) and network.
    """

    run: Run
    settings: Settings
    preparation: Preparation
    fingerprint: str
    results: ResultsRecord | None
    model: nn.Module

    def trainer(self, threads: int | None) -> cr.Trainer:
        """The run's network, in a trainer to predict with; a note on stderr if it is not fully trained."""
        if self.results is None:
            error_console().print(f"{self.run.folder}: {UNFINISHED}: the weights are those last saved")
        elif self.results.failed:
            epochs = self.results.epochs
            when = f"after {count(epochs, 'epoch')}" if epochs else "in its first epoch"
            error_console().print(f"{self.run.folder}: the run failed {when}: the weights are from that point")
        elif UNSAVED in self.results.ended:
            error_console().print(f"{self.run.folder}: {UNSAVED}: those of an earlier epoch are used")
        settings = self.settings if threads is None else dataclasses.replace(self.settings, threads=threads)
        return factory.build_trainer(self.model, settings, self.preparation)


def read_run(run: Run) -> Saved:
    """Read a run's files; raises FileError for one that cannot be read, DataError or OptionError, which name the file
    and the field, for one that is damaged or does not fit the others.
    """
    settings, record = Settings(**read_config(run.config)), read_record(run.data, DataRecord)
    results = run.read_results()
    preparation = record.preparation.build()
    _check_settings(run, settings, preparation)
    _check_results(run, results, preparation)
    model = cr.load(run.model)
    _check_model(run, model, preparation)
    return Saved(run, settings, preparation, record.fingerprint, results, model)


def _check_settings(run: Run, settings: Settings, preparation: Preparation) -> None:
    inputs, column = preparation.inputs, preparation.target.column
    missing = inputs.missing if isinstance(inputs, TableInputs) else settings.missing
    for name, expected in (("task", preparation.task), ("target", column), ("missing", missing)):
        value = getattr(settings, name)
        if value != expected:
            other = f"but {shown(expected)} in {run.data.name}"
            raise DataError(f"{run.config}: {name} is {shown(value)}, {other}: {RESTORE}")
    try:
        factory.check(settings)
    except ChainruleError as error:
        raise DataError(f"{run.config}: {error}") from None


def _check_results(run: Run, results: ResultsRecord | None, preparation: Preparation) -> None:
    if results is None or results.test is None:
        return
    rows = results.test.classes
    names = None if rows is None else tuple(row.name for row in rows)
    if names != (preparation.classes or None):
        raise DataError(f"{run.results}: test.classes are not the classes in {run.data.name}: {RESTORE}")


def _check_model(run: Run, model: nn.Module, preparation: Preparation) -> None:
    state: dict[str, Any] = {**model.named_parameters(), **model.named_buffers()}
    broken = next((name for name, tensor in state.items() if not np.isfinite(tensor.data).all()), None)
    if broken is not None:
        raise DataError(f'{run.model}: "{broken}" holds NaN or an infinity, so every output would be: {RESTORE}')
    wanted, record = preparation.input_shape, run.data.name
    try:
        shapes = output_shapes(model, (1, *wanted), preparation.input_dtype)
    except ChainruleError as error:
        raise DataError(
            f"{run.model}: does not take rows of shape {wanted}, as in {record} ({error}): {RESTORE}"
        ) from None
    found, expected = shapes.get("", (1,))[1:], preparation.output_shape
    if found != expected:
        raise DataError(f"{run.model}: turns a row into {found}, but {record} has outputs {expected}: {RESTORE}")
    large = next((path for path, shape in shapes.items() if math.prod(shape) * 4 > MOST_BYTES), None)
    if large is not None:
        raise DataError(f'{run.model}: layer "{large}" turns a row into {shapes[large]}, too many values: {RESTORE}')
