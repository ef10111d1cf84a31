"""Using a run: measure it on a table, predict with it, describe it."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import functions
from chainrule.cli import specs
from chainrule.cli.files import write_text
from chainrule.cli.report import console, layer_table, result_table, value_table
from chainrule.cli.results import HEADLINE, Array, measure
from chainrule.cli.run import Run, data_name
from chainrule.cli.settings import Settings
from chainrule.data.preparation import Preparation
from chainrule.data.sources import load_table
from chainrule.data.split import split_rows
from chainrule.errors import DataError
from chainrule.train.trainer import Trainer


def evaluate_run(name: str, data: str | None, *, runs: str, all_rows: bool, threads: int | None) -> None:
    """Print the result table of run `name` on a table, and as the last line its accuracy or R²."""
    run = Run.find(name, runs)
    settings, (preparation, fingerprint) = run.read_settings(), run.read_data()
    raw = load_table(data or settings.data)
    own = raw.fingerprint() == fingerprint
    if data is None and not own:
        raise DataError(f"{settings.data}: changed since {run.folder} was trained on it: name the table to evaluate on")
    table = preparation.whole_rows(raw, with_target=True)
    x, y = preparation.x(table), preparation.y(table)
    out = console()
    for note in table.notes:
        out.print(note)
    what = f"{data_name(data or settings.data)}: {len(x):,} rows"
    if own and (all_rows or settings.test_size == 0):
        what += ", those it was trained on among them"
    elif own:
        test = held_out_rows(settings, preparation, y)
        what = f"{data_name(settings.data)}: the {len(test):,} test rows of {len(x):,}, the others were trained on"
        x, y = x[test], y[test]
    trainer = restore(run, settings, preparation, threads)
    results = measure(preparation, trainer.predict(x), y)
    out.print(what)
    out.print(result_table(results))
    headline = HEADLINE[preparation.task]
    out.print(f"{headline}: {results[headline]:.4f}")


def predict_table(name: str, data: str, *, target: Path | None, runs: str, threads: int | None) -> None:
    """Write the predictions of run `name` for a table as CSV, to a file or standard output."""
    run = Run.find(name, runs)
    settings, (preparation, _) = run.read_settings(), run.read_data()
    table = preparation.whole_rows(load_table(data), with_target=False)
    trainer = restore(run, settings, preparation, threads)
    text = to_csv(preparation, trainer.predict(preparation.x(table)))
    if target is None:
        sys.stdout.write(text)
        return
    write_text(target, text)
    console().print(f"{table.rows:,} predictions: {target}")


def describe_run(name: str, *, runs: str) -> None:
    """Print the network, the settings and the results of run `name`."""
    run = Run.find(name, runs)
    settings, (preparation, _) = run.read_settings(), run.read_data()
    results = run.read_results()
    out = console()
    out.print(f"run: {run.folder}")
    out.print(layer_table(cr.load(run.model), len(preparation.features)))
    out.print(value_table(settings.to_dict(), "setting", "value"))
    if not results:
        out.print("the run has not ended, or was killed")
        return
    out.print(f"ended: {results['ended']}, after {results['epochs']} epochs")
    if results["test"]:
        out.print(result_table(results["test"]))
        headline = HEADLINE[preparation.task]
        out.print(f"test {headline}: {results['test'][headline]:.4f}")


def restore(run: Run, settings: Settings, preparation: Preparation, threads: int | None) -> Trainer:
    """The run's trained network, in a trainer to predict with."""
    loss = specs.build_loss(specs.loss_name(settings, preparation.task))
    optimizer = specs.build_optimizer(settings)
    workers = settings.threads if threads is None else threads
    return Trainer(cr.load(run.model), loss=loss, optimizer=optimizer, threads=workers, engine=settings.engine)


def held_out_rows(settings: Settings, preparation: Preparation, y: Array) -> Any:
    """The rows of the run's own table that it was tested on."""
    classes = y if preparation.classes else None
    split = split_rows(
        len(y), validation=settings.val_size, test=settings.test_size, seed=settings.seed, classes=classes
    )
    return split.test


def to_csv(preparation: Preparation, outputs: Array) -> str:
    """A line for each row of outputs: the class and the probability of each, or the quantity in its own units."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if preparation.quantity is not None:
        writer.writerow(["prediction"])
        writer.writerows([f"{value:.7g}"] for value in preparation.quantity.undo(outputs)[:, 0])
        return text.getvalue()
    shares = functions.softmax(outputs.astype(np.float64)).data
    writer.writerow(["prediction", *(f"probability {name}" for name in preparation.classes)])
    for best, row in zip(shares.argmax(axis=1), shares, strict=True):
        writer.writerow([preparation.classes[best], *(f"{share:.6g}" for share in row)])
    return text.getvalue()
