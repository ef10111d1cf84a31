"""`chainrule`: runs a command, and turns each outcome into an exit status.

0    success
1    failure while running: a loss or output that is not finite, code that cannot be compiled, no memory
2    invalid options, data or files
130  Ctrl-C, with the last good state saved
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.cli.advice import as_options
from chainrule.errors import ChainruleError, NativeError, NonFiniteError
from chainrule.settings import one_line

INTERRUPTED = 130
TRACEBACK = "CHAINRULE_TRACEBACK"
LESS_MEMORY = (  # in training
    "use a smaller --batch-size, --image-size or --model, less data, or --memory-limit, which recomputes values "
    "instead of storing them"
)
OBJECTS = 50_000  # made before the garbage collector runs


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. Never raises."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with _few_collections():
            import typer  # here, so that Ctrl-C while it loads is handled below

            from chainrule.cli.app import app

            status = app(words or ["--help"], prog_name="chainrule", standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # what typer makes of Ctrl-C, also after a training run has saved its state
            raise KeyboardInterrupt
        return int(status or 0)
    except BrokenPipeError:
        _forget_output()  # the reader has closed the pipe, as `| head` does
        return 0
    except KeyboardInterrupt:
        return _say("stopped by Ctrl-C", INTERRUPTED)
    except ImportError as error:
        remedy = "pip install --force-reinstall chainrule, or in a clone pip install -e ."
        return _say(f"{error}: the installation is incomplete: {remedy}", 1)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        return _say(
            f"{error.format_message().rstrip('.')}: see `{context.command_path if context else 'chainrule'} -h`", 2
        )
    except (NonFiniteError, NativeError) as error:
        return _say(as_options(str(error)), 1)
    except ChainruleError as error:
        return _say(as_options(str(error)), 2)
    except MemoryError:
        return _say(f"out of memory: {LESS_MEMORY if words[:1] == ['train'] else 'use fewer rows at a time'}", 1)
    except OSError as error:
        _forget_output()
        return _say(f"{error.filename or 'standard output'}: cannot be read or written ({error.strerror or error})", 2)
    except Exception as error:  # a bug; one line serves a user better than a traceback
        if os.environ.get(TRACEBACK):
            raise
        where = f"please report it, with the traceback that {TRACEBACK}=1 shows"
        return _say(f"internal error: {type(error).__name__}: {error}: {where}", 1)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Context in which the garbage collector runs less often: while modules load it would walk all of them, for
    nothing."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], OBJECTS), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _say(message: str, status: int) -> int:
    """One line on standard error."""
    try:
        sys.stderr.write(f"chainrule: {one_line(message)}\n")
    except OSError:
        _forget_output()  # there is no one to tell
    return status


def _forget_output() -> None:
    """Let the interpreter's own flush at exit find nothing to complain about."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
