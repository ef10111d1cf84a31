"""The commands of `chainrule`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.evaluate import evaluate
from chainrule.cli.help import Command, Group
from chainrule.cli.info import info
from chainrule.cli.predict import predict
from chainrule.cli.train import train
from chainrule.cli.warmup import warmup

app = typer.Typer(
    name="chainrule",
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, evaluate, predict, info, warmup):
    app.command(cls=Command)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from chainrule import __version__

        typer.echo(f"chainrule {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train neural networks by backpropagation on the CPU.

    Try [bold]chainrule train digits[/bold], then [bold]chainrule info latest[/bold].
    """
