"""`chainrule`: the commands, and how each way of ending becomes an exit status.

0    done
1    the run failed: a loss that is not finite, code that cannot be compiled, no memory
2    something to mend first: options, data, files
130  Ctrl-C, with the last good state saved
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from chainrule.cli.evaluate import evaluate
from chainrule.cli.info import info
from chainrule.cli.predict import predict
from chainrule.cli.train import train
from chainrule.cli.warmup import warmup
from chainrule.errors import ChainruleError, NativeError, NonFiniteError

TRACEBACK = "CHAINRULE_TRACEBACK"

app = typer.Typer(
    name="chainrule",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, evaluate, predict, info, warmup):
    app.command()(command)


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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; answers the exit status. Never raises."""
    try:
        status = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        return int(status or 0)
    except BrokenPipeError:
        _forget_output()  # the reader has gone, as after `| head`: nothing is wrong
        return 0
    except KeyboardInterrupt:
        return _say("stopped by Ctrl-C", 130)
    except typer.TyperException as error:
        return _say(error.format_message(), 2)
    except (NonFiniteError, NativeError) as error:
        return _say(str(error), 1)
    except ChainruleError as error:
        return _say(str(error), 2)
    except MemoryError:
        return _say("out of memory: use a smaller batch, a smaller network or less data", 1)
    except OSError as error:
        _forget_output()
        return _say(f"standard output: cannot be written ({error.strerror or error})", 2)
    except Exception as error:  # a mistake of ours; a user is better served by one line
        if os.environ.get(TRACEBACK):
            raise
        where = f"set {TRACEBACK}=1 to see where, and please report it"
        return _say(f"internal error: {type(error).__name__}: {error}: {where}", 1)


def _say(message: str, status: int) -> int:
    """One line on standard error."""
    try:
        typer.echo("chainrule: " + " ".join(message.split()), err=True)
    except OSError:
        _forget_output()  # nobody can be told
    return status


def _forget_output() -> None:
    """Let the interpreter's own flush at exit find nothing to complain about."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
