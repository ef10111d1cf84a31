"""The job of `chainrule train`, in order: data, network, run folder, training, test, files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

import chainrule as cr
from chainrule import nn
from chainrule.cli import specs
from chainrule.cli.files import Log, write_json
from chainrule.cli.report import console, layer_table, result_table
from chainrule.cli.results import HEADLINE, measure
from chainrule.cli.run import Run, data_name
from chainrule.cli.settings import Settings
from chainrule.data.preparation import Parts, Preparation, prepare
from chainrule.data.sources import default_target, load_table
from chainrule.errors import ChainruleError
from chainrule.files import write_whole
from chainrule.train.early_stopping import EarlyStopping
from chainrule.train.history import History
from chainrule.train.trainer import Trainer


def train_network(settings: Settings, *, quiet: bool = False) -> None:
    """Train, test and keep a network; after Ctrl-C too, which then goes on as KeyboardInterrupt.

    Nothing is written before all settings are good.
    """
    out = console(quiet=quiet)
    specs.check(settings)
    settings, preparation, parts, fingerprint = read_data(settings, out)
    model, trainer = make_trainer(settings, preparation, len(parts.split.train))
    out.print(layer_table(model, len(preparation.features)))
    run = Run.create(settings, preparation, fingerprint)
    try:
        history = fit(settings, trainer, parts, run, quiet=quiet)
    except ChainruleError as error:
        _keep_failed(run, trainer, error)
        raise
    results = keep(settings, preparation, parts, trainer, run, history, out)
    _last_lines(preparation, results, run)
    if history.interrupted:
        raise KeyboardInterrupt


def read_data(settings: Settings, out: Console) -> tuple[Settings, Preparation, Parts, str]:
    """Read the table, choose and scale its columns; answers the settings with the choices made."""
    table = load_table(settings.data)
    fingerprint = table.fingerprint()
    target = settings.target or default_target(settings.data, table)
    preparation, parts = prepare(
        table,
        target,
        task=settings.task,
        drop=settings.drop,
        missing=settings.missing,
        validation=settings.val_size,
        test=settings.test_size,
        seed=settings.seed,
    )
    for note in parts.table.notes:
        out.print(note)
    guessed = "" if settings.task else f" (guessed: --task {preparation.task})"
    kind = f"{len(preparation.classes)} classes" if preparation.classes else "a quantity"
    sizes = [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)]
    out.print(f"{data_name(settings.data)}: {parts.table.rows:,} rows, {len(preparation.features):,} features")
    out.print(f"target {target}: {kind}{guessed}")
    out.print("rows to train on {:,}, to validate {:,}, to test {:,}".format(*sizes))
    settings = dataclasses.replace(
        settings,
        target=target,
        task=preparation.task,
        loss=specs.loss_name(settings, preparation.task),
        lr=specs.learning_rate(settings),
        momentum=specs.momentum(settings),
    )
    return settings, preparation, parts, fingerprint


def make_trainer(settings: Settings, preparation: Preparation, rows: int) -> tuple[nn.Sequential, Trainer]:
    """The network with its first weights, and the trainer for `rows` training rows."""
    cr.seed(settings.seed)
    model = specs.build_model(settings, len(preparation.features), preparation.outputs)
    trainer = Trainer(
        model,
        loss=specs.build_loss(specs.loss_name(settings, preparation.task)),
        optimizer=specs.build_optimizer(settings),
        schedule=specs.build_schedule(settings, -(-rows // settings.batch_size)),
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        threads=settings.threads,
        engine=settings.engine,
    )
    return model, trainer


def fit(settings: Settings, trainer: Trainer, parts: Parts, run: Run, *, quiet: bool) -> History:
    """Train, writing each epoch's metrics as it ends."""
    train, validation = parts.split.train, parts.split.validation
    log = EpochLog(Log(run.metrics))
    callbacks: list[Any] = [log]
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.patience))
    try:
        return trainer.fit(
            parts.x[train],
            parts.y[train],
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            validation_data=(parts.x[validation], parts.y[validation]) if len(validation) else None,
            callbacks=callbacks,
            verbose=0 if quiet else 1,
        )
    finally:
        log.close()


class EpochLog:
    """Writes a line for each epoch."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_epoch_end(self, epoch: int, history: History) -> None:
        self._log.write({"epoch": epoch + 1, **history.last})

    def close(self) -> None:
        self._log.close()


def keep(
    settings: Settings,
    preparation: Preparation,
    parts: Parts,
    trainer: Trainer,
    run: Run,
    history: History,
    out: Console,
) -> dict[str, Any]:
    """Save the weights, test them, and write what came of the run."""
    cr.save(trainer.model, run.model)
    test = parts.split.test if trainer.steps else parts.split.test[:0]  # stopped before a step: nothing to tell
    results: dict[str, Any] = {
        "ended": "interrupted" if history.interrupted else history.stopped or "finished",
        "epochs": history.epochs,
        "seconds": round(sum(history["seconds"]), 3) if "seconds" in history else 0.0,
        "test": measure(preparation, trainer.predict(parts.x[test]), parts.y[test]) if len(test) else None,
    }
    if history.interrupted:
        out.print(f"stopped after {history.epochs} epochs; the weights of the last step are kept")
    write_json(run.results, results)
    if results["test"]:
        out.print(result_table(results["test"]))
    draw(history, run, title=f"{data_name(settings.data)} {settings.model}", out=out)
    return results


def draw(history: History, run: Run, *, title: str, out: Console) -> None:
    """The picture of the losses; without matplotlib, how to get it."""
    if not history.epochs:
        return
    from chainrule.inspect.plots import save_losses

    try:
        write_whole(run.plot, lambda beside: save_losses(history, beside, title))
    except ImportError:
        out.print('no loss.png, as matplotlib is not installed: pip install "chainrule[plots]"')


def _keep_failed(run: Run, trainer: Trainer, error: ChainruleError) -> None:
    """After an error in training: the last good weights and the reason, as far as they can be written."""
    ended = {"ended": f"failed: {error}", "epochs": trainer.history.epochs, "test": None}
    try:
        cr.save(trainer.model, run.model)
        write_json(run.results, ended)
    except ChainruleError as second:
        error.add_note(str(second))  # the first error is the one to tell


def _last_lines(preparation: Preparation, results: dict[str, Any], run: Run) -> None:
    last = console()
    if results["test"]:
        name = HEADLINE[preparation.task]
        last.print(f"test {name}: {results['test'][name]:.4f}")
    last.print(f"run: {Path(run.folder)}")
