"""`chainrule predict`: a trained network's predictions for a table or images as CSV, or for one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import Broken, Resize, Runs, Threads, broken_choice, thread_count


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or latest")],
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA", help="A table with the run's feature columns, images, or one picture or more"),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A CSV file; standard output otherwise")
    ] = None,
    resize: Resize = False,
    broken: Broken = None,
    runs: Runs = "runs",
    threads: Threads = None,
) -> None:
    """Predict a table or images, row by row: the column prediction, and for classes a probability each.

    For one picture, print the likeliest classes.

    Examples:

    [bold]chainrule predict latest new_flowers.csv[/bold]

    [bold]chainrule predict runs/20260131-120000-iris new_flowers.csv --out predicted.csv[/bold]

    [bold]chainrule predict latest cat.png[/bold]

    [bold]chainrule predict latest holiday/*.jpg --resize --broken skip[/bold]
    """
    workers, broken = thread_count("predict", threads), broken_choice("predict", broken)

    from chainrule.cli.trained import predict_data

    predict_data(run, data, target=out, runs=runs, resize=resize, broken=broken, threads=workers)
