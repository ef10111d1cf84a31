"""`chainrule evaluate`: the metrics of a trained network on a table, on images or on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from chainrule.cli.advice import as_options
from chainrule.cli.options import RUN, Broken, Resize, Runs, Threads, broken_choice, thread_count

if TYPE_CHECKING:
    from chainrule.cli.saved import Saved
    from chainrule.data.dataset import Dataset
    from chainrule.data.split import Rows


def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A table with the target column, labelled images or a text; by default the run's own data",
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
    """Evaluate a trained network on a table, on images or on a text.

    On the data it was trained on, only the test part is used.

    Examples:
      [bold]chainrule evaluate latest[/bold]
      [bold]chainrule evaluate runs/20260131-120000-iris new_flowers.csv[/bold]
      [bold]chainrule evaluate runs/20260131-120000-photos more_photos --resize[/bold]
    """
    workers, broken = thread_count("evaluate", threads), broken_choice("evaluate", broken)

    from chainrule.cli.loading import naming_rows, read_more
    from chainrule.cli.report import console, headline, measure_run, result_table
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
    rows, which = _choose_rows(found, whole, own=own, all_rows=all_rows)
    used = whole if rows is None else whole.take(rows)
    trainer = found.trainer(workers)
    with naming_rows(whole, rows):
        _, results = measure_run(preparation, trainer, preparation.x(used), preparation.y(used))
    out = console()
    for line in (*map(as_options, whole.notes), f"{data_name(data or settings.data)}: {which}"):
        out.print(line)
    out.print(result_table(results))
    out.print(headline(preparation, results))


def _choose_rows(found: Saved, whole: Dataset, *, own: bool, all_rows: bool) -> tuple[Rows | None, str]:
    """The rows to evaluate on, None for all of them, and which they are: of a run's own data those of its test."""
    from chainrule.cli.report import count, row_word

    settings, word = found.settings, row_word(found.preparation)
    if own and not all_rows and settings.test_size > 0:
        sizes = {"validation": settings.val_size, "test": settings.test_size}
        test = found.preparation.split(whole, found.preparation.y(whole), **sizes, seed=settings.seed).test
        return test, f"the {count(len(test), f'test {word}')} of {whole.rows:,}; the others were used in training"
    which = count(whole.rows, word)
    if own:
        return None, f"{which}, including those it was trained on"
    return None, f"{which}, of all its parts" if whole.validation or whole.test else which
