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
    import chainrule as cr
    from chainrule.cli.factory import relevant_settings
    from chainrule.cli.report import console, count, headline, layer_table, result_table, value_table
    from chainrule.cli.run import UNFINISHED, Run

    found = Run.find(run, runs)
    settings, (preparation, _) = found.read_settings(), found.read_data()
    results = found.read_results()
    out = console()
    out.print(f"run: {found.folder}")
    out.print(layer_table(cr.load(found.model), preparation.input_shape))
    images = preparation.kind == "images"
    out.print(value_table(relevant_settings(settings, images=images), "setting", "value"))
    if not results:
        out.print(UNFINISHED)
        return
    out.print(f"ended after {count(results['epochs'], 'epoch')}: {results['ended']}")
    if results["test"]:
        out.print(result_table(results["test"]))
        out.print(f"test {headline(preparation, results['test'])}")
