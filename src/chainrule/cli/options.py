"""Options that several commands share, and those made from the settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import typer

from chainrule import settings
from chainrule.cli.settings import BROKEN, FIELDS, parse
from chainrule.settings import choice

RUN = "A run folder, or latest"
# Options are text: our checks, not typer's, say what was given and what was expected.
Threads: TypeAlias = Annotated[
    str | None, typer.Option("--threads", metavar="N", help=FIELDS["threads"].metadata["help"])
]
Resize: TypeAlias = Annotated[
    bool, typer.Option("--resize", help="Resize pictures to the size the network was trained on")
]
Broken: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--broken", metavar="NAME", help="Damaged pictures: refuse (an error) or skip; by default as in training"
    ),
]
Runs: TypeAlias = Annotated[str, typer.Option("--runs", metavar="FOLDER", help="Folder that holds the runs")]


def thread_count(command: str, text: str | None) -> int | None:
    """The value of `--threads`; OptionError for anything but a number of threads."""
    return None if text is None else settings.thread_count(command, parse(int, text))


def broken_choice(command: str, text: str | None) -> str | None:
    """The value of `--broken`; OptionError for anything but the choices."""
    return None if text is None else choice(command, "broken", text, BROKEN)


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: give a command whose last parameter is `**options` an option for each setting but `data`.

    Options that are not given are None, so that the config file's values apply.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    parameters = own + [_parameter(name) for name in FIELDS if name != "data"]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameter(name: str) -> inspect.Parameter:
    f = FIELDS[name]
    kind = f.metadata["kind"]
    text = f.metadata["help"] + ("" if f.default is False or f.default in (None, ()) else f" [default: {f.default}]")
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=text.replace("[", "\\["),
        rich_help_panel=f.metadata["panel"],
        show_default=False,
        metavar=f.metadata["metavar"],
    )
    annotation: Any = Annotated[{list: list[str], bool: bool}.get(kind, str) | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
