"""`chainrule evaluate`: the metrics of a trained network on a table or on images."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.advice import as_options
from chainrule.cli.options import RUN, Broken, Resize, Runs, Threads, broken_choice, thread_count


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="A table with the target column, or labelled images; by default the run's own data"
        ),
    ] = None,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="On the run's own data, include the rows it was trained on")
    ] = False,
    resize: Resize = False,
    broken: Broken = None,
    runs: Runs = "runs",
    threads: Threads = None,
) -> None:
    """Evaluate a trained network on a table or on images.

    On the data it was trained on, only the test rows are used.

    Examples:
      [bold]chainrule evaluate latest[/bold]
      [bold]chainrule evaluate runs/20260131-120000-iris new_flowers.csv[/bold]
      [bold]chainrule evaluate runs/20260131-120000-photos more_photos --resize[/bold]
    """
    workers, broken = thread_count("evaluate", threads), broken_choice("evaluate", broken)

    from chainrule.cli.loading import naming_rows, read_more
    from chainrule.cli.report import console, count, headline, measure, result_table, row_word
    from chainrule.cli.run import Run, data_name
    from chainrule.cli.saved import read_run
    from chainrule.errors import DataError

    found = read_run(Run.find(run, runs))
    settings, preparation = found.settings, found.preparation
    whole, fingerprint = read_more(found, [data or settings.data], resize=resize, broken=broken, with_target=True)
    own = fingerprint == found.fingerprint
    if data is None and not own:
        raise DataError(
            f"{settings.data}: changed since {found.run.folder} was trained on it: name the data to evaluate on"
        )
    y, used, test, word = preparation.y(whole), whole, None, row_word(preparation)
    what = f"{data_name(data or settings.data)}: "
    if own and not all_rows and settings.test_size > 0:
        sizes = {"validation": settings.val_size, "test": settings.test_size}
        test = preparation.split(whole, y, **sizes, seed=settings.seed).test
        what += f"the {count(len(test), f'test {word}')} of {len(y):,}; the others were used in training"
        used, y = whole.take(test), y[test]
    else:
        what += count(len(y), word)
        if own:
            what += ", including those it was trained on"
        elif whole.validation or whole.test:
            what += ", of all its parts"
    trainer = found.trainer(workers)
    with naming_rows(whole, test):
        outputs = trainer.predict(preparation.x(used))
    results = measure(preparation, outputs, y)
    out = console()
    for line in (*map(as_options, whole.notes), what):
        out.print(line)
    out.print(result_table(results))
    out.print(headline(preparation, results))
