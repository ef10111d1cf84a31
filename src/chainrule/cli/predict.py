"""`chainrule predict`: a trained network's predictions for a table or images as CSV, or for one picture as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chainrule.cli.advice import as_options
from chainrule.cli.options import RUN, Broken, Resize, Runs, Threads, broken_choice, thread_count
from chainrule.cli.output import write_data

if TYPE_CHECKING:
    from chainrule.cli.report import Array
    from chainrule.data.preparation import Preparation


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA", help="A table with the run's feature columns, images, or one or more pictures"),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the CSV to this file instead of standard output")
    ] = None,
    resize: Resize = False,
    broken: Broken = None,
    runs: Runs = "runs",
    threads: Threads = None,
) -> None:
    """Predict every row of a table, or every image.

    The output is CSV with a column "prediction" and, for classes, the probability of each. For a single picture the
    most likely classes are printed.

    Examples:
      [bold]chainrule predict latest new_flowers.csv[/bold]
      [bold]chainrule predict runs/20260131-120000-iris new_flowers.csv --out predicted.csv[/bold]
      [bold]chainrule predict latest cat.png[/bold]
      [bold]chainrule predict latest holiday/*.jpg --resize --broken skip[/bold]
    """
    workers, broken = thread_count("predict", threads), broken_choice("predict", broken)

    from chainrule.cli.loading import naming_rows, read_more
    from chainrule.cli.report import console, error_console, probabilities, probability_table
    from chainrule.cli.run import Run, write_text
    from chainrule.cli.saved import read_run
    from chainrule.data.images import Images
    from chainrule.errors import DataError

    found = read_run(Run.find(run, runs))
    preparation = found.preparation
    if preparation.kind == "text":
        raise DataError(f"{found.run.folder}: it was trained on text: let it write with `chainrule generate {run}`")
    whole, _ = read_more(found, data, resize=resize, broken=broken, with_target=False)
    trainer = found.trainer(workers)
    with naming_rows(whole):
        outputs = trainer.predict(preparation.x(whole))
    files = whole.files if isinstance(whole, Images) else ()
    for note in whole.notes:
        error_console().print(as_options(note))  # not into the CSV
    if out is not None:
        write_text(out, to_csv(preparation, outputs, files))
        console().print(f"{whole.rows:,} predictions: {out}")
    elif len(data) == 1 and Path(data[0]).is_file() and files:
        shares = probabilities(outputs)[0]
        best = int(shares.argmax())
        console().print(probability_table(preparation.classes, shares))
        console().print(f"prediction: {preparation.classes[best]} ({shares[best]:.4f})")
    else:
        write_data(to_csv(preparation, outputs, files))


def to_csv(preparation: Preparation, outputs: Array, files: Sequence[str] = ()) -> str:
    """A line for each row of outputs: the class and the probability of each, or the quantity in its own units.

    The names of picture `files` come first, where there are any.
    """
    from chainrule.cli.report import probabilities
    from chainrule.data.target import Quantity

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if isinstance(preparation.target, Quantity):
        writer.writerow(["prediction"])
        writer.writerows([number] for number in preparation.target.text(outputs))
        return text.getvalue()
    shares = probabilities(outputs)
    first = ["file"] if files else []
    writer.writerow([*first, "prediction", *(f"probability {name}" for name in preparation.classes)])
    for i, (best, row) in enumerate(zip(shares.argmax(axis=1), shares, strict=True)):
        writer.writerow([*files[i : i + 1], preparation.classes[best], *(f"{share:.9g}" for share in row)])
    return text.getvalue()
