"""Using a run: measure it on data, predict with it, describe it."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chainrule as cr
from chainrule.cli import specs
from chainrule.cli.files import write_text
from chainrule.cli.loading import read_more
from chainrule.cli.report import console, error_console, layer_table, probability_table, result_table, value_table
from chainrule.cli.results import HEADLINE, Array, measure, naming_rows, probabilities, rows_word
from chainrule.cli.run import Run, data_name
from chainrule.cli.settings import Settings
from chainrule.data.images import ImagePreparation, Images
from chainrule.data.recipe import Dataset, Recipe
from chainrule.errors import DataError
from chainrule.train.trainer import Trainer

UNFINISHED = "the run has not ended, or was killed"


def evaluate_run(
    name: str,
    data: str | None,
    *,
    runs: str,
    all_rows: bool,
    resize: bool,
    broken: str | None,
    threads: int | None,
) -> None:
    """Print the result table of run `name` on a data set, and as the last line its accuracy or R²."""
    run = Run.find(name, runs)
    settings, (preparation, fingerprint) = run.read_settings(), run.read_data()
    with _named(run, preparation):
        raw = read_more(settings, preparation, [data or settings.data], resize=resize, broken=broken, labelled=True)
    own = raw.fingerprint() == fingerprint
    if data is None and not own:
        raise DataError(f"{settings.data}: changed since {run.folder} was trained on it: name the data to evaluate on")
    whole = preparation.whole_rows(raw, with_target=True)
    y, used, test = preparation.y(whole), whole, None
    out = console()
    for note in whole.notes:
        out.print(note)
    what = f"{data_name(data or settings.data)}: {len(y):,} {rows_word(preparation)}"
    if own and (all_rows or settings.test_size == 0):
        what += ", those it was trained on among them"
    elif own:
        test = held_out_rows(settings, preparation, whole, y)
        words = f"the {len(test):,} test {rows_word(preparation)} of {len(y):,}, the others were trained on"
        what, used, y = f"{data_name(settings.data)}: {words}", whole.take(test), y[test]
    trainer = restore(run, settings, preparation, threads)
    with naming_rows(whole, test):
        outputs = trainer.predict(preparation.x(used))
    results = measure(preparation, outputs, y)
    out.print(what)
    out.print(result_table(results))
    headline = HEADLINE[preparation.task]
    out.print(f"{headline}: {results[headline]:.4f}")


def predict_data(
    name: str,
    data: Sequence[str],
    *,
    target: Path | None,
    runs: str,
    resize: bool,
    broken: str | None,
    threads: int | None,
) -> None:
    """Write the predictions of run `name` as CSV, to a file or standard output; for one picture, print a table."""
    run = Run.find(name, runs)
    settings, (preparation, _) = run.read_settings(), run.read_data()
    with _named(run, preparation):
        raw = read_more(settings, preparation, data, resize=resize, broken=broken, labelled=False)
        whole = preparation.whole_rows(raw, with_target=False)
    trainer = restore(run, settings, preparation, threads)
    with naming_rows(whole):
        outputs = trainer.predict(preparation.x(whole))
    files = whole.files if isinstance(whole, Images) else ()
    for note in whole.notes:
        error_console().print(note)  # not into the CSV
    if target is not None:
        write_text(target, to_csv(preparation, outputs, files))
        console().print(f"{whole.rows:,} predictions: {target}")
    elif len(data) == 1 and Path(data[0]).is_file() and files:
        shares = probabilities(outputs)[0]
        best = int(shares.argmax())
        console().print(probability_table(preparation.classes, shares))
        console().print(f"prediction: {preparation.classes[best]} ({shares[best]:.4f})")
    else:
        sys.stdout.write(to_csv(preparation, outputs, files))


def describe_run(name: str, *, runs: str) -> None:
    """Print the network, the settings and the results of run `name`."""
    run = Run.find(name, runs)
    settings, (preparation, _) = run.read_settings(), run.read_data()
    results = run.read_results()
    out = console()
    out.print(f"run: {run.folder}")
    out.print(layer_table(cr.load(run.model), preparation.input_shape))
    images = isinstance(preparation, ImagePreparation)
    out.print(value_table(specs.that_apply(settings, images=images), "setting", "value"))
    if not results:
        out.print(UNFINISHED)
        return
    out.print(f"ended after {results['epochs']} epochs: {results['ended']}")
    if results["test"]:
        out.print(result_table(results["test"]))
        headline = HEADLINE[preparation.task]
        out.print(f"test {headline}: {results['test'][headline]:.4f}")


@contextmanager
def _named(run: Run, preparation: Recipe) -> Iterator[None]:
    """An error in data says for which run it was read: "latest" may be another than one thinks."""
    try:
        yield
    except DataError as error:
        what = "images" if isinstance(preparation, ImagePreparation) else "a table"
        raise DataError(f"{error} (read for {run.folder}, which was trained on {what})") from None


def restore(run: Run, settings: Settings, preparation: Recipe, threads: int | None) -> Trainer:
    """The run's network, in a trainer to predict with; stderr is told where it is not trained to the end."""
    results = run.read_results()
    if not results:
        error_console().print(f"{run.folder}: {UNFINISHED}: its weights are those of an epoch before its last")
    elif results["ended"].startswith("failed"):
        when = f"after {results['epochs']} epochs" if results["epochs"] else "before its first epoch was over"
        error_console().print(f"{run.folder}: the run failed {when}: its weights are of then")
    loss = specs.build_loss(specs.loss_name(settings, preparation.task))
    optimizer = specs.build_optimizer(settings)
    workers = settings.threads if threads is None else threads
    return Trainer(cr.load(run.model), loss=loss, optimizer=optimizer, threads=workers, engine=settings.engine)


def held_out_rows(settings: Settings, preparation: Recipe, data: Dataset, y: Array) -> Any:
    """The rows of the run's own data that it was tested on."""
    fractions = {"validation": settings.val_size, "test": settings.test_size}
    return preparation.split(data, y, **fractions, seed=settings.seed).test


def to_csv(preparation: Recipe, outputs: Array, files: Sequence[str] = ()) -> str:
    """A line for each row of outputs: the class and the probability of each, or the quantity in its own units.

    The names of picture `files` come first, where there are any.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if preparation.quantity is not None:
        writer.writerow(["prediction"])
        writer.writerows([f"{value:.7g}"] for value in preparation.quantity.undo(outputs)[:, 0])
        return text.getvalue()
    shares = probabilities(outputs)
    first = ["file"] if files else []
    writer.writerow([*first, "prediction", *(f"probability {name}" for name in preparation.classes)])
    for i, (best, row) in enumerate(zip(shares.argmax(axis=1), shares, strict=True)):
        writer.writerow([*files[i : i + 1], preparation.classes[best], *(f"{share:.6g}" for share in row)])
    return text.getvalue()
