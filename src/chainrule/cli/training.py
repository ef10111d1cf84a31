"""The job of `chainrule train`, in order: data, network, run folder, training, test, files."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console

import chainrule as cr
from chainrule import nn
from chainrule.cli import specs
from chainrule.cli.figures import draw
from chainrule.cli.files import Log, write_json
from chainrule.cli.job import Job
from chainrule.cli.loading import read_data
from chainrule.cli.report import console, layer_table, result_table
from chainrule.cli.results import HEADLINE, Array, measure, naming_rows
from chainrule.cli.run import Run
from chainrule.cli.settings import Settings
from chainrule.data.augmentation import Augmentation
from chainrule.data.recipe import Recipe
from chainrule.errors import ChainruleError
from chainrule.train.early_stopping import EarlyStopping
from chainrule.train.history import History
from chainrule.train.trainer import Trainer

KEPT = 10.0  # seconds


def train_network(settings: Settings, *, quiet: bool = False) -> None:
    """Train, test and keep a network; after Ctrl-C too, which then goes on as KeyboardInterrupt.

    Nothing is written before all settings are good.
    """
    out = console(quiet=quiet)
    specs.check(settings)
    settings, preparation, parts, fingerprint = read_data(settings, out)
    model, trainer = make_trainer(settings, preparation, len(parts.split.train))
    augment = specs.build_augmentation(settings, preparation)
    out.print(layer_table(model, preparation.input_shape))
    job = Job(settings, preparation, parts, trainer, Run.create(settings, preparation, fingerprint))
    try:
        job.history = fit(job, augment, quiet=quiet)
        outputs = predict_test(job)
    except ChainruleError as error:
        _keep_failed(job.run, trainer, error)
        raise
    results = keep(job, outputs, out)
    _last_lines(preparation, results, job.run)
    if job.history.interrupted:
        raise KeyboardInterrupt


def make_trainer(settings: Settings, preparation: Recipe, rows: int) -> tuple[nn.Sequential, Trainer]:
    """The network with its first weights, and the trainer for `rows` training rows."""
    cr.seed(settings.seed)
    model = specs.build_model(settings, preparation.input_shape, preparation.outputs)
    trainer = Trainer(
        model,
        loss=specs.build_loss(specs.loss_name(settings, preparation.task)),
        optimizer=specs.build_optimizer(settings),
        schedule=specs.build_schedule(settings, -(-rows // settings.batch_size)),
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        engine=settings.engine,
    )
    return model, trainer


def fit(job: Job, augment: Augmentation | None, *, quiet: bool) -> History:
    """Train, writing each epoch's metrics as it ends."""
    settings, parts = job.settings, job.parts
    log = EpochLog(Log(job.run.metrics))
    callbacks: list[Any] = [log, Keeper(job.run)]
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.patience))
    try:
        with naming_rows(parts.data, parts.split.validation):
            return job.trainer.fit(
                *parts.arrays(parts.split.train),
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=parts.arrays(parts.split.validation) if len(parts.split.validation) else None,
                augment=augment,
                callbacks=callbacks,
                verbose=0 if quiet else 1,
            )
    finally:
        log.close()


class EpochLog:
    """Writes a line for each epoch."""

    def __init__(self, log: Log) -> None:
        self._log, self._written = log, 0

    def on_epoch_end(self, epoch: int, history: History) -> None:
        self._log.write({"epoch": epoch + 1, **history.last})
        self._written = history.epochs

    def on_fit_end(self, history: History) -> None:
        if history.epochs > self._written:  # Ctrl-C came between an epoch's end and the telling of it
            self._log.write({"epoch": history.epochs, **history.last})

    def close(self) -> None:
        self._log.close()


class Keeper:
    """Saves the weights after the first epoch, then at most every KEPT seconds: a run that is killed leaves what it had
    learnt."""

    def __init__(self, run: Run) -> None:
        self._run, self._when = run, -math.inf
        self._trainer: Trainer | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def on_epoch_end(self, epoch: int, history: History) -> None:
        if time.monotonic() - self._when >= KEPT:
            assert self._trainer is not None
            cr.save(self._trainer.model, self._run.model)
            self._when = time.monotonic()


def predict_test(job: Job) -> Array | None:
    """The outputs for the test rows, if there are any."""
    if not len(job.test):
        return None
    with naming_rows(job.parts.data, job.test):
        return job.trainer.predict(job.parts.arrays(job.test)[0])


def keep(job: Job, outputs: Array | None, out: Console) -> dict[str, Any]:
    """Save the weights and write what came of the run; `outputs` are those for the test rows."""
    history = job.history
    cr.save(job.trainer.model, job.run.model)
    results: dict[str, Any] = {
        "ended": "interrupted" if history.interrupted else history.stopped or "finished",
        "epochs": history.epochs,
        "seconds": round(sum(history["seconds"]), 3) if "seconds" in history else 0.0,
        "test": None if outputs is None else measure(job.preparation, outputs, job.parts.y[job.test]),
    }
    if history.interrupted:
        out.print("the weights of the last step are kept")
    write_json(job.run.results, results)
    if results["test"]:
        out.print(result_table(results["test"]))
    draw(job, outputs, out)
    return results


def _keep_failed(run: Run, trainer: Trainer, error: ChainruleError) -> None:
    """After an error in training: the last good weights and the reason, as far as they can be written."""
    ended = {"ended": f"failed: {error}", "epochs": trainer.history.epochs, "test": None}
    try:
        cr.save(trainer.model, run.model)
        write_json(run.results, ended)
    except ChainruleError as second:
        error.add_note(str(second))  # the first error is the one to tell


def _last_lines(preparation: Recipe, results: dict[str, Any], run: Run) -> None:
    last = console()
    if results["test"]:
        name = HEADLINE[preparation.task]
        last.print(f"test {name}: {results['test'][name]:.4f}")
    last.print(f"run: {Path(run.folder)}")
