"""`chainrule info`: what a run was told, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.options import Runs


def info(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or latest")] = "latest",
    runs: Runs = "runs",
) -> None:
    """Show a run: its network, its settings and its results.

    Examples:

    [bold]chainrule info[/bold]

    [bold]chainrule info runs/20260131-120000-digits[/bold]
    """
    from chainrule.cli.trained import describe_run

    describe_run(run, runs=runs)
