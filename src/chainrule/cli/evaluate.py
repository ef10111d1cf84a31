"""`chainrule evaluate`: how good is a trained network on a table or on images?"""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.options import Broken, Resize, Runs, Threads, broken_choice, thread_count


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or latest")],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="A table with the target column, or labelled images; the run's own otherwise"
        ),
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Of the run's own data, use the rows it was trained on too")
    ] = False,
    resize: Resize = False,
    broken: Broken = None,
    runs: Runs = "runs",
    threads: Threads = None,
) -> None:
    """Measure a trained network on a table or on images.

    On the data it was trained on, only the test rows count.

    Examples:

    [bold]chainrule evaluate latest[/bold]

    [bold]chainrule evaluate runs/20260131-120000-iris new_flowers.csv[/bold]

    [bold]chainrule evaluate runs/20260131-120000-photos more_photos --resize[/bold]
    """
    workers, broken = thread_count("evaluate", threads), broken_choice("evaluate", broken)

    from chainrule.cli.trained import evaluate_run

    evaluate_run(run, data, runs=runs, all_rows=all_rows, resize=resize, broken=broken, threads=workers)
