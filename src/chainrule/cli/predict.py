"""`chainrule predict`: a trained network's answers for a table, as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import Runs, Threads, thread_count


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or latest")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="A table with the run's feature columns")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A CSV file; standard output otherwise")
    ] = None,
    runs: Runs = "runs",
    threads: Threads = None,
) -> None:
    """Predict a table, row by row: the column prediction, and for classes a probability each.

    Examples:

    [bold]chainrule predict latest new_flowers.csv[/bold]

    [bold]chainrule predict runs/20260131-120000-iris new_flowers.csv --out predicted.csv[/bold]
    """
    workers = thread_count("predict", threads)

    from chainrule.cli.trained import predict_table

    predict_table(run, data, target=out, runs=runs, threads=workers)
