"""The commands of `chainrule`, put together."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from chainrule.cli.evaluate import evaluate
from chainrule.cli.generate import generate
from chainrule.cli.info import info
from chainrule.cli.predict import predict
from chainrule.cli.train import train
from chainrule.cli.warmup import warmup


class Command(TyperCommand):
    """A command whose help shows no Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return hide_types(super().get_params(ctx))


class Group(TyperGroup):
    """`chainrule` itself, likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        return hide_types(super().get_params(ctx))


def hide_types(parameters: list[Any]) -> list[Any]:
    """Change the parameters so that `--help` shows their metavar alone; returns them.

    typer adds a Python type, such as <list[str]>, to whatever has no metavar, and to every argument, and has no setting
    against it. `tests/cli/test_commands.py` reads the help, so it notices when typer changes.
    """
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters


app = typer.Typer(
    name="chainrule",
    cls=Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, evaluate, predict, generate, info, warmup):
    app.command(cls=Command)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from chainrule import __version__

        sys.stdout.write(f"chainrule {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train neural networks by backpropagation on the CPU.

    Each training run is kept in a folder of its own; "latest" names the newest one.

    Examples:
      [bold]chainrule train digits[/bold]
      [bold]chainrule evaluate latest[/bold]
      [bold]chainrule train --help[/bold]
    """
