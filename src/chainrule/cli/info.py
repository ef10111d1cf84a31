"""`chainrule info`: a run's network, settings and results."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.options import RUN, Runs


def info(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)] = "latest",
    runs: Runs = "runs",
) -> None:
    """Show a run's network, settings and results.

    By default, those of the latest run.

    Examples:
      [bold]chainrule info[/bold]
      [bold]chainrule info runs/20260131-120000-digits[/bold]
    """
    from chainrule.cli.factory import relevant_settings
    from chainrule.cli.report import console, count, headline, layer_table, result_table, value_table
    from chainrule.cli.run import UNFINISHED, Run
    from chainrule.cli.saved import read_run

    found = read_run(Run.find(run, runs))
    preparation, results = found.preparation, found.results
    out = console()
    out.print(f"run: {found.run.folder}")
    out.print(layer_table(found.model, preparation))
    out.print(value_table(relevant_settings(found.settings, preparation.kind), "setting", "value"))
    if results is None:
        out.print(UNFINISHED)
        return
    out.print(f"ended after {count(results.epochs, 'epoch')}: {results.ended}")
    if results.test is not None:
        test = results.test.values()
        out.print(result_table(test))
        out.print(f"test {headline(preparation, test)}")
