"""What `--help` says that a parameter takes: a word of ours or, for flags and arguments, their name alone.

typer adds a type of Python's, such as <list[str]>, to whatever has no metavar, and to an argument that has one too; no
setting of it says otherwise. It builds parameters from annotations by itself, and `--help` only when asked for a
command's parameters. So commands are subclassed, which is what typer's `cls` is for, to see all of these, and an
argument's method is replaced in the object. `tests/cli/test_commands.py` reads the help: it tells when typer changes.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class Command(TyperCommand):
    """A command whose parameters show no types."""

    def get_params(self, ctx: Any) -> list[Any]:
        return hide_types(super().get_params(ctx))


class Group(TyperGroup):
    """`chainrule` itself, likewise."""

    def get_params(self, ctx: Any) -> list[Any]:
        return hide_types(super().get_params(ctx))


def hide_types(parameters: list[Any]) -> list[Any]:
    """Change the parameters so that they show no type, as often as one likes; returns them."""
    for parameter in parameters:
        if isinstance(parameter, TyperArgument):
            parameter.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters
